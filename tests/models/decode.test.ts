import { type CausalLM, fromPretrained, type GenerateOptions, generate, StaticCache, VaultGemmaForCausalLM } from "@hushgrad/models";
import {
	applyLora,
	cachedAttention,
	Linear,
	type LoRALinear,
	loraConfig,
	Module,
	ModuleSnapshot,
	mergeAdapter,
	type NF4Parameter,
} from "@hushgrad/nn";
import {
	capture,
	data,
	full,
	grad,
	key,
	mul,
	requestDevice,
	reshape,
	sum,
	type Tensor,
	tensor,
	uniformValues,
	write,
	zeros,
} from "@hushgrad/tensor";
import { beforeEach, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath, relativeError } from "../support/goldens.ts";

const device = useDevice();
const ids = (...list: number[]): Tensor => tensor(device(), Int32Array.from(list));
const load = (name: string) => fromPretrained(goldenPath(`vaultgemma/${name}`), { device: device() });
const demo = () => fromPretrained("assets/tiny-vaultgemma", { device: device(), quantization: "nf4" });

/** The model as one that only lengthens caches: what `generate` does by itself, unreplayed. */
const lengthening = (model: CausalLM): CausalLM => ({
	step: (tokens, cache) => model.step(tokens, cache),
	stateTensors: () => model.stateTensors(),
});

async function written(model: CausalLM, prompt: readonly number[], options: GenerateOptions, between?: (n: number) => void) {
	const tokens: number[] = [];
	for await (const id of generate(model, prompt, options)) {
		tokens.push(id);
		between?.(tokens.length);
	}
	return tokens;
}

/** Numbers that differ, the same for each call. */
function drawn(): () => number {
	const numbers = uniformValues(key(11), 512);
	let next = 0;
	return () => numbers[next++];
}

/** Adapters whose B is not zero. */
function adapt(model: VaultGemmaForCausalLM, seed: number): Map<string, LoRALinear> {
	const layers = applyLora(model, loraConfig({ r: 2, target_modules: ["q_proj", "v_proj", "down_proj"] }), {
		device: device(),
		key: key(seed),
	});
	for (const { lora_B } of layers.values()) {
		const { shape, size } = lora_B.weight;
		const values = uniformValues(key(seed), size).map((u) => u - 0.5);
		lora_B.weight.assign(reshape(tensor(device(), Float32Array.from(values)), shape));
	}
	return layers;
}

describe.each(["plain", "capped", "bf16"])("a token written into a cache with room: %s", (name) => {
	it("has the logits that it has with a cache that grows, and replayed the bits of the pass", async () => {
		const model = await load(name);
		const text = Array.from({ length: 24 }, (_, i) => 2 + ((7 * i) % 90));
		const start = model.step(ids(...text.slice(0, 3)));
		const [room, replayed] = [new StaticCache(start.cache, 32), new StaticCache(start.cache, 32)];
		const id = ids(text[3]);
		const step = capture(device(), () => model.decode(id, replayed));
		let { cache } = start;
		for (const token of text.slice(3)) {
			const grown = model.step(ids(token), cache);
			cache = grown.cache;
			write(id, [token]);
			const logits = (await data(model.decode(id, room))) as Float32Array;
			step.replay();
			expect(await data(step.outputs)).toEqual(logits);
			expect(relativeError(logits, (await data(grown.logits)) as Float32Array)).toBeLessThan(1e-5);
			room.length++;
			replayed.length++;
		}
		const full = new StaticCache(room.entries(), 24);
		expect(() => model.decode(id, full)).toThrow(expect.objectContaining({ code: "cache/capacity" }));
		full.length--;
		expect(await data(model.decode(id, full))).toEqual(await data(step.outputs));
		step.dispose();
		expect(() => new StaticCache(cache, 3)).toThrow(expect.objectContaining({ code: "cache/capacity" }));
		expect(() => new StaticCache([], 3)).toThrow(expect.objectContaining({ code: "cache/capacity" }));
		for (const length of [-1, 33, 1.5]) {
			expect(() => {
				room.length = length;
			}).toThrow(expect.objectContaining({ code: "call/argument" }));
		}
		room.length = 32;
		expect(() => model.decode(id, room)).toThrow(expect.objectContaining({ code: "cache/capacity" }));
		expect(() => model.model.call(ids(3, 4), {}, replayed)).toThrow(expect.objectContaining({ code: "model/rank" }));
	});

	it.each<[string, () => Omit<GenerateOptions, "maxNewTokens">]>([
		["the likeliest", () => ({})],
		["penalised", () => ({ repetitionPenalty: 1.3 })],
		["drawn", () => ({ sample: { uniform: drawn(), temperature: 1.5, topK: 20, topP: 0.95 } })],
		["drawn of all, no end before the 20th", () => ({ sample: { uniform: drawn(), topK: 0 }, minNewTokens: 20, eosTokenIds: [1, 35, 60] })],
	])("writes the tokens that are written without: %s", async (_, options) => {
		const model = await load(name);
		const how = () => ({ maxNewTokens: 50, ...options() });
		const tokens = await written(model, [2, 5, 9], how());
		expect(tokens).toEqual(await written(lengthening(model), [2, 5, 9], how()));
		expect(tokens.length).toBeGreaterThan(3);
	});
});

