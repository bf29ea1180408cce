import { CorrelatedNormals } from "./correlation.ts";
import { drawOf, type GaussianMechanism } from "./mechanism.ts";
import { joined, type NoiseDraw, type Runs } from "./noiseDraw.ts";
import { NoiseWorkers } from "./noiseWorkers.ts";
import type { SampledMechanism } from "./sampler.ts";
import type { NoiseSource } from "./secureRandom.ts";

/** The noise of each step, drawn beside what else it does; the normals of the next step are begun with it. */
export class StepNoise {
	readonly #workers = new NoiseWorkers();
	readonly #source: NoiseSource;
	/** What correlates the noise of steps; none where it is independent. */
	readonly #correlated: CorrelatedNormals | undefined;
	/** Normals that were asked for before their step. */
	#ahead: Promise<Runs | undefined> | undefined;

	/** `source` is that of the run: noise that repeats is drawn from it again where steps before correlate with it. */
	constructor({ sampling, steps }: Pick<SampledMechanism, "sampling" | "steps">, source: NoiseSource) {
		this.#source = source;
		if (sampling.kind === "balls-in-bins" && sampling.strategyCoefs.length > 1)
			this.#correlated = new CorrelatedNormals(sampling.strategyCoefs, steps);
	}

	/**
	 * Begins with the noise for a step of this mechanism, and returns a function that gives it: noise that repeats is drawn now, before
	 * anything depends on records; secure noise that no worker draws is drawn then, while the GPU works. All mechanisms of a run have as many
	 * coordinates.
	 */
	begin(mechanism: GaussianMechanism, source: NoiseSource, { step, isLast }: { step: number; isLast: boolean }): () => Promise<NoiseDraw> {
		const length = mechanism.length + mechanism.counts;
		const { noise } = source.study;
		if (!source.secure) {
			const draw = noise === undefined ? this.#repeated(mechanism, source, step) : mechanism.given(noise(step, mechanism.length));
			return async () => draw;
		}
		const asked = this.#ahead ?? this.#workers.normals(length);
		this.#ahead = isLast ? undefined : this.#workers.normals(length);
		return async () => {
			const normals = await asked;
			if (isLast) this.#workers.close();
			return drawOf(mechanism, this.#next(step, normals ?? drawn(length, source)));
		};
	}

	/** The draw of a step from noise that repeats, `source` being that of the step: as if all steps before had been taken here. */
	#repeated(mechanism: GaussianMechanism, source: NoiseSource, step: number): NoiseDraw {
		const length = mechanism.length + mechanism.counts;
		for (let s = this.#correlated?.goesOnAt(step) === false ? 1 : step; s < step; s++)
			this.#next(s, drawn(length, this.#source.forStep(s)));
		return drawOf(mechanism, this.#next(step, drawn(length, source)));
	}

	/** The noise of a step from fresh normals. */
	#next(step: number, normals: Runs): Runs {
		return this.#correlated === undefined ? normals : [this.#correlated.next(step, joined(normals))];
	}
}

function drawn(length: number, source: NoiseSource): Runs {
	const normals = new Float64Array(length);
	source.fillNormals(normals);
	return [normals];
}
