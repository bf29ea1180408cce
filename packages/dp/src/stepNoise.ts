import { drawOf, type GaussianMechanism } from "./mechanism.ts";
import type { NoiseDraw } from "./noiseDraw.ts";
import { NoiseWorkers } from "./noiseWorkers.ts";
import type { NoiseSource } from "./secureRandom.ts";

/** The noise of each step, drawn beside what else it does; the normals of the next step are begun with it. */
export class StepNoise {
	readonly #workers = new NoiseWorkers();
	/** Normals that were asked for before their step. */
	#ahead: Promise<Float64Array | undefined> | undefined;

	/**
	 * Begins with the noise for a step of this mechanism, and returns a function that gives it: noise that repeats is drawn now, before
	 * anything depends on records; secure noise that no worker draws is drawn then, while the GPU works. All mechanisms of a run have as many
	 * coordinates.
	 */
	begin(mechanism: GaussianMechanism, source: NoiseSource, { step, isLast }: { step: number; isLast: boolean }): () => Promise<NoiseDraw> {
		const { noise } = source.study;
		if (noise !== undefined || !source.secure) {
			const draw = noise === undefined ? mechanism.draw(source) : mechanism.given(noise(step, mechanism.length));
			return async () => draw;
		}
		const length = mechanism.length + mechanism.counts;
		const asked = this.#ahead ?? this.#workers.normals(length);
		this.#ahead = isLast ? undefined : this.#workers.normals(length);
		return async () => {
			const normals = await asked;
			if (isLast) this.#workers.close();
			return normals === undefined ? mechanism.draw(source) : drawOf(mechanism, normals);
		};
	}
}
