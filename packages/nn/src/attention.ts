import {
	type AttentionOptions,
	type Device,
	foldIn,
	type Key,
	linear,
	reshape,
	ShapeError,
	scaledDotProductAttention,
	slice,
	type Tensor,
	transpose,
	ValueError,
} from "@hushgrad/tensor";
import { expects, named, optionsOf, showShape } from "@hushgrad/tensor/author";
import { xavierUniform, zerosInit } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/**
 * Attention of several heads with projections of its inputs and outputs, torch's MultiheadAttention with keys and values as wide as
 * queries and without dropout: `q [..., T, E], k, v [..., S, E] → [..., T, E]`. Masks are those of `scaledDotProductAttention`: a bool
 * one is true where a query may see a key (torch's module has it the other way). Source: Vaswani et al. 2017.
 */
export class MultiheadAttention extends Module {
	/** Projections of queries, keys and values, one below the other: `[3 E, E]`. The field has torch's name. */
	readonly in_proj_weight: Parameter;
	/** Their biases `[3 E]`; undefined without. */
	readonly in_proj_bias: Parameter | undefined;
	/** Projection of the joined heads. */
	readonly out_proj: Linear;
	/** Number of heads. */
	readonly heads: number;

	/**
	 * `embedDim` is E. Without values: a checkpoint or an initialiser gives them. `bias` is true when left out, as in torch.
	 * @throws ValueError unless `heads` divides E.
	 */
	constructor(embedDim: number, heads: number, options: { readonly bias?: boolean | undefined } = {}) {
		super();
		expects("MultiheadAttention", { embedDim, heads }, { embedDim: "count", heads: "count" });
		const { bias = true } = optionsOf("MultiheadAttention", options, { bias: "flag?" });
		if (heads === 0 || embedDim % heads !== 0) {
			throw new ValueError("attention/embed", `MultiheadAttention: ${heads} heads do not divide ${embedDim}`);
		}
		this.in_proj_weight = new Parameter([3 * embedDim, embedDim]);
		this.in_proj_bias = bias ? new Parameter([3 * embedDim]) : undefined;
		this.out_proj = new Linear(embedDim, embedDim, { bias });
		this.heads = heads;
	}

	/** Xavier uniform for the projections of the inputs, zeros for all biases, as torch does. */
	resetParameters(device: Device, key: Key): void {
		expects("MultiheadAttention.resetParameters", { device, key }, { device: "device", key: "key" });
		xavierUniform(device, this.in_proj_weight, foldIn(key, 0));
		this.out_proj.resetParameters(device, foldIn(key, 1));
		for (const bias of [this.in_proj_bias, this.out_proj.bias]) if (bias !== undefined) zerosInit(device, bias);
	}

	/**
	 * `q [..., T, E], k, v [..., S, E] → [..., T, E]`; without k it is q's own keys, without v the values are k.
	 * @throws ValueError before the weights have values, ShapeError when the operands do not fit, DTypeError for a mask that is
	 * neither bool nor float.
	 */
	forward(q: Tensor, k: Tensor = q, v: Tensor = k, options: AttentionOptions = {}): Tensor {
		return attend(this, q, k, v, options);
	}

	override extraRepr(): string {
		return `${this.out_proj.inFeatures}, heads=${this.heads}`;
	}
}

const attend = named(
	"MultiheadAttention",
	(layer: MultiheadAttention, q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor => {
		const { heads, out_proj, in_proj_weight, in_proj_bias } = layer;
		const width = out_proj.inFeatures;
		const given = { q, k, v };
		expects("MultiheadAttention", { ...given, options }, { q: "tensor", k: "tensor", v: "tensor", options: "options" });
		for (const [name, x] of Object.entries(given)) {
			if (x.rank >= 2 && x.shape[x.rank - 1] === width) continue;
			throw new ShapeError("attention/shapes", `MultiheadAttention: ${name}${showShape(x.shape)}, expected [..., positions, ${width}]`, {
				op: "MultiheadAttention",
			});
		}
		const [weight, bias] = [in_proj_weight.value, in_proj_bias?.value];
		const projected = [q, k, v].map((x, i) => {
			const rows = (t: Tensor): Tensor => slice(t, 0, i * width, (i + 1) * width);
			const y = linear(x, rows(weight), bias && rows(bias));
			return transpose(reshape(y, [...y.shape.slice(0, -1), heads, width / heads]), -2, -3);
		});
		const joined = transpose(scaledDotProductAttention(projected[0], projected[1], projected[2], options), -2, -3);
		return out_proj.call(reshape(joined, [...joined.shape.slice(0, -2), width]));
	},
);
