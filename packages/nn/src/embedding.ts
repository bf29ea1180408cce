import { embedding, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Options of an `Embedding`. */
export interface EmbeddingOptions {
	/** Row whose lookups give it no gradient, as torch's padding_idx; none when left out. Its values are used as they are. */
	readonly paddingIdx?: number | undefined;
}

/** Rows of a table by id, torch's Embedding: ids i32 `[...] → [..., D]`. An id outside 0 … V−1 gives NaN. */
export class Embedding extends Module {
	/** The table `[V, D]`. It stays in bf16 where a checkpoint has it so. */
	readonly weight: Parameter;
	/** The row whose lookups give it no gradient; undefined for none. */
	readonly paddingIdx: number | undefined;

	/** `numEmbeddings` is V, `embeddingDim` is D. The table has no values yet. */
	constructor(numEmbeddings: number, embeddingDim: number, { paddingIdx }: EmbeddingOptions = {}) {
		super();
		this.weight = new Parameter([numEmbeddings, embeddingDim], { keepsBf16: true });
		this.paddingIdx = paddingIdx;
	}

	/**
	 * ids i32 `[...] → [..., D]`, f32.
	 * @throws ValueError before the table has values.
	 */
	forward(ids: Tensor): Tensor {
		return embedding(ids, this.weight.value, { paddingIdx: this.paddingIdx });
	}

	override extraRepr(): string {
		const padding = this.paddingIdx === undefined ? "" : `, padding_idx=${this.paddingIdx}`;
		return `${this.weight.shape.join(", ")}${padding}`;
	}
}
