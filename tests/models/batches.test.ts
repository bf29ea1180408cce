import { type CausalLM, fromPretrained, generate, type KVCache, type TrainingRecord, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { cat, type Device, data, embedding, reshape, sum, type Tensor, vmap } from "@hushgrad/tensor";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath, relativeError } from "../support/goldens.ts";

/** Ids that every golden model knows. */
const IDS = 96;
const device = useDevice();
const upload = (rows: readonly (readonly number[])[]): Tensor =>
	device().fromHost(Int32Array.from(rows.flat()), [rows.length, rows[0].length]);
const one = (ids: readonly number[]): Tensor => device().fromHost(Int32Array.from(ids), [ids.length]);

/** The likeliest token of each of `rows` rows of logits. */
function likeliest(logits: Float32Array, rows: number): number[] {
	const size = logits.length / rows;
	return Array.from({ length: rows }, (_, b) => {
		const row = logits.subarray(b * size, (b + 1) * size);
		return row.indexOf(row.reduce((m, v) => Math.max(m, v)));
	});
}

const token = fc.integer({ min: 0, max: IDS - 1 });
const batch = fc
	.integer({ min: 1, max: 9 })
	.chain((length) => fc.array(fc.array(token, { minLength: length, maxLength: length }), { minLength: 1, maxLength: 5 }));

