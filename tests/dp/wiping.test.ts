import { secureNoise } from "@hushgrad/dp";
import { afterAll, afterEach, describe, expect, it, vi } from "vitest";

/* Words of the platform's generator, from which the noise of a run could be computed again, are wiped once they were used. */

// The files of a run share their modules: these have their own, of which some are other ones.
vi.hoisted(() => vi.resetModules());
afterAll(() => void vi.resetModules());
const seen = vi.hoisted(() => ({ words: [] as Uint32Array[] }));
vi.mock("../../packages/dp/src/normals.ts", async (original) => {
	const { normalsFrom } = await original<typeof import("../../packages/dp/src/normals.ts")>();
	return {
		normalsFrom: (words: Uint32Array, out: Float64Array) => {
			if (!seen.words.includes(words)) seen.words.push(words);
			normalsFrom(words, out);
		},
	};
});
afterEach(() => vi.restoreAllMocks());

/** The arrays that the platform's generator fills, as the library keeps them. */
function filled(): Uint32Array[] {
	const arrays: Uint32Array[] = [];
	const fill = globalThis.crypto.getRandomValues.bind(globalThis.crypto);
	vi.spyOn(globalThis.crypto, "getRandomValues").mockImplementation((array) => {
		arrays.push(array as unknown as Uint32Array);
		return fill(array as never);
	});
	return arrays;
}

describe("cryptographic words are wiped", () => {
	it("one by one, as they are used, and never used again", () => {
		const arrays = filled();
		const source = secureNoise();
		source.uniform53();
		source.uniform53();
		const [pool] = arrays;
		expect([...pool.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
		// Of 32 bits each: all of a thousand above 0 but once in 4 million runs.
		expect(pool.subarray(4, 1004).every((w) => w !== 0)).toBe(true);
		for (let i = 2; i < pool.length / 2; i++) source.uniform53();
		expect(arrays.length).toBe(1);
		expect(pool.every((w) => w === 0)).toBe(true);
		source.uniform53();
		expect(arrays.length).toBe(2);
	});

	it("once normals are made from them", () => {
		filled();
		seen.words.length = 0;
		const z = new Float64Array(10_001);
		secureNoise().fillNormals(z);
		expect(z.every((v) => v !== 0)).toBe(true);
		expect(seen.words.length).toBeGreaterThan(0);
		for (const words of seen.words) expect(words.every((w) => w === 0)).toBe(true);
	});
});
