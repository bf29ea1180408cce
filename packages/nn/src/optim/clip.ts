import { add, clamp, mul, reciprocal, sqrt, square, sum, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";

/** What `clipGradNorm` gives. */
export interface ClippedGradients {
	/** The gradients, scaled alike. */
	readonly gradients: readonly Tensor[];
	/** Their joint norm before, a scalar. */
	readonly norm: Tensor;
}

/**
 * Gradients scaled down together, so that their joint Euclidean norm is at most `maxNorm`, and that norm before, a scalar: torch's
 * clip_grad_norm_, which scales by min(1, maxNorm / (norm + 1e-6)). All on the device. A norm that is NaN makes all of them NaN. It is for
 * plain training: clipping for privacy, of each record, is the engine's.
 * @throws ValueError for no gradients, or unless `maxNorm` is above 0.
 */
export const clipGradNorm = named("clipGradNorm", (gradients: readonly Tensor[], maxNorm: number): ClippedGradients => {
	expects("clipGradNorm", { gradients, maxNorm }, { gradients: "tensors", maxNorm: "number" });
	if (gradients.length === 0 || !(maxNorm > 0)) {
		throw new ValueError("optim/clip", `clipGradNorm: ${gradients.length} gradients, maxNorm ${maxNorm}`, {
			op: "clipGradNorm",
			hint: "one gradient or more, and a norm above 0",
		});
	}
	const norm = sqrt(gradients.map((g) => sum(square(g))).reduce(add));
	const scale = clamp(mul(reciprocal(add(norm, 1e-6)), maxNorm), { max: 1 });
	return { gradients: gradients.map((g) => mul(g, scale)), norm };
});