describe.each(["plain", "capped", "bf16"])("a batch of texts: %s", (name) => {
	let model: VaultGemmaForCausalLM;
	beforeAll(async () => {
		model = await fromPretrained(goldenPath(`vaultgemma/${name}`), { device: device() });
	});

	it("is what each text is alone: logits", async () => {
		await fc.assert(
			fc.asyncProperty(batch, async (rows) => {
				const together = (await data(device().scope<Tensor>(() => vmap((ids: Tensor) => model.call(ids))(upload(rows))))) as Float32Array;
				const size = together.length / rows.length;
				for (const [b, ids] of rows.entries()) {
					const alone = await data(device().scope<Tensor>(() => model.call(one(ids))));
					expect(relativeError(together.subarray(b * size, (b + 1) * size), alone)).toBeLessThan(1e-5);
				}
			}),
			{ numRuns: 10 },
		);
	});

	/** The tokens that each prompt of a batch is continued with, one cache a record. */
	async function continued(prompts: readonly (readonly number[])[], count: number): Promise<number[][]> {
		const step = vmap((ids: Tensor, cache: KVCache) => model.step(ids, cache));
		const written: number[][] = prompts.map(() => []);
		let ids: readonly (readonly number[])[] = prompts;
		let cache: KVCache = [];
		for (let n = 0; n < count; n++) {
			const next = device().scope(() => step(upload(ids), cache));
			for (const t of cache.flatMap(({ k, v }) => [k, v])) t.dispose();
			cache = next.cache;
			const tokens = likeliest((await data(next.logits)) as Float32Array, prompts.length);
			next.logits.dispose();
			tokens.forEach((t, b) => written[b].push(t));
			ids = tokens.map((t) => [t]);
		}
		for (const { k, v } of cache) {
			expect([k, v].map((t) => t.shape.slice(0, 3))).toEqual([k, v].map(() => [prompts.length, k.shape[1], prompts[0].length + count - 1]));
			for (const t of [k, v]) t.dispose();
		}
		return written;
	}

	it("is continued with the tokens that each prompt is continued with alone", async () => {
		const { liveBuffers } = device().memory();
		await fc.assert(
			fc.asyncProperty(batch, async (prompts) => {
				const together = await continued(prompts, 6);
				for (const [b, prompt] of prompts.entries()) {
					const alone: number[] = [];
					for await (const id of generate(model, prompt, { maxNewTokens: 6 })) alone.push(id);
					expect(together[b]).toEqual(alone);
				}
			}),
			{ numRuns: 4 },
		);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});

describe("a model of one text", () => {
	let model: VaultGemmaForCausalLM;
	beforeAll(async () => {
		model = await fromPretrained(goldenPath("vaultgemma/plain"), { device: device() });
	});

	it("refuses a batch and says how to run one", () => {
		const { liveBuffers } = device().memory();
		const refused = expect.objectContaining({
			name: "ShapeError",
			code: "model/rank",
			message: expect.stringContaining("ids[2, 3], expected the tokens of one text, [T]"),
			hint: expect.stringContaining("vmap("),
		});
		device().scope<void>(() => {
			const ids = upload([
				[1, 2, 3],
				[4, 5, 6],
			]);
			const weight = device().fromHost([1, 1], [2]);
			expect(() => model.call(ids)).toThrow(refused);
			expect(() => model.step(ids)).toThrow(refused);
			expect(() => model.loss({ ids, targets: ids, weight })).toThrow(refused);
			expect(() => vmap((record: TrainingRecord) => model.loss(record))({ ids: reshape(ids, [1, 2, 3]), targets: ids, weight })).toThrow(
				expect.objectContaining({ code: "vmap/records" }),
			);
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("refuses more positions than it has, cached ones counted", () => {
		const most = model.config.max_position_embeddings;
		const { liveBuffers } = device().memory();
		device().scope<void>(() => {
			const { cache } = model.step(one(new Array<number>(most - 1).fill(3)));
			expect(() => model.step(one([3, 3]), cache)).toThrow(expect.objectContaining({ name: "ValueError", code: "model/positions" }));
			expect(model.step(one([3]), cache).logits.shape).toEqual([model.config.vocab_size]);
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("reads a text in any pieces: the cache is a value, and the one that was given stays as it was", async () => {
		const ids = [2, 7, 1, 8, 2, 8];
		const { whole, first, again } = device().scope(() => {
			const whole = model.step(one(ids)).logits;
			const { cache } = model.step(one(ids.slice(0, 4)));
			const [first, again] = [0, 1].map(() => model.step(one(ids.slice(4)), cache).logits);
			return { whole, first, again };
		});
		expect(await data(first)).toEqual(await data(again));
		expect(relativeError(await data(first), await data(whole))).toBeLessThan(1e-5);
	});

	it("leaves nothing behind when a text is given up half-way", async () => {
		const { liveBuffers } = device().memory();
		for await (const _ of generate(model, [2, 5, 9], { maxNewTokens: 5 })) break;
		await expect(async () => {
			for await (const _ of generate(model, [2, 5, 9], { maxNewTokens: 5 })) throw new Error("enough");
		}).rejects.toThrow("enough");
		const tooLong = new Array<number>(model.config.max_position_embeddings).fill(3);
		await expect(async () => {
			for await (const _ of generate(model, tooLong, { maxNewTokens: 2 }));
		}).rejects.toMatchObject({ code: "model/positions" });
		await expect(generate(model, [], { maxNewTokens: 1 }).next()).rejects.toMatchObject({ code: "generate/prompt" });
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});

/** Scores of the next token: the sum of a table's rows of all tokens read. No module, and nothing of a transformer. */
class Table implements CausalLM {
	static score = (read: number, next: number): number => ((3 * read + 5 * next + read * next) % 11) + next / 16;
	readonly #rows: Tensor;

	constructor(of: Device) {
		this.#rows = of.fromHost(
			Float32Array.from({ length: 64 }, (_, i) => Table.score(Math.floor(i / 8), i % 8)),
			[8, 8],
		);
	}

	step(ids: Tensor, cache: KVCache = []): { logits: Tensor; cache: KVCache } {
		const rows = reshape(embedding(ids, this.#rows), [1, ids.size, 8]);
		const all = cache.length === 0 ? rows : cat([cache[0].k, rows], 1);
		return { logits: sum(all, [0, 1]), cache: [{ k: all, v: all }] };
	}

	*stateTensors(): Generator<Tensor> {
		yield this.#rows;
	}
}

describe("generate", () => {
	it("takes any model that reads token after token", async () => {
		const read = [1, 6, 2];
		const expected: number[] = [];
		for (let n = 0; n < 10; n++) {
			const scores = Array.from({ length: 8 }, (_, next) => [...read, ...expected].reduce((s, t) => s + Table.score(t, next), 0));
			expected.push(scores.indexOf(Math.max(...scores)));
		}
		const model = new Table(device());
		const { liveBuffers } = device().memory();
		const written: number[] = [];
		for await (const id of generate(model, read, { maxNewTokens: 10 })) written.push(id);
		expect(written).toEqual(expected);
		expect(new Set(written).size).toBeGreaterThan(2);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});
