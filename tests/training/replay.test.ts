import { BoundedSum, fixedPointGrid } from "@hushgrad/dp";
import { fromPretrained } from "@hushgrad/models";
import { AdamW, applyLora, loraConfig } from "@hushgrad/nn";
import {
	capture,
	checkFinite,
	type Device,
	DropoutKeys,
	data,
	foldIn,
	key,
	markSamples,
	perSampleValueAndGrad,
	type Tensor,
	write,
} from "@hushgrad/tensor";
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
	const parameters = [...model.trainableParameters().values()];
	const sizes = parameters.map((p) => p.size);
	const sum = new BoundedSum(
		d,
		sizes,
		fixedPointGrid(
			1,
			sizes.reduce((a, b) => a + b, 0),
		),
	);
	const fixed = (values: Int32Array | Float32Array | Uint32Array, shape: number[]): Tensor => d.fromHost(values, shape);
	const ids = fixed(new Int32Array(ROWS * LENGTH), [ROWS, LENGTH]);
	const targets = fixed(new Int32Array(ROWS * LENGTH), [ROWS, LENGTH]);
	const weights = fixed(new Float32Array(ROWS), [ROWS]);
	const dropout = DropoutKeys.perSample(
		d,
		Array.from({ length: ROWS }, () => key(0)),
	);
	const optimizer = new AdamW(parameters, { lr: 0.01 });
	const mean = parameters.map((p) => fixed(new Float32Array(p.size), [...p.shape]));
	const load = (step: number): void => {
		write(
			ids,
			Int32Array.from({ length: ROWS * LENGTH }, (_, i) => (7 * i + 3 * step) % 101),
		);
		write(
			targets,
			Int32Array.from({ length: ROWS * LENGTH }, (_, i) => (7 * (i + 1) + 3 * step) % 101),
		);
		write(weights, new Float32Array(ROWS).fill(1 / LENGTH));
		const keys = Array.from({ length: ROWS }, (_, r) => foldIn(key(step), r));
		write(dropout.keys, Uint32Array.from(keys.flatMap(({ k0, k1 }) => [k0, k1])));
		mean.forEach((g, i) => {
			write(
				g,
				Float32Array.from({ length: g.size }, (_, k) => Math.sin(step + i + k)),
			);
		});
		optimizer.prepare();
	};
	const step = (): { losses: Tensor; norms: Tensor } => {
		dropout.rewind(0);
		const loss = () => model.losses(markSamples(ids), { targets: markSamples(targets), weights: markSamples(weights) }, { dropout });
		const { value, grads } = perSampleValueAndGrad(loss, parameters, ROWS);
		const norms = sum.add(grads, weights);
		optimizer.update(mean);
		for (const p of parameters) checkFinite(p.value, "a parameter");
		return { losses: value, norms };
	};
	return { parameters, load, step, sum };
}

it("a private fine-tuning step replays with the same bits as the eager one", async () => {
	const [eager, replayed] = [await session(device()), await session(device())];
	const now = async (s: typeof eager, out: { losses: Tensor; norms: Tensor }) => ({
		losses: await data(out.losses),
		norms: await data(out.norms),
		sum: await s.sum.read(),
		parameters: await Promise.all(s.parameters.map((p) => data(p.value))),
	});
	for (const s of [eager, replayed]) {
		s.load(0);
		device().scope(s.step);
	}
	eager.load(1);
	replayed.load(1);
	let expected = device().scope(eager.step);
	const captured = capture(device(), replayed.step);
	expect(await now(replayed, captured.outputs)).toEqual(await now(eager, expected));
	const { heldBytes, heldBuffers } = device().memory();
	const created = device().recorder.bindGroupsCreated;
	const times: number[] = [];
	for (let i = 2; i < 12; i++) {
		replayed.load(i);
		const start = performance.now();
		captured.replay();
		times.push((1000 * (performance.now() - start)) / captured.dispatches);
		await device().flush();
	}
	expect(device().memory()).toMatchObject({ heldBytes, heldBuffers });
	expect(device().recorder.bindGroupsCreated).toBe(created);
	for (let i = 2; i < 12; i++) {
		eager.load(i);
		expected = device().scope(eager.step);
	}
	expect(await now(replayed, captured.outputs)).toEqual(await now(eager, expected));
	times.sort((a, b) => a - b);
	console.log(
		`private step: ${captured.dispatches} dispatches; us of CPU a dispatch: least ${times[0].toFixed(2)}, median ${times[5].toFixed(2)}`,
	);
});
