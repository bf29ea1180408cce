import { type Shape, ShapeError, type Slot, type Tensor, ValueError } from "@hushgrad/tensor";

export interface ParameterOptions {
	/** Whether training changes it. */
	readonly trainable?: boolean;
}

/**
 * A named place for a tensor inside a module. It knows its shape before it has a value, so that a model can be built,
 * counted and printed without memory.
 */
export class Parameter implements Slot {
	readonly shape: Shape;
	trainable: boolean;
	#value: Tensor | undefined;

	constructor(shape: Shape, { trainable = true }: ParameterOptions = {}) {
		this.shape = shape;
		this.trainable = trainable;
	}

	/** Number of elements. */
	get size(): number {
		return this.shape.reduce((n, d) => n * d, 1);
	}

	get hasValue(): boolean {
		return this.#value !== undefined;
	}

	/** The tensor. Assigning here borrows it; `assign` takes it over. */
	get value(): Tensor {
		if (this.#value === undefined) {
			throw new ValueError("parameter/empty", `a parameter of shape [${this.shape.join(", ")}] has no value yet`, {
				hint: "load a checkpoint or initialise the module first",
			});
		}
		return this.#value;
	}

	set value(tensor: Tensor) {
		this.#value = tensor;
	}

	/** Replaces the tensor for good: takes the new one out of every scope and releases the old one. */
	assign(tensor: Tensor): void {
		if (tensor.shape.length !== this.shape.length || tensor.shape.some((d, i) => d !== this.shape[i])) {
			throw new ShapeError("parameter/shape", `a parameter of shape [${this.shape.join(", ")}] cannot hold [${tensor.shape.join(", ")}]`);
		}
		const old = this.#value;
		this.#value = tensor.device.keep(tensor);
		if (old !== tensor) old?.dispose();
	}

	/** Releases the tensor; the parameter is as it was before it had a value. */
	dispose(): void {
		this.#value?.dispose();
		this.#value = undefined;
	}
}
