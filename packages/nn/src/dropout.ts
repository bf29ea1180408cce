import { type DropoutKey, dropout, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";

/** Zeroes elements with probability p while it is given randomness; otherwise the identity. Its path names its stream. */
export class Dropout extends Module {
	readonly p: number;

	constructor(p: number) {
		super();
		this.p = p;
	}

	forward(x: Tensor, key?: DropoutKey): Tensor {
		return key === undefined || this.p === 0 ? x : dropout(x, this.p, key.fold(this.path));
	}

	override extraRepr(): string {
		return `p=${this.p}`;
	}
}
