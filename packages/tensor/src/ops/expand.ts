import { PrivacyError, ShapeError } from "../errors.ts";
import { broadcastStrides, checkShape, collapse, normalizeAxis, type Shape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { linearOp } from "./traced.ts";
import { permute, reshape } from "./view.ts";

/** Rows longer than this are summed in two passes, which also keeps the f32 rounding error small. */
const SPLIT = 256;

/** Reduces the last `inner` axes of x: one invocation a result, in a fixed order. */
export function reduceInner(kind: "sum" | "max", x: Tensor, inner: number): Tensor {
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
	const out = x.device.empty(outerShape);
	const pad = (v: readonly number[], fill: number) => [...new Array<number>(2 - v.length).fill(fill), ...v];
	const [, o1] = pad(o.shape, 1);
	const [r0, r1] = pad(r.shape, 1);
	record(kind, x, out, [count, o1, ...pad(o.strides[0], 0), r0, r1, ...pad(r.strides[0], 0)]);
	return out;
}

function record(kind: "sum" | "max", x: Tensor, out: Tensor, params: readonly number[]): void {
	const [init, step] = kind === "sum" ? ["0.0", "acc + v"] : ["-3.4028234e38", "max(acc, v)"];
	x.device.run(
		`reduce/${kind}/${x.dtype}`,
		() => ({
			params: { n: "u32", o1: "u32", so0: "u32", so1: "u32", r0: "u32", r1: "u32", sr0: "u32", sr1: "u32" },
			buffers: { x: { dtype: x.dtype, access: "read" }, y: { dtype: "f32", access: "write" } },
			workgroup: [32, 1, 1],
			body: `
if (index >= p.n) { return; }
let start = (index / p.o1) * p.so0 + (index % p.o1) * p.so1;
var acc = ${init};
for (var i = 0u; i < p.r0; i++) {
  var at = start + i * p.sr0;
  for (var j = 0u; j < p.r1; j++) { let v = f32(x_at(at)); acc = ${step}; at += p.sr1; }
}
y_set(index, acc);`,
		}),
		[x, out],
		params,
		out.size,
	);
}

function combine(kind: "sum" | "max", a: Tensor, b: Tensor): Tensor {
	const out = a.device.empty(a.shape);
	a.device.run(
		`reduce/join/${kind}`,
		() => ({
			params: { n: "u32" },
			buffers: {
				a: { dtype: "f32", access: "read" },
				b: { dtype: "f32", access: "read" },
				y: { dtype: "f32", access: "write" },
			},
			workgroup: [64, 1, 1],
			body: `if (index >= p.n) { return; } y_set(index, ${kind === "sum" ? "a_at(index) + b_at(index)" : "max(a_at(index), b_at(index))"});`,
		}),
		[a, b, out],
		[a.size],
		a.size,
	);
	return out;
}

/** Moves `axes` last, refusing to reduce the sample axis. */
export function reduceAxes(op: string, x: Tensor, axes: readonly number[] | undefined): { axes: number[]; order: number[] } {
	const all = x.shape.map((_, i) => i);
	const chosen = axes === undefined ? all : axes.map((a) => normalizeAxis(op, a, x.rank));
	if (x.perSample && chosen.includes(0)) {
		throw new PrivacyError("privacy/mixes-samples", `${op}: axis 0 of ${showShape(x.shape)} is the sample axis`, {
			op,
			hint: "reduce over the other axes; the privacy engine itself combines samples, after clipping",
		});
	}
	return { axes: chosen, order: [...all.filter((a) => !chosen.includes(a)), ...chosen] };
}

export interface ReduceOptions {
	/** Keep the reduced axes with extent 1. */
	readonly keepDim?: boolean;
}

/** Sum over `axes` (all when left out), accumulated in f32 in a fixed order. Adjoint of `expand`. */
export function sum(x: Tensor, axes?: readonly number[], { keepDim = false }: ReduceOptions = {}): Tensor {
	const { axes: chosen, order } = reduceAxes("sum", x, axes);
	const from = x.shape;
	const ones = from.map((d, i) => (chosen.includes(i) ? 1 : d));
	const shape = keepDim ? ones : from.filter((_, i) => !chosen.includes(i));
	return linearOp(
		x,
		(v) => reshape(reduceInner("sum", permute(v, order), chosen.length), shape),
		(dy) => expand(reshape(dy, ones), from),
		x.perSample,
	);
}

/** Repeats axes of size 1, and adds leading axes, without copying. Adjoint of `sum`. */
export function expand(x: Tensor, shape: Shape): Tensor {
	checkShape("expand", shape);
	const lead = shape.length - x.rank;
	const bad = x.shape.findIndex((d, i) => d !== 1 && d !== shape[lead + i]);
	if (lead < 0 || bad >= 0) {
		throw new ShapeError("shape/expand", `expand: ${showShape(x.shape)} cannot become ${showShape(shape)}`, {
			op: "expand",
			hint: "only axes of size 1 can be expanded; new axes come first",
		});
	}
	const axes = shape.map((_, i) => i).filter((i) => i < lead || (x.shape[i - lead] === 1 && shape[i] !== 1));
	const from = x.shape;
	return linearOp(
		x,
		(v) => v.alias({ shape: [...shape], strides: broadcastStrides(v.shape, v.strides, shape) }),
		(dy) => (axes.length === 0 ? dy.alias() : reshape(sum(dy, axes), from)),
		x.perSample && lead === 0,
	);
}
