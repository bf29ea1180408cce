import { type Device, rmsNorm, type Tensor } from "@hushgrad/tensor";
import { expects, optionsOf } from "@hushgrad/tensor/author";
import { constantInit } from "./init.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Options of `RMSNorm`. */
export interface RMSNormOptions {
	/** Added to the mean square; 1e-6 when left out. */
	readonly eps?: number | undefined;
	/** Added to the weight: 0 when left out, torch's form; 1 in Gemma, which stores the scale less 1. */
	readonly offset?: number | undefined;
}

/**
 * RMSNorm over the last axis: y = x / √(mean(x²) + eps) · (offset + weight), computed in f32; `x [..., D] → [..., D]`. Source: Zhang and
 * Sennrich 2019.
 */
export class RMSNorm extends Module {
	/** Scale less `offset`, `[D]`. */
	readonly weight: Parameter;
	/** Added to the mean square. */
	readonly eps: number;
	/** Added to the weight. */
	readonly offset: number;

	/** `dim` is D. The weight has no values yet. */
	constructor(dim: number, options: RMSNormOptions = {}) {
		super();
		expects("RMSNorm", { dim }, { dim: "count" });
		const { eps = 1e-6, offset = 0 } = optionsOf("RMSNorm", options, { eps: "number?", offset: "number?" });
		this.weight = new Parameter([dim]);
		this.eps = eps;
		this.offset = offset;
	}

	/** Makes the scale 1. */
	resetParameters(device: Device): void {
		expects("RMSNorm.resetParameters", { device }, { device: "device" });
		constantInit(device, this.weight, 1 - this.offset);
	}

	/**
	 * `x [..., D] → [..., D]`.
	 * @throws ValueError before the weight has values, ShapeError when the last axis of x is not D.
	 */
	forward(x: Tensor): Tensor {
		return rmsNorm(x, this.weight.value, { eps: this.eps, offset: this.offset });
	}

	override extraRepr(): string {
		return `(${this.weight.shape[0]},), eps=${this.eps}${this.offset === 0 ? "" : `, offset=${this.offset}`}`;
	}
}
