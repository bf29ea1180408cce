import { PrivacyError } from "@hushgrad/tensor";
import { checkInteger } from "./check.ts";
import { philox4x32, type Words4 } from "./philox.ts";

/** getRandomValues gives at most 65,536 bytes a call. */
const POOL_WORDS = 65536 / 4;

class WordNoiseSource {
	readonly #nextWord: () => number;
	readonly #secure: boolean;

	constructor(nextWord: () => number, secure: boolean) {
		this.#nextWord = nextWord;
		this.#secure = secure;
	}

	/** Whether a value is a source made by this library. */
	static made(value: unknown): value is WordNoiseSource {
		return typeof value === "object" && value !== null && #nextWord in value;
	}

	/** True for the platform's CSPRNG; false for a seed, whose noise hides nothing from whoever knows the seed. */
	get secure(): boolean {
		return this.#secure;
	}

	/** A multiple of 2⁻⁵³, uniform in [0, 1). */
	uniform53(): number {
		return ((this.#nextWord() >>> 5) * 0x4000000 + (this.#nextWord() >>> 6)) * 2 ** -53;
	}

	/**
	 * Fills `out` with independent standard normals: Box–Muller in float64 from 53-bit uniforms, so |z| ≤ 8.57 and the tail
	 * mass lost is 1e-17. The same work for every value: no rejection, so time tells nothing about the noise.
	 */
	fillNormals(out: Float64Array): void {
		for (let i = 0; i < out.length; i += 2) {
			const radius = Math.sqrt(-2 * Math.log(1 - this.uniform53()));
			const angle = 2 * Math.PI * this.uniform53();
			out[i] = radius * Math.cos(angle);
			if (i + 1 < out.length) out[i + 1] = radius * Math.sin(angle);
		}
	}
}

/** Where randomness for privacy comes from. An opaque type: only `secureNoise` and `insecureNoiseForTests` make one. */
export type NoiseSource = WordNoiseSource;

/** @throws PrivacyError for anything that was not made by this file. */
export function checkNoiseSource(source: NoiseSource): void {
	if (WordNoiseSource.made(source)) return;
	throw new PrivacyError("privacy/noise-source", "expected a noise source made by this library, got something else", {
		hint: "call secureNoise(), or insecureNoiseForTests(seed) for research",
	});
}

/**
 * Noise from the platform's cryptographic generator (WebCrypto `getRandomValues`): the only source for a run that claims
 * an ε. It has no seed and no state to save; a resumed run draws fresh noise.
 * @throws PrivacyError where the platform offers no WebCrypto.
 */
export function secureNoise(): NoiseSource {
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
	return new WordNoiseSource(nextWord, true);
}

/**
 * Noise that repeats: Philox4x32-10 (Salmon et al. 2011) keyed by `seed`, with an own sequence for every `stream` (a step, a
 * tensor), 0 when left out. For tests and research; a run that uses it is NOT PRIVATE and its statement says so.
 * @throws ValueError unless seed and stream are integers from 0 to 2⁵³−1.
 */
export function insecureNoiseForTests(seed: number, { stream = 0 }: { readonly stream?: number } = {}): NoiseSource {
	checkInteger("seed", seed, { min: 0 });
	checkInteger("stream", stream, { min: 0 });
	const key = halves(seed);
	const [streamLow, streamHigh] = halves(stream);
	let block = 0;
	let words: Words4 = [0, 0, 0, 0];
	let at: number = words.length;
	const nextWord = () => {
		if (at === words.length) {
			const [low, high] = halves(block++);
			words = philox4x32([low, high, streamLow, streamHigh], key);
			at = 0;
		}
		return words[at++];
	};
	return new WordNoiseSource(nextWord, false);
}

/** The low and the high 32 bits of a non-negative safe integer. */
function halves(value: number): [number, number] {
	return [value >>> 0, Math.floor(value / 2 ** 32)];
}
