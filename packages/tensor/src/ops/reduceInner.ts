import { type DType, wgslScalar } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { collapse, sizeOf } from "../shape.ts";
import { contiguous } from "./contiguous.ts";
import { laneCount, type RowVariant, rowKernel, rowsOf, SUM } from "./rowKernel.ts";

/** A reduction. The extremes start from the first value, so that no stand-in for infinity is needed. */
export type Reduction = "sum" | "prod" | "max" | "min";

export function stepOf(kind: Reduction, scalar: "f32" | "i32" | "u32"): { init: string; step: (acc: string, v: string) => string } {
	if (kind === "sum") return { init: `${scalar}(0)`, step: (acc, v) => `${acc} + ${v}` };
	if (kind === "prod") return { init: `${scalar}(1)`, step: (acc, v) => `${acc} * ${v}` };
	const f = scalar === "f32" ? (kind === "max" ? "nanMax" : "nanMin") : kind;
	return { init: "x_at(start)", step: (acc, v) => `${f}(${acc}, ${v})` };
}
/** Sums of floats are f32 whatever the operand; other types stay what they are. */
const resultOf = (dtype: DType): DType => (wgslScalar[dtype] === "f32" ? "f32" : dtype);

/** Rows longer than twice this are reduced in two passes. */
const SPLIT = { cpu: 256, gpu: 4096, matrix: 4096 } as const;

const PARAMS = { n: "u32", o1: "u32", so0: "u32", so1: "u32", r0: "u32", r1: "u32", sr0: "u32", sr1: "u32" } as const;

/** The sum of eight floats, in pairs. */
const inPairs = (v: readonly string[]): string =>
	v.length === 1 ? v[0] : `(${inPairs(v.slice(0, v.length / 2))} + ${inPairs(v.slice(v.length / 2))})`;

/** Floats are added by eights, in pairs, and these with a correction: the order depends on the number of values alone. */
const FLOAT_SUM = wgsl`
let zero = p.n >> 31u;
let length = p.r0 * p.r1;
var acc = vec2f(0.0);
var k = 0u;
for (; k + 8u <= length; k += 8u) {
  let at = placeOf(start, k);
  if (k % p.r1 + 8u <= p.r1) {
    acc = added(acc, ${inPairs([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `x_at(at + ${i}u * p.sr1)`))}, zero);
  } else {
    acc = added(acc, ${inPairs([0, 1, 2, 3, 4, 5, 6, 7].map((i) => `x_at(placeOf(start, k + ${i}u))`))}, zero);
  }
}
for (; k < length; k++) { acc = added(acc, x_at(placeOf(start, k)), zero); }
y_set(index, acc.x);`;

export const reduceKernel = defineKernel("reduce", ({ kind, dtype }: { kind: Reduction; dtype: DType }) => {
	const { init, step } = stepOf(kind, wgslScalar[dtype]);
	return {
		params: PARAMS,
		buffers: { x: reads(dtype), y: writes(resultOf(dtype)) },
		workgroup: 32,
		helpers: "fn placeOf(start: u32, k: u32) -> u32 { return start + (k / p.r1) * p.sr0 + (k % p.r1) * p.sr1; }",
		body: wgsl`
if (index >= p.n) { return; }
let start = (index / p.o1) * p.so0 + (index % p.o1) * p.so1;
${
	kind === "sum" && resultOf(dtype) === "f32"
		? FLOAT_SUM
		: wgsl`var acc = ${init};
for (var i = 0u; i < p.r0; i++) {
  var at = start + i * p.sr0;
  for (var j = 0u; j < p.r1; j++) { acc = ${step("acc", "x_at(at)")}; at += p.sr1; }
}
y_set(index, acc);`
}`,
	};
});

