import { ShapeError, ValueError } from "../errors.ts";
import { normalizeAxis, type Shape, sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { copyInto } from "./copy.ts";
import { zeros } from "./create.ts";
import { linearOp } from "./traced.ts";

/** Elements start, start + step, … below end along one axis, without copying. */
export function slice(x: Tensor, axis: number, start: number, end: number, step = 1): Tensor {
	const at = normalizeAxis("slice", axis, x.rank);
	const extent = x.shape[at];
	if (![start, end, step].every(Number.isInteger) || start < 0 || end < start || end > extent || step < 1) {
		throw new ValueError("slice/range", `slice: ${start}..${end} by ${step} does not fit axis ${axis} of ${showShape(x.shape)}`, {
			op: "slice",
		});
	}
	const shape = x.shape.map((d, i) => (i === at ? Math.ceil((end - start) / step) : d));
	return linearOp(
		"slice",
		x,
		(v) => v.alias({ shape, strides: v.strides.map((s, i) => (i === at ? s * step : s)), offset: v.offset + start * v.strides[at] }),
		(dy) => place(dy, at, start, extent, step),
		x.perSample && (at !== 0 || shape[0] === extent),
	);
}

/** Zeros of `extent` along `axis`, with x from `start` on. Adjoint of `slice`. */
export function place(x: Tensor, axis: number, start: number, extent: number, step = 1): Tensor {
	return linearOp(
		"place",
		x,
		(v) => {
			const out = zeros(
				v.device,
				v.shape.map((d, i) => (i === axis ? extent : d)),
				v.dtype,
			);
			write(v, out, axis, start, step);
			return out;
		},
		(dy) => slice(dy, axis, start, Math.min(extent, start + step * x.shape[axis]), step),
		x.perSample && axis !== 0,
	);
}

/** Copies x into a fresh tensor `out` from `start` on along `axis`. */
function write(x: Tensor, out: Tensor, axis: number, start: number, step = 1): void {
	const strides = out.strides.map((s, i) => (i === axis ? s * step : s));
	copyInto(x, out.alias({ shape: x.shape, strides, offset: start * out.strides[axis] }));
}

/** Joins tensors along an axis; the other axes must agree. */
export function cat(parts: readonly Tensor[], axis = 0): Tensor {
	if (parts.length === 0) throw new ValueError("cat/empty", "cat: needs at least one tensor", { op: "cat" });
	const [first] = parts;
	const at = normalizeAxis("cat", axis, first.rank);
	const without = (s: Shape) => s.filter((_, i) => i !== at);
	for (const t of parts) {
		if (t.rank !== first.rank || !sameShape(without(t.shape), without(first.shape)) || t.dtype !== first.dtype) {
			throw new ShapeError("shape/cat", `cat: ${parts.map((q) => showShape(q.shape)).join(", ")} differ beside axis ${axis}`, {
				op: "cat",
			});
		}
	}
	const starts = parts.map((_, i) => parts.slice(0, i).reduce((n, q) => n + q.shape[at], 0));
	const perSample = at !== 0 && parts.every((t) => t.perSample);
	const tape = parts.map((t) => t.node?.tape).find((t) => t?.recording);
	const extent = parts.reduce((n, t) => n + t.shape[at], 0);
	const out = first.device.scope(() => {
		const whole = first.device.empty(
			first.shape.map((d, i) => (i === at ? extent : d)),
			first.dtype,
		);
		parts.forEach((t, i) => {
			write(t, whole, at, starts[i]);
		});
		return whole;
	});
	const node = tape?.record({
		op: "cat",
		path: first.device.path,
		shape: out.shape,
		perSample,
		inputs: parts.map((t) => t.node),
		saved: [],
		backward: (dy) => parts.map((t, i) => (t.node ? slice(dy, at, starts[i], starts[i] + t.shape[at]) : undefined)),
	});
	if (!perSample && node === undefined) return out;
	const result = out.alias({ perSample }, node);
	out.dispose();
	return result;
}
