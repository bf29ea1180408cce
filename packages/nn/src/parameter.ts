import {
	assign,
	type Device,
	type DType,
	DTypeError,
	linear,
	type Shape,
	ShapeError,
	type Slot,
	type Tensor,
	ValueError,
} from "@hushgrad/tensor";
import { blaming, expects, instanceOf, type Kind, optionsOf, sameShape, showShape } from "@hushgrad/tensor/author";
import { checkBranch, type LowRankBranch, lowRank } from "./lowRank.ts";
import { fromFloat32 } from "./safetensors/convert.ts";
import { linearUpdatedPrimitive } from "./updated.ts";

/** How a weight is held on the device: in one tensor of f32, bf16 or f16, or in four bits (`NF4Parameter`). */
export type Format = "f32" | "bf16" | "f16" | "nf4";

const isFormat = (dtype: DType): dtype is DType & Format => dtype === "f32" || dtype === "bf16" || dtype === "f16";

/** Options of a `Parameter`. */
export interface ParameterOptions {
	/** Whether training changes it; true when left out. */
	readonly trainable?: boolean | undefined;
	/** Whether `load` keeps a checkpoint's bf16: for tables, which the operations that read them widen. False when left out. */
	readonly keepsBf16?: boolean | undefined;
}

/**
 * A named place for a weight inside a module. It knows its shape before it has a value, so that a model can be built, counted and
 * printed without memory. `NF4Parameter` holds it in four bits.
 */
export class Parameter implements Slot {
	/** Shape of the weight, values or not. */
	readonly shape: Shape;
	/** Path in its model, for error texts; "" before `Module.namePaths`. */
	name = "";
	readonly #keepsBf16: boolean;
	#trainable: boolean;
	#value: Tensor | undefined;
	#owner: string | undefined;

	/** Without a value: `assign` and `load` give one. */
	constructor(shape: Shape, options: ParameterOptions = {}) {
		expects(new.target.name, { shape }, { shape: "shape" });
		const { trainable = true, keepsBf16 = false } = optionsOf("Parameter", options, { trainable: "flag?", keepsBf16: "flag?" });
		this.shape = shape;
		this.#trainable = trainable;
		this.#keepsBf16 = keepsBf16;
	}

	/** Number of weights: the product of the shape. */
	get size(): number {
		return this.shape.reduce((n, d) => n * d, 1);
	}

	/** How the value is held; f32 before there is one. */
	get format(): Format {
		const { dtype } = this.#value ?? {};
		return dtype !== undefined && isFormat(dtype) ? dtype : "f32";
	}

	/** Whether training changes it: what `Module.trainableParameters` lists, and all that an optimiser takes. */
	get trainable(): boolean {
		return this.#trainable;
	}

	/** Freezes it (false) or lets it be trained. An optimiser that holds it already goes on. */
	set trainable(trainable: boolean) {
		this.#trainable = trainable;
	}

	/** Whether it has a value. */
	get hasValue(): boolean {
		return this.tensors().length > 0;
	}

