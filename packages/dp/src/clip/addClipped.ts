import { contiguous, defineKernel, definePrimitive, type Primitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { inRows } from "./rows.ts";

const SIZES = { n: "u32", P: "u32", B: "u32", row: "u32", step: "u32", apart: "u32", keep: "u32" } as const;
const PARAMS = { ...SIZES, K: "u32", group: "u32", rest: "u32", whole: "i32", full: "f32" } as const;

/**
 * WGSL of `steps(x)`: the whole numbers next to x, halves to the even one, of |x| below 2²³, which are the last digits of a float when 2²³ is
 * added: a conversion looks for numbers that no integer is, which takes longer than all the rest. `p.n >> 31u` is 0 in a way that no compiler
 * knows: so none takes x for the product that it is before it is rounded.
 */
const STEPS = wgsl`
fn steps(x: vec4f) -> vec4i {
  let v = bitcast<vec4i>(x) ^ vec4i(i32(p.n >> 31u));
  let sign = v >> vec4u(31u);
  let size = bitcast<vec4f>(v & vec4i(0x7fffffff)) + 0x1p23;
  return ((bitcast<vec4i>(size) - vec4i(0x4b000000)) ^ sign) - sign;
}`;

/** An invocation adds fours of coordinates that lie `apart` of them apart; the counts, which come after the coordinates, have one by themselves. */
export const addClippedKernel = defineKernel("dp/addClipped", ({ lanes }: { lanes: 1 | 4 | 16 }) => {
	const wide = lanes === 1 ? 1 : 4;
	const own = lanes === 16 ? [0, 1, 2, 3] : [0];
	const [four, type, count] = wide === 4 ? ["4", "vec4i", "acc.y"] : ["", "i32", "acc"];
	const each = (line: (k: number) => string): string => own.map(line).join(" ");
	const adding = (k: number): string => {
		const scaled = `f * g_at${four}(first + ${k}u * p.apart)`;
		return `s${k} += ${wide === 4 ? `steps(${scaled})` : `i32(round(${scaled}))`};`;
	};
	return {
		params: PARAMS,
		buffers: { g: reads("f32", wide), factors: reads("f32"), sum: writes("i32", wide) },
		workgroup: 64,
		helpers: wide === 4 ? STEPS : undefined,
		body: wgsl`
if (index >= p.n) { return; }
if (index < p.P) {
  let start = index * p.step;
  ${each((k) => `var s${k} = ${type}();`)}
  if (p.keep > 0u) { ${each((k) => `s${k} = sum_at${four}(start + ${k}u * p.apart);`)} }
  for (var b = 0u; b < p.B; b++) {
    let f = factors_at(b * p.K + p.group);
    let first = b * p.row + start;
    if (f > 0.0) { ${each(adding)} }
  }
  ${each((k) => `sum_set${four}(start + ${k}u * p.apart, s${k});`)}
} else {
  let at = p.P * ${own.length}u + index - p.P;
  var acc = sum_at${four}(at);
  if (p.keep == 0u) { acc = ${wide === 4 ? "select(acc, vec4i(), vec4u(0u, 1u, 2u, 3u) + 4u * (index - p.P) < vec4u(p.rest))" : "0"}; }
  for (var b = 0u; b < p.B; b++) {
    let f = factors_at(b * p.K + p.group);
    if (index == p.P && f < 0.0) { ${wide === 4 ? "acc.x" : "acc"} += p.whole; }
    if (${wide === 4 ? "index == p.P && p.rest > 1u" : "index == p.P + 1u"} && f > 0.0) { ${count} += select(-p.whole, p.whole, f >= p.full); }
  }
  sum_set${four}(at, acc);
}`,
	};
});

/** Halves to the even number, as WGSL's round(). */
const roundEven = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));

/**
 * sum[p] += sum over records of round(factor g[b, p]), in integers of less than 2²³ each, in place, with the factors of one group of
 * coordinates, `group`. Records of factor 0 or below are not read. Where the sum has one coordinate more than g, that one counts the records of a factor
 * below 0, `whole` for each; where it has two more, the second adds `whole` for each factor of `full` or more, and takes it off for each
 * that is above 0 and below `full`. Where `keep` is 0 the sum begins at 0, whatever it held.
 */
export const addClippedPrimitive: Primitive<{ whole: number; full: number; group: number; keep: number }> = definePrimitive({
	name: "dp.addClipped",
	signature: "sum![S], g![B, P], factors![B, K] -> sum[S]",
	dtypes: { sum: ["i32"] },
	attrs: { whole: 3, full: 40, group: 0, keep: 1 },
	forward: ({ runtime, inputs, axes: { B, P, K, S }, attrs }) => {
		const { g, row } = inRows(inputs.g);
		const summed = Math.min(S, P);
		const isOf = (lanes: number): boolean => summed % lanes === 0 && [row, g.offset, inputs.sum.offset].every((v) => v % 4 === 0);
		const lanes = isOf(16) ? 16 : isOf(4) ? 4 : 1;
		const rest = S - summed;
		const columns = summed / lanes;
		const n = columns + (lanes === 1 ? rest : Math.ceil(rest / 4));
		// One invocation after the other takes what lies in order, and all at once what lies side by side.
		const [step, apart] = runtime.device.plan === "cpu" && lanes === 16 ? [4, 1] : [1, columns];
		const sizes = { n, P: columns, B, row: lanes === 1 ? row : row / 4, K, rest, step, apart, ...attrs };
		addClippedKernel.of({ lanes }).run({ sum: inputs.sum, g, factors: contiguous(inputs.factors) }, sizes, n);
		return [];
	},
	grad: { sum: "none", g: "none", factors: "none" },
	reference: ({ sum: total, g, factors }, { whole, full, group, keep }) => {
		const [B, P] = g.shape;
		const K = factors.shape[1];
		const added = (b: number, p: number): number => {
			const factor = factors.data[b * K + group];
			if (p === P) return factor < 0 ? whole : 0;
			if (p > P) return p > P + 1 || factor <= 0 ? 0 : factor >= full ? whole : -whole;
			return factor <= 0 ? 0 : roundEven(Math.fround(factor * g.data[b * P + p]));
		};
		const data = total.data.map((v, p) => Array.from({ length: B }, (_, b) => added(b, p)).reduce((s, n) => s + n, keep === 0 ? 0 : v));
		return [{ data, shape: total.shape }];
	},
	test: {
		bound: { why: "whole numbers" },
		domains: { sum: { whole: [-9, 9] }, factors: { range: [-20, 100] } },
		sizes: { K: [2, 3], P: [1, 2, 3, 4, 5, 8, 12, 16, 32], S: [1, 3, 4, 5, 6, 8, 9, 10, 13, 14, 16, 17, 18, 32, 33, 34] },
		variants: [{ group: 1 }, { keep: 0 }],
	},
});
