import { gelu, relu, sigmoid, silu, softmax, type Tensor, tanh } from "@hushgrad/tensor";
import { expects, oneOf, optional, optionsOf } from "@hushgrad/tensor/author";
import { Module } from "./module.ts";

/* Activations as modules, for models that are written with torch's names; `Sequential` takes the functions too. */

/** max(x, 0), element by element: `relu` as a module. */
export class ReLU extends Module {
	/** `x [...] → [...]`. */
	forward(x: Tensor): Tensor {
		return relu(x);
	}
}

/** x sigmoid(x), element by element: `silu` as a module. */
export class SiLU extends Module {
	/** `x [...] → [...]`. */
	forward(x: Tensor): Tensor {
		return silu(x);
	}
}

/** The hyperbolic tangent, element by element: `tanh` as a module. */
export class Tanh extends Module {
	/** `x [...] → [...]`. */
	forward(x: Tensor): Tensor {
		return tanh(x);
	}
}

/** 1 / (1 + e⁻ˣ), element by element: `sigmoid` as a module. */
export class Sigmoid extends Module {
	/** `x [...] → [...]`. */
	forward(x: Tensor): Tensor {
		return sigmoid(x);
	}
}

/** `gelu` as a module. */
export class GELU extends Module {
	/** "none" for the exact form, or "tanh". */
	readonly approximate: "none" | "tanh";

	/** `approximate` is "none" when left out. @throws ValueError for another form. */
	constructor(options: { readonly approximate?: "none" | "tanh" | undefined } = {}) {
		super();
		const { approximate = "none" } = optionsOf("GELU", options, { approximate: optional(oneOf("none", "tanh")) });
		this.approximate = approximate;
	}

	/** `x [...] → [...]`. */
	forward(x: Tensor): Tensor {
		return gelu(x, { approximate: this.approximate });
	}

	override extraRepr(): string {
		return `approximate='${this.approximate}'`;
	}
}

/** `softmax` as a module. */
export class Softmax extends Module {
	/** The axis along which it sums to 1. */
	readonly axis: number;

	/** `axis` is the last when left out. */
	constructor(axis = -1) {
		super();
		expects("Softmax", { axis }, { axis: "whole" });
		this.axis = axis;
	}

	/** `x [...] → [...]`. */
	forward(x: Tensor): Tensor {
		return softmax(x, this.axis);
	}

	override extraRepr(): string {
		return `axis=${this.axis}`;
	}
}
