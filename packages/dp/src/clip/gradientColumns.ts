import { type Device, reshape, slice, type Tensor, vmap } from "@hushgrad/tensor";
import { privateProgram, rowsOf, type StreamedGradient, sizeOf, tensorsIn } from "@hushgrad/tensor/author";

/** Rows of a parameter that are computed together. */
const TILE = 8;

/**
 * Gradients of the records of a physical batch by one parameter, computed column by column when asked for: by operations of the library, from
 * tensors that nobody writes, so that the same bits come each time. No object of another kind passes for one, since norms bound the sum
 * only where both see the same gradient.
 */
export class GradientColumns {
	readonly #device: Device;
	readonly #gradient: StreamedGradient;
	/** Numbers in a row of the parameter. */
	readonly #width: number;

	static {
		Object.freeze(GradientColumns.prototype);
	}

	/** `gradient` is that of each record, its tensors `[B, …]`. The engine makes them. */
	constructor(device: Device, gradient: StreamedGradient) {
		this.#device = device;
		this.#gradient = gradient;
		this.#width = sizeOf(gradient.shape.slice(1));
		Object.freeze(this);
	}

	/** Whether a value was made by this class. */
	static [Symbol.hasInstance](value: unknown): boolean {
		return typeof value === "object" && value !== null && #gradient in value;
	}

	/** Numbers in the gradient of one record. */
	get columns(): number {
		return sizeOf(this.#gradient.shape);
	}

	/** Numbers that are computed together: fewer cost as much. */
	get together(): number {
		return TILE * this.#width;
	}

	/** Columns from..to−1 of all records, f32 `[B, to − from]`: each by a closed program for one record. */
	read(from: number, to: number): Tensor {
		const [gradient, width] = [this.#gradient, this.#width];
		const first = TILE * Math.floor(from / this.together);
		const rows = { from: first, to: Math.min(gradient.shape[0], TILE * Math.ceil(to / this.together)) };
		const ofRecord = (own: StreamedGradient): Tensor =>
			slice(reshape(rowsOf(own, rows), [(rows.to - rows.from) * width]), 0, from - first * width, to - first * width);
		return privateProgram(this.#device, tensorsIn(gradient), () => vmap(ofRecord)(gradient));
	}
}
