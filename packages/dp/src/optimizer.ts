import { type Slot, type Tensor, ValueError } from "@hushgrad/tensor";
import { shown } from "@hushgrad/tensor/author";

/** The trainable state: one vector in R^P, of which the parameters are views. `ParameterVector` of `@hushgrad/nn` is one. */
export interface TrainableVector {
	/** The vector, f32 `[P]`. */
	readonly tensor: Tensor;
	/** P, the number of coordinates. */
	readonly length: number;
	/** The parameters, in the order of their coordinates. */
	readonly parameters: readonly (Slot & {
		/** Number of coordinates. */
		readonly size: number;
		/** Name in messages. */
		readonly label: string;
	})[];
	/** The name of the parameter that a coordinate belongs to, for messages. */
	nameAt(offset: number): string;
}

/**
 * What the engine needs of an optimiser: the parameters it trains, and a step with the gradient by all of them. Those of
 * `@hushgrad/nn` are such.
 */
export interface Optimizer {
	/** Rate of the next step; where it is 0 the engine does not ask whether parameters move. */
	readonly lr: number;
	/** What it trains. */
	readonly vector: TrainableVector;
	/** Applies the noisy mean gradient, f32 `[P]`, to the vector, in place. It sees nothing else of the records. */
	step(gradient: Tensor): void;
}

/** @throws ValueError for what is no optimiser. */
export function checkOptimizer(op: string, optimizer: Optimizer): void {
	const { vector, step } = (optimizer ?? {}) as Partial<Optimizer>;
	if (typeof vector === "object" && vector !== null && typeof step === "function") return;
	throw new ValueError("call/argument", `${op}: optimizer is ${shown(optimizer)}, expected an optimiser`, {
		op,
		hint: "those of @hushgrad/nn are such: new AdamW(model.trainableParameters(), { lr })",
	});
}

/**
 * Public by declaration: the tensors of a model that its forward pass may read, frozen weights and buffers. Any `Module` is one.
 */
export interface PublicState {
	/** The tensors; asked for in every physical batch. */
	stateTensors(): Iterable<Tensor>;
}
