import { contiguous, defineKernel, definePrimitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { PART, partsOf, TREE } from "./tree.ts";

export const addPartsKernel = defineKernel("dp/addParts", {
	params: { n: "u32", P: "u32", C: "u32" },
	buffers: { x: reads("f32"), parts: writes("f32") },
	workgroup: 16,
	helpers: `fn term(i: u32) -> f32 { return x_at(i); }${TREE}`,
	body: wgsl`
if (index >= p.n) { return; }
let start = index / p.C * p.P + index % p.C * ${PART}u;
parts_set(index, treeOf(start, min(start + ${PART}u, (index / p.C + 1u) * p.P)));`,
});

/** Sums of each row in parts of 256: the next level of the tree over `dp.squareParts`. */
export const addPartsPrimitive = definePrimitive({
	name: "dp.addParts",
	signature: "x![B, P] -> parts[B, C]",
	attrs: {},
	forward: ({ runtime, inputs: { x }, axes: { B, P } }) => {
		const C = Math.ceil(P / PART);
		const parts = runtime.empty([1, B, C]);
		addPartsKernel.run({ x: contiguous(x), parts }, { n: B * C, P, C }, B * C);
		return [parts];
	},
	grad: { x: "none" },
	reference: ({ x }) => [{ data: partsOf(x.data, x.shape, (v) => v), shape: [x.shape[0], Math.ceil(x.shape[1] / PART)] }],
	test: {
		bound: { ulp: 8, why: "a tree of 8 additions" },
		domains: { x: { range: [0, 4] } },
		sizes: { P: [1, 3, 255, 256, 257, 700] },
		nonEmpty: ["B"],
	},
});
