import { PrivacyError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";
import { checkInteger } from "./check.ts";
import { normalsFrom } from "./normals.ts";
import { philox4x32, type Words4 } from "./philox.ts";

/** All that happened in one step, up to the update: for comparison with other implementations. Nothing of it is private. */
export interface Transcript {
	/** Number of the step, from 1. */
	readonly step: number;
	/** The records that it drew. */
	readonly batch: Int32Array;
	/**
	 * What each of them was scaled by, in the order of the batch: min(1, C/‖g‖); 0 where that is not finite. Of per-layer clipping a row for
	 * each record, a number for each parameter.
	 */
	readonly factors: Float64Array;
	/** The sum of clipped gradients before noise `[P]`, whole steps of the grid, in units of the gradient. */
	readonly sum: Float64Array;
	/** The noise on it `[P]`, in units of the gradient. */
	readonly noise: Float64Array;
	/** (sum + noise) / L `[P]`, as the optimiser gets it. */
	readonly mean: Float32Array;
}

/** What a study gives in place of randomness, and what it wants to know. */
export interface Study {
	/** Seed of whatever is not given; 0 when left out. */
	readonly seed?: number | undefined;
	/** The records of step 1, 2, …, in place of sampling. */
	readonly batches?: ((step: number) => ArrayLike<number>) | undefined;
	/** The noise on the sum of step 1, 2, …, `[P]` in units of the gradient, in place of that of the plan. */
	readonly noise?: ((step: number, length: number) => ArrayLike<number>) | undefined;
	/** Is told of every step. */
	readonly transcript?: ((transcript: Transcript) => void) | undefined;
}

/** getRandomValues gives at most 65,536 bytes a call. */
const POOL_WORDS = 65536 / 4;
/** Normals that are made at a time. */
const CHUNK = 4096;

/** No source is made without it. */
const PROOF = Symbol("made here");

interface Origin {
	readonly secure: boolean;
	readonly study: Study;
	readonly wordsOf: ((step: number) => () => number) | undefined;
}

class WordNoiseSource {
	readonly #nextWord: () => number;
	readonly #secure: boolean;
	readonly #study: Study;
	readonly #wordsOf: ((step: number) => () => number) | undefined;

	static {
		Object.freeze(WordNoiseSource.prototype);
	}

	/** `proof` is what this file alone has. `wordsOf` gives a sequence of its own for every step, where there is one that repeats. */
	constructor(proof: symbol, nextWord: () => number, origin: Origin) {
		if (proof !== PROOF) refuseSource();
		const { secure, study, wordsOf } = origin;
		this.#nextWord = nextWord;
		this.#secure = secure;
		// Its own fields alone: what a script has put on Object.prototype stands in for no noise.
		this.#study = Object.freeze(Object.assign(Object.create(null), study));
		this.#wordsOf = wordsOf;
		Object.freeze(this);
	}

	/** Whether a value is a source made by this library. */
	static made(value: unknown): value is WordNoiseSource {
		return typeof value === "object" && value !== null && #nextWord in value;
	}

	/** True for the platform's CSPRNG; false for a seed, whose noise hides nothing from whoever knows the seed. */
	get secure(): boolean {
		return this.#secure;
	}

	/** What is given in place of randomness: nothing, but for `research`. */
	get study(): Study {
		return this.#study;
	}

	/**
	 * The source of a step: of one with a seed a sequence that follows from the number of the step alone, so that a run that is resumed goes
	 * on as if it had not been interrupted; the platform's generator itself, which never repeats.
	 */
	forStep(step: number): WordNoiseSource {
		const words = this.#wordsOf?.(step);
		return words === undefined ? this : new WordNoiseSource(PROOF, words, { secure: this.#secure, study: this.#study, wordsOf: undefined });
	}

	/** A multiple of 2⁻⁵³, uniform in [0, 1). */
	uniform53(): number {
		return ((this.#nextWord() >>> 5) * 0x4000000 + (this.#nextWord() >>> 6)) * 2 ** -53;
	}

	/** Fills `out` with independent standard normals, by `normalsFrom`. */
	fillNormals(out: Float64Array): void {
		const words = new Uint32Array(CHUNK * 2);
		for (let at = 0; at < out.length; at += CHUNK) {
			const part = out.subarray(at, Math.min(out.length, at + CHUNK));
			const count = 4 * Math.ceil(part.length / 2);
			for (let i = 0; i < count; i++) words[i] = this.#nextWord();
			normalsFrom(words, part);
		}
		words.fill(0);
	}
}

/** Where randomness for privacy comes from. An opaque type: only `secureNoise` and `insecureNoiseForTests` make one. */
export type NoiseSource = WordNoiseSource;

/** @throws PrivacyError for anything that was not made by this file. */
export function checkNoiseSource(source: NoiseSource): void {
	if (!WordNoiseSource.made(source)) refuseSource();
}

function refuseSource(): never {
	throw new PrivacyError("privacy/noise-source", "expected a noise source made by this library, got something else", {
		hint: "call secureNoise(), or insecureNoiseForTests(seed) for research",
	});
}

/**
 * Noise from the platform's cryptographic generator (WebCrypto `getRandomValues`): the only source for a run that claims
 * an ε. It has no seed and no state to save; a resumed run draws fresh noise.
 * @throws PrivacyError where the platform offers no WebCrypto.
 */
export const secureNoise = named("secureNoise", (): NoiseSource => {
	const crypto = globalThis.crypto;
	if (typeof crypto?.getRandomValues !== "function") {
		throw new PrivacyError("privacy/no-csprng", "this platform has no crypto.getRandomValues", {
			hint: "use Node 20 or later, or a browser page served over https",
		});
	}
	const pool = new Uint32Array(POOL_WORDS);
	let at = pool.length;
	const nextWord = () => {
		if (at === pool.length) {
			crypto.getRandomValues(pool);
			at = 0;
		}
		const word = pool[at];
		pool[at++] = 0;
		return word;
	};
	return new WordNoiseSource(PROOF, nextWord, { secure: true, study: {}, wordsOf: undefined });
});

/**
 * Noise that repeats: Philox4x32-10 (Salmon et al. 2011) keyed by `seed`, with an own sequence for every `stream` (a step, a
 * tensor), 0 when left out. For tests and research; a run that uses it is NOT PRIVATE and its statement says so.
 * @throws ValueError unless seed and stream are integers from 0 to 2⁵³−1.
 */
export const insecureNoiseForTests = named(
	"insecureNoiseForTests",
	(seed: number, options: { readonly stream?: number } = {}): NoiseSource => {
		expects("insecureNoiseForTests", { options }, { options: "options" });
		const { stream = 0 } = options;
		return seeded(seed, stream, {});
	},
);

/**
 * A source for studies: batches and noise that are given, and a transcript of each step. A run with it is NOT PRIVATE, and its statement
 * and everything that it writes say so.
 * @throws ValueError unless the seed is an integer from 0 to 2⁵³−1.
 */
export const research = named("research", (study: Study = {}): NoiseSource => {
	const { batches, noise, transcript } = study ?? {};
	const given = { study, batches, noise, transcript };
	expects("research", given, { study: "options", batches: "function?", noise: "function?", transcript: "function?" });
	return seeded(study.seed ?? 0, 0, study);
});

function seeded(seed: number, stream: number, study: Study): NoiseSource {
	checkInteger("seed", seed, { min: 0 });
	checkInteger("stream", stream, { min: 0 });
	const wordsOf = (step: number) => philoxWords(seed, stream, step);
	return new WordNoiseSource(PROOF, wordsOf(0), { secure: false, study, wordsOf });
}

/** The words of a Philox sequence, one at a call; every step has 2³⁴ of them. */
function philoxWords(seed: number, stream: number, step: number): () => number {
	const key = halves(seed);
	const [streamLow, streamHigh] = halves(stream);
	let block = 0;
	let words: Words4 = [0, 0, 0, 0];
	let at: number = words.length;
	return () => {
		if (at === words.length) {
			words = philox4x32([block++, step, streamLow, streamHigh], key);
			at = 0;
		}
		return words[at++];
	};
}

/** The low and the high 32 bits of a non-negative safe integer. */
function halves(value: number): [number, number] {
	return [value >>> 0, Math.floor(value / 2 ** 32)];
}
