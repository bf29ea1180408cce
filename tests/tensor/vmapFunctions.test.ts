import * as t from "@hushgrad/tensor";
import { key, normalValues, type Slot, type Tensor } from "@hushgrad/tensor";
import type { NdArray } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectSame, expectWithin } from "../support/bounds.ts";
import { BREADTH_CALLS } from "../support/breadthCalls.ts";
import { layouts, numbers, stacked, upload } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { part } from "../support/environment.ts";
import { FUNCTIONS } from "../support/functionCalls.ts";
import { entry, read, type Values } from "../support/reading.ts";
import { SHAPE_CALLS } from "../support/shapeCalls.ts";

/* Functions of one record, run on a batch: each record gets what it gets alone. */

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

/** A record and parameters, and what is made of them. */
interface Model {
	readonly record: number[];
	readonly parameters: number[][];
	readonly run: (x: Tensor, ...w: Tensor[]) => Tensor;
}

const MODELS: Record<string, Model> = {
	"einsum with a parameter": { record: [4, 5], parameters: [[6, 5]], run: (x, w) => t.einsum("ti,oi->to", x, w) },
	"einsum with a parameter in front": { record: [4, 5], parameters: [[6, 5]], run: (x, w) => t.einsum("oi,ti->ot", w, x) },
	"einsum with a frozen operand": {
		record: [4, 5],
		parameters: [[5, 5]],
		run: (x, w) => t.einsum("ti,ij,kj->tk", x, w, t.mul(t.eye(device(), 5), 2)),
	},
	"einsum of parameters only": {
		record: [4],
		parameters: [
			[4, 5],
			[5, 4],
		],
		run: (x, a, b) => t.mul(t.einsum("ij,jk->ik", a, b), t.unsqueeze(x, 0)),
	},
	"matmul with a parameter": { record: [4, 5], parameters: [[5, 6]], run: t.matmul },
	"layerNorm with weight and bias": {
		record: [4, 5],
		parameters: [[5], [5]],
		run: (x, weight, bias) => t.layerNorm(x, { weight, bias }),
	},
	attention: {
		record: [4, 6],
		parameters: [
			[6, 6],
			[6, 6],
		],
		run: (x, a, b) => t.scaledDotProductAttention(t.linear(x, a), t.linear(x, b), x, { isCausal: true }),
	},
	"cat, stack, flip, pad and slice": {
		record: [4, 5],
		parameters: [[4, 5]],
		run: (x, w) => {
			const y = t.mul(x, w);
			const padded = t.pad(y, [
				[1, 0],
				[0, 0],
			]);
			const joined = t.cat([y, t.flip(y, [0]), padded]);
			return t.slice(t.squeeze(t.split(t.stack([joined, joined], 1), 1, 1)[1], 1), 0, 1, 12, 2);
		},
	},
	"softmax, cumsum, amax and variance along rows": {
		record: [4, 5],
		parameters: [[4, 5]],
		run: (x, w) => {
			const y = t.mul(x, w);
			return t.mul(t.cumsum(t.softmax(y, 0), 0), t.add(t.amax(y, [0, 1], { keepDim: true }), t.variance(y, [1], { keepDim: true })));
		},
	},
	"gather, sort and where": {
		record: [4, 5],
		parameters: [[4, 5]],
		run: (x, w) => {
			const y = t.mul(x, w);
			const { values, indices } = t.sort(y, { axis: 0 });
			return t.where(t.gt(y, values), t.gather(y, 0, indices), t.indexSelect(y, 1, device().fromHost(Int32Array.of(4, 3, 2, 1, 0), [5])));
		},
	},
	crossEntropy: {
		record: [4, 5],
		parameters: [[7, 5]],
		run: (x, w) => t.crossEntropy(t.linear(x, w), device().fromHost(Int32Array.of(0, 1, 2, 3), [4]), { reduction: "none" }),
	},
};

describe.each(Object.entries(MODELS))("%s", (_, { record, parameters, run }) => {
	it("gives each record the value and the gradients that it has alone, and plain training their sum", async () => {
		const batch = random(1, B, ...record);
		const slots = parameters.map((shape, i): Slot => ({ value: random(10 + i, ...shape) }));
		const loss = (x: Tensor): Tensor => {
			const y = run(x, ...slots.map((s) => s.value));
			return t.sum(t.mul(y, t.tanh(y)));
		};
		const ofOne = (x: Tensor): Tensor[] => {
			const { value, grads } = t.valueAndGrad(() => loss(x), slots);
			return [run(x, ...slots.map((s) => s.value)), value, ...grads];
		};
		const together = await read(device().scope<Tensor[]>(() => t.vmap(ofOne)(batch)));
		const singles: Values[] = [];
		for (let b = 0; b < B; b++) {
			singles.push(await read(device().scope<Tensor[]>(() => ofOne(t.squeeze(t.slice(batch, 0, b, b + 1), 0)))));
			for (const [k, values] of entry(together, B, b).entries()) {
				expectSame(values, singles[b][k], `record ${b}, result ${k}`);
				expect(Array.from(values).some((v) => v !== 0)).toBe(true);
			}
		}
		const plain = await read(device().scope<Tensor[]>(() => [...t.valueAndGrad(() => t.sum(t.vmap(loss)(batch)), slots).grads]));
		plain.forEach((g, k) => {
			const total = Array.from(g, (_, i) => singles.reduce((s, single) => s + single[2 + k][i], 0));
			expectWithin(g, total, { abs: 1e-4, ulp: 84, why: "the rows of all records are added in one sum" });
		});
		batch.dispose();
		for (const s of slots) s.value.dispose();
	});
});

