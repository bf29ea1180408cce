import { type Device, slice, type Tensor } from "@hushgrad/tensor";

export interface RotaryRows {
	readonly cos: Tensor;
	readonly sin: Tensor;
}

/**
 * Tables of the rotary embedding for every position, made on the host in the f32 steps of transformers:
 * angle[t, i] = t * theta^(-2i / headDim). cos and sin [positions, headDim / 2].
 */
export class RotaryTables {
	readonly #cos: Tensor;
	readonly #sin: Tensor;

	constructor(device: Device, positions: number, headDim: number, theta: number) {
		const half = headDim / 2;
		const cos = new Float32Array(positions * half);
		const sin = new Float32Array(positions * half);
		for (let i = 0; i < half; i++) {
			const frequency = Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / headDim)));
			for (let t = 0; t < positions; t++) {
				const angle = Math.fround(t * frequency);
				cos[t * half + i] = Math.cos(angle);
				sin[t * half + i] = Math.sin(angle);
			}
		}
		this.#cos = device.keep(device.fromHost(cos, [positions, half]));
		this.#sin = device.keep(device.fromHost(sin, [positions, half]));
	}

	/** Rows start..start+count-1, as views. */
	rows(start: number, count: number): RotaryRows {
		return { cos: slice(this.#cos, 0, start, start + count), sin: slice(this.#sin, 0, start, start + count) };
	}

	dispose(): void {
		this.#cos.dispose();
		this.#sin.dispose();
	}
}
