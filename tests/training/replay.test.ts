import { GaussianMechanism } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig } from "@hushgrad/nn";
import { capture, checkFinite, type Device, DropoutKey, data, foldIn, key, type Tensor, valueAndGrad, vmap, write } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const ROWS = 4;
const LENGTH = 12;
const device = useDevice();

/** A VaultGemma in NF4 with LoRA, fixed tensors for a physical batch, and the GPU's part of a private step. */
async function session(d: Device) {
	const model = await fromPretrained(goldenPath("vaultgemma/capped"), { device: d, quantization: "nf4" });
	applyLora(model, loraConfig({ r: 4, lora_dropout: 0.1, target_modules: "all-linear" }), { device: d, key: key(1) });
	const optimizer = new AdamW(model.trainableParameters(), { lr: 0.01 });
	const { parameters, vector } = optimizer;
	const sum = new GaussianMechanism({ length: vector.length, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1 }).newSum(d);
	const fixed = (values: Int32Array | Float32Array | Uint32Array, shape: number[]): Tensor => d.fromHost(values, shape);
	const batch = {
		ids: fixed(new Int32Array(ROWS * LENGTH), [ROWS, LENGTH]),
		targets: fixed(new Int32Array(ROWS * LENGTH), [ROWS, LENGTH]),
		weight: fixed(new Float32Array(ROWS), [ROWS]),
	};
	const isRecord = fixed(new Float32Array(ROWS).fill(1), [ROWS]);
	const words = fixed(new Uint32Array(2 * ROWS), [ROWS, 2]);
	const mean = fixed(new Float32Array(vector.length), [vector.length]);
	const load = (step: number): void => {
		write(
			batch.ids,
			Int32Array.from({ length: ROWS * LENGTH }, (_, i) => (7 * i + 3 * step) % 101),
		);
		write(
			batch.targets,
			Int32Array.from({ length: ROWS * LENGTH }, (_, i) => (7 * (i + 1) + 3 * step) % 101),
		);
		write(batch.weight, new Float32Array(ROWS).fill(1 / LENGTH));
		const keys = Array.from({ length: ROWS }, (_, r) => foldIn(key(step), r));
		write(words, Uint32Array.from(keys.flatMap(({ k0, k1 }) => [k0, k1])));
		write(
			mean,
			Float32Array.from({ length: vector.length }, (_, k) => Math.sin(step + k)),
		);
		optimizer.prepare();
	};
	const step = (): { losses: Tensor; grads: readonly Tensor[] } => {
		const { value, grads } = vmap((record: typeof batch, w: Tensor) =>
			valueAndGrad(() => model.loss(record, { dropout: new DropoutKey(w) }), parameters),
		)(batch, words);
		optimizer.update(mean);
		checkFinite(vector.tensor, "the parameters");
		return { losses: value, grads };
	};
	/** Adds the gradients of a step to the sum. */
	const added = ({ losses, grads }: ReturnType<typeof step>): { losses: Tensor; norms: Tensor } =>
		d.scope(() => ({ losses, norms: sum.add(grads, isRecord).norms }));
	return { vector, load, step, added, sum };
}

it("a private fine-tuning step replays with the same bits as the eager one", async () => {
	const [eager, replayed] = [await session(device()), await session(device())];
	const now = async (s: typeof eager, out: { losses: Tensor; norms: Tensor }) => ({
		losses: await data(out.losses),
		norms: await data(out.norms),
		sum: await s.sum.read(),
		parameters: await data(s.vector.tensor),
	});
	for (const s of [eager, replayed]) {
		s.load(0);
		device().scope(() => s.added(s.step()));
	}
	eager.load(1);
	replayed.load(1);
	let expected = device().scope(() => eager.added(eager.step()));
	const captured = capture(device(), replayed.step);
	let last = replayed.added(captured.outputs);
	expect(await now(replayed, last)).toEqual(await now(eager, expected));
	const { heldBytes, heldBuffers } = device().memory();
	const created = device().counters().bindGroups;
	const times: number[] = [];
	for (let i = 2; i < 12; i++) {
		replayed.load(i);
		const start = performance.now();
		captured.replay();
		times.push((1000 * (performance.now() - start)) / captured.dispatches);
		last.norms.dispose();
		last = replayed.added(captured.outputs);
		await device().flush();
	}
	expect(device().memory()).toMatchObject({ heldBytes, heldBuffers });
	expect(device().counters().bindGroups).toBe(created);
	for (let i = 2; i < 12; i++) {
		eager.load(i);
		expected = device().scope(() => eager.added(eager.step()));
	}
	const [a, b] = [await now(replayed, last), await now(eager, expected)];
	expect(a).toEqual(b);
	expect(a.losses.every((v) => v > 0)).toBe(true);
	expect(new Set(a.sum).size).toBeGreaterThan(100);
	times.sort((x, y) => x - y);
	console.log(
		`private step: ${captured.dispatches} dispatches; us of CPU a dispatch: least ${times[0].toFixed(2)}, median ${times[5].toFixed(2)}`,
	);
});