	/**
	 * The tensor, of this shape.
	 * @throws ValueError before there is one.
	 */
	get value(): Tensor {
		if (this.#value === undefined) throw this.emptyError();
		return this.#value;
	}

	/**
	 * Puts a tensor here without taking it over and without a check: whoever made it releases it. It is how a gradient is taken;
	 * `assign` replaces the value for good.
	 */
	set value(tensor: Tensor) {
		this.#value = tensor;
	}

	/** The tensors that hold the weight, as they lie on the device: none before it has a value. */
	tensors(): readonly Tensor[] {
		return this.#value === undefined ? [] : [this.#value];
	}

	/**
	 * The weight as one tensor of numbers: the value itself, f32, bf16 or f16; of a quantised weight a new one, of the current
	 * scope.
	 * @throws ValueError before there is a value.
	 */
	dequantize(): Tensor {
		return this.value;
	}

	/**
	 * x Wᵀ for a weight `[out, in]`: `x [..., in] → [..., out]`.
	 * @throws ValueError before there is a value, ShapeError when the last axis of x is not `in`.
	 */
	linear(x: Tensor): Tensor {
		return linear(x, this.value);
	}

	/**
	 * x Wᵀ + s dropout(x) Aᵀ Bᵀ, a linear map with LoRA on it: `x [..., in] → [..., out]`, x in f32.
	 * @throws ValueError before there is a value, ShapeError when shapes do not fit.
	 */
	adapted(x: Tensor, branch: LowRankBranch): Tensor {
		checkBranch("Parameter.adapted", x, branch);
		return blaming("Parameter.adapted", () => linearUpdatedPrimitive.apply([x, this.value, lowRank(x, branch), branch.b])[0]);
	}

	/**
	 * Replaces the value for good and takes the new tensor over: out of every scope, and the old one is released. While an
	 * optimiser holds the parameter, the numbers go into its vector and the new tensor is released.
	 * @throws ShapeError for a tensor of another shape, DTypeError for one of integers.
	 */
	assign(tensor: Tensor): void {
		expects("Parameter.assign", { tensor }, { tensor: "tensor" });
		if (!sameShape(tensor.shape, this.shape)) {
			throw new ShapeError("parameter/shape", `Parameter.assign: ${this.label} of shape ${showShape(this.shape)} cannot hold ${tensor}`);
		}
		if (!isFormat(tensor.dtype)) {
			throw new DTypeError("parameter/dtype", `Parameter.assign: ${this.label} cannot hold ${tensor}, expected f32, bf16 or f16`);
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

	/**
	 * Takes over the values of a checkpoint, row-major, where they stood as `source` (F32, BF16, F16). They are held in f32, or in
	 * bf16 where `keepsBf16` and the source ask for it.
	 * @throws ShapeError when they do not fill the shape.
	 */
	load(device: Device, values: Float32Array, source: string): void {
		expects("Parameter.load", { device, values, source }, { device: "device", values: "floats", source: "text" });
		checkSize("Parameter.load", this, values);
		const isKept = this.#keepsBf16 && source === "BF16";
		this.assign(isKept ? device.fromHost(fromFloat32(values, "BF16"), this.shape, "bf16") : device.fromHost(values, this.shape));
	}

	/**
	 * Makes the value a view of an optimiser's vector: from now on `assign` writes into it. `ParameterVector` calls this; `owner`
	 * is the optimiser's name, for error texts.
	 * @throws ValueError when another optimiser holds it, ShapeError for a view of another shape.
	 */
	bind(view: Tensor, owner: string): void {
		expects("Parameter.bind", { view, owner }, { view: "tensor", owner: "text" });
		this.checkFree("Parameter.bind");
		blaming("Parameter.bind", () => this.assign(view));
		this.#owner = owner;
	}

	/** Refuses what `op` asks for while an optimiser holds the parameter. @throws ValueError. */
	checkFree(op: string): void {
		expects("Parameter.checkFree", { op }, { op: "text" });
		if (this.#owner === undefined) return;
		throw new ValueError("parameter/bound", `${op}: ${this.label} is trained by ${this.#owner}, whose vector holds its numbers`, {
			op,
			hint: `dispose ${this.#owner} first; the parameter keeps its value`,
		});
	}

	/** Ends what `bind` began; the value stays. Called when the optimiser is disposed. */
	unbind(): void {
		this.#owner = undefined;
	}

	/**
	 * Releases the tensor; the parameter is as it was before it had a value.
	 * @throws ValueError while an optimiser holds it, whose vector goes on.
	 */
	dispose(): void {
		this.checkFree("Parameter.dispose");
		this.#value?.dispose();
		this.#value = undefined;
	}

	/** What to call it in a message: its path, or "a parameter". */
	get label(): string {
		return this.name === "" ? "a parameter" : this.name;
	}

	/** What it is called, its format and its shape, such as "Parameter(lm_head.weight, bf16 [8, 4], frozen)"; no values. */
	toString(): string {
		const notes = `${this.trainable ? "" : ", frozen"}${this.hasValue ? "" : ", without a value"}`;
		return `Parameter(${this.name === "" ? "" : `${this.name}, `}${this.format} ${showShape(this.shape)}${notes})`;
	}

	/** What `console.log` shows: the same. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return this.toString();
	}

	/** The error for reading a value that is not there: `parameter/empty`. */
	protected emptyError(): ValueError {
		return new ValueError("parameter/empty", `${this.label} of shape ${showShape(this.shape)} has no value yet`, {
			hint: "load a checkpoint or initialise the module first",
		});
	}
}

/** What is a `Parameter`. */
export const PARAMETER: Kind = instanceOf(Parameter, "a Parameter");

/** @throws ShapeError unless the values fill the shape. */
export function checkSize(op: string, { label, shape, size }: Parameter, { length }: ArrayLike<number>): void {
	if (length === size) return;
	throw new ShapeError("parameter/values", `${op}: ${length} values for ${label} of shape ${showShape(shape)}, which holds ${size}`, {
		op,
	});
}

/**
 * A tensor that belongs to a module but is neither trained nor saved: a table that its forward pass reads. torch's non-persistent
 * buffer.
 */
export class ModuleBuffer {
	#value: Tensor | undefined;

	/** Whether it has a tensor. */
	get hasValue(): boolean {
		return this.#value !== undefined;
	}

	/**
	 * The tensor.
	 * @throws ValueError before there is one.
	 */
	get value(): Tensor {
		if (this.#value === undefined)
			throw new ValueError("buffer/empty", "a buffer of a module has no value yet", { hint: "load the model, or call its init(device)" });
		return this.#value;
	}

	/** Takes another tensor over, out of every scope; the old one is released. Its own tensor stays as it is. */
	assign(tensor: Tensor): void {
		expects("ModuleBuffer.assign", { tensor }, { tensor: "tensor" });
		if (tensor !== this.#value) this.dispose();
		this.#value = tensor.device.keep(tensor);
	}

	/** Releases the tensor; the buffer is as it was before. */
	dispose(): void {
		this.#value?.dispose();
		this.#value = undefined;
	}
}
