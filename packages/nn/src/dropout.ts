import { type DropoutKeys, dropout, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";

/** Zeroes elements with probability p while it is given randomness; otherwise the identity. */
export class Dropout extends Module {
	readonly p: number;

	constructor(p: number) {
		super();
		this.p = p;
	}

	forward(x: Tensor, randomness?: DropoutKeys): Tensor {
		return randomness === undefined || this.p === 0 ? x : dropout(x, this.p, randomness);
	}

	override extraRepr(): string {
		return `p=${this.p}`;
	}
}
