import { FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { normalizeAxis } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { add, mul } from "./binary.ts";
import { arange } from "./create.ts";
import { indexSelect } from "./indexing.ts";
import { movedim, reshape, unsqueeze } from "./view.ts";

/**
 * Windows of `size` elements along an axis, each `step` behind the one before, which may overlap: the axis counts windows, and a new
 * last axis runs through each; torch's Tensor.unfold, as a copy. `[..., N, ...]` → `[..., ⌊(N − size) / step⌋ + 1, ..., size]`. f32,
 * f16, i32, u32 or bool. The gradient of an element is the sum over the windows that it lies in.
 * @throws DTypeError for other types.
 * @throws ValueError when no window fits, size or step are no whole numbers of 1 or more, or the axis is out of range.
 */
export function unfold(x: Tensor, axis: number, size: number, step = 1): Tensor {
	expects("unfold", { x, axis, size, step }, { x: "tensor", axis: "whole", size: "count", step: "count" });
	checkType("unfold", x, [...FLOATS, ...INTEGERS, "bool"]);
	const at = normalizeAxis("unfold", axis, x.rank);
	if (size < 1 || step < 1 || size > x.shape[at]) {
		const text = `unfold: no windows of ${size} by ${step} along ${x.shape[at]} elements`;
		throw new ValueError("unfold/size", text, { op: "unfold", hint: "size and step are 1 or more, and a window fits in the axis" });
	}
	const count = Math.floor((x.shape[at] - size) / step) + 1;
	const numbers = (n: number): Tensor => arange(x.device, 0, n, 1, "i32");
	const places = add(unsqueeze(mul(numbers(count), step), 1), numbers(size));
	const windows = indexSelect(x, at, reshape(places, [count * size]));
	return movedim(reshape(windows, x.shape.toSpliced(at, 1, count, size)), at + 1, -1);
}
