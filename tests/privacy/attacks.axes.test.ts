import * as publicTensor from "@hushgrad/tensor";
import {
	amax,
	arange,
	cast,
	cat,
	cumsum,
	diagonal,
	einsum,
	expand,
	flatten,
	flip,
	full,
	gather,
	indexSelect,
	mean,
	movedim,
	mul,
	pad,
	permute,
	prod,
	reshape,
	roll,
	scatterAdd,
	slice,
	softmax,
	sort,
	split,
	stack,
	std,
	sub,
	sum,
	type Tensor,
	takeRows,
	tanh,
	topk,
	transpose,
	tril,
	unsqueeze,
	zeros,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { attempt, D, expectBounded, expectRefused, N } from "./harness.ts";

const device = useDevice();

const first = (t: Tensor): Tensor => reshape(slice(t, 0, 0, 1), [t.shape[1]]);
const whole = (t: Tensor, values: number): Tensor => full(t.device, [values], 1, "i32");

/**
 * Ways to carry the rows of t [R, K] to one row [K]: operations along axis 0, which was the axis of the records in the
 * design that this one replaces.
 */
const MIXERS: Readonly<Record<string, (t: Tensor) => Tensor>> = {
	mean: (t) => mean(t, [0]),
	sum: (t) => sum(t, [0]),
	amax: (t) => amax(t, [0]),
	std: (t) => std(t, [0]),
	prod: (t) => prod(tanh(t), [0]),
	permute: (t) => mean(permute(t, [1, 0]), [1]),
	movedim: (t) => mean(movedim(t, 0, 1), [1]),
	transpose: (t) => mean(transpose(t), [1]),
	flatten: (t) => expand(mean(flatten(t), [0], { keepDim: true }), [t.shape[1]]),
	reshape: (t) => mean(reshape(t, [1, t.shape[0], t.shape[1]]), [0, 1]),
	expand: (t) => mean(expand(unsqueeze(t, 0), [3, t.shape[0], t.shape[1]]), [0, 1]),
	slice: first,
	split: (t) => first(split(t, 1, 0)[1]),
	cat: (t) => mean(cat([t, t], 0), [0]),
	stack: (t) => mean(stack([t, t], 0), [0, 1]),
	pad: (t) =>
		mean(
			pad(t, [
				[1, 1],
				[0, 0],
			]),
			[0],
		),
	flip: (t) => first(flip(t, [0])),
	roll: (t) => first(roll(t, 1, 0)),
	sort: (t) => first(sort(t, { axis: 0, descending: true }).values),
	topk: (t) => first(topk(t, 1, { axis: 0 }).values),
	gather: (t) => first(gather(t, 0, reshape(whole(t, t.shape[1]), [1, t.shape[1]]))),
	indexSelect: (t) => first(indexSelect(t, 0, whole(t, 1))),
	takeRows: (t) => first(takeRows(t, whole(t, 1))),
	scatterAdd: (t) => first(scatterAdd(zeros(t.device, t.shape), 0, full(t.device, t.shape, 0, "i32"), t)),
	cumsum: (t) => first(slice(cumsum(t, 0), 0, t.shape[0] - 1, t.shape[0])),
	softmax: (t) => sum(mul(softmax(t, 0), t), [0]),
	diagonal: (t) => expand(mean(diagonal(slice(t, 0, 0, 2)), [0], { keepDim: true }), [t.shape[1]]),
	tril: (t) => mean(tril(t), [0]),
	einsum: (t) => einsum("rk->k", t),
	cast: (t) => mean(cast(cast(t, "bf16"), "f32"), [0]),
	arange: (t) => mean(mul(t, unsqueeze(arange(t.device, 0, t.shape[0]), 1)), [0]),
};
const names = Object.keys(MIXERS).filter((n) => n !== "diagonal");

describe("A2: operations along axis 0", () => {
	it.each(names)("%s stays within the record", async (name) => {
		await expectBounded(device(), ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				const mixed = MIXERS[name](reshape(x, [2, 2]));
				return model.call(sub(x, cat([mixed, mixed])));
			},
		}));
	});

	it.each(names)("%s of the raw records, closed over, is refused", async (name) => {
		await expectRefused(
			device(),
			({ model, raw }) => {
				const all = raw();
				return { loss: ({ x }) => model.call(sub(x, MIXERS[name](all))) };
			},
			"privacy/outside-read",
		);
	});

	it.each(names)("%s of the raw records, computed before, is refused", async (name) => {
		await expectRefused(
			device(),
			({ model, raw }) => {
				const mixed = MIXERS[name](raw());
				return { loss: ({ x }) => model.call(sub(x, mixed)) };
			},
			"privacy/outside-read",
		);
	});

	it("a diagonal of the record is its own, of the raw records it is refused", async () => {
		await expectBounded(device(), ({ model }) => ({
			loss: ({ x }) => model.call(sub(x, mean(diagonal(reshape(x, [2, 2]))))),
		}));
		await expectRefused(
			device(),
			({ model, raw }) => {
				const all = raw();
				return { loss: ({ x }) => model.call(sub(x, mean(diagonal(slice(slice(all, 0, 0, 2), 1, 0, 2))))) };
			},
			"privacy/outside-read",
		);
	});

	it("normalising by the batch is normalising by nothing but the record", async () => {
		await expectBounded(device(), ({ model }) => ({ loss: ({ x }) => model.call(sub(x, mean(x))) }));
	});

	it("an axis number never names the records", async () => {
		for (const axis of [-2, 1, 2]) {
			await expectRefused(device(), ({ model }) => ({ loss: ({ x }) => model.call(cumsum(x, axis)) }), "axis/range");
		}
		await expectRefused(device(), ({ model }) => ({ loss: ({ x }) => model.call(permute(x, [1, 0])) }), "axis/range");
		await expectRefused(device(), ({ model }) => ({ loss: ({ x }) => model.call(reshape(x, [N, D])) }), "shape/reshape");
	});

	it("the measure sees mixing: the same by hand, without the engine's rules, is several C", async () => {
		const outcome = await attempt(device(), ({ model, records }) => {
			const all = records.map((r) => [...r]);
			const centre = Array.from({ length: D }, (_, k) => all.reduce((s, r) => s + r[k], 0) / all.length);
			return { encode: (i) => ({ x: records[i].map((v, k) => v - centre[k]) }), loss: ({ x }) => model.call(x) };
		});
		expect((outcome as { sensitivity: number }).sensitivity).toBeGreaterThan(3);
	});
});

describe("A3, A4: what marked and unmarked records", () => {
	it.each([
		"markSamples",
		"perSample",
		"perSampleValueAndGrad",
		"DropoutKeys",
		"asRecords",
		"hide",
		"reveal",
		"sumRecords",
		"meanRecords",
		"eachRecord",
		"physicalOf",
		"alias",
		"insideOf",
		"privateProgram",
		"runtimeOf",
		"record",
		"definePrimitive",
		"defineKernel",
		"Physical",
	])("%s is no public name", (name) => {
		expect(Object.keys(publicTensor)).not.toContain(name);
	});

	it("a tensor shows no storage, no strides, no records and no tape", async () => {
		const seen: string[][] = [];
		await expectBounded(device(), ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				seen.push([...Object.getOwnPropertyNames(x), ...Object.getOwnPropertyNames(Object.getPrototypeOf(x))].sort());
				return model.call(x);
			},
		}));
		expect(seen[0]).toEqual(["bytes", "constructor", "device", "dispose", "disposed", "dtype", "rank", "shape", "size", "toString"].sort());
	});
});
