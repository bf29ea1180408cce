import { data, type Tensor } from "@hushgrad/tensor";
import type { BoundedSum } from "./boundedSum.ts";
import type { Clipped } from "./clip/clip.ts";
import type { GaussianMechanism } from "./mechanism.ts";
import { copyOfNoise, type NoiseDraw } from "./noiseDraw.ts";
import type { Transcript } from "./secureRandom.ts";

/** Notes what happens in a step of a study. */
export class TranscriptWriter {
	readonly #mechanism: GaussianMechanism;
	readonly #step: number;
	readonly #batch: Int32Array;
	readonly #factors: Tensor[] = [];
	#noise: Float64Array = new Float64Array();

	constructor(mechanism: GaussianMechanism, step: number, batch: Int32Array) {
		this.#mechanism = mechanism;
		this.#step = step;
		this.#batch = batch;
	}

	add({ factors }: Clipped): void {
		this.#factors.push(factors.device.keep(factors));
	}

	/** Notes the noise, before it is taken. */
	note(draw: NoiseDraw): void {
		this.#noise = copyOfNoise(draw) ?? this.#noise;
	}

	/** The transcript. */
	async write(sum: BoundedSum, mean: Tensor): Promise<Transcript> {
		const { grid, length } = this.#mechanism;
		const groups = this.#factors[0]?.shape[1] ?? 1;
		const rows = (await Promise.all(this.#factors.map((t) => data(t)))).flatMap((f) => [...f]);
		const inUnits = (steps: Float64Array): Float64Array => steps.subarray(0, length).map((v) => v * grid);
		const factors = Float64Array.from(rows.slice(0, this.#batch.length * groups), (f) => Math.max(0, f) * grid);
		return {
			...{ step: this.#step, batch: this.#batch, factors },
			...{ sum: inUnits(await sum.read()), noise: inUnits(this.#noise), mean: Float32Array.from(await data(mean)) },
		};
	}

	dispose(): void {
		for (const t of this.#factors) t.dispose();
	}
}
