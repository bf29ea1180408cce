import { ShapeError } from "../errors.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import type { Physical } from "../physical.ts";
import { moved } from "../reference.ts";
import { normalizeAxis, type Shape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { copyInto } from "./contiguous.ts";
import { zeroed } from "./create.ts";

/** Two axes, first < second. */
interface Pair {
	readonly first: number;
	readonly second: number;
}

/** The view of x along which the indices of two axes are equal; the second axis disappears. The record axis is axis 0. */
const along = (x: Physical, { first, second }: Pair): Physical =>
	x.view({
		shape: x.shape.toSpliced(second + 1, 1),
		strides: x.strides.map((s, i) => (i === first + 1 ? s + x.strides[second + 1] : s)).toSpliced(second + 1, 1),
	});

export const diagonalPrimitive: LinearOp<Pair> = defineLinear({
	name: "diagonal",
	forward: ([x], pair) => along(x, pair),
	adjoint: (dy, pair) => placeDiagonalPrimitive.apply([dy], pair),
	reference: ([x], { first, second }) => moved(x, x.shape.toSpliced(second, 1), (index) => index.toSpliced(second, 0, index[first])),
	test: {
		draw: (shape: Shape, next) => {
			const pairs = [...shape.keys()].flatMap((i) => [...shape.keys()].filter((j) => j > i && shape[i] === shape[j]).map((j) => [i, j]));
			const [first, second] = pairs[Math.floor(next() * pairs.length)] ?? [];
			return first === undefined ? undefined : { first, second };
		},
	},
});

export const placeDiagonalPrimitive: LinearOp<Pair> = defineLinear({
	name: "placeDiagonal",
	forward: ([x], pair) => {
		const whole = zeroed(x.runtime, x.shape.toSpliced(pair.second + 1, 0, x.shape[pair.first + 1]), x.dtype);
		copyInto(x, along(whole, pair));
		return whole;
	},
	adjoint: (dy, pair) => diagonalPrimitive.apply([dy], pair),
	reference: ([x], { first, second }) =>
		moved(x, x.shape.toSpliced(second, 0, x.shape[first]), (index) =>
			index[first] === index[second] ? index.toSpliced(second, 1) : undefined,
		),
	test: {
		draw: (shape, next) => {
			if (shape.length === 0) return undefined;
			const first = Math.floor(next() * shape.length);
			return { first, second: first + 1 + Math.floor(next() * (shape.length - first)) };
		},
	},
});

/**
 * The elements whose indices on two axes (first < second; 0 and 1 when left out) are equal, as a view: the second axis
 * disappears and the diagonal stays in the place of the first, where torch's comes last. `[2, 2, 3]` → `[2, 3]`. Any dtype.
 * @throws ShapeError unless first comes before second and both have one extent.
 * @throws ValueError when an axis is out of range.
 */
export function diagonal(x: Tensor, first = 0, second = 1): Tensor {
	const [a, b] = [normalizeAxis("diagonal", first, x.rank), normalizeAxis("diagonal", second, x.rank)];
	if (a >= b || x.shape[a] !== x.shape[b]) {
		throw new ShapeError(
			"shape/diagonal",
			`diagonal: axes ${first} and ${second} of ${showShape(x.shape)} are not two of one extent, in order`,
			{
				op: "diagonal",
			},
		);
	}
	return diagonalPrimitive.apply([x], { first: a, second: b });
}
