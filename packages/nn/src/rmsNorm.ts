import { rmsNorm, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Gemma's RMSNorm: y = x / sqrt(mean(x^2) + eps) * (1 + weight), computed in f32. weight [D]. */
export class RMSNorm extends Module {
	readonly weight: Parameter;
	readonly eps: number;

	constructor(dim: number, eps = 1e-6) {
		super();
		this.weight = new Parameter([dim]);
		this.eps = eps;
	}

	forward(x: Tensor): Tensor {
		return rmsNorm(x, this.weight.value, { eps: this.eps, offset: 1 });
	}

	override extraRepr(): string {
		return `(${this.weight.shape[0]},), eps=${this.eps}`;
	}
}
