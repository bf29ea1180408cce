import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { expects, optionsOf } from "../expects.ts";
import { named } from "../named.ts";
import { broadcastShapes, normalizeAxis, type Shape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type Axes, axesOf, checkSame, checkType } from "./arguments.ts";
import { mul, sub } from "./binary.ts";
import { matmul } from "./matmul.ts";
import { type NormOptions, norm } from "./norm.ts";
import { rollPrimitive } from "./roll.ts";
import { permute, reshape, transpose, unsqueeze } from "./view.ts";

const NUMBERS = [...FLOATS, ...INTEGERS];

/** Both floats, or both whole numbers of one type. */
function both(op: string, a: Tensor, b: Tensor, types: readonly DType[] = NUMBERS): void {
	expects(op, { a, b }, { a: "tensor", b: "tensor" });
	checkType(op, a, types, "a");
	checkType(op, b, types, "b");
	if (!FLOATS.includes(a.dtype) || !FLOATS.includes(b.dtype)) checkSame(op, { a, b });
}

const misfit = (op: string, a: Tensor, b: Tensor, what: string): ShapeError =>
	new ShapeError("shape/operands", `${op}: a${showShape(a.shape)} and b${showShape(b.shape)}: ${what}`, { op });

/**
 * Sum of products over axes of a and as many of b: numpy's and torch's tensordot. `axes`, 2 when left out, is how many of the last of
 * a meet the first of b, or those of a and those of b. The others stay, those of a first. Types as of `matmul`.
 * @throws ShapeError when axes that meet have other extents, or there are not as many of both.
 * @throws DTypeError for other types.
 * @throws ValueError when an axis is out of range or named twice.
 */
export function tensordot(a: Tensor, b: Tensor, axes: number | readonly [Axes, Axes] = 2): Tensor {
	const op = "tensordot";
	both(op, a, b);
	if (typeof axes === "number") expects(op, { axes }, { axes: "count" });
	else expects(op, { axes }, { axes: "list" });
	const count = typeof axes === "number" ? axes : 0;
	if (count > Math.min(a.rank, b.rank)) throw misfit(op, a, b, `there are not ${count} axes`);
	const first = Array.from({ length: count }, (_, i) => i);
	const [ofA, ofB] = typeof axes === "number" ? [first.map((i) => i + a.rank - count), first] : axes;
	const [inner, met] = [axesOf(op, a, ofA ?? []), axesOf(op, b, ofB ?? [])];
	if (inner.length !== met.length || inner.some((axis, i) => a.shape[axis] !== b.shape[met[i]])) {
		throw misfit(op, a, b, `axes [${inner}] and [${met}] do not meet`);
	}
	const rest = (t: Tensor, chosen: readonly number[]): number[] => [...t.shape.keys()].filter((i) => !chosen.includes(i));
	const [restA, restB] = [rest(a, inner), rest(b, met)];
	const extents = (t: Tensor, list: readonly number[]): number[] => list.map((i) => t.shape[i]);
	const [m, k, n] = [extents(a, restA), extents(a, inner), extents(b, restB)];
	const rows = reshape(permute(a, [...restA, ...inner]), [sizeOf(m), sizeOf(k)]);
	const columns = reshape(permute(b, [...met, ...restB]), [sizeOf(k), sizeOf(n)]);
	return reshape(matmul(rows, columns), [...m, ...n]);
}

/**
 * Kronecker product: b times each element of a, as blocks in a's order; of fewer axes, axes of extent 1 come first. numpy's and
 * torch's kron. `[m, n]`, `[p, q]` → `[m p, n q]`. f32, f16, i32 or u32.
 * @throws DTypeError for other types, or two types that are not both floats.
 */
export function kron(a: Tensor, b: Tensor): Tensor {
	both("kron", a, b);
	const rank = Math.max(a.rank, b.rank);
	const padded = ({ shape }: Tensor): number[] => [...new Array<number>(rank - shape.length).fill(1), ...shape];
	const [sizesA, sizesB] = [padded(a), padded(b)];
	const [x, y] = [sizesA.flatMap((d) => [d, 1]), sizesB.flatMap((d) => [1, d])];
	return reshape(
		mul(reshape(a, x), reshape(b, y)),
		sizesA.map((d, i) => d * sizesB[i]),
	);
}

/**
 * Cross product of vectors of three elements along an axis (the last when left out); the others broadcast: numpy's cross and torch's
 * linalg.cross. f32, f16, i32 or u32.
 * @throws ShapeError unless the axis has extent 3 in both, or when the shapes do not broadcast.
 * @throws DTypeError for other types, or two types that are not both floats.
 * @throws ValueError when the axis is out of range.
 */
export function cross(a: Tensor, b: Tensor, axis = -1): Tensor {
	both("cross", a, b);
	expects("cross", { axis }, { axis: "whole" });
	const shape: Shape = broadcastShapes("cross", a.shape, b.shape);
	const at = normalizeAxis("cross", axis, shape.length) - shape.length;
	if (a.shape.at(at) !== 3 || b.shape.at(at) !== 3) throw misfit("cross", a, b, `axis ${axis} is not 3`);
	const rows = [a, b].map((t) => (at === -1 ? t : transpose(t, at, -1)));
	const [next, last] = [-1, -2].map((shift) => rows.map((t) => rollPrimitive.apply([t], { shift })[0]));
	const y = sub(mul(next[0], last[1]), mul(last[0], next[1]));
	return at === -1 ? y : transpose(y, at, -1);
}

/** Options of `cdist`. */
export type CdistOptions = Pick<NormOptions, "p">;

/**
 * Distance of each row of a from each row of b, in the p-norm (2 when left out): a `[..., P, M]`, b `[..., R, M]` → `[..., P, R]`,
 * leading axes broadcast; torch's cdist. From the differences, of which P R M are kept in memory: exact where rows are near each
 * other. f32 or f16 → f32. The gradient where rows are equal is 0.
 * @throws ShapeError when M differs or leading axes do not broadcast.
 * @throws DTypeError for other types.
 * @throws ValueError when p is NaN.
 */
export const cdist = named("cdist", (a: Tensor, b: Tensor, options: CdistOptions = {}): Tensor => {
	both("cdist", a, b, FLOATS);
	const { p } = optionsOf("cdist", options, { p: "number?" });
	if (a.rank < 2 || b.rank < 2 || a.shape.at(-1) !== b.shape.at(-1)) throw misfit("cdist", a, b, "are not rows of one length");
	broadcastShapes("cdist", a.shape.slice(0, -2), b.shape.slice(0, -2));
	return norm(sub(unsqueeze(a, -2), unsqueeze(b, -3)), -1, { p });
});
