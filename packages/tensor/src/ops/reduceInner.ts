import { type DType, wgslScalar } from "../dtype.ts";
import { collapse, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { reshape } from "./view.ts";

/** A reduction. The extremes start from the first value, so that no stand-in for infinity is needed. */
export type Reduction = "sum" | "prod" | "max" | "min";

function stepOf(kind: Reduction, scalar: "f32" | "i32" | "u32"): { init: string; step: (acc: string, v: string) => string } {
	if (kind === "sum") return { init: `${scalar}(0)`, step: (acc, v) => `${acc} + ${v}` };
	if (kind === "prod") return { init: `${scalar}(1)`, step: (acc, v) => `${acc} * ${v}` };
	const f = scalar === "f32" ? (kind === "max" ? "nanMax" : "nanMin") : kind;
	return { init: "x_at(start)", step: (acc, v) => `${f}(${acc}, ${v})` };
}
/** Sums of floats are f32 whatever the operand; other types stay what they are. */
const resultOf = (dtype: DType): DType => (wgslScalar[dtype] === "f32" ? "f32" : dtype);

/** Rows longer than this are summed in two passes, which also keeps the f32 rounding error small. */
const SPLIT = 256;

/** Reduces the last `inner` axes of x: one invocation a result, in a fixed order. */
export function reduceInner(kind: Reduction, x: Tensor, inner: number): Tensor {
	const cut = x.rank - inner;
	const outerShape = x.shape.slice(0, cut);
	const count = sizeOf(outerShape);
	const length = sizeOf(x.shape.slice(cut));
	const o = collapse(outerShape, [x.strides.slice(0, cut)]);
	const r = collapse(x.shape.slice(cut), [x.strides.slice(cut)]);
	if (o.shape.length > 2 || r.shape.length > 2) {
		const flat = contiguous(x).alias({ shape: [count, length] });
		return reshape(reduceInner(kind, flat, 1), outerShape);
	}
	if (length > 2 * SPLIT && count < 4096 && r.shape.length === 1) {
		const chunks = Math.floor(length / SPLIT);
		const [step] = r.strides[0];
		const head = x.alias({
			shape: [...outerShape, chunks, SPLIT],
			strides: [...x.strides.slice(0, cut), SPLIT * step, step],
		});
		const tail = x.alias({
			shape: [...outerShape, length - chunks * SPLIT],
			strides: [...x.strides.slice(0, cut), step],
			offset: x.offset + chunks * SPLIT * step,
		});
		const parts = reduceInner(kind, reduceInner(kind, head, 1), 1);
		return length === chunks * SPLIT ? parts : combine(kind, parts, reduceInner(kind, tail, 1));
	}
	const out = x.device.empty(outerShape, resultOf(x.dtype));
	const pad = (v: readonly number[], fill: number) => [...new Array<number>(2 - v.length).fill(fill), ...v];
	const [, o1] = pad(o.shape, 1);
	const [r0, r1] = pad(r.shape, 1);
	record(kind, x, out, [count, o1, ...pad(o.strides[0], 0), r0, r1, ...pad(r.strides[0], 0)]);
	return out;
}

function record(kind: Reduction, x: Tensor, out: Tensor, params: readonly number[]): void {
	const scalar = wgslScalar[x.dtype];
	const { init, step } = stepOf(kind, scalar);
	x.device.run(
		`reduce/${kind}/${x.dtype}`,
		() => ({
			params: { n: "u32", o1: "u32", so0: "u32", so1: "u32", r0: "u32", r1: "u32", sr0: "u32", sr1: "u32" },
			buffers: { x: { dtype: x.dtype, access: "read" }, y: { dtype: out.dtype, access: "write" } },
			workgroup: [32, 1, 1],
			body: `
if (index >= p.n) { return; }
let start = (index / p.o1) * p.so0 + (index % p.o1) * p.so1;
var acc = ${init};
for (var i = 0u; i < p.r0; i++) {
  var at = start + i * p.sr0;
  for (var j = 0u; j < p.r1; j++) { acc = ${step("acc", "x_at(at)")}; at += p.sr1; }
}
y_set(index, acc);`,
		}),
		[x, out],
		params,
		out.size,
	);
}

function combine(kind: Reduction, a: Tensor, b: Tensor): Tensor {
	const out = a.device.empty(a.shape, a.dtype);
	const { step } = stepOf(kind, wgslScalar[a.dtype]);
	a.device.run(
		`reduce/join/${kind}/${a.dtype}`,
		() => ({
			params: { n: "u32" },
			buffers: {
				a: { dtype: a.dtype, access: "read" },
				b: { dtype: a.dtype, access: "read" },
				y: { dtype: a.dtype, access: "write" },
			},
			workgroup: [64, 1, 1],
			body: `if (index >= p.n) { return; } y_set(index, ${step("a_at(index)", "b_at(index)")});`,
		}),
		[a, b, out],
		[a.size],
		a.size,
	);
	return out;
}
