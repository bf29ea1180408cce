import { type CrossEntropyOptions, crossEntropy, type LossOptions, mseLoss, type Tensor } from "@hushgrad/tensor";
import { expects, named, oneOf, optional, optionsOf } from "@hushgrad/tensor/author";
import { Module } from "./module.ts";

const REDUCTION = optional(oneOf("mean", "sum", "none"));

/** `crossEntropy` as a module. */
export class CrossEntropyLoss extends Module {
	/** As of `crossEntropy`. */
	readonly options: Readonly<Omit<CrossEntropyOptions, "weight">>;
	/** Weight of each class, `[C]`. */
	readonly #weight: Tensor | undefined;

	/** The options of `crossEntropy`; a weight stays the caller's to release. */
	constructor(options: CrossEntropyOptions = {}) {
		super();
		const { weight, ...own } = optionsOf("CrossEntropyLoss", options, {
			...{ axis: "whole?", weight: "tensor?", ignoreIndex: "whole?", labelSmoothing: "number?" },
			reduction: REDUCTION,
		});
		this.options = own;
		this.#weight = weight;
	}

	/** The loss of logits with labels or probabilities. Errors as of `crossEntropy`. */
	forward(logits: Tensor, target: Tensor): Tensor {
		return crossEntropyLoss(logits, target, { ...this.options, weight: this.#weight });
	}
}

/** `mseLoss` as a module. */
export class MSELoss extends Module {
	/** As of `mseLoss`. */
	readonly options: LossOptions;

	/** The options of `mseLoss`. */
	constructor(options: LossOptions = {}) {
		super();
		this.options = optionsOf("MSELoss", options, { reduction: REDUCTION });
	}

	/** The loss of input and target. Errors as of `mseLoss`. */
	forward(input: Tensor, target: Tensor): Tensor {
		return meanSquares(input, target, this.options);
	}
}

const crossEntropyLoss = named("CrossEntropyLoss", (logits: Tensor, target: Tensor, options: CrossEntropyOptions): Tensor => {
	expects("CrossEntropyLoss", { logits, target }, { logits: "tensor", target: "tensor" });
	return crossEntropy(logits, target, options);
});

const meanSquares = named("MSELoss", (input: Tensor, target: Tensor, options: LossOptions): Tensor => {
	expects("MSELoss", { input, target }, { input: "tensor", target: "tensor" });
	return mseLoss(input, target, options);
});
