import type { DType } from "../dtype.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import { moved } from "../reference.ts";
import { normalizeAxis, sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { add, maskedFill } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { full, ones } from "./create.ts";
import { cat, place, refuseStorage, slice } from "./slice.ts";
import { reshape, unsqueeze } from "./view.ts";

/**
 * Tensors of one shape joined along a new axis, which becomes number `axis` of the result, the first when left out.
 * @throws ShapeError when shapes or dtypes differ.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError without a tensor, or when `axis` is out of range.
 */
export function stack(parts: readonly Tensor[], axis = 0): Tensor {
	const odd = parts.find((t) => !sameShape(t.shape, parts[0].shape));
	if (odd !== undefined) {
		throw new ShapeError("shape/stack", `stack: ${showShape(parts[0].shape)} and ${showShape(odd.shape)} differ`, { op: "stack" });
	}
	if (parts.length === 0) throw new ValueError("stack/empty", "stack: needs at least one tensor", { op: "stack" });
	return cat(
		parts.map((t) => unsqueeze(t, axis)),
		axis,
	);
}

/**
 * Parts along an axis (the first when left out), as views: of one size, the last may be smaller; or of the sizes given. Any
 * dtype.
 * @throws ShapeError when the sizes do not add up to the extent.
 * @throws ValueError when a size is negative, no whole number, or the one size is 0; or when `axis` is out of range.
 */
export function split(x: Tensor, sizes: number | readonly number[], axis = 0): Tensor[] {
	const at = normalizeAxis("split", axis, x.rank);
	const extent = x.shape[at];
	if (typeof sizes === "number" && !(Number.isInteger(sizes) && sizes > 0)) {
		throw new ValueError("split/size", `split: ${sizes} is no size`, { op: "split" });
	}
	const list =
		typeof sizes === "number" ? Array.from({ length: Math.ceil(extent / sizes) }, (_, i) => Math.min(sizes, extent - i * sizes)) : sizes;
	if (list.reduce((a, b) => a + b, 0) !== extent) {
		throw new ShapeError("shape/split", `split: sizes ${list.join(" + ")} do not make up axis ${axis} of ${showShape(x.shape)}`, {
			op: "split",
		});
	}
	let start = 0;
	return list.map((n) => {
		start += n;
		return slice(x, at, start - n, start);
	});
}

/**
 * At most `count` parts of one size, ⌈extent / count⌉, along an axis (the first when left out), as views; the last may be
 * smaller. As torch's chunk, 5 elements in 4 parts are 2, 2 and 1.
 * @throws ValueError when `count` is 0 or `axis` is out of range.
 */
export const chunk = (x: Tensor, count: number, axis = 0): Tensor[] =>
	split(x, Math.max(1, Math.ceil(x.shape[normalizeAxis("chunk", axis, x.rank)] / count)), axis);

/**
 * x with `before` and `after` elements of `value` (0 when left out) along each axis; one pair for each axis, the first axis
 * first, as numpy's pad and unlike torch's. The value may be infinite or NaN. The gradient is that of the part in the middle.
 * @throws ValueError unless there is one pair of whole numbers ≥ 0 for each axis.
 * @throws DTypeError for bf16 and u8, or a value other than 0 unless x is f32.
 */
export function pad(x: Tensor, pairs: readonly (readonly [before: number, after: number])[], { value = 0 } = {}): Tensor {
	if (pairs.length !== x.rank || pairs.flat().some((n) => !Number.isInteger(n) || n < 0)) {
		throw new ValueError(
			"pad/pairs",
			`pad: ${JSON.stringify(pairs)} is not one pair of whole numbers for each axis of ${showShape(x.shape)}`,
			{
				op: "pad",
			},
		);
	}
	const widen = (t: Tensor): Tensor =>
		pairs.reduce((y, [before, after], axis) => {
			const count = y.shape[axis];
			return before + after === 0 ? y : place(y, { axis, start: before, count, step: 1, extent: before + count + after }, "pad");
		}, t);
	if (value === 0) return widen(x);
	const { device } = x;
	if (x.dtype !== "f32") throw new DTypeError("pad/dtype", `pad: value ${value} needs f32, x is ${x.dtype}`, { op: "pad" });
	const outside = maskedFill(
		full(
			device,
			x.shape.map((d, i) => d + pairs[i][0] + pairs[i][1]),
			value,
		),
		inside(x, widen),
		0,
	);
	return add(widen(x), outside);
}

/** True where the padded tensor holds x. */
const inside = (x: Tensor, widen: (t: Tensor) => Tensor): Tensor => widen(ones(x.device, x.shape, "bool"));

/**
 * The order along each of the axes reversed; an axis named twice stays as it is. All dtypes but bf16 and u8.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError when an axis is out of range.
 */
export function flip(x: Tensor, axes: readonly number[]): Tensor {
	refuseStorage("flip", x);
	return axes.reduce((t, axis) => flipPrimitive.apply([t], normalizeAxis("flip", axis, x.rank)), x);
}

export const flipKernel = defineKernel("flip", ({ dtype }: { dtype: DType }) => ({
	params: { n: "u32", extent: "u32", inner: "u32" },
	buffers: { x: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let i = index % p.inner;
let k = (index / p.inner) % p.extent;
let z = index / (p.inner * p.extent);
y_set(index, x_at((z * p.extent + p.extent - 1u - k) * p.inner + i));`,
}));

export const flipPrimitive: LinearOp<number> = defineLinear({
	name: "flip",
	forward: ([view], axis) => {
		const x = contiguous(view);
		const y = x.runtime.empty(x.shape, x.dtype);
		const inner = Math.max(1, sizeOf(x.shape.slice(axis + 2)));
		flipKernel.of({ dtype: x.dtype }).run({ x, y }, { n: y.size, extent: x.shape[axis + 1], inner }, y.size);
		return y;
	},
	adjoint: (dy, axis) => flipPrimitive.apply([dy], axis),
	reference: ([x], axis) => moved(x, x.shape, (index) => index.with(axis, x.shape[axis] - 1 - index[axis])),
	test: { draw: (shape, next) => (shape.length === 0 ? undefined : Math.floor(next() * shape.length)) },
});

/**
 * The axes from `start` to `end` (both included; all when left out) merged into one, as `reshape`. A scalar becomes `[1]`.
 * @throws ValueError when an axis is out of range or `end` comes before `start`.
 */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
	if (x.rank === 0) return reshape(x, [1]);
	const [a, b] = [normalizeAxis("flatten", start, x.rank), normalizeAxis("flatten", end, x.rank)];
	if (b < a) throw new ValueError("flatten/axes", `flatten: axis ${end} comes before ${start}`, { op: "flatten" });
	const merged = x.shape.slice(a, b + 1).reduce((n, d) => n * d, 1);
	return reshape(x, [...x.shape.slice(0, a), merged, ...x.shape.slice(b + 1)]);
}
