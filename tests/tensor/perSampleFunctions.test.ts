import * as t from "@hushgrad/tensor";
import { data, key, markSamples, normalValues, type Slot, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { expectWithin } from "../support/primitiveSuite.ts";

const B = 3;
const device = useDevice();
const random = (seed: number, ...shape: number[]): Tensor =>
	device().fromHost(
		normalValues(
			key(seed),
			shape.reduce((a, b) => a * b, 1),
		),
		shape,
	);

/** Rows of a batch and parameters, and what is made of them: [B, ...], marked. */
interface Model {
	readonly rows: number[];
	readonly parameters: number[][];
	readonly run: (x: Tensor, ...w: Tensor[]) => Tensor;
}

const MODELS: Record<string, Model> = {
	"einsum with a parameter": { rows: [4, 5], parameters: [[6, 5]], run: (x, w) => t.einsum("bti,oi->bto", x, w) },
	"einsum with a parameter in front": { rows: [4, 5], parameters: [[6, 5]], run: (x, w) => t.einsum("oi,bti->bot", w, x) },
	"einsum with a frozen operand": {
		rows: [4, 5],
		parameters: [[5, 5]],
		run: (x, w) => t.einsum("bti,ij,kj->btk", x, w, t.mulScalar(t.eye(device(), 5), 2)),
	},
	"einsum of parameters only": {
		rows: [4],
		parameters: [
			[4, 5],
			[5, 4],
		],
		run: (x, a, b) => t.mul(t.einsum("ij,jk->ik", a, b), t.unsqueeze(x, 1)),
	},
	"matmul with a parameter": { rows: [4, 5], parameters: [[5, 6]], run: t.matmul },
	"layerNorm with weight and bias": {
		rows: [4, 5],
		parameters: [[5], [5]],
		run: (x, weight, bias) => t.layerNorm(x, { weight, bias }),
	},
	attention: {
		rows: [4, 6],
		parameters: [
			[6, 6],
			[6, 6],
		],
		run: (x, a, b) => t.scaledDotProductAttention(t.linear(x, a), t.linear(x, b), x, { isCausal: true }),
	},
	"cat, stack, flip, pad and slice": {
		rows: [4, 5],
		parameters: [[4, 5]],
		run: (x, w) => {
			const y = t.mul(x, w);
			const joined = t.cat(
				[
					y,
					t.flip(y, [1]),
					t.pad(y, [
						[0, 0],
						[1, 0],
						[0, 0],
					]),
				],
				1,
			);
			return t.slice(t.squeeze(t.split(t.stack([joined, joined], 2), 1, 2)[1], 2), 1, 1, 12, 2);
		},
	},
	"softmax, cumsum, amax and variance along rows": {
		rows: [4, 5],
		parameters: [[4, 5]],
		run: (x, w) => {
			const y = t.mul(x, w);
			return t.mul(t.cumsum(t.softmax(y, 1), 1), t.add(t.amax(y, [1, 2], { keepDim: true }), t.variance(y, [2], { keepDim: true })));
		},
	},
	"gather, sort and where": {
		rows: [4, 5],
		parameters: [[4, 5]],
		run: (x, w) => {
			const y = t.mul(x, w);
			const { values, indices } = t.sort(y, { axis: 1 });
			return t.where(t.gt(y, values), t.gather(y, 1, indices), t.indexSelect(y, 2, device().fromHost(Int32Array.of(4, 3, 2, 1, 0), [5])));
		},
	},
	crossEntropy: {
		rows: [4, 5],
		parameters: [[7, 5]],
		run: (x, w) => {
			const labels = device().fromHost(
				Int32Array.from({ length: x.shape[0] * 4 }, (_, i) => i % 4),
				[x.shape[0], 4],
			);
			return t.crossEntropy(t.linear(x, w), markSamples(labels), { reduction: "none" });
		},
	},
};

describe.each(Object.entries(MODELS))("%s", (_, { rows, parameters, run }) => {
	it("gives each sample the gradient that it has alone", async () => {
		const batch = await data(random(1, B, ...rows));
		const width = batch.length / B;
		const slots = parameters.map((shape, i): Slot => ({ value: random(10 + i, ...shape) }));
		const gradients = async (values: Float32Array, samples: number): Promise<Float32Array[]> => {
			const grads = device().scope<Tensor[]>(() => {
				const x = markSamples(device().fromHost(values, [samples, ...rows]));
				const loss = () => {
					const y = run(x, ...slots.map((s) => s.value));
					expect(y.perSample).toBe(true);
					const squares = t.mul(y, t.tanh(y));
					return t.sum(squares, squares.shape.map((_, i) => i).slice(1));
				};
				return [...t.perSampleValueAndGrad(loss, slots, samples).grads];
			});
			const all = await Promise.all(grads.map((g) => data(g)));
			for (const g of grads) g.dispose();
			return all as Float32Array[];
		};
		const together = await gradients(batch as Float32Array, B);
		for (let b = 0; b < B; b++) {
			const alone = await gradients(batch.slice(b * width, (b + 1) * width) as Float32Array, 1);
			alone.forEach((g, i) => {
				expectWithin(together[i].subarray(b * g.length, (b + 1) * g.length), g, {
					abs: 1e-5,
					ulp: 84,
					why: "other kernels may serve other shapes",
				});
				expect(g.some((v) => v !== 0)).toBe(true);
			});
		}
	});
});

it.each<[string, (x: Tensor) => Tensor]>([
	["einsum over the samples", (x) => t.einsum("bi->i", x)],
	["einsum between samples", (x) => t.einsum("bi,ci->bc", x, x)],
	["a sort along the samples", (x) => t.sort(x, { axis: 0 }).values],
	["a softmax along the samples", (x) => t.softmax(x, 0)],
	["a running sum along the samples", (x) => t.cumsum(x, 0)],
	["the largest of all samples", (x) => t.amax(x)],
	["a choice among samples", (x) => t.indexSelect(x, 0, device().fromHost(Int32Array.of(0), [1]))],
	["a mean loss", (x) => t.crossEntropy(x, markSamples(device().fromHost(Int32Array.of(0, 1, 0), [3])))],
])("refuses %s", (_, mix) => {
	const w: Slot = { value: random(2, 4) };
	const loss = () => {
		const y = mix(t.mul(markSamples(random(1, 3, 4)), w.value));
		return t.sum(y, y.shape.map((_, i) => i).slice(1));
	};
	expect(() => t.perSampleValueAndGrad(loss, [w], 3)).toThrow(expect.objectContaining({ name: "PrivacyError" }));
});
