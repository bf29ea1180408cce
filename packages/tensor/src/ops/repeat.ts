import { ShapeError, ValueError } from "../errors.ts";
import { expects, oneOf, optional, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import { broadcastShapes, normalizeAxis, type Shape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { expand } from "./expand.ts";
import { reshape } from "./view.ts";

/** Copies x `counts[i]` times along axis i, one after the other. */
function repeated(x: Tensor, counts: readonly number[]): Tensor {
	const shape = [...counts.slice(x.rank).fill(1), ...x.shape];
	const pairs = (of: (n: number) => number): number[] => shape.flatMap((d, i) => (counts[i] === 1 ? [d] : [of(counts[i]), d]));
	return reshape(
		expand(
			reshape(
				x,
				pairs(() => 1),
			),
			pairs((n) => n),
		),
		shape.map((d, i) => d * counts[i]),
	);
}

/** One count or several, as a list. */
function countsOf(op: string, x: Tensor, counts: number | readonly number[]): readonly number[] {
	expects(op, { x, counts }, { x: "tensor", counts: "counts" });
	return typeof counts === "number" ? [counts] : counts;
}

/**
 * x copied `counts[i]` times along axis i: torch's repeat. Counts beyond x's rank make new axes in front. Any dtype. The gradient
 * is the sum over the copies.
 * @throws ShapeError when there are fewer counts than axes.
 * @throws ValueError unless counts are whole numbers of 0 or more.
 */
export const repeat = named("repeat", (x: Tensor, counts: number | readonly number[]): Tensor => {
	const list = countsOf("repeat", x, counts);
	if (list.length < x.rank) {
		throw new ShapeError("shape/repeat", `repeat: ${showShape(x.shape)} has more axes than there are counts in [${list}]`, {
			op: "repeat",
			hint: "tile() takes fewer counts",
		});
	}
	return repeated(x, list);
});

/**
 * x copied `counts[i]` times along axis i: numpy's and torch's tile. Of fewer counts than axes those of the first axes are 1;
 * counts beyond x's rank make new axes in front. Any dtype. The gradient is the sum over the copies.
 * @throws ValueError unless counts are whole numbers of 0 or more.
 */
export const tile = named("tile", (x: Tensor, counts: number | readonly number[]): Tensor => {
	const list = countsOf("tile", x, counts);
	return repeated(x, [...new Array<number>(Math.max(0, x.rank - list.length)).fill(1), ...list]);
});

/**
 * Each element `count` times in a row along an axis; without one, of all elements in row-major order: torch's repeat_interleave,
 * numpy's repeat, of one count. Any dtype. The gradient is the sum over the copies.
 * @throws ValueError unless `count` is a whole number of 0 or more, or when `axis` is out of range.
 */
export const repeatInterleave = named("repeatInterleave", (x: Tensor, count: number, axis?: number): Tensor => {
	expects("repeatInterleave", { x, count, axis }, { x: "tensor", count: "count", axis: "whole?" });
	const t = axis === undefined ? reshape(x, [x.size]) : x;
	const at = normalizeAxis("repeatInterleave", axis ?? 0, t.rank);
	const wide = reshape(t, t.shape.toSpliced(at + 1, 0, 1));
	return reshape(expand(wide, wide.shape.with(at + 1, count)), t.shape.with(at, t.shape[at] * count));
});

/** Options of `meshgrid`. */
export interface MeshgridOptions {
	/** "ij" (when left out, as torch): axis i belongs to vector i. "xy" (as numpy): the first two axes are swapped. */
	readonly indexing?: "ij" | "xy" | undefined;
}

/**
 * The coordinates of a grid: for each of the vectors a tensor of the shape of all their lengths, in which it runs along its own
 * axis and is repeated along the others, as a view. Any dtype; a scalar counts as a vector of one.
 * @throws ShapeError for a tensor of more than one axis.
 * @throws ValueError without a vector, or for another indexing.
 */
export const meshgrid = named("meshgrid", (vectors: readonly Tensor[], options: MeshgridOptions = {}): Tensor[] => {
	const op = "meshgrid";
	expects(op, { vectors }, { vectors: "tensors" });
	const { indexing = "ij" } = optionsOf(op, options, { indexing: optional(oneOf("ij", "xy")) });
	if (vectors.length === 0) throw new ValueError("meshgrid/empty", "meshgrid: needs a list of vectors", { op });
	const own = vectors.map((v: Tensor, i): Shape => {
		if (v.rank > 1) throw new ShapeError("shape/meshgrid", `meshgrid: vector ${i} is ${showShape(v.shape)}`, { op });
		const axis = indexing === "xy" && i < 2 && vectors.length > 1 ? 1 - i : i;
		return vectors.map((_, k) => (k === axis ? v.size : 1));
	});
	const shape = broadcastShapes(op, ...own);
	return vectors.map((v: Tensor, i) => expand(reshape(v, own[i]), shape));
});
