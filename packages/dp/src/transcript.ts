import { data, type Tensor } from "@hushgrad/tensor";
import type { Clipped } from "./clip/clip.ts";
import type { GaussianMechanism, SumSteps } from "./mechanism.ts";
import type { Transcript } from "./secureRandom.ts";

/** Notes what happens in a step of a study. */
export class TranscriptWriter {
	readonly #mechanism: GaussianMechanism;
	readonly #step: number;
	readonly #batch: Int32Array;
	readonly #factors: Tensor[] = [];

	constructor(mechanism: GaussianMechanism, step: number, batch: Int32Array) {
		this.#mechanism = mechanism;
		this.#step = step;
		this.#batch = batch;
	}

	add({ factors }: Clipped): void {
		this.#factors.push(factors.device.keep(factors));
	}

	/** The transcript; sum and noise in grid steps. */
	async write(sum: SumSteps, noise: Float64Array, mean: Float32Array): Promise<Transcript> {
		const { grid, length } = this.#mechanism;
		const groups = this.#factors[0]?.shape[1] ?? 1;
		const rows = (await Promise.all(this.#factors.map((t) => data(t)))).flatMap((f) => [...f]);
		const inUnits = (steps: SumSteps): Float64Array => Float64Array.from(steps.subarray(0, length), (v) => v * grid);
		const factors = Float64Array.from(rows.slice(0, this.#batch.length * groups), (f) => Math.max(0, f) * grid);
		return { step: this.#step, batch: this.#batch, factors, sum: inUnits(sum), noise: inUnits(noise), mean };
	}

	dispose(): void {
		for (const t of this.#factors) t.dispose();
	}
}
