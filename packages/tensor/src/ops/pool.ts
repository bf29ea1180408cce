import { ShapeError, ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { named } from "../named.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { div } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { convPrimitive } from "./conv.ts";
import { full, ones } from "./create.ts";
import { gatherPrimitive } from "./indexing.ts";
import { flatten } from "./join.ts";
import { reshape, squeeze, unsqueeze } from "./view.ts";
import { checkWindows, DENSE, type Pair, PLACES, pairOf, type Windows, windows, windowsOf } from "./windows.ts";

type PoolAttrs = Windows & { KH: number; KW: number };
type PoolGradAttrs = PoolAttrs & { H: number; W: number };

/** The first of the largest values of each window, NaN before all, and its number among the H W of its image. */
export const maxPoolKernel = defineKernel("maxPool", {
	params: { n: "u32", ...PLACES },
	buffers: { x: reads("f32"), y: writes("f32"), places: writes("i32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let image = index / p.Q / p.P * p.H * p.W;
let h0 = i32(index / p.Q % p.P) * p.strideH - p.padH;
let w0 = i32(index % p.Q) * p.strideW - p.padW;
var best = -1;
var top = 0.0;
for (var kh = 0u; kh < p.KH; kh++) {
  let h = h0 + i32(kh) * p.dilationH;
  if (h < 0 || h >= i32(p.H)) { continue; }
  for (var kw = 0u; kw < p.KW; kw++) {
    let w = w0 + i32(kw) * p.dilationW;
    if (w < 0 || w >= i32(p.W)) { continue; }
    let at = h * i32(p.W) + w;
    let v = x_at(image + u32(at));
    if (best < 0 || (!isNan(top) && (v > top || isNan(v)))) { best = at; top = v; }
  }
}
y_set(index, top);
places_set(index, best);`,
});

/** Each element gets the gradients of the windows that took it. */
export const maxPoolGradKernel = defineKernel("maxPool/dx", {
	params: { n: "u32", ...PLACES },
	buffers: { g: reads("f32"), places: reads("i32"), dx: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let own = i32(index % (p.H * p.W));
let image = index / p.W / p.H * p.P;
let h = own / i32(p.W) + p.padH;
let w = own % i32(p.W) + p.padW;
var sum = 0.0;
for (var kh = 0u; kh < p.KH; kh++) {
  let y = h - i32(kh) * p.dilationH;
  if (y < 0 || y % p.strideH != 0 || y / p.strideH >= i32(p.P)) { continue; }
  for (var kw = 0u; kw < p.KW; kw++) {
    let x = w - i32(kw) * p.dilationW;
    if (x < 0 || x % p.strideW != 0 || x / p.strideW >= i32(p.Q)) { continue; }
    let at = (image + u32(y / p.strideH)) * p.Q + u32(x / p.strideW);
    if (places_at(at) == own) { sum += g_at(at); }
  }
}
dx_set(index, sum);`,
});

/** Gradients back at the places that were the largest. */
export const maxPoolGradPrimitive: Primitive<PoolGradAttrs> = definePrimitive<PoolGradAttrs>({
	name: "maxPool.dx",
	signature: "g[..., P, Q], places[..., P, Q] -> dx[..., H, W]",
	dtypes: { places: ["i32"] },
	attrs: { ...DENSE, padH: 2, padW: 2, KH: 5, KW: 5, H: 3, W: 3 },
	check: (_, { H, W, KH, KW, ...at }, { P, Q }) => checkWindows("maxPool.dx", [H, W, KH, KW], at, [P, Q]),
	forward: ({ runtime, inputs, axes: { P, Q }, attrs }) => {
		const [g, places] = [contiguous(inputs.g), contiguous(inputs.places)];
		const dx = runtime.empty([...g.shape.slice(0, -2), attrs.H, attrs.W]);
		maxPoolGradKernel.run({ g, places, dx }, { n: dx.size, P, Q, ...attrs }, dx.size);
		return [dx];
	},
	grad: { g: { saves: ["places"], rule: ({ dy, places }) => picked(dy, places) }, places: "none" },
	reference: ({ g, places }, { H, W, KH, KW, ...at }) => {
		const [P, Q] = g.shape.slice(-2);
		const lead = g.shape.slice(0, -2);
		const data = new Float64Array(sizeOf(lead) * H * W);
		places.data.forEach((place, i) => {
			const h = Math.floor(place / W) + at.padH - (Math.floor(i / Q) % P) * at.strideH;
			const w = (place % W) + at.padW - (i % Q) * at.strideW;
			const inside = (d: number, step: number, k: number): boolean => d >= 0 && d % step === 0 && d / step < k;
			if (place < 0 || !inside(h, at.dilationH, KH) || !inside(w, at.dilationW, KW)) return;
			data[Math.floor(i / P / Q) * H * W + place] += g.data[i];
		});
		return [{ data, shape: [...lead, H, W] }];
	},
	test: {
		bound: { abs: 1e-5, why: "sums of up to 9 values of size 2" },
		domains: { places: { whole: [0, 8] } }, // every window holds all of the image
		sizes: { P: [3], Q: [3] },
		variants: [{ KH: 7, KW: 7, padH: 4, padW: 4, strideH: 2, strideW: 2 }],
	},
});

/** Elements of images by their numbers. */
const picked = (x: Tensor, places: Tensor): Tensor =>
	reshape(gatherPrimitive.apply([flatten(x, -2), flatten(places, -2)])[0], places.shape);

export const maxPoolPrimitive: Primitive<PoolAttrs> = definePrimitive<PoolAttrs>({
	name: "maxPool",
	signature: "x[..., H, W] -> y[..., P, Q], places[..., P, Q]",
	attrs: { ...DENSE, KH: 2, KW: 3 },
	check: (_, { KH, KW, ...at }, { H, W }) => checkWindows("maxPool", [H, W, KH, KW], at),
	forward: ({ runtime, inputs, axes: { H, W }, attrs }) => {
		const x = contiguous(inputs.x);
		const [P, Q] = windowsOf(H, W, attrs.KH, attrs.KW, attrs);
		const shape = [...x.shape.slice(0, -2), P, Q];
		const [y, places] = [runtime.empty(shape), runtime.empty(shape, "i32")];
		maxPoolKernel.run({ x, y, places }, { n: y.size, H, W, P, Q, ...attrs }, y.size);
		return [y, places];
	},
	grad: {
		x: {
			saves: ["places"],
			rule: ({ dy, places }, attrs, { shape }) => {
				const [H, W] = shape.slice(-2);
				return maxPoolGradPrimitive.apply([dy, places], { ...attrs, H, W })[0];
			},
		},
	},
	reference: ({ x }, { KH, KW, ...at }) => {
		const [H, W] = x.shape.slice(-2);
		const [P, Q] = windowsOf(H, W, KH, KW, at);
		const shape = [...x.shape.slice(0, -2), P, Q];
		const y = new Float64Array(sizeOf(shape));
		const places = y.map((_, i) => {
			const image = Math.floor(i / P / Q) * H * W;
			let best = -1;
			for (let k = 0; k < KH * KW; k++) {
				const h = (Math.floor(i / Q) % P) * at.strideH + Math.floor(k / KW) * at.dilationH - at.padH;
				const w = (i % Q) * at.strideW + (k % KW) * at.dilationW - at.padW;
				if (h < 0 || w < 0 || h >= H || w >= W) continue;
				const [v, top] = [x.data[image + h * W + w], x.data[image + best]];
				if (best < 0 || v > top || (Number.isNaN(v) && !Number.isNaN(top))) best = h * W + w;
			}
			y[i] = x.data[image + best];
			return best;
		});
		return [
			{ data: y, shape },
			{ data: places, shape },
		];
	},
	test: {
		bound: { why: "copies values" },
		sizes: { H: [4, 5], W: [4, 7] },
		variants: [{ strideH: 2, strideW: 3, padH: 1, padW: 1 }, { dilationH: 2 }],
	},
});

/** Options of pooling along one axis. */
export interface Pool1dOptions {
	/** Positions from one window to the next; the extent of a window when left out. */
	readonly stride?: number | undefined;
	/** Positions on both sides that count as no values (`maxPool1d`) or zeros (`avgPool1d`); 0 when left out. */
	readonly padding?: number | undefined;
}

/** Options of pooling along two axes, a pair of numbers being one for each. */
export interface Pool2dOptions {
	/** Rows and columns from one window to the next; the extents of a window when left out. */
	readonly stride?: Pair | undefined;
	/** Positions on both sides that count as no values (`maxPool2d`) or zeros (`avgPool2d`); 0 when left out. */
	readonly padding?: Pair | undefined;
}

/** Options of `avgPool1d`. */
export interface AvgPool1dOptions extends Pool1dOptions {
	/** Whether padding counts among the values of a window, as zeros; true when left out. */
	readonly countIncludePad?: boolean | undefined;
}

/** Options of `avgPool2d`. */
export interface AvgPool2dOptions extends Pool2dOptions {
	/** Whether padding counts among the values of a window, as zeros; true when left out. */
	readonly countIncludePad?: boolean | undefined;
}

/** The windows of a call, checked. */
function poolOf(op: string, x: Tensor, kernel: Pair, { stride = kernel, padding = 0 }: Pool2dOptions): PoolAttrs {
	const [KH, KW] = pairOf(op, "kernel", kernel, 1);
	const at = windows(op, stride, padding, 1);
	if (x.rank < 2) throw new ShapeError("pool/rank", `${op}: x${showShape(x.shape)} has too few axes`, { op });
	if (2 * at.padH > KH || 2 * at.padW > KW) {
		throw new ValueError("pool/kernel", `${op}: a kernel of ${KH} x ${KW} with padding ${at.padH}, ${at.padW}`, {
			op,
			hint: "extents of 1 or more, of which the padding is at most half",
		});
	}
	checkWindows(op, [...x.shape.slice(-2), KH, KW], at);
	return { ...at, KH, KW };
}

/** Windows along one axis as windows of two, of one row. */
function asRow(op: string, kernel: number, { stride = kernel, padding = 0 }: Pool1dOptions): [Pair, Pool2dOptions] {
	expects(op, { kernel, stride, padding }, { kernel: "size", stride: "size", padding: "count" });
	return [[1, kernel], { stride: [1, stride], padding: [0, padding] }]; // biome-ignore format: pairs
}

function checkPool(op: string, x: Tensor, options: Pool1dOptions | Pool2dOptions): void {
	checkType(op, x, ["f32"]);
	expects(op, { options }, { options: "options" });
}

/**
 * Largest value of each window of `kernel` rows and columns, torch's max_pool2d: x f32 `[..., H, W]` → `[..., P, Q]`, P = ⌊(H + 2 padding −
 * kernel) / stride⌋ + 1. NaN counts as the largest. The gradient goes to the first of the largest values.
 * @throws ShapeError when x has fewer than two axes, or no window fits.
 * @throws DTypeError unless x is f32.
 * @throws ValueError for extents or strides below 1, or a padding above half of the kernel.
 */
export const maxPool2d = named("maxPool2d", (x: Tensor, kernel: Pair, options: Pool2dOptions = {}): Tensor => {
	checkPool("maxPool2d", x, options);
	return maxPoolPrimitive.apply([x], poolOf("maxPool2d", x, kernel, options))[0];
});

/**
 * Largest value of each window of `kernel` positions along the last axis, torch's max_pool1d: x f32 `[..., L]` → `[..., P]`. As
 * `maxPool2d` otherwise.
 * @throws ShapeError when x has no axis, or no window fits.
 * @throws DTypeError unless x is f32.
 * @throws ValueError for a kernel or stride below 1, or a padding above half of the kernel.
 */
export const maxPool1d = named("maxPool1d", (x: Tensor, kernel: number, options: Pool1dOptions = {}): Tensor => {
	checkPool("maxPool1d", x, options);
	const rows = unsqueeze(x, -2);
	return squeeze(maxPoolPrimitive.apply([rows], poolOf("maxPool1d", rows, ...asRow("maxPool1d", kernel, options)))[0], -2);
});

/** The mean of each window, as a convolution of every image by itself. */
function average(op: string, x: Tensor, kernel: Pair, { countIncludePad = true, ...options }: AvgPool2dOptions): Tensor {
	const { KH, KW, ...at } = poolOf(op, x, kernel, options);
	const weights = full(x.device, [1, 1, 1, KH, KW], 1 / (KH * KW));
	const means = (images: Tensor): Tensor => {
		const y = convPrimitive.apply([unsqueeze(unsqueeze(images, -3), -3), weights], at)[0];
		return squeeze(squeeze(y, -3), -3);
	};
	return countIncludePad ? means(x) : div(means(x), means(ones(x.device, x.shape.slice(-2))));
}

/**
 * Mean of each window of `kernel` rows and columns, torch's avg_pool2d: x f32 `[..., H, W]` → `[..., P, Q]`, extents as of `maxPool2d`.
 * Linear: it has derivatives of any order.
 * @throws ShapeError when x has fewer than two axes, or no window fits.
 * @throws DTypeError unless x is f32.
 * @throws ValueError for extents or strides below 1, or a padding above half of the kernel.
 */
export const avgPool2d = named("avgPool2d", (x: Tensor, kernel: Pair, options: AvgPool2dOptions = {}): Tensor => {
	checkPool("avgPool2d", x, options);
	return average("avgPool2d", x, kernel, options);
});

/**
 * Mean of each window of `kernel` positions along the last axis, torch's avg_pool1d: x f32 `[..., L]` → `[..., P]`. As `avgPool2d`
 * otherwise.
 * @throws ShapeError when x has no axis, or no window fits.
 * @throws DTypeError unless x is f32.
 * @throws ValueError for a kernel or stride below 1, or a padding above half of the kernel.
 */
export const avgPool1d = named("avgPool1d", (x: Tensor, kernel: number, options: AvgPool1dOptions = {}): Tensor => {
	checkPool("avgPool1d", x, options);
	const [extents, more] = asRow("avgPool1d", kernel, options);
	return squeeze(average("avgPool1d", unsqueeze(x, -2), extents, { ...more, countIncludePad: options.countIncludePad }), -2);
});
