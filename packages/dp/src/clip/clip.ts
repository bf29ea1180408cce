import { cat, reshape, slice, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";
import { checkPositive, refuse } from "../check.ts";
import { addPartsPrimitive } from "./addParts.ts";
import { clipFactorsPrimitive } from "./clipFactors.ts";
import { differsPrimitive } from "./differs.ts";
import { squarePartsPrimitive } from "./squareParts.ts";
import { PART } from "./tree.ts";

/** Gradients of the records of one physical batch, clipped and ready to be added. */
export interface Clipped {
	/** The gradients before clipping, as blocks of columns side by side: f32 `[B, P_k]`, the P_k adding up to P. */
	readonly blocks: readonly Tensor[];
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

/** Columns of one block at most: a multiple of a part, so that parts are the same runs of coordinates whatever B is. */
const widthFor = (B: number, binding: number): number => Math.max(1, Math.floor(binding / (4 * B * PART))) * PART;

/** The columns of all gradients `[B, …]` side by side, as far as one storage binding holds them. */
function blocksOf(grads: readonly Tensor[], B: number): Tensor[] {
	const width = widthFor(B, grads[0].device.gpu.limits.maxStorageBufferBindingSize);
	const groups: Tensor[][] = [[]];
	let room = width;
	for (const g of grads) {
		const columns = g.size / B;
		const rows = reshape(g, [B, columns]);
		for (let start = 0; start < columns; ) {
			if (room === 0) {
				groups.push([]);
				room = width;
			}
			const end = Math.min(columns, start + room);
			groups[groups.length - 1].push(start === 0 && end === columns ? rows : slice(rows, 1, start, end));
			room -= end - start;
			start = end;
		}
	}
	return groups.map((group) => cat(group, 1));
}

/**
 * Computes what each record of a physical batch is clipped by, over all tensors together: the factor `min(1, C/‖g‖)/grid`,
 * or `C/(‖g‖ + γ)/grid` for automatic clipping.
 * `grads` holds one f32 `[B, …]` a tensor, in the order of the parameters; `weights` is f32 `[B]`, 1 for a record and 0 for padding.
 *
 * The norm is computed in f32: squares of g · 2^−⌈log₂ C⌉, added as a tree. Its relative error is below 2⁻¹⁹ for any number of
 * coordinates up to 2³² (tree: at most 4 · 8 + 1 roundings of 2⁻²⁴ in the square; root and quotient: 14 more), and so is that of the
 * factor. A norm of 2⁶⁴ C or more counts as not finite. How it is computed follows from the coordinates alone, not from B.
 */
export const clip = named("clip", (grads: readonly Tensor[], weights: Tensor, settings: ClipSettings): Clipped => {
	expects("clip", { settings }, { settings: "options" });
	const { maxGradNorm, grid, clipping = { kind: "flat" } } = settings;
	expects("clip", { grads, weights }, { grads: "tensors", weights: "tensor" });
	checkPositive("maxGradNorm", maxGradNorm);
	checkPositive("grid", grid);
	if (grads.length === 0) throw new ValueError("clip/empty", "clip: grads is an empty list, expected a gradient for each parameter");
	const unit = 2 ** Math.ceil(Math.log2(maxGradNorm));
	const blocks = blocksOf(grads, weights.size);
	let parts = cat(
		blocks.map((g) => squarePartsPrimitive.apply([g], { scale: 1 / unit })[0]),
		1,
	);
	while (parts.shape[1] > 1) parts = addPartsPrimitive.apply([parts])[0];
	const isFlat = clipping.kind === "flat";
	const gamma = isFlat ? 0 : (clipping.gamma ?? GAMMA) / unit;
	const scales = { clip: maxGradNorm / unit, gamma, most: isFlat ? 1 : Math.min(LARGEST, 2 ** 126 * grid), perGrid: 1 / grid, unit };
	const [factors, norms] = clipFactorsPrimitive.apply([reshape(parts, [weights.size]), weights], scales);
	return { blocks, factors, norms };
});

/** The coordinates in which some record but number `except` has another gradient in two runs: 1 there, u32 [P]. */
export function differences(a: Clipped, b: Clipped, except: number): Tensor {
	return cat(a.blocks.map((g, i) => differsPrimitive.apply([g, a.factors, b.blocks[i], b.factors], { except })[0]));
}
