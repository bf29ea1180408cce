import { cast, cat, type Device, reshape, type Shape, ShapeError, slice, Tensor, ValueError } from "@hushgrad/tensor";
import { expects, insideOf, isIterable, type Kind, sameShape, showShape } from "@hushgrad/tensor/author";
import { PARAMETER, Parameter } from "../parameter.ts";

/** A run of coordinates of the vector: one parameter, or a group of them. */
export interface Range {
	/** First coordinate. */
	readonly start: number;
	/** One past the last coordinate. */
	readonly end: number;
}

/** Whether a value is a gradient of this shape, and of no single record. */
export const isGradient = (g: unknown, shape: Shape): g is Tensor =>
	g instanceof Tensor && g.dtype === "f32" && sameShape(g.shape, shape) && insideOf(g).records === undefined;

const PARAMETERS: Kind = [(v) => Array.isArray(v) && v.every((p) => p instanceof Parameter), "a list of Parameters"];

/**
 * The trainable state as mathematics writes it: one vector in R^P, f32, in one buffer, of which the parameters are views. An
 * optimiser updates it in one go, and the privacy engine clips, sums, noises and checks it in one go, however many tensors there
 * are.
 */
export class ParameterVector {
	/** The parameters, in the order of their coordinates. */
	readonly parameters: readonly Parameter[];
	/** P, the number of coordinates. */
	readonly length: number;
	readonly #starts: readonly number[];
	readonly #owner: string;
	#tensor: Tensor | undefined;

	/**
	 * `owner` is whose it is, for error texts.
	 * @throws ValueError for no parameters, one given twice, or a frozen one.
	 */
	constructor(parameters: Iterable<Parameter>, owner: string) {
		expects("ParameterVector", { owner }, { owner: "text" });
		const list = isIterable(parameters) ? [...parameters] : parameters;
		expects(owner, { parameters: list }, { parameters: PARAMETERS });
		this.parameters = list;
		this.#owner = owner;
		if (this.parameters.length === 0) {
			throw new ValueError("optim/empty", `${owner}: no parameters to train`, {
				hint: "model.trainableParameters() lists them; is all of the model frozen?",
			});
		}
		const twice = this.parameters.find((p, i) => this.parameters.indexOf(p) !== i);
		if (twice !== undefined) throw new ValueError("optim/twice", `${owner}: ${twice.label} is given twice`);
		const frozen = this.parameters.find((p) => !p.trainable);
		if (frozen !== undefined)
			throw new ValueError("optim/frozen", `${owner}: ${frozen.label} is frozen`, { hint: "give the trainable parameters only" });
		let length = 0;
		this.#starts = this.parameters.map((p) => {
			length += p.size;
			return length - p.size;
		});
		this.length = length;
	}

	/**
	 * The vector, f32 `[P]`. The parameters become views of it when it is first asked for; those of bf16 and f16 are f32 from then
	 * on.
	 * @throws ValueError when a parameter has no value, or another optimiser holds it.
	 */
	get tensor(): Tensor {
		if (this.#tensor !== undefined) return this.#tensor;
		const { device } = this.parameters[0].value;
		for (const p of this.parameters) p.checkFree(this.#owner);
		device.scope(() => {
			const vector = device.keep(cat(this.parameters.map((p) => reshape(cast(p.value, "f32"), [p.size]))));
			this.parameters.forEach((p, i) => {
				p.bind(device.keep(reshape(slice(vector, 0, this.#starts[i], this.#starts[i] + p.size), p.shape)), this.#owner);
			});
			this.#tensor = vector;
		});
		return this.tensor;
	}

	/** The device of the vector. Errors as of `tensor`. */
	get device(): Device {
		return this.tensor.device;
	}

	/** The coordinates of one of the parameters. @throws ValueError for another one. */
	rangeOf(parameter: Parameter): Range {
		expects("ParameterVector.rangeOf", { parameter }, { parameter: PARAMETER });
		const start = this.#starts[this.parameters.indexOf(parameter)];
		if (start === undefined) {
			throw new ValueError(
				"optim/parameter",
				`ParameterVector.rangeOf: ${parameter} is none of the ${this.parameters.length} of ${this.#owner}`,
			);
		}
		return { start, end: start + parameter.size };
	}

	/**
	 * The name of the parameter that a coordinate belongs to; `parameter {i}` where it has none.
	 * @throws ValueError unless it is a coordinate.
	 */
	nameAt(offset: number): string {
		expects(
			"ParameterVector.nameAt",
			{ offset },
			{ offset: [(v) => Number.isInteger(v) && offset >= 0 && offset < this.length, `a whole number below ${this.length}`] },
		);
		const i = this.#starts.findLastIndex((start) => start <= offset);
		return this.parameters[i].name || `parameter ${i}`;
	}

	/**
	 * @throws ValueError unless there is one gradient a parameter; ShapeError unless each, in order, is f32, of the shape of its
	 * parameter, and of no single record.
	 */
	check(grads: readonly Tensor[]): void {
		expects(this.#owner, { gradients: grads }, { gradients: "tensors" });
		if (grads.length !== this.parameters.length) {
			throw new ValueError("optim/grads", `${this.#owner}: ${grads.length} gradients for ${this.parameters.length} parameters`);
		}
		this.parameters.forEach(({ shape, label }, i) => {
			const g = grads[i];
			if (!isGradient(g, shape)) {
				throw new ShapeError("optim/grad-shape", `${this.#owner}: the gradient of ${label} is ${g}, expected f32 ${showShape(shape)}`, {
					hint: "gradients of single records go to the privacy engine, not to an optimiser",
				});
			}
		});
	}

	/** One gradient a parameter, in order, as one vector `[P]`. Errors as of `check`. */
	join(grads: readonly Tensor[]): Tensor {
		this.check(grads);
		return cat(grads.map((g) => reshape(g, [g.size])));
	}

	/** Lets the parameters go; they keep their values, and other optimisers may take them. */
	dispose(): void {
		for (const p of this.#tensor === undefined ? [] : this.parameters) p.unbind();
		this.#tensor?.dispose();
		this.#tensor = undefined;
	}
}
