import { add, type Tensor } from "@hushgrad/tensor";
import { contiguous, defineKernel, type Physical, reads, runtimeOf, wgsl, writes } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

/*
 * What the compiler refuses. `npm run types` fails where an expected error does not come; what it refuses is run here too,
 * and throws.
 */

const device = useDevice();

const copyKernel = defineKernel("copyFirst", {
	params: { n: "u32", first: "u32" },
	buffers: { x: reads("f32"), y: writes("f32") },
	workgroup: 64,
	body: wgsl`if (index < p.n) { y_set(index, x_at(p.first + index)); }`,
});
const anyKernel = defineKernel("copyAny", ({ dtype }: { dtype: "f32" | "i32" }) => ({
	params: { n: "u32" },
	buffers: { x: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`if (index < p.n) { y_set(index, x_at(index)); }`,
}));

interface Given {
	readonly x: Physical;
	readonly y: Physical;
	readonly tensor: Tensor;
}

/** Calls that do not compile. */
const REFUSED: readonly [string, (given: Given) => unknown][] = [
	// @ts-expect-error y is missing
	["a buffer that is missing", ({ x }) => copyKernel.run({ x }, { n: 1, first: 0 }, 1)],
	// @ts-expect-error first is missing
	["a number that is missing", ({ x, y }) => copyKernel.run({ x, y }, { n: 1 }, 1)],
	// @ts-expect-error there is no z
	["a buffer too many", ({ x, y }) => copyKernel.run({ x, y, z: x }, { n: 1, first: 0 }, 1)],
	// @ts-expect-error there is no to
	["a number too many", ({ x, y }) => copyKernel.run({ x, y }, { n: 1, first: 0, to: 1 }, 1)],
	// @ts-expect-error out is called y
	["a buffer by a wrong name", ({ x, y }) => copyKernel.run({ x, out: y }, { n: 1, first: 0 }, 1)],
	// @ts-expect-error frist is called first
	["a number by a wrong name", ({ x, y }) => copyKernel.run({ x, y }, { n: 1, frist: 0 }, 1)],
	// @ts-expect-error a number for a buffer
	["a number for a buffer", ({ y }) => copyKernel.run({ x: 1, y }, { n: 1, first: 0 }, 1)],
	// @ts-expect-error text for a number
	["text for a number", ({ x, y }) => copyKernel.run({ x, y }, { n: "1", first: 0 }, 1)],
	// @ts-expect-error a tensor is no view
	["a tensor for a view", ({ y, tensor }) => copyKernel.run({ x: tensor, y }, { n: 1, first: 0 }, 1)],
	// @ts-expect-error y is missing
	["a buffer of a family that is missing", ({ x }) => anyKernel.of({ dtype: "f32" }).run({ x }, { n: 1 }, 1)],
	// @ts-expect-error there is no m
	["a number of a family by a wrong name", ({ x, y }) => anyKernel.of({ dtype: "f32" }).run({ x, y }, { m: 1 }, 1)],
	// @ts-expect-error a tensor is no view
	["a tensor for a view of a family", ({ x, tensor }) => anyKernel.of({ dtype: "f32" }).run({ x, y: tensor }, { n: 1 }, 1)],
	// @ts-expect-error operations take tensors
	["a view for a tensor", ({ x, tensor }) => add(tensor, x)],
];

/** Calls that do not compile and are not run: helpers trust the compiler, and a variant would only be another kernel. */
const NOT_RUN: readonly ((given: Given) => unknown)[] = [
	// @ts-expect-error the helpers of kernels take views
	({ tensor }) => contiguous(tensor),
	// @ts-expect-error dtype is missing
	() => anyKernel.of({}),
	// @ts-expect-error there is no u8 variant
	() => anyKernel.of({ dtype: "u8" }),
	// @ts-expect-error there is no rank
	() => anyKernel.of({ dtype: "f32", rank: 2 }),
];

describe("the compiler and the runtime refuse", () => {
	it.each(REFUSED)("%s", (_, call) => {
		const tensor = device().fromHost([1], [1]);
		const before = device().counters();
		expect(() =>
			device().scope<void>(() => {
				const runtime = runtimeOf(device());
				call({ x: runtime.empty([1, 1]), y: runtime.empty([1, 1]), tensor });
			}),
		).toThrow(expect.objectContaining({ code: expect.stringMatching(/^(kernel\/names|call\/argument)$/) }));
		expect(device().counters()).toEqual(before);
		tensor.dispose();
	});

	it("further calls, by their types alone", () => {
		expect(NOT_RUN).toHaveLength(4);
	});
});

describe("scope", () => {
	it("infers what it returns, and refuses what is async at both levels", async () => {
		const x = device().fromHost([1, 2], [2]);
		const sum: Tensor = device().scope(() => add(x, x));
		const { doubled, count } = device().scope(() => ({ doubled: add(x, x), count: 2 }));
		expect([sum.shape, doubled.shape, count]).toEqual([[2], [2], 2]);
		// @ts-expect-error tensors would be released while it waits
		expect(() => device().scope(async () => add(x, x))).toThrow(expect.objectContaining({ code: "scope/async" }));
		for (const t of [x, sum, doubled]) t.dispose();
	});
});
