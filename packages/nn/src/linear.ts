import { add, type Device, foldIn, type Key, type Tensor } from "@hushgrad/tensor";
import { expects, optionsOf } from "@hushgrad/tensor/author";
import { kaimingUniform, uniformInit } from "./init.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** y = x Wᵀ + b, torch's Linear: `x [..., in] → y [..., out]`. */
export class Linear extends Module {
	/** Extent of the last axis of the input. */
	readonly inFeatures: number;
	/** Extent of the last axis of the output. */
	readonly outFeatures: number;
	/** W `[out, in]`, held in any format; replaced to quantise the layer. */
	weight: Parameter;
	/** b `[out]`; undefined for a layer without bias. */
	readonly bias: Parameter | undefined;

	/** Without values: a checkpoint or an initialiser gives them. `bias` is true when left out, as in torch. */
	constructor(inFeatures: number, outFeatures: number, options: { readonly bias?: boolean | undefined } = {}) {
		super();
		expects("Linear", { inFeatures, outFeatures }, { inFeatures: "count", outFeatures: "count" });
		const { bias = true } = optionsOf("Linear", options, { bias: "flag?" });
		this.inFeatures = inFeatures;
		this.outFeatures = outFeatures;
		this.weight = new Parameter([outFeatures, inFeatures]);
		this.bias = bias ? new Parameter([outFeatures]) : undefined;
	}

	/** Draws W and b from U(−1/√in, 1/√in), as torch does. @throws ShapeError for a quantised weight. */
	resetParameters(device: Device, key: Key): void {
		resetWeights("Linear", device, key, this.weight, this.bias);
	}

	/**
	 * `x [..., in] → [..., out]`.
	 * @throws ValueError before the weight has values, ShapeError when the last axis of x is not `inFeatures`.
	 */
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

/** Draws a weight `[out, in, ...]` and its bias from U(−1/√fan, 1/√fan); `layer` is whose they are. */
export function resetWeights(layer: string, device: Device, key: Key, weight: Parameter, bias: Parameter | undefined): void {
	expects(`${layer}.resetParameters`, { device, key }, { device: "device", key: "key" });
	kaimingUniform(device, weight, foldIn(key, 0));
	const bound = 1 / Math.sqrt(weight.size / weight.shape[0]);
	if (bias !== undefined) uniformInit(device, bias, foldIn(key, 1), -bound, bound);
}
