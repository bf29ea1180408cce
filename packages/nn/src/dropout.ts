import { type DropoutKey, dropout, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";

/**
 * Zeroes each element with probability p and scales the others by 1/(1−p) while it is given randomness; otherwise the identity.
 * Its path in the model names its random stream. torch's Dropout; Srivastava et al. 2014.
 */
export class Dropout extends Module {
	/** Probability of dropping an element, in [0, 1); checked where elements are dropped. */
	readonly p: number;

	/** `p` is the probability of dropping an element. */
	constructor(p: number) {
		super();
		this.p = p;
	}

	/**
	 * `x [...] → [...]`; x itself without a key, and for p = 0.
	 * @throws ValueError when a key is given and p is not in [0, 1).
	 */
	forward(x: Tensor, key?: DropoutKey): Tensor {
		return key === undefined || this.p === 0 ? x : dropout(x, this.p, key.fold(this.path));
	}

	override extraRepr(): string {
		return `p=${this.p}`;
	}
}
