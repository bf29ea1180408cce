import { type CrossEntropyOptions, crossEntropy, type LossOptions, mseLoss, type Tensor } from "@hushgrad/tensor";
import { Module } from "./module.ts";

/** `crossEntropy` as a module. */
export class CrossEntropyLoss extends Module {
	/** As of `crossEntropy`. */
	readonly options: Readonly<Omit<CrossEntropyOptions, "weight">>;
	/** Weight of each class, `[C]`. */
	readonly #weight: Tensor | undefined;

	/** The options of `crossEntropy`; a weight stays the caller's to release. */
	constructor({ weight, ...options }: CrossEntropyOptions = {}) {
		super();
		this.options = options;
		this.#weight = weight;
	}

	/** The loss of logits with labels or probabilities. Errors as of `crossEntropy`. */
	forward(logits: Tensor, target: Tensor): Tensor {
		return crossEntropy(logits, target, { ...this.options, weight: this.#weight });
	}
}

/** `mseLoss` as a module. */
export class MSELoss extends Module {
	/** As of `mseLoss`. */
	readonly options: LossOptions;

	/** The options of `mseLoss`. */
	constructor(options: LossOptions = {}) {
		super();
		this.options = options;
	}

	/** The loss of input and target. Errors as of `mseLoss`. */
	forward(input: Tensor, target: Tensor): Tensor {
		return mseLoss(input, target, this.options);
	}
}
