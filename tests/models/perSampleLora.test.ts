import { fromPretrained, type TrainingRecord, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { applyLora, loraConfig, type Parameter } from "@hushgrad/nn";
import { type Device, DropoutKey, data, foldIn, key, normal, reshape, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath, relativeError } from "../support/goldens.ts";

const LENGTH = 9;
const ROWS = 5;
const VOCAB = 101;
const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** Ids of one text, its own length long, and how many of them are prompt. */
interface Text {
	readonly ids: readonly number[];
	readonly prompt: number;
	/** Keys its dropout mask. */
	readonly id: number;
}

/** A text, or what fills a row without one: a text that learns nothing, or the engine's zeros. */
type Row = Text | "unlearned" | "zeros";

const isText = (row: Row): row is Text => typeof row !== "string";

/** Soft-caps, sliding windows and grouped heads; linear layers in NF4; LoRA with B away from zero. */
async function adaptedModel(device: Device): Promise<{ model: VaultGemmaForCausalLM; parameters: Parameter[]; names: string[] }> {
	const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device, quantization: "nf4" });
	const layers = applyLora(model, loraConfig({ r: 4, lora_dropout: 0.1, target_modules: PROJECTIONS }), { device, key: key(1) });
	[...layers.values()].forEach(({ lora_B: { weight } }, i) => weight.assign(normal(device, weight.shape, key(100 + i), { std: 0.1 })));
	const trainable = model.trainableParameters();
	return { model, parameters: [...trainable.values()], names: [...trainable.keys()] };
}

const maskKey = (row: Row) => foldIn(key(7), isText(row) ? row.id : 0);

/** Rows of texts with room for the longest answer, on the device. */
function batchOf(device: Device, rows: readonly Row[]): TrainingRecord {
	const learned = Math.max(1, ...rows.filter(isText).map(({ ids, prompt }) => ids.length - prompt));
	const ids = new Int32Array(rows.length * LENGTH);
	const positions = new Int32Array(rows.length * learned);
	const targets = new Int32Array(rows.length * learned).fill(-100);
	const weight = new Float32Array(rows.length);
	rows.forEach((row, b) => {
		if (row === "zeros") targets.fill(0, b * learned, (b + 1) * learned);
		if (!isText(row)) return;
		const answer = row.ids.slice(row.prompt);
		ids.set(row.ids, b * LENGTH);
		positions.set(
			answer.map((_, i) => row.prompt - 1 + i),
			b * learned,
		);
		targets.set(answer, b * learned);
		weight[b] = 1 / answer.length;
	});
	const B = rows.length;
	return {
		ids: device.fromHost(ids, [B, LENGTH]),
		targets: device.fromHost(targets, [B, learned]),
		positions: device.fromHost(positions, [B, learned]),
		weight: device.fromHost(weight, [B]),
	};
}

describe("gradients of single records, of LoRA over an NF4 base", () => {
	const device = useDevice();
	let model: VaultGemmaForCausalLM;
	let parameters: Parameter[];
	let names: string[];
	beforeAll(async () => {
		({ model, parameters, names } = await adaptedModel(device()));
	});

	/** Loss and gradients, every parameter's, of what `compute` makes. */
	async function read(compute: () => { value: Tensor; grads: readonly Tensor[] }): Promise<Float32Array[]> {
		const { value, grads } = device().scope(compute);
		const all = await Promise.all(grads.map((g) => data(g)));
		for (const t of [value, ...grads]) t.dispose();
		return all as Float32Array[];
	}

	/** Gradients [rows, ...] of a batch. */
	const batchGradients = (rows: readonly Row[]): Promise<Float32Array[]> =>
		read(() => {
			const words = Uint32Array.from(rows.map(maskKey).flatMap(({ k0, k1 }) => [k0, k1]));
			return vmap((record: TrainingRecord, own: Tensor) =>
				valueAndGrad(() => model.loss(record, { dropout: new DropoutKey(own) }), parameters),
			)(batchOf(device(), rows), device().fromHost(words, [rows.length, 2]));
		});

	/** Gradients of one text, without `vmap`. */
	const gradientsOf = (text: Text): Promise<Float32Array[]> =>
		read(() => {
			const batch = Object.entries(batchOf(device(), [text])).map(([name, t]): [string, Tensor] => [name, reshape(t, t.shape.slice(1))]);
			const record = Object.fromEntries(batch) as unknown as TrainingRecord;
			return valueAndGrad(() => model.loss(record, { dropout: DropoutKey.of(device(), maskKey(text)) }), parameters);
		});

	const row = (grads: Float32Array, b: number, rows: number) => grads.subarray((b * grads.length) / rows, ((b + 1) * grads.length) / rows);

	const token = fc.integer({ min: 0, max: VOCAB - 1 });
	const text = fc
		.tuple(fc.array(token, { minLength: 3, maxLength: LENGTH }), fc.nat(1000))
		.chain(([ids, id]) => fc.integer({ min: 1, max: ids.length - 1 }).map((prompt): Text => ({ ids, prompt, id })));
	const filling = fc.constantFrom<Row>("unlearned", "zeros");

	it("equal a loop over single records", async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(text, { minLength: 2, maxLength: ROWS }), async (texts) => {
				const together = await batchGradients(texts);
				for (const [b, t] of texts.entries()) {
					const alone = await gradientsOf(t);
					names.forEach((name, i) => expect(relativeError(row(together[i], b, texts.length), alone[i]), name).toBeLessThan(1e-5));
				}
			}),
			{ numRuns: 8 },
		);
	});

	it("are bit-identical in any slot, with any companions and padding: 120 random cases", async () => {
		const batch = fc.record({
			record: text,
			slot: fc.nat(ROWS - 1),
			companions: fc.array(fc.oneof(text, filling), { minLength: ROWS - 1, maxLength: ROWS - 1 }),
			fill: filling,
		});
		let compared = 0;
		await fc.assert(
			fc.asyncProperty(batch, async ({ record, slot, companions, fill }) => {
				const alone = await batchGradients([record, fill, fill, fill, fill]);
				const rows = [...companions.slice(0, slot), record, ...companions.slice(slot)];
				const among = await batchGradients(rows);
				names.forEach((name, i) => {
					const [a, b] = [row(alone[i], 0, ROWS), row(among[i], slot, ROWS)];
					expect(Buffer.compare(bytes(a), bytes(b)), name).toBe(0);
					expect(
						a.some((v) => v !== 0),
						name,
					).toBe(true);
				});
				rows.forEach((r, b) => {
					if (!isText(r)) among.forEach((g) => expect(row(g, b, ROWS).every((v) => v === 0)).toBe(true));
				});
				compared++;
			}),
			{ numRuns: 120 },
		);
		expect(compared).toBe(120);
	});
});

const bytes = (v: Float32Array): Uint8Array => new Uint8Array(v.buffer, v.byteOffset, v.byteLength);