describe.each(Object.entries({ ...FUNCTIONS, ...SHAPE_CALLS, ...BREADTH_CALLS }))("%s", (_, draw) => {
	it("with records on all operands gives each of them what it gives alone, bit for bit", async () => {
		await fc.assert(
			fc.asyncProperty(fc.nat(2 ** 31 - 1), layouts, async (seed, layout) => {
				const { inputs, dtypes, run, discrete } = draw(numbers(seed, 0));
				const dtype = (i: number): t.DType => dtypes?.[i] ?? "f32";
				const smooth = inputs.map((_, i) => i).filter((i) => !discrete && dtype(i) === "f32");
				const scaled = (factor: number): NdArray[] =>
					inputs.map((x, i) => (dtype(i) === "f32" ? { ...x, data: x.data.map((v) => Math.fround(v * factor)) } : x));
				const records = [1, -0.5, 0.75].map(scaled);
				const ofOne = (...operands: Tensor[]): Tensor[] => {
					const y = run(...operands);
					if (smooth.length === 0) return [y];
					const slots = operands.map((value): Slot => ({ value }));
					const total = (): Tensor => t.sum(t.square(run(...slots.map((s) => s.value))));
					const { grads } = t.valueAndGrad(
						total,
						smooth.map((i) => slots[i]),
					);
					return [y, ...grads];
				};
				const put = (x: NdArray, i: number): Tensor => upload(device(), x, dtype(i), layout);
				const together = await read(
					device().scope<Tensor[]>(() => t.vmap(ofOne)(...inputs.map((_, i) => put(stacked(records.map((r) => r[i])), i)))),
				);
				for (const [b, record] of records.entries()) {
					const alone = await read(device().scope<Tensor[]>(() => ofOne(...record.map(put))));
					for (const [k, values] of entry(together, B, b).entries()) expectSame(values, alone[k], `record ${b}, result ${k}`);
				}
			}),
			part(0.03),
		);
		await device().flush();
	});
});

const pickFirst = (x: Tensor): Tensor => t.indexSelect(x, 0, device().fromHost(Int32Array.of(0), [1]));

describe("what used to mix a batch", () => {
	it.each<[string, (x: Tensor) => Tensor]>([
		["a sort along axis 0", (x) => t.sort(x, { axis: 0 }).values],
		["a softmax along axis 0", (x) => t.softmax(x, 0)],
		["a running sum along axis 0", (x) => t.cumsum(x, 0)],
		["the largest of everything", (x) => t.amax(x)],
		["a choice along axis 0", pickFirst],
		["a mean loss", (x) => t.crossEntropy(x, t.zeros(device(), [], "i32"))],
		["a product of everything with itself", (x) => t.einsum("i,j->ij", x, x)],
	])("%s stays within the record", async (_, f) => {
		const batch = random(1, B, 4);
		const w: Slot = { value: random(2, 4) };
		const ofOne = (x: Tensor): Tensor[] => {
			const y = (): Tensor => f(t.mul(x, w.value));
			return [y(), t.valueAndGrad(() => t.sum(t.square(y())), [w]).grads[0]];
		};
		const together = await read(device().scope<Tensor[]>(() => t.vmap(ofOne)(batch)));
		for (let b = 0; b < B; b++) {
			const alone = await read(device().scope<Tensor[]>(() => ofOne(t.squeeze(t.slice(batch, 0, b, b + 1), 0))));
			for (const [k, values] of entry(together, B, b).entries()) expectSame(values, alone[k], `record ${b}, result ${k}`);
		}
		batch.dispose();
		w.value.dispose();
	});

	it.each<[string, (x: Tensor) => Tensor]>([
		["einsum over the records", (x) => t.einsum("bi->i", x)],
		["einsum between records", (x) => t.einsum("bi,ci->bc", x, x)],
		["a sort along the records", (x) => t.sort(x, { axis: -2 }).values],
		["a softmax along the records", (x) => t.softmax(x, -2)],
		["a running sum along the records", (x) => t.cumsum(x, -2)],
		["the largest of all records", (x) => t.amax(x, [-2])],
		["a choice among records", (x) => t.indexSelect(x, -2, device().fromHost(Int32Array.of(0), [1]))],
		["a part of the records", (x) => t.split(x, 1, 1)[0]],
		["the records in reverse", (x) => t.flip(x, [1])],
		["a diagonal through the records", (x) => t.diagonal(x)],
		["records joined", (x) => t.cat([x, x], 1)],
		["a loss with a label for each record", (x) => t.crossEntropy(x, t.zeros(device(), [B], "i32"))],
	])("%s names an axis that is not there", (_, f) => {
		const batch = random(1, B, 4);
		const { liveBuffers } = device().memory();
		expect(() => t.vmap(f)(batch)).toThrow(
			expect.objectContaining({ code: expect.stringMatching(/^(axis\/range|einsum\/rank|loss\/labels)$/) }),
		);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		batch.dispose();
	});
});
