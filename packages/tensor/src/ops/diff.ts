import { FLOATS, INTEGERS } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { expects } from "../expects.ts";
import { normalizeAxis, sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkSame, checkType } from "./arguments.ts";
import { logicalXor, sub } from "./binary.ts";
import { cat, slice } from "./slice.ts";

/** Options of `diff`. */
export interface DiffOptions {
	/** How many times; 1 when left out. */
	readonly n?: number | undefined;
	/** The last when left out. */
	readonly axis?: number | undefined;
	/** What stands before x along the axis. */
	readonly prepend?: Tensor | undefined;
	/** What stands behind x along the axis. */
	readonly append?: Tensor | undefined;
}

/**
 * Differences of neighbours along an axis, x_(i+1) − x_i, `n` times, each with one element less: numpy's and torch's diff. f32, f16,
 * i32 or u32 (which wrap around); of bool whether they differ.
 * @throws ShapeError when `prepend` or `append` do not fit beside x.
 * @throws DTypeError for other types, or two types.
 * @throws ValueError unless n is a whole number of 0 or more, or when the axis is out of range.
 */
export function diff(x: Tensor, options: DiffOptions = {}): Tensor {
	expects("diff", { x, options }, { x: "tensor", options: "options" });
	const { n = 1, axis = -1, prepend, append } = options;
	expects("diff", { n, axis, prepend, append }, { n: "count", axis: "whole", prepend: "tensor?", append: "tensor?" });
	checkType("diff", x, [...FLOATS, ...INTEGERS, "bool"]);
	const at = normalizeAxis("diff", axis, x.rank);
	const beside = Object.entries({ prepend, append }).flatMap(([name, part]) => (part === undefined ? [] : [{ name, part }]));
	for (const { name, part } of beside) {
		checkSame("diff", { x, [name]: part });
		if (part.rank === x.rank && sameShape(part.shape.with(at, 0), x.shape.with(at, 0))) continue;
		throw new ShapeError("shape/operands", `diff: ${name}${showShape(part.shape)} does not fit beside x${showShape(x.shape)}`, {
			op: "diff",
		});
	}
	const parts = [prepend, x, append].filter((t) => t !== undefined);
	let y = parts.length === 1 ? x : cat(parts, at);
	for (let i = 0; i < n && y.shape[at] > 0; i++) {
		const [next, before] = [slice(y, at, 1), slice(y, at, 0, y.shape[at] - 1)];
		y = x.dtype === "bool" ? logicalXor(next, before) : sub(next, before);
	}
	return y;
}
