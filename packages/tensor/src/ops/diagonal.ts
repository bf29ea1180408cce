import { ShapeError } from "../errors.ts";
import { normalizeAxis, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { copyInto } from "./copy.ts";
import { zeros } from "./create.ts";
import { linearOp } from "./traced.ts";

/** The view of x along which the indices of two axes are equal; the second axis disappears. */
const along = (x: Tensor, first: number, second: number): Tensor =>
	x.alias({
		shape: x.shape.toSpliced(second, 1),
		strides: x.strides.map((s, i) => (i === first ? s + x.strides[second] : s)).toSpliced(second, 1),
	});

/** The elements whose indices on two axes (first < second) are equal, without copying; the second axis disappears. */
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
	return linearOp(
		"diagonal",
		x,
		(v) => along(v, a, b),
		(dy) => place(dy, a, b),
		x.perSample && a !== 0,
	);
}

/** Zeros with x on the diagonal. Adjoint of `diagonal`. */
function place(x: Tensor, first: number, second: number): Tensor {
	return linearOp(
		"placeDiagonal",
		x,
		(v) => {
			const out = zeros(v.device, v.shape.toSpliced(second, 0, v.shape[first]), v.dtype);
			copyInto(v, along(out, first, second));
			return out;
		},
		(dy) => diagonal(dy, first, second),
		x.perSample && first !== 0,
	);
}
