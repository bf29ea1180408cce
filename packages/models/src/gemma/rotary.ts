import { Module, ModuleBuffer } from "@hushgrad/nn";
import { type Device, slice, type Tensor } from "@hushgrad/tensor";

export interface RotaryRows {
	readonly cos: Tensor;
	readonly sin: Tensor;
}

/**
 * Tables of the rotary embedding for every position, made on the host in the f32 steps of transformers:
 * angle[t, i] = t * theta^(-2i / headDim). cos and sin [positions, headDim / 2]. Made when the model is loaded.
 */
export class RotaryTables extends Module {
	readonly cos = new ModuleBuffer();
	readonly sin = new ModuleBuffer();
	readonly #positions: number;
	readonly #headDim: number;
	readonly #theta: number;

	constructor(positions: number, headDim: number, theta: number) {
		super();
		this.#positions = positions;
		this.#headDim = headDim;
		this.#theta = theta;
	}

	/** Computes the tables. */
	init(device: Device): void {
		const half = this.#headDim / 2;
		const shape = [this.#positions, half];
		const cos = new Float32Array(this.#positions * half);
		const sin = new Float32Array(this.#positions * half);
		for (let i = 0; i < half; i++) {
			const frequency = Math.fround(1 / Math.fround(this.#theta ** Math.fround((2 * i) / this.#headDim)));
			for (let t = 0; t < this.#positions; t++) {
				const angle = Math.fround(t * frequency);
				cos[t * half + i] = Math.cos(angle);
				sin[t * half + i] = Math.sin(angle);
			}
		}
		this.cos.assign(device.fromHost(cos, shape));
		this.sin.assign(device.fromHost(sin, shape));
	}

	/** Those of all positions. */
	get all(): RotaryRows {
		return { cos: this.cos.value, sin: this.sin.value };
	}

	/** Rows start..start+count-1, as views. */
	rows(start: number, count: number): RotaryRows {
		return { cos: slice(this.cos.value, 0, start, start + count), sin: slice(this.sin.value, 0, start, start + count) };
	}
}
