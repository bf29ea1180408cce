import { embedding, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

export interface EmbeddingOptions {
	/** Row that looking up gives no gradient, as in torch. */
	readonly paddingIdx?: number | undefined;
}

/** Rows of a table by id: ids i32 [...] -> [..., D]. weight [V, D]. */
export class Embedding extends Module {
	readonly weight: Parameter;
	readonly paddingIdx: number | undefined;

	constructor(numEmbeddings: number, embeddingDim: number, { paddingIdx }: EmbeddingOptions = {}) {
		super();
		this.weight = new Parameter([numEmbeddings, embeddingDim], { keepsBf16: true });
		this.paddingIdx = paddingIdx;
	}

	forward(ids: Tensor): Tensor {
		return embedding(ids, this.weight.value, { paddingIdx: this.paddingIdx });
	}

	override extraRepr(): string {
		const padding = this.paddingIdx === undefined ? "" : `, padding_idx=${this.paddingIdx}`;
		return `${this.weight.shape.join(", ")}${padding}`;
	}
}
