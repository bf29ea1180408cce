import { rmsNorm, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/**
 * Gemma's RMSNorm over the last axis: y = x / √(mean(x²) + eps) · (1 + weight), computed in f32; `x [..., D] → [..., D]`. Source:
 * Zhang and Sennrich 2019.
 */
export class RMSNorm extends Module {
	/** Scale less 1, `[D]`: zeros are neutral. */
	readonly weight: Parameter;
	/** Added to the mean square. */
	readonly eps: number;

	/** `dim` is D; `eps` is 1e-6 when left out. The weight has no values yet. */
	constructor(dim: number, eps = 1e-6) {
		super();
		this.weight = new Parameter([dim]);
		this.eps = eps;
	}

	/**
	 * `x [..., D] → [..., D]`.
	 * @throws ValueError before the weight has values, ShapeError when the last axis of x is not D.
	 */
	forward(x: Tensor): Tensor {
		return rmsNorm(x, this.weight.value, { eps: this.eps, offset: 1 });
	}

	override extraRepr(): string {
		return `(${this.weight.shape[0]},), eps=${this.eps}`;
	}
}
