import { drawOf, type GaussianMechanism, type NoiseDraw } from "./mechanism.ts";
import { NoiseWorkers } from "./noiseWorkers.ts";
import type { NoiseSource } from "./secureRandom.ts";

/** Draws the noise of each step, beside what else it does; the normals of the next step are begun with it. */
export class StepNoise {
	readonly #workers = new NoiseWorkers();
	/** Normals that were asked for before their step. */
	#ahead: Promise<Float64Array | undefined> | undefined;

	/** Noise for a step of this mechanism. All mechanisms of a run have as many coordinates. */
	async draw(mechanism: GaussianMechanism, source: NoiseSource, { step, isLast }: { step: number; isLast: boolean }): Promise<NoiseDraw> {
		const { noise } = source.study;
		if (noise !== undefined) return mechanism.given(noise(step, mechanism.length));
		if (!source.secure) return mechanism.draw(source);
		const length = mechanism.length + mechanism.counts;
		const asked = this.#ahead ?? this.#workers.normals(length);
		this.#ahead = isLast ? undefined : this.#workers.normals(length);
		const normals = await asked;
		if (isLast) this.#workers.close();
		return normals === undefined ? mechanism.draw(source) : drawOf(mechanism, normals);
	}
}
