import { contiguous, type Physical } from "@hushgrad/tensor/author";

/** A matrix `[1, B, P]` whose rows lie in order, at any distance: the view itself, or a copy; and the distance. */
export function inRows(g: Physical): { readonly g: Physical; readonly row: number } {
	const own = g.shape[2] <= 1 || g.strides[2] === 1 ? g : contiguous(g);
	return { g: own, row: own.strides[1] };
}
