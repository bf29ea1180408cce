import { ShapeError } from "../errors.ts";
import { expects } from "../expects.ts";
import { named } from "../named.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import type { OperandShape } from "../records.ts";
import type { NdArray } from "../reference.ts";
import { sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { add } from "./binary.ts";
import { contiguous } from "./contiguous.ts";
import { foldKernel, RUN, unfoldKernel } from "./conv.kernel.ts";
import { zeroed } from "./create.ts";
import { gemm } from "./gemm.ts";
import { foldRecords } from "./records.ts";
import { reshape, squeeze, unsqueeze } from "./view.ts";
import { checkWindows, DENSE, type Pair, type Windows, windows, windowsOf } from "./windows.ts";

/** Most elements of columns that are held at once, unless those of one image are more. */
const MOST = 2 ** 23;

/** Images of B records, N of each: a run of records with all of theirs, or a run of one record's. */
interface Run {
	readonly record: number;
	readonly records: number;
	readonly image: number;
	readonly images: number;
}

/** The images in runs whose columns fit memory. How a record's are divided does not depend on the number of records. */
function* runsOf(B: number, N: number, columns: number): Generator<Run> {
	const most = Math.max(1, Math.floor(MOST / Math.max(1, columns)));
	const records = Math.max(1, Math.floor(most / Math.max(1, N)));
	const images = Math.max(1, Math.min(N, most));
	for (let record = 0; record < B; record += records) {
		for (let image = 0; image < N; image += images) {
			yield { record, records: Math.min(records, B - record), image, images: Math.min(images, N - image) };
		}
	}
}

/** The images of a run, of t [B, N, ...] in row-major order. */
function imagesOf(t: Physical, { record, records, image, images }: Run): Physical {
	const [, N, ...own] = t.shape;
	return t.view({ shape: [records, images, ...own], offset: t.offset + (record * N + image) * sizeOf(own) });
}

/** The weights of a run, of w [B, G, O, K], as [records, images, G, O, K]. */
function weightsOf(w: Physical, { record, records, images }: Run): Physical {
	const [, ...own] = w.shape;
	const [step, ...strides] = w.strides;
	return w.view({ shape: [records, images, ...own], strides: [step, 0, ...strides], offset: w.offset + record * step });
}

/** x [B, ..., axes] as [B, N, axes] in row-major order. */
function flat(x: Physical, axes: number): Physical {
	const lead = x.rank - axes;
	return contiguous(x).view({ shape: [x.shape[0], sizeOf(x.shape.slice(1, lead)), ...x.shape.slice(lead)] });
}

/** w [B, G, O, I, KH, KW] as [B, G, O, I KH KW]. */
function flatWeights(w: Physical): Physical {
	const [B, G, O, ...own] = w.shape;
	const one = w.strides[0] === 0 ? w.view({ shape: [1, ...w.shape.slice(1)], strides: w.strides }) : w;
	const dense = contiguous(one).view({ shape: [one.shape[0], G, O, sizeOf(own)] });
	return dense.view({
		shape: [B, ...dense.shape.slice(1)],
		strides: [w.strides[0] === 0 ? 0 : dense.strides[0], ...dense.strides.slice(1)],
	});
}

type Sizes = Readonly<Record<string, number>>;

/** Columns [R, G, I KH KW, N P Q] of images [R, N, G, I, H, W]. */
function unfold(x: Physical, { G, I, H, W, KH, KW, P, Q }: Sizes, at: Windows): Physical {
	const [R, N] = x.shape;
	const cols = x.runtime.empty([R, G, I * KH * KW, N * P * Q]);
	const blocks = Math.ceil(Q / RUN);
	const n = (cols.size / Q) * blocks;
	unfoldKernel.run({ x, cols }, { n, blocks, N, C: G * I, H, W, KH, KW, P, Q, ...at }, n);
	return cols;
}

/** Calls `visit` with the flat positions in y, w and x of each product; x is -1 in the padding. */
function eachProduct(lead: number, s: Sizes, at: Windows, visit: (y: number, w: number, x: number) => void): void {
	const { G, O, I, H, W, KH, KW, P, Q } = s;
	for (let n = 0; n < lead * G; n++) {
		for (let o = 0; o < O; o++) {
			for (let k = 0; k < I * KH * KW; k++) {
				const [i, kh, kw] = [Math.floor(k / KW / KH), Math.floor(k / KW) % KH, k % KW];
				for (let l = 0; l < P * Q; l++) {
					const h = Math.floor(l / Q) * at.strideH + kh * at.dilationH - at.padH;
					const w = (l % Q) * at.strideW + kw * at.dilationW - at.padW;
					const inside = h >= 0 && w >= 0 && h < H && w < W;
					visit((n * O + o) * P * Q + l, ((n % G) * O + o) * I * KH * KW + k, inside ? ((n * I + i) * H + h) * W + w : -1);
				}
			}
		}
	}
}

const leadOf = (t: NdArray, axes: number): readonly number[] => t.shape.slice(0, t.shape.length - axes);
const BOUND = { abs: 1e-4, why: "sums of up to 100 products of size 4, each rounded" };
const SIZES = { G: [1, 2], O: [1, 3], I: [1, 2], KH: [1, 2], KW: [1, 3] };

type ImageGradAttrs = Windows & { H: number; W: number };
type WeightGradAttrs = Windows & { KH: number; KW: number };

/** The gradient of the weights of a convolution of x, whose result has the gradient dy: summed over the records that w is one for. */
function weightGradient(dy: Tensor, x: Tensor, { KH, KW, ...at }: WeightGradAttrs, operand: OperandShape): Tensor {
	return convWeightGradPrimitive.apply(foldRecords(operand, [dy, x]), { KH, KW, ...at })[0];
}

const kernelOf = ({ shape }: OperandShape): { KH: number; KW: number } => ({ KH: shape[3], KW: shape[4] });
const imageOf = ({ shape }: OperandShape): { H: number; W: number } => ({ H: shape[shape.length - 2], W: shape[shape.length - 1] });

/** The gradient of the images: the adjoint of the convolution with w, a transposed convolution. */
export const convImageGradPrimitive: Primitive<ImageGradAttrs> = definePrimitive<ImageGradAttrs>({
	name: "conv.dx",
	signature: "g[..., G, O, P, Q], w[G, O, I, KH, KW] -> dx[..., G, I, H, W]",
	attrs: { ...DENSE, H: 4, W: 5 },
	check: (_, { H, W, ...at }, { KH, KW, P, Q }) => checkWindows("conv.dx", [H, W, KH, KW], at, [P, Q]),
	forward: ({ runtime, inputs, B, axes, attrs: { H, W, ...at } }) => {
		const { G, O, I, KH, KW, P, Q } = axes;
		const [g, w] = [flat(inputs.g, 4), flatWeights(inputs.w)];
		const N = g.shape[1];
		const dx = runtime.empty([B, N, G * I, H, W]);
		for (const run of runsOf(B, N, G * I * KH * KW * P * Q)) {
			runtime.scope(() => {
				const { shape, offset } = imagesOf(g, run);
				const rows = g.view({ shape: [...shape.slice(0, 3), O, P * Q], offset });
				const x = imagesOf(dx, run);
				foldKernel.run({ cols: gemm(weightsOf(w, run).transpose(), rows), x }, { n: x.size, H, W, KH, KW, P, Q, ...at }, x.size);
			});
		}
		return [dx.view({ shape: [...inputs.g.shape.slice(0, -3), I, H, W] })];
	},
	grad: {
		g: { saves: ["w"], rule: ({ dy, w }, { H, W, ...at }) => convPrimitive.apply([dy, w], at)[0] },
		w: {
			saves: ["g"],
			rule: ({ dy, g }, { H, W, ...at }, operand) => weightGradient(g, dy, { ...at, ...kernelOf(operand) }, operand),
		},
	},
	reference: ({ g, w }, { H, W, ...at }) => {
		const [G, O, I, KH, KW] = w.shape;
		const [P, Q] = g.shape.slice(-2);
		const lead = leadOf(g, 4);
		const data = new Float64Array(sizeOf(lead) * G * I * H * W);
		eachProduct(sizeOf(lead), { G, O, I, H, W, KH, KW, P, Q }, at, (y, k, x) => {
			if (x >= 0) data[x] += g.data[y] * w.data[k];
		});
		return [{ data, shape: [...lead, G, I, H, W] }];
	},
	test: {
		bound: BOUND,
		sizes: { ...SIZES, KH: [2], KW: [3], P: [3], Q: [3] },
		variants: [
			{ H: 6, W: 8, strideH: 2, strideW: 2 },
			{ H: 3, W: 5, padH: 1, padW: 1, dilationH: 2, dilationW: 2 },
		],
	},
});

/** The gradient of the weights: products of the results' gradient with the windows, summed over images and places. */
export const convWeightGradPrimitive: Primitive<WeightGradAttrs> = definePrimitive<WeightGradAttrs>({
	name: "conv.dw",
	signature: "g[..., G, O, P, Q], x[..., G, I, H, W] -> dw[G, O, I, KH, KW]",
	attrs: { ...DENSE, KH: 2, KW: 3 },
	check: (_, { KH, KW, ...at }, { H, W, P, Q }) => checkWindows("conv.dw", [H, W, KH, KW], at, [P, Q]),
	forward: ({ runtime, inputs, B, axes, attrs: { KH, KW, ...at } }) => {
		const { G, O, I, P, Q } = axes;
		const [g, x] = [flat(inputs.g, 4), flat(inputs.x, 4)];
		const N = x.shape[1];
		const K = I * KH * KW;
		const dw = N * K * O === 0 ? zeroed(runtime, [B, G, O, K]) : runtime.empty([B, G, O, K]);
		for (const run of runsOf(B, N, G * K * P * Q)) {
			runtime.scope(() => {
				const { records, record, images, image } = run;
				const rows = contiguous(imagesOf(g, run).permute([0, 2, 3, 1, 4, 5])).view({ shape: [records, G, O, images * P * Q] });
				const view = dw.view({ shape: [records, G, O, K], offset: record * G * O * K });
				const cols = unfold(imagesOf(x, run), { ...axes, KH, KW }, at);
				gemm(rows, cols.transpose(), { view, batchStride: O * K, accumulate: image > 0 });
			});
		}
		return [dw.view({ shape: [B, G, O, I, KH, KW] })];
	},
	grad: {
		g: { saves: ["x"], rule: ({ dy, x }, { KH, KW, ...at }) => convPrimitive.apply([x, dy], at)[0] },
		x: {
			saves: ["g"],
			rule: ({ dy, g }, { KH, KW, ...at }, operand) => convImageGradPrimitive.apply([g, dy], { ...at, ...imageOf(operand) })[0],
		},
	},
	reference: ({ g, x }, { KH, KW, ...at }) => {
		const [G, I, H, W] = x.shape.slice(-4);
		const [O, P, Q] = g.shape.slice(-3);
		const data = new Float64Array(G * O * I * KH * KW);
		eachProduct(sizeOf(leadOf(x, 4)), { G, O, I, H, W, KH, KW, P, Q }, at, (y, k, i) => {
			data[k] += g.data[y] * (i < 0 ? 0 : x.data[i]);
		});
		return [{ data, shape: [G, O, I, KH, KW] }];
	},
	test: {
		bound: { abs: 2e-3, why: "sums of up to 729 products of size 4, each rounded" },
		sizes: { ...SIZES, H: [4], W: [5], P: [3], Q: [3] },
		variants: [
			{ strideH: 2, strideW: 2, padH: 1, padW: 1 },
			{ dilationH: 3, dilationW: 2, padH: 1, padW: 1 },
		],
	},
});

export const convPrimitive: Primitive<Windows> = definePrimitive<Windows>({
	name: "conv",
	signature: "x[..., G, I, H, W], w[G, O, I, KH, KW] -> y[..., G, O, P, Q]",
	attrs: DENSE,
	check: (_, at, { H, W, KH, KW }) => checkWindows("conv", [H, W, KH, KW], at),
	forward: ({ runtime, inputs, B, axes, attrs: at }) => {
		const { G, O, I, H, W, KH, KW } = axes;
		const [P, Q] = windowsOf(H, W, KH, KW, at);
		const [x, w] = [flat(inputs.x, 4), flatWeights(inputs.w)];
		const N = x.shape[1];
		const y = runtime.empty([B, N, G, O, P * Q]);
		const K = I * KH * KW;
		for (const run of runsOf(B, N, G * K * P * Q)) {
			runtime.scope(() => {
				const { records, images } = run;
				const { shape, offset } = imagesOf(x, run);
				const each = x.view({ shape: [records * images, 1, ...shape.slice(2)], offset });
				const cols = unfold(each, { ...axes, P, Q }, at).view({ shape: [records, images, G, K, P * Q] });
				gemm(weightsOf(w, run), cols, { view: imagesOf(y, run), batchStride: O * P * Q, accumulate: false });
			});
		}
		return [y.view({ shape: [...inputs.x.shape.slice(0, -3), O, P, Q] })];
	},
	grad: {
		x: {
			saves: ["w"],
			rule: ({ dy, w }, at, operand) => convImageGradPrimitive.apply([dy, w], { ...at, ...imageOf(operand) })[0],
		},
		w: { saves: ["x"], rule: ({ dy, x }, at, operand) => weightGradient(dy, x, { ...at, ...kernelOf(operand) }, operand) },
	},
	reference: ({ x, w }, at) => {
		const [G, O, I, KH, KW] = w.shape;
		const [H, W] = x.shape.slice(-2);
		const [P, Q] = windowsOf(H, W, KH, KW, at);
		const lead = leadOf(x, 4);
		const data = new Float64Array(sizeOf(lead) * G * O * P * Q);
		eachProduct(sizeOf(lead), { G, O, I, H, W, KH, KW, P, Q }, at, (y, k, i) => {
			data[y] += (i < 0 ? 0 : x.data[i]) * w.data[k];
		});
		return [{ data, shape: [...lead, G, O, P, Q] }];
	},
	test: {
		bound: BOUND,
		sizes: { ...SIZES, H: [5, 6], W: [5, 8] },
		variants: [
			{ strideH: 2, strideW: 3, padH: 1 },
			{ dilationH: 2, dilationW: 1, padW: 2 },
		],
	},
});

/** Options of `conv1d`. */
export interface Conv1dOptions {
	/** Added to each output channel, `[O]`; 0 when left out. */
	readonly bias?: Tensor | undefined;
	/** Positions from one window to the next; 1 when left out. */
	readonly stride?: number | undefined;
	/** Zeros on both sides; 0 when left out. */
	readonly padding?: number | undefined;
	/** Positions from one element of a window to the next; 1 when left out. */
	readonly dilation?: number | undefined;
	/** Groups of channels that are convolved apart; 1 when left out, C for a depthwise convolution. */
	readonly groups?: number | undefined;
}

/** Options of `conv2d`: as of `conv1d`, a pair of numbers being one for each axis. */
export interface Conv2dOptions extends Omit<Conv1dOptions, "stride" | "padding" | "dilation"> {
	/** Rows and columns from one window to the next; 1 when left out. */
	readonly stride?: Pair | undefined;
	/** Zeros on both sides of each axis; 0 when left out. */
	readonly padding?: Pair | undefined;
	/** Positions from one element of a window to the next; 1 when left out. */
	readonly dilation?: Pair | undefined;
}

/** Operands and options of the right kinds. */
function checkOperands(op: string, x: Tensor, w: Tensor, options: Conv1dOptions | Conv2dOptions): void {
	expects(op, { options }, { options: "options" });
	const { bias, groups } = options;
	expects(op, { groups }, { groups: "whole?" });
	checkType(op, x, ["f32"]);
	checkType(op, w, ["f32"], "w");
	if (bias !== undefined) checkType(op, bias, ["f32"], "bias");
}

function convolve(op: string, x: Tensor, w: Tensor, bias: Tensor | undefined, at: Windows, groups: number): Tensor {
	const [O, I, KH, KW] = w.shape;
	const [C, H, W] = x.shape.slice(-3);
	if (x.rank < 3 || w.rank !== 4 || !(groups >= 1) || C !== I * groups || O % groups !== 0 || (bias && !sameShape(bias.shape, [O]))) {
		const shown = (t: Tensor): string => showShape(op === "conv1d" ? t.shape.toSpliced(t.rank - 2, 1) : t.shape);
		const own = bias === undefined ? "" : ` and bias${showShape(bias.shape)}`;
		throw new ShapeError("conv/shapes", `${op}: x${shown(x)}, w${shown(w)}${own} do not fit for ${groups} groups`, {
			op,
			hint: "x [..., C, extents], w [O, C / groups, kernel], bias [O]; groups divide C and O",
		});
	}
	checkWindows(op, [H, W, KH, KW], at);
	const lead = x.shape.slice(0, -3);
	const y = convPrimitive.apply([reshape(x, [...lead, groups, I, H, W]), reshape(w, [groups, O / groups, I, KH, KW])], at)[0];
	const joined = reshape(y, [...lead, O, ...y.shape.slice(-2)]);
	return bias === undefined ? joined : add(joined, reshape(bias, [O, 1, 1]));
}

/**
 * Convolution over the last axis, torch's conv1d (a cross-correlation): x `[..., C, L]`, w `[O, C/groups, K]` → `[..., O, P]`, P =
 * ⌊(L + 2 padding − dilation (K − 1) − 1) / stride⌋ + 1. A program for one record takes x `[C, L]`. All f32; sums in f32. Source: torch.
 * @throws ShapeError when channels, groups or bias do not fit, or no window does.
 * @throws DTypeError unless all are f32.
 * @throws ValueError for a stride or dilation below 1, a negative padding, or one that is no whole number.
 */
export const conv1d = named("conv1d", (x: Tensor, w: Tensor, options: Conv1dOptions = {}): Tensor => {
	checkOperands("conv1d", x, w, options);
	const { bias, stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
	expects("conv1d", { stride, padding, dilation }, { stride: "size", padding: "count", dilation: "size" });
	const at = windows("conv1d", [1, stride], [0, padding], [1, dilation]);
	if (x.rank < 2 || w.rank !== 3) {
		throw new ShapeError("conv/shapes", `conv1d: x${showShape(x.shape)} and w${showShape(w.shape)}`, {
			op: "conv1d",
			hint: "x [..., C, L], w [O, C / groups, K]",
		});
	}
	return squeeze(convolve("conv1d", unsqueeze(x, -2), unsqueeze(w, -2), bias, at, groups), -2);
});

/**
 * Convolution over the last two axes, torch's conv2d (a cross-correlation): x `[..., C, H, W]`, w `[O, C/groups, KH, KW]` → `[..., O, P,
 * Q]`, P = ⌊(H + 2 padding − dilation (KH − 1) − 1) / stride⌋ + 1 and Q alike. A program for one record takes x `[C, H, W]`. All f32;
 * sums in f32. It multiplies w with the windows written side by side, 32 MiB of them at once or those of one image. Bilinear: it has
 * derivatives of any order. Source: torch.
 * @throws ShapeError when channels, groups or bias do not fit, or no window does.
 * @throws DTypeError unless all are f32.
 * @throws ValueError for a stride or dilation below 1, a negative padding, or one that is no whole number.
 */
export const conv2d = named("conv2d", (x: Tensor, w: Tensor, options: Conv2dOptions = {}): Tensor => {
	checkOperands("conv2d", x, w, options);
	const { bias, stride = 1, padding = 0, dilation = 1, groups = 1 } = options;
	return convolve("conv2d", x, w, bias, windows("conv2d", stride, padding, dilation), groups);
});
