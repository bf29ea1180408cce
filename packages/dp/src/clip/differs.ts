import { contiguous, defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { inRows } from "./rows.ts";

export const differsKernel = defineKernel("dp/differs", {
	params: { P: "u32", B: "u32", row: "u32", row2: "u32", K: "u32", group: "u32", except: "u32" },
	buffers: { g: reads("f32"), factors: reads("f32"), g2: reads("f32"), factors2: reads("f32"), differs: writes("u32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.P) { return; }
var found = 0u;
for (var b = 0u; b < p.B; b++) {
  let f = b * p.K + p.group;
  let counts = vec2<bool>(factors_at(f) > 0.0, factors2_at(f) > 0.0);
  let isOther = counts.x && bitcast<u32>(g_at(b * p.row + index)) != bitcast<u32>(g2_at(b * p.row2 + index));
  if (b != p.except && (counts.x != counts.y || isOther)) { found = 1u; }
}
differs_set(index, found);`,
});

/**
 * Whether any record but number `except` has another gradient by a coordinate in two runs, before clipping and bit for bit:
 * clipping would hide what only scales a gradient. Records that count in neither run are left out. The coordinates are of the group
 * `group`.
 */
export const differsPrimitive: Primitive<{ except: number; group: number }> = definePrimitive({
	name: "dp.differs",
	signature: "g![B, P], factors![B, K], g2![B, P], factors2![B, K] -> differs[P]",
	attrs: { except: 0, group: 0 },
	forward: ({ runtime, inputs, axes: { B, P, K }, attrs }) => {
		const differs = runtime.empty([1, P], "u32");
		const [factors, factors2] = [inputs.factors, inputs.factors2].map(contiguous);
		const [{ g, row }, { g: g2, row: row2 }] = [inRows(inputs.g), inRows(inputs.g2)];
		differsKernel.run({ g, factors, g2, factors2, differs }, { P, B, row, row2, K, ...attrs }, P);
		return [differs];
	},
	grad: { g: "none", factors: "none", g2: "none", factors2: "none" },
	reference: ({ g, factors, g2, factors2 }, { except, group }) => {
		const [B, P] = g.shape;
		const K = factors.shape[1];
		const differs = (b: number, at: number): boolean => {
			const [counts, counts2] = [factors.data[b * K + group] > 0, factors2.data[b * K + group] > 0];
			return counts !== counts2 || (counts && !Object.is(g.data[at], g2.data[at]));
		};
		const data = Float64Array.from({ length: P }, (_, p) => {
			const rows = Array.from({ length: B }, (_, b) => b).filter((b) => b !== except);
			return Number(rows.some((b) => differs(b, b * P + p)));
		});
		return [{ data, shape: [P] }];
	},
	test: {
		bound: { why: "whole numbers" },
		domains: { g: { whole: [0, 1] }, factors: { whole: [0, 1] }, g2: { whole: [0, 1] }, factors2: { whole: [0, 1] } },
		variants: [{ except: 2 }, { group: 1 }],
		sizes: { B: [1, 2, 4], K: [2, 3] },
	},
});
