import { type Clipped, type Clipping, clip } from "@hushgrad/dp";
import { data, full, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { type AdaptiveClipping, adaptiveOf, nextNorm, sumMultiplier } from "../../packages/dp/src/clip/adaptive.ts";
import { type ClipSettings, checkGroups, clippingOf, differences } from "../../packages/dp/src/clip/clip.ts";
import { clipFactorsPrimitive } from "../../packages/dp/src/clip/clipFactors.ts";
import { squarePartsPrimitive } from "../../packages/dp/src/clip/squareParts.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const GRID = 2 ** -21;
const SIZES = { maxGradNorm: 2, expectedBatchSize: 60 };
const any = (v: unknown): never => v as never;
const refused = (code: string, message: string) =>
	expect.objectContaining({ name: "ValueError", code, message: expect.stringContaining(message) });

/** Gradients of one parameter, a row a record. */
const rows = (...values: readonly (readonly number[])[]): Tensor => device().fromHost(values.flat(), [values.length, values[0].length]);
const ones = (B: number): Tensor => full(device(), [B], 1);

describe("a way of clipping", () => {
	it("is a frozen copy of what was asked for, flat where nothing was", () => {
		expect(clippingOf(undefined, SIZES)).toEqual({ kind: "flat" });
		for (const own of [{ kind: "flat" }, { kind: "automatic" }, { kind: "automatic", gamma: 0.5 }, { kind: "perLayer" }] as Clipping[]) {
			const made = clippingOf(own, SIZES);
			expect(made).toEqual(own);
			expect(made).not.toBe(own);
			expect(Object.isFrozen(made)).toBe(true);
		}
		const weights = [3, 4];
		const made = clippingOf({ kind: "perLayer", weights }, SIZES) as { readonly weights: readonly number[] };
		expect(made).toEqual({ kind: "perLayer", weights: [3, 4] });
		expect(made.weights).not.toBe(weights);
		expect([made, made.weights].every(Object.isFrozen)).toBe(true);
	});

	it("has checked what its own kind reads", () => {
		expect(() => clippingOf(any({ kind: "layer" }), SIZES)).toThrow(
			refused("dp/clipping", 'clipping must be of a kind among flat, automatic, perLayer, adaptive, got "layer"'),
		);
		expect(() => clippingOf(any(null), SIZES)).toThrow(refused("dp/clipping", "clipping must be of a kind among"));
		expect(() => clippingOf({ kind: "automatic", gamma: 0 }, SIZES)).toThrow(refused("dp/gamma", "gamma must be a finite number above 0"));
		expect(clippingOf(any({ kind: "flat", gamma: 0, weights: [0] }), SIZES)).toEqual({ kind: "flat", gamma: 0, weights: [0] });
	});

	it("by parameter has weights that f32 can tell, one for each", () => {
		const of = (weights: unknown) => () => clippingOf({ kind: "perLayer", weights: any(weights) }, SIZES);
		const text = "weights must be one number above 0 for each trained parameter, none below 2⁻¹⁶ of their L2 norm, got";
		// Their norm is 1 to the last bit of f64: 1 + 2⁻³³.
		for (const weights of [[], [0], [0, 0], [-1, 1], [Number.NaN], [Number.POSITIVE_INFINITY], ["1"], [1, 2 ** -16]]) {
			expect(of(weights), String(weights)).toThrow(refused("dp/weights", text));
		}
		// 2⁻¹⁶ of their norm is no number but 0.
		expect(of([2 ** -1070, 0])).toThrow(refused("dp/weights", text));
		expect(of([0, 3])).toThrow(refused("dp/weights", `${text} [0, 3]`));
		expect(of([1, 2 ** -16 * (1 + 2 ** -30)])).not.toThrow();
		// Their squares add up to 2³².
		expect(of([65_535, 362, 5, 1, 1])).not.toThrow();
		expect(of([2 ** -500])).not.toThrow();
		expect(of(3)).toThrow(refused("call/argument", "clipping: weights is 3"));
		const clipping = { kind: "perLayer", weights: [1, 2] } as const;
		expect(() => checkGroups(clipping, 2)).not.toThrow();
		expect(() => checkGroups(clipping, 3)).toThrow(refused("dp/weights", "weights must be one for each of 3 trained parameters, got 2"));
		expect(() => checkGroups({ kind: "perLayer" }, 3)).not.toThrow();
		expect(() => checkGroups({ kind: "perLayer", weights: [0, 1] }, 2)).toThrow(refused("dp/weights", text));
		expect(() => checkGroups(any({ kind: "flat", weights: [1, 2] }), 3)).not.toThrow();
	});
});

/** Factors of gradients, times the grid step. */
async function factorsOf(grads: () => readonly Tensor[], settings: ClipSettings): Promise<number[]> {
	const factors = device().scope<Tensor>(() => {
		const all = grads();
		return clip(all, ones(all[0].shape[0]), settings).factors;
	});
	const values = await data(factors);
	factors.dispose();
	return Array.from(values, (f) => f * settings.grid);
}

describe("clip", () => {
	it("refuses by name what it cannot clip, and what by", () => {
		const [g, w] = [rows([1, 2]), ones(1)];
		const settings = { maxGradNorm: 1, grid: GRID };
		expect(() => clip([g], w, any(undefined))).toThrow(refused("call/argument", "clip: settings is undefined"));
		expect(() => clip(any(3), w, settings)).toThrow(refused("call/argument", "clip: grads is 3"));
		expect(() => clip([g], any(3), settings)).toThrow(refused("call/argument", "clip: weights is 3"));
		expect(() => clip([g], w, { ...settings, maxGradNorm: 0 })).toThrow(refused("dp/maxGradNorm", "maxGradNorm must be"));
		expect(() => clip([g], w, { ...settings, grid: Number.NaN })).toThrow(refused("dp/grid", "grid must be"));
		expect(() => clip([], w, settings)).toThrow(
			refused("clip/empty", "clip: grads is an empty list, expected a gradient for each parameter"),
		);
		expect(() => clip([g], w, { ...settings, clipping: { kind: "perLayer", weights: [1, 2] } })).toThrow(
			refused("dp/weights", "one for each of 1"),
		);
	});

	it("scales by C of the norm over all, by C over the norm and γ, and by C_k of the norm of each", async () => {
		// Norms 5 and 10 of one record, 0.3 and 0.4 of the other: whole numbers and C of a power of two are exact.
		const grads = () => [rows([3, 4], [0.3, 0]), rows([6, 8, 0], [0, 0, 0.4])];
		const near = (found: readonly number[], expected: readonly number[]) => {
			expect(found).toHaveLength(expected.length);
			found.forEach((f, i) => expect(Math.abs(f / expected[i] - 1)).toBeLessThan(2 ** -19));
		};
		const settings = { maxGradNorm: 2, grid: GRID };
		near(await factorsOf(grads, settings), [2 / Math.hypot(5, 10), 1]);
		near(await factorsOf(grads, { ...settings, clipping: { kind: "automatic" } }), [2 / (Math.hypot(5, 10) + 0.01), 2 / 0.51]);
		near(await factorsOf(grads, { ...settings, maxGradNorm: 3, clipping: { kind: "automatic", gamma: 1 } }), [
			3 / (Math.hypot(5, 10) + 1),
			2,
		]);
		near(await factorsOf(grads, { ...settings, clipping: { kind: "perLayer" } }), [Math.SQRT2 / 5, Math.SQRT2 / 10, 1, 1]);
		near(await factorsOf(grads, { ...settings, maxGradNorm: 0.5, clipping: { kind: "perLayer", weights: [3, 4] } }), [
			0.3 / 5,
			0.4 / 10,
			1,
			1,
		]);
	});

	it("has no factor of 2⁶⁰ or of 2¹²⁶ grid steps and more", async () => {
		const zeros = () => [rows([0, 0])];
		const clipping = { kind: "automatic", gamma: 1e-25 } as const;
		expect(await factorsOf(zeros, { maxGradNorm: 1, grid: GRID, clipping })).toEqual([2 ** 60]);
		expect(await factorsOf(zeros, { maxGradNorm: 1, grid: 2 ** -80, clipping })).toEqual([2 ** 46]);
	});

	it("makes no tensor that it does not need: the squares in at most 1024 parts, and what unlike groups are clipped to", () => {
		/** Buffers of a call, of parameters of so many numbers. */
		const made = (sizes: readonly number[], clipping?: Clipping) =>
			device().scope<number>(() => {
				const grads = sizes.map((P) => device().fromHost(new Float32Array(P), [1, P]));
				const weights = ones(1);
				const { liveBuffers } = device().memory();
				clip(grads, weights, { maxGradNorm: 1, grid: GRID, clipping });
				return device().memory().liveBuffers - liveBuffers;
			});
		// The parts, the factors, the norms.
		expect(made([5])).toBe(3);
		expect(made([2 ** 18])).toBe(3);
		// Parts of parts.
		expect(made([2 ** 18 + 1])).toBe(4);
		// Two blocks, and their parts side by side.
		expect(made([2 ** 16, 2 ** 16])).toBe(5);
		// Three groups with one norm.
		expect(made([5, 5, 5], { kind: "perLayer" })).toBe(6);
		expect(made([5, 5, 5], { kind: "perLayer", weights: [2, 2, 2] })).toBe(6);
		// C_k of each, and side by side.
		expect(made([5, 5, 5], { kind: "perLayer", weights: [1, 2, 2] })).toBe(10);
	});
});

it("squares of many coordinates are added one by one with what is lost", async () => {
	// 2²⁴, and 63 times 1, of which each by itself is lost beside it.
	const values = new Float32Array(256).fill(0.5);
	values.set([4096, 0, 0, 0]);
	const parts = device().scope<Tensor>(() => squarePartsPrimitive.apply([device().fromHost(values, [1, 256])], { scale: 1 })[0]);
	const [found] = await data(parts);
	parts.dispose();
	expect(Math.abs(found - (2 ** 24 + 63))).toBeLessThanOrEqual(2);
});

it("groups are clipped to norms of their own, or all to one", async () => {
	const factors = async (weights?: readonly number[]) => {
		const clipped = device().scope(() => {
			const { factors: made } = clip([rows([10]), rows([10]), rows([10])], ones(1), {
				...{ maxGradNorm: 3, grid: GRID },
				clipping: { kind: "perLayer", weights },
			});
			return device().keep(made);
		});
		const found = Array.from(await data(clipped), (f) => f * GRID);
		clipped.dispose();
		return found;
	};
	for (const [k, expected] of [0.1, 0.2, 0.2].entries()) expect((await factors([1, 2, 2]))[k]).toBeCloseTo(expected, 6);
	for (const f of await factors()) expect(f).toBeCloseTo(0.1 * Math.sqrt(3), 6);
});

it("factors are −1 of a record that is not finite in some group, and 0 of padding, on the device and in the reference", async () => {
	const at = (data: readonly number[], ...shape: readonly number[]) => ({ data: Float64Array.from(data), shape });
	const inputs = {
		parts: at([4, 16, Number.POSITIVE_INFINITY, 1, 1, Number.NaN, Number.POSITIVE_INFINITY, 4], 4, 2, 1),
		weights: at([1, 1, 1, 0], 4),
		clips: at([1, 1], 2),
	};
	const attrs = { gamma: 0, most: 1, perGrid: 8, unit: 1 };
	const expected = [4, 2, -1, -1, -1, -1, 0, 0];
	expect([...clipFactorsPrimitive.spec.reference(inputs, attrs)[0].data]).toEqual(expected);
	const factors = device().scope<Tensor>(() => {
		const operands = Object.values(inputs).map(({ data: values, shape }) => device().fromHost([...values], shape));
		return clipFactorsPrimitive.apply(operands, attrs)[0];
	});
	const found = await data(factors);
	factors.dispose();
	expected.forEach((f, i) => expect(Math.abs(found[i] - f)).toBeLessThanOrEqual(Math.max(0, f) * 2 ** -20));
});

it("differences are the coordinates in which another record but the one is another, in order, over blocks and groups", async () => {
	const large = 2 ** 16;
	const values = (changed: number) => {
		const own = new Float32Array(3 * large).fill(1);
		own[changed] = 2;
		return device().fromHost(own, [3, large]);
	};
	for (const clipping of [{ kind: "flat" }, { kind: "perLayer" }] as const) {
		const settings = { maxGradNorm: 1e4, grid: GRID, clipping };
		const found = device().scope<Tensor>(() => {
			const runs = [
				// Record 2 has another first coordinate, record 1 another one of the large part, record 0 another last one.
				[rows([1, 2], [3, 4], [5, 6]), values(0), rows([7], [8], [9])],
				[rows([1, 2], [3, 4], [0, 6]), values(large + 5), rows([0], [8], [9])],
			].map((grads): Clipped => clip(grads, ones(3), settings));
			return differences(runs[0], runs[1], 0);
		});
		const at = Array.from(await data(found)).flatMap((v, i) => (v === 1 ? [i] : []));
		expect(found.shape).toEqual([2 + large + 1]);
		expect(at).toEqual([0, 2 + 5]);
		found.dispose();
	}
});

describe("adaptive clipping", () => {
	const of = (clipping: Partial<AdaptiveClipping>) => adaptiveOf({ kind: "adaptive", ...clipping }, SIZES);

	it("has all its numbers, and is frozen", () => {
		const made = of({});
		expect(made).toEqual({
			kind: "adaptive",
			targetUnclippedQuantile: 0.5,
			clipboundLearningRate: 0.2,
			unclippedNumStd: 3,
			minClipbound: 2 / 1024,
			maxClipbound: 2048,
		});
		expect(Object.isFrozen(made)).toBe(true);
		const own = {
			targetUnclippedQuantile: 0.7,
			clipboundLearningRate: 3,
			unclippedNumStd: 7,
			minClipbound: 2,
			maxClipbound: 2,
		};
		expect(of(own)).toEqual({ kind: "adaptive", ...own });
		expect(clippingOf({ kind: "adaptive", ...own }, SIZES)).toEqual(of(own));
	});

	it("says of each number what it must be", () => {
		for (const [own, code, message] of [
			[{ targetUnclippedQuantile: 0 }, "targetUnclippedQuantile", "targetUnclippedQuantile must be a fraction between 0 and 1, got 0"],
			[{ targetUnclippedQuantile: 1 }, "targetUnclippedQuantile", "got 1"],
			[{ targetUnclippedQuantile: any("0.5") }, "targetUnclippedQuantile", 'got "0.5"'],
			[{ clipboundLearningRate: 0 }, "clipboundLearningRate", "clipboundLearningRate must be"],
			[{ unclippedNumStd: 0 }, "unclippedNumStd", "unclippedNumStd must be"],
			[{ minClipbound: 0 }, "minClipbound", "minClipbound must be"],
			[{ maxClipbound: 2 ** 127 }, "maxClipbound", "maxClipbound must be"],
			[{ minClipbound: 2.5 }, "maxGradNorm", "maxGradNorm must be between minClipbound 2.5 and maxClipbound 2048, got 2"],
			[{ maxClipbound: 1 }, "maxGradNorm", "maxGradNorm must be between minClipbound 0.001953125 and maxClipbound 1, got 2"],
		] as const) {
			expect(() => of(own)).toThrow(refused(`dp/${code}`, message));
		}
	});

	it("has a sum of σ_Δ = (σ⁻² − (2 σ_b)⁻²)^(−1/2), where the count costs less than all", () => {
		// 1/0.6² − 1/1² = 0.8²/0.6².
		expect(sumMultiplier(0.6, 0.5)).toBeCloseTo(0.75, 14);
		expect(sumMultiplier(0, 1e-9)).toBe(0);
		expect(() => sumMultiplier(2, 1)).toThrow(
			expect.objectContaining({
				code: "dp/unclippedNumStd",
				message: expect.stringContaining("unclippedNumStd must be above half of the noise multiplier, 1, got 1"),
				hint: "raise it, or the batch that it follows from: L/20 when left out",
			}),
		);
		expect(sumMultiplier(2, 1 + 2 ** -20)).toBeGreaterThan(1000);
	});

	it("goes to C · exp(−η (½ + count/L − γ)), within its bounds", () => {
		const clipping = of({ targetUnclippedQuantile: 0.7, clipboundLearningRate: 0.5, minClipbound: 1.5, maxClipbound: 3 });
		// Of 60 records 42 are not clipped, as many as there should be: the count is 42/2 − 18/2.
		expect(nextNorm(2, 12, clipping, 60)).toBeCloseTo(2, 14);
		expect(nextNorm(2, 30, clipping, 60)).toBeCloseTo(2 * Math.exp(-0.15), 14);
		expect(nextNorm(2, -6, clipping, 60)).toBeCloseTo(2 * Math.exp(0.15), 14);
		expect(nextNorm(2, 1e4, clipping, 60)).toBe(1.5);
		expect(nextNorm(2, -1e4, clipping, 60)).toBe(3);
	});
});
