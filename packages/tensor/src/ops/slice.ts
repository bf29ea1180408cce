import { ShapeError, ValueError } from "../errors.ts";
import { normalizeAxis, type Shape, sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { asParams, planWalk, walkCode, walkNames } from "./strided.ts";
import { linearOp } from "./traced.ts";

/** Elements start..end-1 along one axis, without copying. */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
	const at = normalizeAxis("slice", axis, x.rank);
	const extent = x.shape[at];
	if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end < start || end > extent) {
		throw new ValueError("slice/range", `slice: ${start}..${end} is outside axis ${axis} of ${showShape(x.shape)}`, { op: "slice" });
	}
	const shape = x.shape.map((d, i) => (i === at ? end - start : d));
	return linearOp(
		x,
		(v) => v.alias({ shape, strides: v.strides, offset: v.offset + start * v.strides[at] }),
		(dy) => place(dy, at, start, extent),
		x.perSample && (at !== 0 || shape[0] === extent),
	);
}

/** Zeros of `extent` along `axis`, with x at `start`. Adjoint of `slice`. */
function place(x: Tensor, axis: number, start: number, extent: number): Tensor {
	return linearOp(
		x,
		(v) => {
			const out = zeros(
				v,
				v.shape.map((d, i) => (i === axis ? extent : d)),
			);
			write(v, out, axis, start);
			return out;
		},
		(dy) => slice(dy, axis, start, start + x.shape[axis]),
	);
}

function zeros(like: Tensor, shape: Shape): Tensor {
	const out = like.device.empty(shape, like.dtype);
	like.device.run(
		`zeros/${like.dtype}`,
		() => ({
			params: { n: "u32" },
			buffers: { y: { dtype: like.dtype, access: "write" } },
			workgroup: [64, 1, 1],
			body: "if (index < p.n) { y_set(index, 0); }",
		}),
		[out],
		[out.size],
		out.size,
	);
	return out;
}

/** Copies x into a fresh tensor `out` at `start` along `axis`. */
function write(x: Tensor, out: Tensor, axis: number, start: number): void {
	const target = out.alias({ shape: x.shape, strides: out.strides, offset: start * out.strides[axis] });
	const walk = planWalk(x.shape, [x, target]);
	x.device.run(
		`place/${x.dtype}/${walk.rank}`,
		() => ({
			params: { n: "u32", ...asParams(walkNames(walk.rank, 2)) },
			buffers: { x: { dtype: x.dtype, access: "read" }, y: { dtype: x.dtype, access: "write" } },
			workgroup: [64, 1, 1],
			body: `if (index >= p.n) { return; }\n${walkCode(walk.rank, 2)}\ny_set(i1, x_at(i0));`,
		}),
		[x, target],
		[x.size, ...walk.params],
		x.size,
	);
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
	const tape = parts.map((t) => t.node?.tape).find((t) => t !== undefined);
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
