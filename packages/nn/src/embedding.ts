import { type Device, embedding, type Key, normalValues, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, optionsOf } from "@hushgrad/tensor/author";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Options of an `Embedding`. */
export interface EmbeddingOptions {
	/** Row whose lookups give it no gradient, as torch's padding_idx, a negative one from the end; none when left out. */
	readonly paddingIdx?: number | undefined;
}

/** Rows of a table by id, torch's Embedding: ids i32 `[...] → [..., D]`. An id outside 0 … V−1 gives NaN. */
export class Embedding extends Module {
	/** The table `[V, D]`. It stays in bf16 where a checkpoint has it so. */
	readonly weight: Parameter;
	/** The row whose lookups give it no gradient; undefined for none. */
	readonly paddingIdx: number | undefined;

	/**
	 * `numEmbeddings` is V, `embeddingDim` is D. The table has no values yet.
	 * @throws ValueError when `paddingIdx` is no row of the table.
	 */
	constructor(numEmbeddings: number, embeddingDim: number, options: EmbeddingOptions = {}) {
		super();
		expects("Embedding", { numEmbeddings, embeddingDim }, { numEmbeddings: "count", embeddingDim: "count" });
		const { paddingIdx } = optionsOf("Embedding", options, { paddingIdx: "whole?" });
		this.weight = new Parameter([numEmbeddings, embeddingDim], { keepsBf16: true });
		this.paddingIdx = paddingIdx !== undefined && paddingIdx < 0 ? paddingIdx + numEmbeddings : paddingIdx;
		const padding = this.paddingIdx;
		if (padding === undefined || (padding >= 0 && padding < numEmbeddings)) return;
		throw new ValueError("embedding/padding", `Embedding: paddingIdx ${paddingIdx} is no row of a table of ${numEmbeddings}`);
	}

	/** Draws the table from N(0, 1) and sets the padding row to 0, as torch does. */
	resetParameters(device: Device, key: Key): void {
		expects("Embedding.resetParameters", { device, key }, { device: "device", key: "key" });
		const width = this.weight.shape[1];
		const values = normalValues(key, this.weight.size);
		if (this.paddingIdx !== undefined) values.fill(0, this.paddingIdx * width, (this.paddingIdx + 1) * width);
		this.weight.assign(device.fromHost(values, this.weight.shape));
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
