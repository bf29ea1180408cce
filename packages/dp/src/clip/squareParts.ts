import { defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { inRows } from "./rows.ts";
import { PART, partsOf, TREE } from "./tree.ts";

export const squarePartsKernel = defineKernel("dp/squareParts", ({ lanes }: { lanes: 1 | 4 }) => ({
	params: { n: "u32", P: "u32", C: "u32", row: "u32", scale: "f32" },
	buffers: { g: reads("f32", lanes), parts: writes("f32") },
	workgroup: 32,
	helpers: `${
		lanes === 4
			? `fn sumOf(start: u32, end: u32) -> f32 {
  var sum = vec2f();
  for (var i = start; i < end; i += 4u) {
    let v = g_at4(i / 4u) * p.scale;
    let t = v * v;
    sum = added(sum, (t.x + t.y) + (t.z + t.w), p.n >> 31u);
  }
  return sum.x;
}`
			: `fn term(i: u32) -> f32 { let v = g_at(i) * p.scale; return v * v; }${TREE}
fn sumOf(start: u32, end: u32) -> f32 { return treeOf(start, end); }`
	}`,
	body: wgsl`
if (index >= p.n) { return; }
let first = index / p.C * p.row;
let start = first + index % p.C * ${PART}u;
parts_set(index, sumOf(start, min(start + ${PART}u, first + p.P)));`,
}));

/**
 * Sums of squares of each record's gradient, scaled by a power of two, in parts of 256 coordinates. The scale brings the clipping norm
 * near 1: squares that underflow are then of numbers below 2⁻⁶³ of it.
 */
export const squarePartsPrimitive: Primitive<{ scale: number }> = definePrimitive({
	name: "dp.squareParts",
	signature: "g![B, P] -> parts[B, C]",
	attrs: { scale: 0.5 },
	forward: ({ runtime, inputs: { g }, axes: { B, P }, attrs }) => {
		const C = Math.ceil(P / PART);
		const parts = runtime.empty([1, B, C]);
		const { g: rows, row } = inRows(g);
		const lanes = [P, row, rows.offset].every((v) => v % 4 === 0) ? 4 : 1;
		squarePartsKernel.of({ lanes }).run({ g: rows, parts }, { n: B * C, P, C, row, ...attrs }, B * C);
		return [parts];
	},
	grad: { g: "none" },
	reference: ({ g }, { scale }) => [
		{ data: partsOf(g.data, g.shape, (v) => (v * scale) ** 2), shape: [g.shape[0], Math.ceil(g.shape[1] / PART)] },
	],
	test: {
		bound: { ulp: 10, why: "a square, and a tree of 8 additions" },
		sizes: { P: [1, 3, 4, 255, 256, 257, 260, 700] },
		nonEmpty: ["B"],
	},
});
