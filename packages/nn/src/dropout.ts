import { DropoutKey, type DropoutOptions, dropout, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, instanceOf, optional } from "@hushgrad/tensor/author";
import { Module } from "./module.ts";

const KEY = instanceOf(DropoutKey, "a DropoutKey, as DropoutKey.of() gives");

/**
 * Zeroes each element with probability p and scales the others by 1/(1−p) while it is given randomness; otherwise the identity.
 * Its path in the model names its random stream: those whose model was never `call`ed share one. torch's Dropout; Srivastava et al.
 * 2014.
 */
export class Dropout extends Module {
	/** Probability of dropping an element, in [0, 1). */
	readonly p: number;

	/** `p` is the probability of dropping an element. @throws ValueError unless it is in [0, 1). */
	constructor(p: number) {
		super();
		expects("Dropout", { p }, { p: "number" });
		if (!(p >= 0 && p < 1)) throw new ValueError("dropout/p", `Dropout: p is ${p}, expected a number in [0, 1)`, { op: "Dropout" });
		this.p = p;
	}

	/** `x [...] → [...]`; x itself without a key, and for p = 0. */
	forward(x: Tensor, key?: DropoutKey): Tensor {
		const masks = this.keyOf(x, key);
		return masks === undefined ? x : dropout(x, this.p, masks, this.maskOptions(x));
	}

	/** The randomness of this module's masks; undefined where nothing is dropped. */
	keyOf(x: Tensor, key?: DropoutKey): DropoutKey | undefined {
		expects("Dropout", { x, key }, { x: "tensor", key: optional(KEY) });
		return key === undefined || this.p === 0 ? undefined : key.fold(this.path);
	}

	/** How the mask lies over x. */
	protected maskOptions(_: Tensor): DropoutOptions {
		return {};
	}

	override extraRepr(): string {
		return `p=${this.p}`;
	}
}

/** `Dropout` of whole channels, torch's Dropout2d: `x [..., C, H, W]`, of which each `[H, W]` is dropped or kept as one. Tompson et al. 2015. */
export class Dropout2d extends Dropout {
	protected override maskOptions(x: Tensor): DropoutOptions {
		return { shape: x.shape.map((d, i) => (i < x.rank - 2 ? d : 1)) };
	}
}
