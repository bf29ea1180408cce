import { contiguous, defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { inRows } from "./rows.ts";

/** An invocation adds one coordinate, or four side by side; the counts, which come after the coordinates, by itself. */
export const addClippedKernel = defineKernel("dp/addClipped", ({ lanes }: { lanes: 1 | 4 }) => {
	const [four, ints] = lanes === 4 ? ["4", "vec4i"] : ["", "i32"];
	const parts = lanes === 4 ? [0, 1, 2, 3].map((k) => [k, `steps[${k}]`] as const) : [[0, "steps"] as const];
	return {
		params: { n: "u32", P: "u32", B: "u32", row: "u32", K: "u32", group: "u32", whole: "i32", full: "f32" },
		buffers: { g: reads("f32", lanes), factors: reads("f32"), sum: writes("i32") },
		workgroup: 64,
		body: wgsl`
if (index >= p.n) { return; }
if (index < p.P) {
  var steps = ${ints}();
  for (var b = 0u; b < p.B; b++) {
    let f = factors_at(b * p.K + p.group);
    if (f > 0.0) { steps += ${ints}(round(f * g_at${four}(b * p.row + index))); }
  }
  ${parts.map(([k, part]) => `sum_set(index * ${lanes}u + ${k}u, sum_at(index * ${lanes}u + ${k}u) + ${part});`).join("\n  ")}
} else {
  let at = p.P * ${lanes}u + index - p.P;
  var acc = sum_at(at);
  for (var b = 0u; b < p.B; b++) {
    let f = factors_at(b * p.K + p.group);
    if (index == p.P && f < 0.0) { acc += p.whole; }
    if (index > p.P && f > 0.0) { acc += select(-p.whole, p.whole, f >= p.full); }
  }
  sum_set(at, acc);
}`,
	};
});

/** Halves to the even number, as WGSL's round(). */
const roundEven = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));

/**
 * sum[p] += sum over records of round(factor g[b, p]), in integers, in place, with the factors of one group of coordinates,
 * `group`. Records of factor 0 or below are not read. Where the sum has one coordinate more than g, that one counts the records of a factor
 * below 0, `whole` for each; where it has two more, the second adds `whole` for each factor of `full` or more, and takes it off for each
 * that is above 0 and below `full`.
 */
export const addClippedPrimitive: Primitive<{ whole: number; full: number; group: number }> = definePrimitive({
	name: "dp.addClipped",
	signature: "sum![S], g![B, P], factors![B, K] -> sum[S]",
	dtypes: { sum: ["i32"] },
	attrs: { whole: 3, full: 40, group: 0 },
	forward: ({ inputs, axes: { B, P, K, S }, attrs }) => {
		const { g, row } = inRows(inputs.g);
		const summed = Math.min(S, P);
		const lanes = [summed, row, g.offset].every((v) => v % 4 === 0) ? 4 : 1;
		const n = summed / lanes + Math.min(S - summed, 2);
		const sizes = { n, P: summed / lanes, B, row: row / lanes, K, ...attrs };
		addClippedKernel.of({ lanes }).run({ sum: inputs.sum, g, factors: contiguous(inputs.factors) }, sizes, n);
		return [];
	},
	grad: { sum: "none", g: "none", factors: "none" },
	reference: ({ sum: total, g, factors }, { whole, full, group }) => {
		const [B, P] = g.shape;
		const K = factors.shape[1];
		const added = (b: number, p: number): number => {
			const factor = factors.data[b * K + group];
			if (p === P) return factor < 0 ? whole : 0;
			if (p > P) return p > P + 1 || factor <= 0 ? 0 : factor >= full ? whole : -whole;
			return factor <= 0 ? 0 : roundEven(Math.fround(factor * g.data[b * P + p]));
		};
		const data = total.data.map((v, p) => Array.from({ length: B }, (_, b) => added(b, p)).reduce((s, n) => s + n, v));
		return [{ data, shape: total.shape }];
	},
	test: {
		bound: { why: "whole numbers" },
		domains: { sum: { whole: [-9, 9] }, factors: { range: [-20, 100] } },
		sizes: { K: [2, 3] },
		variants: [{ group: 1 }],
	},
});