/** Rows in order, by one workgroup each. */
export const reduceRowsKernel = defineKernel(
	"reduce/rows",
	({ kind, dtype, ...variant }: { kind: Reduction; dtype: DType } & RowVariant) => {
		const type = wgslScalar[dtype];
		const isFloatSum = kind === "sum" && type === "f32";
		const { init, step } = stepOf(kind, type);
		return rowKernel(
			{
				params: { N: "u32" },
				buffers: { x: reads(dtype), y: writes(resultOf(dtype)) },
				joins: { joined: isFloatSum ? SUM : { type, of: step } },
				body: wgsl`
let at = row * p.N;
let start = at + min(own, p.N - 1u);
var acc = ${isFloatSum ? "vec2f(0.0)" : init};
for (var i = own${kind === "max" || kind === "min" ? " + LANES" : ""}; i < p.N; i += LANES) { acc = ${
					isFloatSum ? "added(acc, x_at(at + i), p.rows >> 31u)" : step("acc", "x_at(at + i)")
				}; }
let result = joined(own, acc)${isFloatSum ? ".x" : ""};
if (own == 0u) { y_set(row, result); }`,
			},
			variant,
		);
	},
);

export const joinKernel = defineKernel("reduce/join", ({ kind, dtype }: { kind: Reduction; dtype: DType }) => ({
	params: { n: "u32" },
	buffers: { a: reads(dtype), b: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`if (index >= p.n) { return; } y_set(index, ${stepOf(kind, wgslScalar[dtype]).step("a_at(index)", "b_at(index)")});`,
}));

/**
 * Reduces the last `inner` axes of x: one invocation (plan "gpu": one workgroup) a result, in a fixed order. The order depends on
 * the sizes of one record only, so that no record's sum changes with its companions.
 */
export function reduceInner(kind: Reduction, x: Physical, inner: number): Physical {
	const cut = x.rank - inner;
	const outerShape = x.shape.slice(0, cut);
	const length = sizeOf(x.shape.slice(cut));
	const o = collapse(outerShape, [x.strides.slice(0, cut)]);
	const r = collapse(x.shape.slice(cut), [x.strides.slice(cut)]);
	const most = SPLIT[x.runtime.device.plan];
	const split = length > 2 * most && sizeOf(outerShape.slice(1)) < 4096;
	if (o.shape.length > 2 || r.shape.length > (split ? 1 : 2)) {
		const flat = contiguous(x).view({ shape: [...outerShape, length] });
		return reduceInner(kind, flat, 1);
	}
	if (split) {
		const chunks = Math.floor(length / most);
		const [step] = r.strides[0];
		const head = x.view({ shape: [...outerShape, chunks, most], strides: [...x.strides.slice(0, cut), most * step, step] });
		const tail = x.view({
			shape: [...outerShape, length - chunks * most],
			strides: [...x.strides.slice(0, cut), step],
			offset: x.offset + chunks * most * step,
		});
		const parts = reduceInner(kind, reduceInner(kind, head, 1), 1);
		return length === chunks * most ? parts : join(kind, parts, reduceInner(kind, tail, 1));
	}
	const y = x.runtime.empty(outerShape, resultOf(x.dtype));
	const variant = rowsOf(x.runtime, length);
	if (variant.lanes !== false) {
		const kernel = reduceRowsKernel.of({ kind, dtype: x.dtype, ...variant });
		kernel.run({ x: contiguous(x), y }, { rows: y.size, N: length }, laneCount(y.size, variant));
		return y;
	}
	const pad = (v: readonly number[], fill: number) => [...new Array<number>(2 - v.length).fill(fill), ...v];
	const [, o1] = pad(o.shape, 1);
	const [so0, so1] = pad(o.strides[0], 0);
	const [r0, r1] = pad(r.shape, 1);
	const [sr0, sr1] = pad(r.strides[0], 0);
	reduceKernel.of({ kind, dtype: x.dtype }).run({ x, y }, { n: y.size, o1, so0, so1, r0, r1, sr0, sr1 }, y.size);
	return y;
}

function join(kind: Reduction, a: Physical, b: Physical): Physical {
	const y = a.runtime.empty(a.shape, a.dtype);
	joinKernel.of({ kind, dtype: a.dtype }).run({ a, b, y }, { n: a.size }, a.size);
	return y;
}
