import { cat, reshape, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects } from "@hushgrad/tensor/author";
import { checkPositive, refuse } from "../check.ts";
import { addPartsPrimitive } from "./addParts.ts";
import { type Block, blocksOf, checkGradients, type RecordGradient } from "./blocks.ts";
import { clipFactorsPrimitive } from "./clipFactors.ts";
import { differsPrimitive } from "./differs.ts";
import { squarePartsPrimitive } from "./squareParts.ts";

/** Gradients of the records of one physical batch, clipped and ready to be added. */
export interface Clipped {
	/** The gradients before clipping, as blocks of columns side by side, which add up to P. */
	readonly blocks: readonly Block[];
	/**
	 * What a record is scaled by, in grid steps for a gradient of 1: f32 `[B]`; 0 for padding, −1 for a norm that is not finite, which
	 * counts as 0.
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
	  };

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

/** @throws ValueError for what is no way of clipping. */
export function checkClipping(clipping: Clipping): void {
	const kind: unknown = clipping?.kind;
	if (kind !== "flat" && kind !== "automatic") refuse("clipping", "of a kind among flat, automatic", kind);
	if (clipping.kind === "automatic" && clipping.gamma !== undefined) checkPositive("gamma", clipping.gamma);
}

/**
 * Computes what each record of a physical batch is clipped by, over all tensors together: the factor `min(1, C/‖g‖)/grid`,
 * or `C/(‖g‖ + γ)/grid` for automatic clipping.
 * `grads` holds one f32 `[B, …]` a tensor, or its columns on demand, in the order of the parameters; `weights` is f32 `[B]`, 1 for a record and 0 for padding.
 *
 * The norm is computed in f32: squares of g · 2^−⌈log₂ C⌉, added as a tree. Its relative error is below 2⁻¹⁹ for any number of
 * coordinates up to 2³¹ (tree: at most 4 · 8 + 1 roundings of 2⁻²⁴ in the square; root and quotient: 14 more), and so is that of the
 * factor. A norm of 2⁶⁴ C or more counts as not finite. How it is computed follows from the coordinates alone, not from B.
 */
export function clip(grads: readonly RecordGradient[], weights: Tensor, settings: ClipSettings): Clipped {
	expects("clip", { settings }, { settings: "options" });
	const { maxGradNorm, grid, clipping = { kind: "flat" } } = settings;
	checkGradients("clip", grads);
	expects("clip", { weights }, { weights: "tensor" });
	checkPositive("maxGradNorm", maxGradNorm);
	checkPositive("grid", grid);
	if (grads.length === 0) throw new ValueError("clip/empty", "clip: grads is an empty list, expected a gradient for each parameter");
	const unit = 2 ** Math.ceil(Math.log2(maxGradNorm));
	const blocks = blocksOf(weights.device, grads, weights.size);
	let parts = cat(
		blocks.map((block) => block.use((g) => squarePartsPrimitive.apply([g], { scale: 1 / unit })[0])),
		1,
	);
	while (parts.shape[1] > 1) parts = addPartsPrimitive.apply([parts])[0];
	const isFlat = clipping.kind === "flat";
	const gamma = isFlat ? 0 : (clipping.gamma ?? GAMMA) / unit;
	const scales = { clip: maxGradNorm / unit, gamma, most: isFlat ? 1 : Math.min(LARGEST, 2 ** 126 * grid), perGrid: 1 / grid, unit };
	const [factors, norms] = clipFactorsPrimitive.apply([reshape(parts, [weights.size]), weights], scales);
	return { blocks, factors, norms };
}

/** The coordinates in which some record but number `except` has another gradient in two runs: 1 there, u32 [P]. */
export function differences(a: Clipped, b: Clipped, except: number): Tensor {
	const inBlock = (block: Block, i: number): Tensor =>
		block.use((g) => b.blocks[i].use((other) => differsPrimitive.apply([g, a.factors, other, b.factors], { except })[0]));
	return cat(a.blocks.map(inBlock));
}