describe("generate, replayed", () => {
	let model: VaultGemmaForCausalLM;
	const prompt = Array.from({ length: 40 }, (_, i) => 3 + 11 * i);
	/** 1 + w with another sign in every third place. */
	const turned = (w: Float32Array, first: number): Float32Array => w.map((v, i) => (i % 3 === first ? -2 - v : v));
	const how = { maxNewTokens: 60, repetitionPenalty: 1.3 };
	beforeEach(async () => {
		model = await demo();
	});

	it("outgrows its cache, and ends where the model does", async () => {
		const long = { ...how, maxNewTokens: 180 };
		const { liveBuffers } = device().memory();
		expect(await written(model, prompt, long)).toEqual(await written(lengthening(model), prompt, long));
		expect(device().memory().liveBuffers).toBeLessThanOrEqual(liveBuffers);
		const tooLong = { ...how, maxNewTokens: 400 };
		const count = { both: [0, 0] };
		for (const [i, m] of [model, lengthening(model)].entries()) {
			const run = written(m, prompt, tooLong, (n) => {
				count.both[i] = n;
			});
			await expect(run).rejects.toMatchObject({ code: "model/positions" });
		}
		expect(count.both).toEqual([217, 217]);
	});

	it("makes no object for a token, runs the model's code for the first ones alone, and leaves no memory", async () => {
		const { liveBuffers } = device().memory();
		let passes = 0;
		class Counted extends VaultGemmaForCausalLM {
			override decode(id: Tensor, cache: StaticCache): Tensor {
				passes++;
				return super.decode(id, cache);
			}
		}
		Object.setPrototypeOf(model, Counted.prototype);
		const groups: number[] = [];
		await written(model, prompt.slice(0, 8), { maxNewTokens: 40 }, () => groups.push(device().counters().bindGroups));
		// The capture, and the look at the first replay.
		expect(passes).toBe(2);
		expect(new Set(groups.slice(4)).size).toBe(1);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("sees weights that are written, replaced and adapted between two tokens, and adapters that go", async () => {
		const changes: Record<number, (m: VaultGemmaForCausalLM, norm: Float32Array) => void> = {
			5: ({ model: { norm } }, before) => write(norm.weight.value, turned(before, 0)),
			9: ({ model: { norm } }, before) => norm.weight.assign(tensor(device(), turned(before, 1))),
			13: (m) => void adapt(m, 1),
			20: ({ model: { layers } }) => {
				const [a, b] = layers.items;
				const { mlp } = a;
				a.replaceChild("mlp", b.mlp);
				b.replaceChild("mlp", mlp);
			},
			28: (m) => mergeAdapter(m),
			36: ({ model: { layers } }) => layers.items[2].mlp.down_proj.dispose(),
		};
		/** The tokens, and the error that ends them, with all changes but one. */
		const changed = async (kind: (m: VaultGemmaForCausalLM) => CausalLM, without?: number) => {
			const m = await demo();
			const norm = (await data(m.model.norm.weight.value)) as Float32Array;
			const tokens: number[] = [];
			const run = written(kind(m), prompt, how, (n) => {
				tokens.push(n);
				if (n !== without) changes[n]?.(m, norm);
			});
			return run.catch((error) => [tokens.length, error.code]);
		};
		expect(await changed((m) => m)).toEqual([36, "parameter/empty"]);
		delete changes[36];
		const tokens = await changed((m) => m);
		expect(tokens).toEqual(await changed(lengthening));
		for (const n of [5, 9, 13, 20]) expect(await changed((m) => m, n), `without ${n}`).not.toEqual(tokens);
	});

	it("sees adapters that are switched between two calls", async () => {
		const layers = adapt(model, 2);
		const first = await written(model, prompt, how);
		expect(first).toEqual(await written(lengthening(model), prompt, how));
		for (const { lora_B } of layers.values()) lora_B.weight.assign(mul(lora_B.weight.value, -1));
		const second = await written(model, prompt, how);
		expect(second).toEqual(await written(lengthening(model), prompt, how));
		expect(second).not.toEqual(first);
	});

	it("calls a model whose pass changes by itself, or uploads", async () => {
		let passes = 0;
		class Turning extends VaultGemmaForCausalLM {
			override decode(id: Tensor, cache: StaticCache): Tensor {
				return mul(super.decode(id, cache), ++passes % 2 === 0 ? 1 : -1);
			}
		}
		class Uploading extends VaultGemmaForCausalLM {
			override decode(id: Tensor, cache: StaticCache): Tensor {
				return mul(super.decode(id, cache), tensor(id.device, Float32Array.of(++passes)));
			}
		}
		for (const kind of [Turning, Uploading]) {
			passes = 0;
			Object.setPrototypeOf(model, kind.prototype);
			const { liveBuffers } = device().memory();
			expect((await written(model, prompt, { maxNewTokens: 12 })).length).toBe(12);
			// One for each token, but for those that were captured, or compared, in vain.
			expect(passes).toBeGreaterThanOrEqual(11);
			expect(passes).toBeLessThanOrEqual(13);
			expect(device().memory().liveBuffers).toBeLessThanOrEqual(liveBuffers);
		}
	});

	it("writes several texts in turn", async () => {
		const prompts = [prompt.slice(0, 7), prompt.slice(7, 20)];
		const apart = [await written(model, prompts[0], how), await written(model, prompts[1], how)];
		const texts = prompts.map((p) => generate(model, p, how));
		const tokens: number[][] = [[], []];
		for (let n = 0; n < how.maxNewTokens; n++) for (const [i, text] of texts.entries()) tokens[i].push((await text.next()).value);
		for (const text of texts) expect(await text.next()).toMatchObject({ done: true });
		expect(tokens).toEqual(apart);
	});

	it("ends with the error of a token, leaves no memory, and writes the text anew once it can", async () => {
		const weight = new Map(model.namedParameters()).get("model.layers.1.mlp.down_proj.weight") as NF4Parameter;
		const state = await weight.quantState();
		const tokens = await written(model, prompt, how);
		const { liveBuffers } = device().memory();
		const run = written(model, prompt, how, (n) => {
			if (n === 10) weight.dispose();
		});
		await expect(run).rejects.toMatchObject({ code: "parameter/empty" });
		weight.loadQuantized(device(), state);
		expect(device().memory().liveBuffers).toBeLessThanOrEqual(liveBuffers);
		expect(await written(model, prompt, how)).toEqual(tokens);
	});

	it("names a device that is lost between two tokens", async () => {
		const own = await requestDevice();
		const lost = await fromPretrained(goldenPath("vaultgemma/plain"), { device: own });
		const run = written(lost, [2, 5, 9], { maxNewTokens: 20 }, (n) => {
			if (n === 8) own.gpu.destroy();
		});
		await expect(run).rejects.toMatchObject({ code: "device/lost" });
		own.destroy();
	});

	it("shows a profile the kernels of every token", async () => {
		if (!device().has("timestamp-query")) return;
		const profile = await device().profile(() => written(model, prompt, { maxNewTokens: 6 }));
		const found = profile.kernels().filter(({ kernel }) => kernel.startsWith("cachedAttention"));
		expect(found.reduce((n, { calls }) => n + calls, 0)).toBe(5 * 3);
	});
});

describe("ModuleSnapshot", () => {
	it("looks into lists, maps and objects", () => {
		class Holder extends Module {
			readonly byName = new Map<string, Module>([["first", new Linear(2, 2)]]);
			readonly listed = [new Linear(2, 2)];
			readonly options = { layer: new Linear(2, 2), epsilon: Number.NaN };
		}
		const changes: ((m: Holder) => void)[] = [
			(m) => m.byName.set("first", new Linear(2, 2)),
			(m) => m.byName.set("second", new Linear(2, 2)),
			(m) => m.listed.push(new Linear(2, 2)),
			(m) => Object.assign(m.options, { epsilon: 1 }),
			({ options: { layer } }) => layer.resetParameters(device(), key(1)),
			({ byName }) => (byName.get("first") as Linear).resetParameters(device(), key(1)),
		];
		for (const change of changes) {
			const model = new Holder();
			const snapshot = new ModuleSnapshot(model);
			expect(snapshot.isCurrent).toBe(true);
			change(model);
			expect(snapshot.isCurrent, String(change)).toBe(false);
		}
	});

	it("is current until a module, a field or a tensor is another one", async () => {
		const changes: ((m: VaultGemmaForCausalLM) => void)[] = [
			(m) => m.model.norm.weight.assign(tensor(device(), new Float32Array(m.model.norm.weight.size))),
			(m) => void adapt(m, 3),
			(m) => (m.model.layers.items as unknown[]).pop(),
			(m) => m.model.layers.items[1].replaceChild("mlp", m.model.layers.items[0].mlp),
			(m) => m.model.rotary.init(device()),
			(m) => void Object.assign(m.model, { scale: 2 }),
			(m) => m.model.norm.dispose(),
		];
		for (const change of changes) {
			const model = await load("plain");
			const snapshot = new ModuleSnapshot(model);
			const { weight } = model.model.norm;
			write(weight.value, new Float32Array(weight.size).fill(3));
			expect(snapshot.isCurrent).toBe(true);
			change(model);
			expect(snapshot.isCurrent, String(change)).toBe(false);
		}
	});
});

describe("cachedAttention", () => {
	/** Memory that nobody has written holds no zeros here. */
	const device = useDevice({ debug: { memory: true } });
	const position = (at: number) => device().fromHost(Int32Array.of(at), [1]);

	/** Attention of one head of one number to S keys and values. */
	async function attended(at: number, query: number, keys: readonly number[], values: readonly number[]): Promise<number> {
		const [column, pair] = [
			[keys.length, 1],
			[1, keys.length, 2],
		];
		const twice = (list: readonly number[]) => device().fromHost(Float32Array.from(list.flatMap((v) => [v, 0])), pair);
		const place = {
			keys: twice(keys),
			values: twice(values),
			at: position(at),
			cos: full(device(), column, 1),
			sin: zeros(device(), column),
		};
		const q = device().fromHost(Float32Array.of(query, 0), [1, 2]);
		return ((await data(cachedAttention(q, place, { scale: 1 }))) as Float32Array)[0];
	}

	it("gives the largest score its weight whichever thousand of keys it is in", async () => {
		for (const where of [0, 1023, 1024, 2100]) {
			const keys = Array.from({ length: 2200 }, (_, i) => (i === where ? 300 : -300));
			const values = keys.map((_, i) => i);
			expect(await attended(2199, 1, keys, values)).toBe(where);
		}
	});

	it("adds up weights of all thousands of keys", async () => {
		const keys = Array.from({ length: 2200 }, (_, i) => Math.sin(i) + i / 500);
		const values = keys.map((_, i) => Math.cos(i / 300));
		for (const at of [1022, 1023, 1024, 2047, 2048, 2199]) {
			const seen = keys.slice(0, at + 1).map((k) => Math.exp(Math.fround(k)));
			const expected = seen.reduce((sum, w, i) => sum + w * Math.fround(values[i]), 0) / seen.reduce((a, b) => a + b, 0);
			expect(Math.abs((await attended(at, 1, keys, values)) - expected), `at ${at}`).toBeLessThan(1e-5);
		}
	});

	it("is 0 where nothing is seen", async () => {
		expect(await attended(-1, 1, [1, 2], [3, 4])).toBe(0);
	});

	it("refuses to be traced", () => {
		const [cos, keys] = [zeros(device(), [4, 1]), zeros(device(), [1, 4, 2])];
		const at = { keys, values: keys, at: position(0), cos, sin: cos };
		const q = zeros(device(), [1, 2]);
		expect(() => grad((x: Tensor) => sum(cachedAttention(x, at)))(q)).toThrow(expect.objectContaining({ code: "cache/traced" }));
	});
});
