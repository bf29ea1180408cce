import { assign, type Device, linear, type Shape, ShapeError, type Slot, type Tensor, ValueError } from "@hushgrad/tensor";
import { sameShape, showShape } from "@hushgrad/tensor/author";
import { fromFloat32 } from "./safetensors/convert.ts";

/** How a weight is held on the device. */
export type Format = "f32" | "bf16" | "f16" | "nf4";

export interface ParameterOptions {
	/** Whether training changes it. */
	readonly trainable?: boolean | undefined;
	/** Keep a checkpoint's bf16 as it is: for tables, which the ops that read them widen. */
	readonly keepsBf16?: boolean | undefined;
}

/**
 * A named place for a weight inside a module. It knows its shape before it has a value, so that a model can be built,
 * counted and printed without memory. `NF4Parameter` holds it in four bits.
 */
export class Parameter implements Slot {
	readonly shape: Shape;
	/** Path in its model, for error texts; set by `Module.namePaths`. */
	name = "";
	readonly #keepsBf16: boolean;
	#trainable: boolean;
	#value: Tensor | undefined;
	#owner: string | undefined;

	constructor(shape: Shape, { trainable = true, keepsBf16 = false }: ParameterOptions = {}) {
		this.shape = shape;
		this.#trainable = trainable;
		this.#keepsBf16 = keepsBf16;
	}

	/** Number of weights. */
	get size(): number {
		return this.shape.reduce((n, d) => n * d, 1);
	}

	get format(): Format {
		return (this.#value?.dtype ?? "f32") as Format;
	}

	get trainable(): boolean {
		return this.#trainable;
	}

	set trainable(trainable: boolean) {
		this.#trainable = trainable;
	}

	get hasValue(): boolean {
		return this.tensors().length > 0;
	}

	/** The tensor. Assigning here borrows it; `assign` takes it over. */
	get value(): Tensor {
		if (this.#value === undefined) throw this.emptyError();
		return this.#value;
	}

	set value(tensor: Tensor) {
		this.#value = tensor;
	}

	/** The tensors that hold the weight, as they lie on the device: none before it has a value. */
	tensors(): readonly Tensor[] {
		return this.#value === undefined ? [] : [this.#value];
	}

	/** The weight as one tensor of numbers; for quantised ones a new one, of the current scope. */
	dequantize(): Tensor {
		return this.value;
	}

	/** x W^T for a weight [out, in]: x [..., in] -> [..., out]. */
	linear(x: Tensor): Tensor {
		return linear(x, this.value);
	}

	/**
	 * Replaces the value for good and takes the new tensor over: out of every scope, and the old one is released. While an
	 * optimiser holds the parameter, the numbers go into its vector and the new tensor is released.
	 */
	assign(tensor: Tensor): void {
		if (!sameShape(tensor.shape, this.shape)) {
			throw new ShapeError("parameter/shape", `${this.label} of shape ${showShape(this.shape)} cannot hold ${tensor}`);
		}
		if (this.#owner !== undefined) {
			if (tensor === this.#value) return;
			assign(this.value, tensor);
			tensor.dispose();
			return;
		}
		const old = this.#value;
		this.#value = tensor.device.keep(tensor);
		if (old !== tensor) old?.dispose();
	}

	/** Takes over the values of a checkpoint, which stood there as `source` (F32, BF16, F16). */
	load(device: Device, values: Float32Array, source: string): void {
		const isKept = this.#keepsBf16 && source === "BF16";
		this.assign(isKept ? device.fromHost(fromFloat32(values, "BF16"), this.shape, "bf16") : device.fromHost(values, this.shape));
	}

	/**
	 * Makes the value a view of an optimiser's vector: from now on `assign` writes into it.
	 * @throws ValueError when another optimiser holds it.
	 */
	bind(view: Tensor, owner: string): void {
		this.checkFree();
		this.assign(view);
		this.#owner = owner;
	}

	/** @throws ValueError when an optimiser holds it. */
	checkFree(): void {
		if (this.#owner === undefined) return;
		throw new ValueError("parameter/bound", `${this.label} is trained by ${this.#owner} already`, {
			hint: "dispose that optimiser first; two of them would overwrite each other",
		});
	}

	/** Ends what `bind` began; the value stays. */
	unbind(): void {
		this.#owner = undefined;
	}

	/** Releases the tensor; the parameter is as it was before it had a value. */
	dispose(): void {
		this.#value?.dispose();
		this.#value = undefined;
	}

	/** What to call it in a message. */
	get label(): string {
		return this.name === "" ? "a parameter" : this.name;
	}

	protected emptyError(): ValueError {
		return new ValueError("parameter/empty", `${this.label} of shape ${showShape(this.shape)} has no value yet`, {
			hint: "load a checkpoint or initialise the module first",
		});
	}
}

/** A tensor that belongs to a module but is neither trained nor saved: tables that its forward pass reads. */
export class ModuleBuffer {
	#value: Tensor | undefined;

	get hasValue(): boolean {
		return this.#value !== undefined;
	}

	get value(): Tensor {
		if (this.#value === undefined)
			throw new ValueError("buffer/empty", "a buffer of a module has no value yet", { hint: "load the model, or call its init(device)" });
		return this.#value;
	}

	/** Takes the tensor out of every scope. */
	assign(tensor: Tensor): void {
		this.dispose();
		this.#value = tensor.device.keep(tensor);
	}

	dispose(): void {
		this.#value?.dispose();
		this.#value = undefined;
	}
}
