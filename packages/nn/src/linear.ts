import { add, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** y = x W^T + b. weight [out, in], bias [out] when asked for; x [..., in] -> y [..., out]. */
export class Linear extends Module {
	readonly inFeatures: number;
	readonly outFeatures: number;
	/** Held in any format; replaced to quantise the layer. */
	weight: Parameter;
	readonly bias: Parameter | undefined;

	constructor(inFeatures: number, outFeatures: number, { bias = false } = {}) {
		super();
		this.inFeatures = inFeatures;
		this.outFeatures = outFeatures;
		this.weight = new Parameter([outFeatures, inFeatures]);
		this.bias = bias ? new Parameter([outFeatures]) : undefined;
	}

	forward(x: Tensor): Tensor {
		const y = this.weight.linear(x);
		return this.bias === undefined ? y : add(y, this.bias.value);
	}

	override extraRepr(): string {
		const bias = this.bias === undefined ? "False" : "True";
		const format = this.weight.format === "f32" ? "" : `, weight=${this.weight.format}`;
		return `in_features=${this.inFeatures}, out_features=${this.outFeatures}, bias=${bias}${format}`;
	}
}
