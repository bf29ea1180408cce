import { fromPretrained, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { applyLora, loraConfig, type Parameter } from "@hushgrad/nn";
import {
	type Device,
	DropoutKeys,
	data,
	foldIn,
	key,
	markSamples,
	normal,
	perSampleValueAndGrad,
	sum,
	type Tensor,
	valueAndGrad,
} from "@hushgrad/tensor";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath, relativeError } from "../support/goldens.ts";

const LENGTH = 9;
const ROWS = 5;
const VOCAB = 101;
const PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** Ids of one record, its own length long, and how many of them are prompt. */
interface Record {
	readonly ids: readonly number[];
	readonly prompt: number;
	/** Keys its dropout mask. */
	readonly id: number;
}

/** Soft-caps, sliding windows and grouped heads; linear layers in NF4; LoRA with B away from zero. */
async function adaptedModel(device: Device): Promise<{ model: VaultGemmaForCausalLM; parameters: Parameter[]; names: string[] }> {
	const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device, quantization: "nf4" });
	const layers = applyLora(model, loraConfig({ r: 4, lora_dropout: 0.1, target_modules: PROJECTIONS }), { device, key: key(1) });
	[...layers.values()].forEach(({ lora_B: { weight } }, i) => weight.assign(normal(device, weight.shape, key(100 + i), { std: 0.1 })));
	const trainable = model.trainableParameters();
	return { model, parameters: [...trainable.values()], names: [...trainable.keys()] };
}

const maskKey = (r: Record | undefined) => foldIn(key(7), r?.id ?? 0);

/** Losses [rows]; `mark` is markSamples, or the identity for a gradient that is not per sample. */
function lossesOf(
	device: Device,
	model: VaultGemmaForCausalLM,
	rows: readonly (Record | undefined)[],
	dropout: DropoutKeys,
	mark: (t: Tensor) => Tensor,
): Tensor {
	const learned = Math.max(1, ...rows.map((r) => (r === undefined ? 0 : r.ids.length - r.prompt)));
	const ids = new Int32Array(rows.length * LENGTH);
	const positions = new Int32Array(rows.length * learned);
	const targets = new Int32Array(rows.length * learned).fill(-100);
	const weights = new Float32Array(rows.length);
	rows.forEach((record, b) => {
		if (record === undefined) return;
		const answer = record.ids.slice(record.prompt);
		ids.set(record.ids, b * LENGTH);
		positions.set(
			answer.map((_, i) => record.prompt - 1 + i),
			b * learned,
		);
		targets.set(answer, b * learned);
		weights[b] = 1 / answer.length;
	});
	const upload = (v: Int32Array | Float32Array, shape: readonly number[]) => mark(device.fromHost(v, shape));
	const B = rows.length;
	return model.losses(
		upload(ids, [B, LENGTH]),
		{ targets: upload(targets, [B, learned]), positions: upload(positions, [B, learned]), weights: upload(weights, [B]) },
		{ dropout },
	);
}

describe("per-sample gradients of LoRA over an NF4 base", () => {
	const device = useDevice();
	let model: VaultGemmaForCausalLM;
	let parameters: Parameter[];
	let names: string[];
	beforeAll(async () => {
		({ model, parameters, names } = await adaptedModel(device()));
	});

	/** Gradients [rows, ...] of a batch, every parameter's. */
	async function batchGradients(rows: readonly (Record | undefined)[]): Promise<Float32Array[]> {
		const dropout = DropoutKeys.perSample(device(), rows.map(maskKey));
		const { value, grads } = perSampleValueAndGrad(() => lossesOf(device(), model, rows, dropout, markSamples), parameters, rows.length);
		dropout.keys.dispose();
		const all = await Promise.all(grads.map((g) => data(g)));
		for (const t of [value, ...grads]) t.dispose();
		return all as Float32Array[];
	}

	const row = (grads: Float32Array, b: number, rows: number) => grads.subarray((b * grads.length) / rows, ((b + 1) * grads.length) / rows);

	const token = fc.integer({ min: 0, max: VOCAB - 1 });
	const record = fc
		.tuple(fc.array(token, { minLength: 3, maxLength: LENGTH }), fc.nat(1000))
		.chain(([ids, id]) => fc.integer({ min: 1, max: ids.length - 1 }).map((prompt): Record => ({ ids, prompt, id })));

	it("equal a loop over single samples", async () => {
		await fc.assert(
			fc.asyncProperty(fc.array(record, { minLength: 2, maxLength: ROWS }), async (records) => {
				const together = await batchGradients(records);
				for (const [b, r] of records.entries()) {
					const dropout = DropoutKeys.shared(device(), maskKey(r));
					const { value, grads } = valueAndGrad(() => sum(lossesOf(device(), model, [r], dropout, (t) => t)), parameters);
					const alone = await Promise.all(grads.map((g) => data(g)));
					for (const t of [value, ...grads]) t.dispose();
					names.forEach((name, i) => expect(relativeError(row(together[i], b, records.length), alone[i]), name).toBeLessThan(1e-5));
				}
			}),
			{ numRuns: 8 },
		);
	});

	it("are bit-identical in any slot, with any companions and padding: 120 random cases", async () => {
		const batch = fc.record({
			record,
			slot: fc.nat(ROWS - 1),
			companions: fc.array(fc.option(record, { nil: undefined }), { minLength: ROWS - 1, maxLength: ROWS - 1 }),
		});
		let compared = 0;
		await fc.assert(
			fc.asyncProperty(batch, async ({ record, slot, companions }) => {
				const alone = await batchGradients([record, undefined, undefined, undefined, undefined]);
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
					if (r === undefined) among.forEach((g) => expect(row(g, b, ROWS).every((v) => v === 0)).toBe(true));
				});
				compared++;
			}),
			{ numRuns: 120 },
		);
		expect(compared).toBe(120);
	});
});

const bytes = (v: Float32Array): Uint8Array => new Uint8Array(v.buffer, v.byteOffset, v.byteLength);
