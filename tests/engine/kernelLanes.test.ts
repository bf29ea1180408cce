import { cast, type DType, data, type Tensor } from "@hushgrad/tensor";
import { defineKernel, definePrimitive, type Lanes, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();

const copyKernel = defineKernel("copyAsOne", ({ dtype, lanes }: { dtype: DType; lanes: Lanes }) => {
	const suffix = lanes === 1 ? "" : `${lanes}`;
	return {
		params: { n: "u32" },
		buffers: { x: reads(dtype, lanes), y: writes(dtype, lanes) },
		workgroup: 64,
		body: wgsl`if (index < p.n) { y_set${suffix}(index, x_at${suffix}(index)); }`,
	};
});

/** The vector from its fifth element on, so many elements at once. */
const tailOf = (lanes: Lanes) =>
	definePrimitive({
		name: `tailBy${lanes}`,
		signature: "x[N] -> y[M]",
		attrs: {},
		dtypes: { x: ["f32", "f16", "bf16", "i32", "u32", "bool"] },
		forward: ({ runtime, inputs: { x } }) => {
			const tail = x.view({ shape: [1, x.size - 4], offset: x.offset + 4 });
			const y = runtime.empty(tail.shape, x.dtype);
			copyKernel.of({ dtype: x.dtype, lanes }).run({ x: tail, y }, { n: y.size / lanes }, y.size / lanes);
			return [y];
		},
		grad: { x: "none" },
		reference: ({ x }) => [x],
	});

const COPIES = ([1, 2, 4] as const).map((lanes) => [lanes, tailOf(lanes)] as const);

describe("a kernel that reads and writes elements as one", () => {
	it.each(["f32", "f16", "bf16", "i32", "u32", "bool"] as const)("copies %s from an offset on, by ones, twos and fours", async (dtype) => {
		if (dtype === "f16" && !device().has("shader-f16")) {
			expect(() => device().scope<Tensor>(() => cast(device().fromHost([1], [1]), dtype))).toThrow(
				expect.objectContaining({ code: "device/no-f16" }),
			);
			return;
		}
		const values = [9, 9, 9, 9, ...(dtype === "bool" ? [1, 0, 0, 1, 1, 0, 1, 0] : [1, 2, 3, 4, 5, 6, 7, 8])];
		const x = device().scope<Tensor>(() => cast(device().fromHost(values, [12]), dtype));
		for (const [lanes, copy] of COPIES) {
			// Of a bf16 one by one only whole words can be written.
			if (dtype === "bf16" && lanes === 1) continue;
			const y = device().scope<Tensor>(() => cast(copy.apply([x])[0], "f32"));
			expect([...(await data(y))]).toEqual(values.slice(4));
			y.dispose();
		}
		x.dispose();
	});
});
