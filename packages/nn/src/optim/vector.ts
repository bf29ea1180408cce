import { cast, cat, type Device, reshape, ShapeError, slice, Tensor, ValueError } from "@hushgrad/tensor";
import { showShape } from "@hushgrad/tensor/author";
import type { Parameter } from "../parameter.ts";

/** A run of the vector: one parameter, or a group of them. */
export interface Range {
	readonly start: number;
	readonly end: number;
}

/**
 * The trainable state as mathematics writes it: one vector in R^P, in one buffer, of which the parameters are views. An
 * optimiser updates it in one go and the privacy engine clips, sums, noises and checks it in one go, however many tensors
 * there are.
 */
export class ParameterVector {
	readonly parameters: readonly Parameter[];
	/** P, the number of coordinates. */
	readonly length: number;
	readonly #starts: readonly number[];
	readonly #owner: string;
	#tensor: Tensor | undefined;

	/** `owner` is whose it is, for error texts. @throws ValueError for no parameters, one given twice, or a frozen one. */
	constructor(parameters: Iterable<Parameter>, owner: string) {
		this.parameters = [...parameters];
		this.#owner = owner;
		if (this.parameters.length === 0) {
			throw new ValueError("optim/empty", `${owner}: no parameters to train`, { hint: "model.trainableParameters() lists them; is all of the model frozen?" });
		}
		const twice = this.parameters.find((p, i) => this.parameters.indexOf(p) !== i);
		if (twice !== undefined) throw new ValueError("optim/twice", `${owner}: ${twice.label} is given twice`);
		const frozen = this.parameters.find((p) => !p.trainable);
		if (frozen !== undefined) throw new ValueError("optim/frozen", `${owner}: ${frozen.label} is frozen`, { hint: "give the trainable parameters only" });
		let length = 0;
		this.#starts = this.parameters.map((p) => {
			length += p.size;
			return length - p.size;
		});
		this.length = length;
	}

	/** The vector, f32 [P]. The parameters become views of it when it is first asked for. */
	get tensor(): Tensor {
		if (this.#tensor !== undefined) return this.#tensor;
		const { device } = this.parameters[0].value;
		device.scope<void>(() => {
			const vector = device.keep(cat(this.parameters.map((p) => reshape(cast(p.value, "f32"), [p.size]))));
			this.parameters.forEach((p, i) => {
				p.bind(device.keep(reshape(slice(vector, 0, this.#starts[i], this.#starts[i] + p.size), p.shape)), this.#owner);
			});
			this.#tensor = vector;
		});
		return this.tensor;
	}

	get device(): Device {
		return this.tensor.device;
	}

	/** The coordinates of a parameter. */
	rangeOf(parameter: Parameter): Range {
		const start = this.#starts[this.parameters.indexOf(parameter)];
		return { start, end: start + parameter.size };
	}

	/** The parameter that a coordinate belongs to. */
	nameAt(offset: number): string {
		const i = this.#starts.findLastIndex((start) => start <= offset);
		return this.parameters[i].name || `parameter ${i}`;
	}

	/**
	 * One gradient a parameter, in order, as one vector [P].
	 * @throws ShapeError, ValueError when they do not fit the parameters.
	 */
	join(grads: readonly Tensor[]): Tensor {
		if (grads.length !== this.parameters.length) {
			throw new ValueError("optim/grads", `${this.#owner}: ${grads.length} gradients for ${this.parameters.length} parameters`);
		}
		this.parameters.forEach(({ shape, label }, i) => {
			const g = grads[i];
			if (!(g instanceof Tensor) || g.rank !== shape.length || g.shape.some((d, k) => d !== shape[k])) {
				const got = g instanceof Tensor ? showShape(g.shape) : String(g);
				throw new ShapeError("optim/grad-shape", `${this.#owner}: the gradient of ${label} is ${got}, expected ${showShape(shape)}`, {
					hint: "gradients of single records go to the privacy engine, not to an optimiser",
				});
			}
		});
		return cat(grads.map((g) => reshape(g, [g.size])));
	}

	/** Lets the parameters go; they keep their values. */
	dispose(): void {
		for (const p of this.#tensor === undefined ? [] : this.parameters) p.unbind();
		this.#tensor?.dispose();
		this.#tensor = undefined;
	}
}
