import { ShapeError, ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { normalizeAxis, type Shape, sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { join, slice } from "./slice.ts";
import { reshape, unsqueeze } from "./view.ts";

/**
 * Tensors of one shape joined along a new axis, which becomes number `axis` of the result, the first when left out.
 * @throws ShapeError when shapes or dtypes differ.
 * @throws DTypeError for bf16 and u8.
 * @throws ValueError without a tensor, or when `axis` is out of range.
 */
export function stack(parts: readonly Tensor[], axis = 0): Tensor {
	expects("stack", { parts }, { parts: "tensors" });
	const [first] = parts;
	const odd = parts.find((t) => !sameShape(t.shape, first.shape) || t.dtype !== first.dtype);
	if (odd !== undefined) {
		const shown = [first, odd].map((t) => `${t.dtype} ${showShape(t.shape)}`).join(" and ");
		throw new ShapeError("shape/stack", `stack: ${shown} differ`, { op: "stack" });
	}
	if (parts.length === 0) throw new ValueError("stack/empty", "stack: needs at least one tensor", { op: "stack" });
	const at = normalizeAxis("stack", axis, first.rank + 1);
	return join(
		"stack",
		parts.map((t) => unsqueeze(t, at)),
		at,
	);
}

/**
 * Parts along an axis (the first when left out), as views: of one size, the last may be smaller; or of the sizes given. Any
 * dtype.
 * @throws ShapeError when the sizes do not add up to the extent.
 * @throws ValueError when a size is negative, no whole number, or the one size is 0; or when `axis` is out of range.
 */
export function split(x: Tensor, sizes: number | readonly number[], axis = 0): Tensor[] {
	expects("split", { x, sizes }, { x: "tensor", sizes: typeof sizes === "number" ? "size" : "counts" });
	const at = normalizeAxis("split", axis, x.rank);
	const extent = x.shape[at];
	if (typeof sizes === "number") return parts(x, at, equal(extent, sizes));
	if (sizes.reduce((a, b) => a + b, 0) !== extent) {
		throw new ShapeError("shape/split", `split: sizes ${sizes.join(" + ")} do not make up axis ${axis} of ${showShape(x.shape)}`, {
			op: "split",
		});
	}
	return parts(x, at, sizes);
}

/** Sizes of an axis in parts of one size, of which the last may be smaller. */
const equal = (extent: number, size: number): number[] =>
	Array.from({ length: Math.ceil(extent / size) }, (_, i) => Math.min(size, extent - i * size));

function parts(x: Tensor, axis: number, sizes: readonly number[]): Tensor[] {
	let start = 0;
	return sizes.map((n) => {
		start += n;
		return slice(x, axis, start - n, start);
	});
}

/**
 * At most `count` parts of one size, ⌈extent / count⌉, along an axis (the first when left out), as views; the last may be
 * smaller. As torch's chunk, 5 elements in 4 parts are 2, 2 and 1.
 * @throws ValueError unless `count` is a whole number of 1 or more, or when `axis` is out of range.
 */
export function chunk(x: Tensor, count: number, axis = 0): Tensor[] {
	expects("chunk", { x, count }, { x: "tensor", count: "size" });
	const at = normalizeAxis("chunk", axis, x.rank);
	return parts(x, at, equal(x.shape[at], Math.max(1, Math.ceil(x.shape[at] / count))));
}

/**
 * The axes from `start` to `end` (both included; all when left out) merged into one, as `reshape`. A scalar becomes `[1]`.
 * @throws ValueError when an axis is out of range or `end` comes before `start`.
 */
export function flatten(x: Tensor, start = 0, end = -1): Tensor {
	expects("flatten", { x }, { x: "tensor" });
	if (x.rank === 0) return reshape(x, [1]);
	const [a, b] = [normalizeAxis("flatten", start, x.rank), normalizeAxis("flatten", end, x.rank)];
	if (b < a) throw new ValueError("flatten/axes", `flatten: axis ${end} comes before ${start}`, { op: "flatten" });
	const merged = x.shape.slice(a, b + 1).reduce((n, d) => n * d, 1);
	return reshape(x, [...x.shape.slice(0, a), merged, ...x.shape.slice(b + 1)]);
}

/**
 * One axis as several of the sizes given, of which one may be −1, for what is left: torch's unflatten, as `reshape`.
 * @throws ShapeError when the sizes do not make up the axis.
 * @throws ValueError when the axis is out of range.
 */
export function unflatten(x: Tensor, axis: number, sizes: Shape): Tensor {
	expects("unflatten", { x, axis, sizes }, { x: "tensor", axis: "whole", sizes: "wholes" });
	const at = normalizeAxis("unflatten", axis, x.rank);
	const free = sizes.indexOf(-1);
	const known = sizes.reduce((n, d, i) => (i === free ? n : n * d), 1);
	const shape = free < 0 ? sizes : sizes.with(free, x.shape[at] / known);
	if (!shape.every((d) => Number.isInteger(d) && d >= 0) || sizeOf(shape) !== x.shape[at]) {
		const text = `unflatten: sizes ${showShape(sizes)} do not make up axis ${axis} of ${showShape(x.shape)}`;
		throw new ShapeError("shape/reshape", text, { op: "unflatten" });
	}
	return reshape(x, x.shape.toSpliced(at, 1, ...shape));
}
