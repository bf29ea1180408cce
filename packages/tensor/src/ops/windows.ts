import { ShapeError } from "../errors.ts";
import { refused } from "../shown.ts";

/* Windows that slide over the last two axes: of convolutions and of pooling. */

/** How windows lie over the last two axes; numbers of positions along each. */
export type Windows = { strideH: number; strideW: number; padH: number; padW: number; dilationH: number; dilationW: number };

/** Windows side by side without padding. */
export const DENSE: Windows = { strideH: 1, strideW: 1, padH: 0, padW: 0, dilationH: 1, dilationW: 1 };

/** Number of windows along an axis; 0 or less where none fits. */
const fits = (extent: number, k: number, stride: number, pad: number, dilation: number): number =>
	Math.floor((extent + 2 * pad - dilation * (k - 1) - 1) / stride) + 1;

/** Numbers of windows of kh x kw along two axes. */
export const windowsOf = (h: number, w: number, kh: number, kw: number, at: Windows): readonly [number, number] => [
	fits(h, kh, at.strideH, at.padH, at.dilationH),
	fits(w, kw, at.strideW, at.padW, at.dilationW),
];

/** @throws ShapeError where no window fits, or there are not P x Q of them. */
export function checkWindows(op: string, [h, w, kh, kw]: readonly number[], at: Windows, expected?: readonly number[]): void {
	const [p, q] = windowsOf(h, w, kh, kw, at);
	if (kh > 0 && kw > 0 && p > 0 && q > 0 && (expected === undefined || (p === expected[0] && q === expected[1]))) return;
	const given = expected === undefined ? "" : `, given ${expected.join(" x ")}`;
	throw new ShapeError("conv/windows", `${op}: ${h} x ${w} has ${Math.max(0, p)} x ${Math.max(0, q)} windows of ${kh} x ${kw}${given}`, {
		op,
		hint: "(extent + 2 padding - dilation (kernel - 1) - 1) / stride + 1 must be 1 or more along each axis",
	});
}

/** The same as parameters of a kernel, with the extents that windows are counted by. */
export const PLACES = {
	H: "u32",
	W: "u32",
	KH: "u32",
	KW: "u32",
	P: "u32",
	Q: "u32",
	strideH: "i32",
	strideW: "i32",
	padH: "i32",
	padW: "i32",
	dilationH: "i32",
	dilationW: "i32",
} as const;

/** One number for both axes, or one for each. */
export type Pair = number | readonly [number, number];

/** A pair as two numbers. @throws ValueError unless whole numbers of at least `least`. */
export function pairOf(op: string, name: string, value: Pair, least: number): readonly [number, number] {
	const both = typeof value === "number" ? ([value, value] as const) : value;
	if (Array.isArray(both) && both.length === 2 && both.every((v) => Number.isInteger(v) && v >= least)) return [both[0], both[1]];
	throw refused(op, name, value, `a whole number of ${least} or more, or two`);
}

/** The windows of options. @throws ValueError for what is no whole number, or too small. */
export function windows(op: string, stride: Pair, padding: Pair, dilation: Pair): Windows {
	const [[strideH, strideW], [padH, padW], [dilationH, dilationW]] = [
		pairOf(op, "stride", stride, 1),
		pairOf(op, "padding", padding, 0),
		pairOf(op, "dilation", dilation, 1),
	];
	return { strideH, strideW, padH, padW, dilationH, dilationW };
}
