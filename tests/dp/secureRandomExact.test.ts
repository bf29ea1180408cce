import { insecureNoiseForTests, type NoiseSource, research, type Study, secureNoise } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { describe, expect, test, vi } from "vitest";
import { normalsFrom } from "../../packages/dp/src/normals.ts";
import { philox4x32, type Words4 } from "../../packages/dp/src/philox.ts";
import { checkNoiseSource } from "../../packages/dp/src/secureRandom.ts";

/* Sources of noise word by word. Their laws are in secureRandom.test.ts. */

function normals(source: NoiseSource, count: number): Float64Array {
	const out = new Float64Array(count);
	source.fillNormals(out);
	return out;
}

describe("philox4x32", () => {
	// kat_vectors of the Random123 distribution (Salmon et al. 2011): counter, key, result
	const vectors: [Words4, [number, number], Words4][] = [
		[
			[0, 0, 0, 0],
			[0, 0],
			[0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
		],
		[
			[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
			[0xffffffff, 0xffffffff],
			[0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
		],
		[
			[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
			[0xa4093822, 0x299f31d0],
			[0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
		],
	];
	test.each(vectors)("has the published answer for %j, %j", (counter, key, want) => {
		expect(philox4x32(counter, key)).toEqual(want);
	});
});

test("seeds and streams are non-negative integers", () => {
	for (const seed of [-1, 1.5, Number.NaN, 2 ** 53]) expect(() => insecureNoiseForTests(seed)).toThrow(ValueError);
	expect(() => insecureNoiseForTests(1, { stream: -1 })).toThrow(ValueError);
});

describe("a source for studies", () => {
	test("says that it is not secure, whatever is given, in each of its steps", () => {
		for (const source of [research(), research({ seed: 3 }), research({ batches: () => [0], noise: () => [0], transcript: () => {} })]) {
			expect([source.secure, source.forStep(2).secure]).toEqual([false, false]);
		}
		const given = { batches: () => [1], noise: () => [2], transcript: () => {}, seed: 5 };
		expect(research(given).study).toEqual(given);
		expect(research(given).forStep(4).study).toEqual(given);
		expect(Object.isFrozen(research(given).study)).toBe(true);
		expect([secureNoise().study, secureNoise().forStep(3).secure]).toEqual([{}, true]);
	});

	test("draws what is not given from its seed, 0 when left out", () => {
		const draw = (source: NoiseSource) => normals(source.forStep(7), 8);
		expect(draw(research({ seed: 3 }))).toEqual(draw(insecureNoiseForTests(3)));
		expect(draw(research())).toEqual(draw(insecureNoiseForTests(0)));
	});

	test("refuses seeds and functions that are none", () => {
		for (const seed of [-1, 1.5, 2 ** 53]) expect(() => research({ seed })).toThrow(ValueError);
		for (const name of ["batches", "noise", "transcript"]) expect(() => research({ [name]: 3 } as Study)).toThrow(name);
	});
});

test("a seeded source has a sequence of its own for every step, which does not hang on what was drawn before", () => {
	const source = insecureNoiseForTests(7, { stream: 3 });
	const first = normals(source.forStep(1), 8);
	normals(source, 100);
	expect(normals(source.forStep(1), 8)).toEqual(first);
	expect(normals(source.forStep(2), 8)).not.toEqual(first);
	expect(normals(source.forStep(1).forStep(1), 8)).not.toEqual(normals(source.forStep(2), 8));
	const secure = secureNoise();
	expect(secure.forStep(5)).toBe(secure);
});

test("secure noise needs the platform's generator, and takes no other", () => {
	for (const crypto of [undefined, {}]) {
		vi.stubGlobal("crypto", crypto);
		expect(() => secureNoise()).toThrow(expect.objectContaining({ name: "PrivacyError", code: "privacy/no-csprng" }));
	}
	vi.unstubAllGlobals();
	expect(secureNoise().secure).toBe(true);
});

test("normals from words: Box–Muller of two uniforms of 53 bits, four words for two", () => {
	const words = Uint32Array.of(0xdeadbeef, 0x01234567, 0x89abcdef, 0xfedcba98, 1, 2, 3, 4);
	const uniform = (i: number): number => (Number(BigInt(words[i] >>> 5) << 26n) + (words[i + 1] >>> 6)) / 2 ** 53;
	const [out, odd] = [new Float64Array(4), new Float64Array(3)];
	normalsFrom(words, out);
	normalsFrom(words, odd);
	for (const pair of [0, 1]) {
		const radius = Math.sqrt(-2 * Math.log(1 - uniform(4 * pair)));
		expect(out[2 * pair]).toBe(radius * Math.cos(2 * Math.PI * uniform(4 * pair + 2)));
		expect(out[2 * pair + 1]).toBe(radius * Math.sin(2 * Math.PI * uniform(4 * pair + 2)));
	}
	expect(odd).toEqual(out.subarray(0, 3));
});

/** The multiple of 2⁻⁵³ of two words. */
const uniformOf = (a: number, b: number): number => (Number(BigInt(a >>> 5) << 26n) + (b >>> 6)) / 2 ** 53;

test("a seeded source is Philox with the seed as its key, and the block, the step and the stream as its counter", () => {
	const [seed, stream] = [5 + 7 * 2 ** 32, 11 + 3 * 2 ** 32];
	const source = insecureNoiseForTests(seed, { stream });
	const words = (step: number) => [0, 1, 2].flatMap((block) => philox4x32([block, step, 11, 3], [5, 7]));
	// The source of a step is that of the step, whatever step it is asked for.
	for (const [of, w] of [
		[source, words(0)],
		[source.forStep(9), words(9)],
		[source.forStep(9).forStep(2), words(9)],
	] as const) {
		for (let i = 0; i < w.length; i += 2) expect(of.uniform53()).toBe(uniformOf(w[i], w[i + 1]));
	}
	expect(insecureNoiseForTests(5, {}).uniform53()).toBe(insecureNoiseForTests(5, { stream: 0 }).uniform53());
});

test("normals are of the words in order, four for two, however many are asked for", () => {
	for (const length of [1, 2, 3, 4095, 4096, 4097, 4098, 8193]) {
		const words = Uint32Array.from({ length: 4 * Math.ceil(length / 2) }, (_, i) => philox4x32([i >> 2, 0, 0, 0], [3, 0])[i % 4]);
		const expected = new Float64Array(length);
		normalsFrom(words, expected);
		const source = insecureNoiseForTests(3);
		expect(normals(source, length)).toEqual(expected);
		expect(source.uniform53()).toBe(
			uniformOf(philox4x32([Math.ceil(length / 2), 0, 0, 0], [3, 0])[0], philox4x32([Math.ceil(length / 2), 0, 0, 0], [3, 0])[1]),
		);
	}
});

test("no one makes a source but this library, nor changes one", () => {
	const refused = expect.objectContaining({
		...{ name: "PrivacyError", code: "privacy/noise-source" },
		message: expect.stringContaining("expected a noise source made by this library, got something else"),
		hint: "call secureNoise(), or insecureNoiseForTests(seed) for research",
	});
	const source = insecureNoiseForTests(1);
	const Source = source.constructor as new (...args: unknown[]) => NoiseSource;
	for (const proof of [undefined, Symbol("made here"), "made here"]) {
		expect(() => new Source(proof, () => 0, { secure: true })).toThrow(refused);
	}
	for (const fake of [undefined, null, 3, {}, Object.create(source), { ...source }, () => 0]) {
		expect(() => checkNoiseSource(fake as NoiseSource)).toThrow(refused);
	}
	for (const made of [source, secureNoise(), research()]) expect(checkNoiseSource(made)).toBeUndefined();
	for (const part of [source, Object.getPrototypeOf(source)]) expect(Object.isFrozen(part)).toBe(true);
});

test("what a source cannot be made of is refused by name", () => {
	expect(() => insecureNoiseForTests(-1)).toThrow("seed must be an integer in 0..9007199254740991, got -1");
	expect(() => insecureNoiseForTests(1, { stream: 0.5 })).toThrow("stream must be an integer in 0..9007199254740991, got 0.5");
	expect(() => insecureNoiseForTests(1, 3 as never)).toThrow("insecureNoiseForTests: options is 3, expected options in an object");
	expect(() => research({ seed: -1 })).toThrow("seed must be an integer in 0..9007199254740991, got -1");
	for (const none of [null, 3]) expect(() => research(none as never)).toThrow(`research: study is ${none}, expected options in an object`);
	for (const name of ["batches", "noise", "transcript"]) {
		expect(() => research({ [name]: 3 })).toThrow(`research: ${name} is 3, expected a function`);
	}
	vi.stubGlobal("crypto", undefined);
	expect(() => secureNoise()).toThrow(
		expect.objectContaining({
			message: expect.stringContaining("secureNoise: this platform has no crypto.getRandomValues"),
			hint: "use Node 20 or later, or a browser page served over https",
		}),
	);
	vi.unstubAllGlobals();
});

describe("what every object of a page inherits", () => {
	test.each(["study", "noise", "batches", "transcript", "wordsOf", "seed"])("is no part of a source: Object.prototype.%s", (name) => {
		const zeros = (): Float64Array => new Float64Array(9);
		Object.defineProperty(Object.prototype, name, { value: name === "study" ? { noise: zeros } : zeros, configurable: true });
		try {
			for (const source of [secureNoise(), insecureNoiseForTests(1)]) {
				const { noise, batches, transcript } = source.forStep(3).study;
				expect([noise, batches, transcript]).toEqual([undefined, undefined, undefined]);
			}
			expect(secureNoise().forStep(1).uniform53()).not.toBe(secureNoise().forStep(1).uniform53());
		} finally {
			Reflect.deleteProperty(Object.prototype, name);
		}
	});
});

describe("seeded normals", () => {
	test("repeat for the same seed and stream only", () => {
		const draw = (seed: number, stream: number) => normals(insecureNoiseForTests(seed, { stream }), 8);
		expect(draw(7, 3)).toEqual(draw(7, 3));
		expect(draw(7, 3)).not.toEqual(draw(7, 4));
		expect(draw(7, 3)).not.toEqual(draw(8, 3));
		// seeds and streams above 32 bits count in full
		expect(draw(7 + 2 ** 32, 3)).not.toEqual(draw(7, 3));
		expect(draw(7, 3 + 2 ** 32)).not.toEqual(draw(7, 3));
	});

	test("fill odd lengths to the end, as the even length one longer begins", () => {
		expect(normals(insecureNoiseForTests(1), 7)).toEqual(normals(insecureNoiseForTests(1), 8).subarray(0, 7));
		expect(normals(insecureNoiseForTests(1), 0)).toHaveLength(0);
	});
});

test("secure noise never starts twice from the same place", () => {
	const first = Array.from({ length: 200 }, () => secureNoise().uniform53());
	expect(new Set(first).size).toBe(200);
});
