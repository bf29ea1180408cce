import { cat, full, reshape, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";
import { checkPositive, refuse } from "../check.ts";
import { type AdaptiveClipping, adaptiveOf, type PlannedAdaptiveClipping } from "./adaptive.ts";
import { addPartsPrimitive } from "./addParts.ts";
import { type Block, blocksOf, checkGradients, type RecordGradient } from "./blocks.ts";
import { clipFactorsAlikePrimitive, clipFactorsPrimitive } from "./clipFactors.ts";
import { differsPrimitive } from "./differs.ts";
import { squarePartsPrimitive } from "./squareParts.ts";
import { PART } from "./tree.ts";

/** Gradients of the records of one physical batch, clipped and ready to be added. */
export interface Clipped {
	/** The gradients before clipping, as blocks of columns side by side, which add up to P. */
	readonly blocks: readonly Block[];
	/**
	 * What a record is scaled by in each group of coordinates, in grid steps for a gradient of 1: f32 `[B, K]`, K = 1 but for per-layer
	 * clipping; 0 for padding, −1 for a norm that is not finite, which counts as 0.
	 */
	readonly factors: Tensor;
	/** Norms before clipping: f32 `[B]`, private diagnostics. */
	readonly norms: Tensor;
}

/** How the gradient of a record is brought to a norm of at most C. */
export type Clipping =
	| {
			/** g · min(1, C/‖g‖), over all parameters together (Abadi et al. 2016). */
			readonly kind: "flat";
	  }
	| {
			/** g · C/(‖g‖ + γ): every record counts alike, so that C only scales the rate (Bu et al. 2023, AUTO-S). */
			readonly kind: "automatic";
			/** γ, above 0; 0.01 when left out. */
			readonly gamma?: number | undefined;
	  }
	| {
			/** g_k · min(1, C_k/‖g_k‖) for each trained parameter k by itself, Σ C_k² = C² (Opacus' per_layer; McMahan et al. 2018). */
			readonly kind: "perLayer";
			/**
			 * Relative norms, one for each trained parameter in order: C_k = C w_k/‖w‖; all alike, C/√K, when left out. For the norms of a list give
			 * the list here, and its own L2 norm as C.
			 */
			readonly weights?: readonly number[] | undefined;
	  }
	| AdaptiveClipping;

/** A way of clipping, with all of its numbers. */
export type PlannedClipping = Exclude<Clipping, AdaptiveClipping> | PlannedAdaptiveClipping;

/** What records are clipped to. */
export interface ClipSettings {
	/** C. */
	readonly maxGradNorm: number;
	/** Flat when left out. */
	readonly clipping?: Clipping | undefined;
	/** Grid step g, a power of two. */
	readonly grid: number;
}

/** γ of automatic clipping, as published. */
const GAMMA = 0.01;
/** No factor is larger: it would not be finite. */
const LARGEST = 2 ** 60;

/** No C_k is a smaller part of C: the factors of its group stay normal numbers. */
const SMALLEST_PART = 2 ** -16;

/** A frozen copy with all numbers. @throws ValueError for what is no way of clipping. */
export function clippingOf(
	clipping: Clipping = { kind: "flat" },
	sizes: { readonly maxGradNorm: number; readonly expectedBatchSize: number },
): PlannedClipping {
	const kinds = ["flat", "automatic", "perLayer", "adaptive"];
	if (!kinds.includes(clipping?.kind)) refuse("clipping", `of a kind among ${kinds.join(", ")}`, clipping?.kind);
	if (clipping.kind === "adaptive") return adaptiveOf(clipping, sizes);
	if (clipping.kind === "automatic" && clipping.gamma !== undefined) checkPositive("gamma", clipping.gamma);
	if (clipping.kind !== "perLayer" || clipping.weights === undefined) return Object.freeze({ ...clipping });
	checkWeights(clipping.weights);
	return Object.freeze({ ...clipping, weights: Object.freeze([...clipping.weights]) });
}

function checkWeights(weights: readonly number[]): void {
	expects("clipping", { weights }, { weights: "list" });
	const whole = Math.hypot(...weights);
	const isPart = (w: unknown): boolean => typeof w === "number" && w > 0 && w >= SMALLEST_PART * whole;
	if (whole > 0 && whole < Number.POSITIVE_INFINITY && weights.every(isPart)) return;
	refuse("weights", "one number above 0 for each trained parameter, none below 2⁻¹⁶ of their L2 norm", [...weights]);
}

/** @throws ValueError where the weights of per-layer clipping are not one number above 0 for each of so many parameters. */
export function checkGroups(clipping: Clipping, count: number): void {
	if (clipping.kind !== "perLayer" || clipping.weights === undefined) return;
	checkWeights(clipping.weights);
	if (clipping.weights.length === count) return;
	refuse("weights", `one for each of ${count} trained parameters`, clipping.weights.length);
}

/** C_k of each of so many groups, Σ C_k² = C²; one group, and C, for all but per-layer clipping. */
function normsOf({ maxGradNorm, clipping }: ClipSettings, count: number): number[] {
	if (clipping?.kind !== "perLayer") return [maxGradNorm];
	const weights = clipping.weights ?? new Array<number>(count).fill(1);
	const whole = Math.hypot(...weights);
	return weights.map((w) => maxGradNorm * (w / whole));
}

/** Columns side by side; one alone needs no copy. */
const beside = (columns: readonly Tensor[]): Tensor => (columns.length === 1 ? columns[0] : cat(columns, 1));

/** Parts, at most so many, of the squared norm of each record over all columns of these blocks, in multiples of unit²: f32 `[B, parts]`. */
function squaresOf(blocks: readonly Block[], unit: number, most: number): Tensor {
	let parts = beside(blocks.map((block) => block.use((g) => squarePartsPrimitive.apply([g], { scale: 1 / unit })[0])));
	while (parts.shape[1] > most) parts = addPartsPrimitive.apply([parts])[0];
	return parts;
}

/**
 * Computes what each record of a physical batch is clipped by: the factor `min(1, C/‖g‖)/grid` over all tensors together, or
 * `C/(‖g‖ + γ)/grid` for automatic clipping; for per-layer clipping `min(1, C_k/‖g_k‖)/grid` for each tensor k.
 * `grads` holds one f32 `[B, …]` a tensor, or its columns on demand, in the order of the parameters; `weights` is f32 `[B]`, 1 for a
 * record and 0 for padding.
 *
 * A norm is computed in f32: squares of g · 2^−⌈log₂ C⌉, added as a tree, or one by one with what is lost. Its relative error is below 2⁻¹⁹ for any number of
 * coordinates up to 2³¹ (sums: at most 4 · 8 + 1 roundings of 2⁻²⁴ in the square; root and quotient: 14 more), and so is that of the
 * factor: C and C_k are rounded once. A norm of 2⁶⁴ C or more, over all tensors, counts as not finite. How it is computed follows from the
 * coordinates alone, not from B.
 * @throws ValueError for no gradients, and for weights of per-layer clipping that are not one a tensor.
 */
export const clip = named("clip", (grads: readonly RecordGradient[], weights: Tensor, settings: ClipSettings): Clipped => {
	expects("clip", { settings }, { settings: "options" });
	const { maxGradNorm, grid, clipping = { kind: "flat" } } = settings;
	checkGradients("clip", grads);
	expects("clip", { weights }, { weights: "tensor" });
	checkPositive("maxGradNorm", maxGradNorm);
	checkPositive("grid", grid);
	if (grads.length === 0) throw new ValueError("clip/empty", "clip: grads is an empty list, expected a gradient for each parameter");
	checkGroups(clipping, grads.length);
	const unit = 2 ** Math.ceil(Math.log2(maxGradNorm));
	const groups = clipping.kind === "perLayer" ? grads.map((g) => [g]) : [grads];
	const blocks = groups.map((own, group) => blocksOf(weights.device, own, weights.size, group));
	const K = blocks.length;
	const squares = beside(blocks.map((own) => squaresOf(own, unit, K === 1 ? 4 * PART : 1)));
	const parts = reshape(squares, [weights.size, K, squares.shape[1] / K]);
	const clips = normsOf(settings, grads.length).map((c) => c / unit);
	const isAutomatic = clipping.kind === "automatic";
	const gamma = isAutomatic ? (clipping.gamma ?? GAMMA) / unit : 0;
	const scales = { gamma, most: isAutomatic ? Math.min(LARGEST, 2 ** 126 * grid) : 1, perGrid: 1 / grid, unit };
	const areAlike = clips.every((c) => c === clips[0]);
	const [factors, norms] = areAlike
		? clipFactorsAlikePrimitive.apply([parts, weights], { ...scales, clip: clips[0] })
		: clipFactorsPrimitive.apply([parts, weights, cat(clips.map((c) => full(weights.device, [1], c)))], scales);
	return { blocks: blocks.flat(), factors, norms };
});

/** The coordinates in which some record but number `except` has another gradient in two runs: 1 there, u32 [P]. */
export function differences(a: Clipped, b: Clipped, except: number): Tensor {
	const inBlock = ({ group, use }: Block, i: number): Tensor =>
		use((g) => b.blocks[i].use((other) => differsPrimitive.apply([g, a.factors, other, b.factors], { except, group })[0]));
	return cat(a.blocks.map(inBlock));
}
