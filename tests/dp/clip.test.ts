import { type Clipping, clip, GaussianMechanism } from "@hushgrad/dp";
import { type Device, data, key, uniformValues } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { addClippedPrimitive } from "../../packages/dp/src/clip/addClipped.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();

/** Factors of records in units of min(1, C/‖g‖), and their norms, as the device computes them. */
async function factorsOf(d: Device, rows: readonly Float32Array[], maxGradNorm: number, clipping?: Clipping) {
	const mechanism = new GaussianMechanism({ length: rows[0].length, maxGradNorm, noiseMultiplier: 1, expectedBatchSize: 1, clipping });
	const kept = d.scope(() => {
		const all = new Float32Array(rows.length * rows[0].length);
		rows.forEach((r, i) => {
			all.set(r, i * r.length);
		});
		const { factors, norms } = clip(
			[d.fromHost(all, [rows.length, rows[0].length])],
			d.fromHost(new Float32Array(rows.length).fill(1), [rows.length]),
			mechanism,
		);
		return { factors, norms };
	});
	const [factors, norms] = await Promise.all([data(kept.factors), data(kept.norms)]);
	kept.factors.dispose();
	kept.norms.dispose();
	return { factors: [...factors].map((f) => f * mechanism.grid), norms: [...norms], mechanism };
}

const normOf = (g: Float32Array): number => Math.sqrt(g.reduce((s, v) => s + v * v, 0));
const random = (seed: number, length: number, scale: number): Float32Array =>
	uniformValues(key(seed), length).map((v) => scale * (2 * v - 1));

describe("steps of the grid", () => {
	it.each([3, 4, 8, 12, 16, 32])("are added as whole numbers below 2²³, halves to the even one: %i coordinates", async (P) => {
		const exact = [
			0.5,
			1.5,
			2.5,
			65_535.5,
			65_536,
			2 ** 21 + 0.5,
			2 ** 22 + 17,
			2 ** 22 + 1.5,
			2 ** 23 - 1,
			2 ** 23 - 1.5,
			32_768,
			98_304.5,
		];
		const rows = [1, -1, 0.5, -0.75].map((f, b) => Float32Array.from({ length: P }, (_, p) => (f * exact[(p + 5 * b) % exact.length]) / 8));
		const factor = [8, 8, 4, 8];
		const [sum, g, factors] = [
			device().fromHost(new Int32Array(P + 2).fill(7), [P + 2]),
			device().fromHost(
				rows.flatMap((r) => [...r]),
				[4, P],
			),
			device().fromHost(factor, [4, 1]),
		];
		device().scope<void>(() => void addClippedPrimitive.apply([sum, g, factors], { whole: 100, full: 8, group: 0 }));
		const even = (v: number): number => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
		const steps = Array.from({ length: P }, (_, p) => rows.reduce((s, r, b) => s + even(Math.fround(factor[b] * r[p])), 7));
		expect([...(await data(sum))]).toEqual([...steps, 7, 7 + 100 + 100 - 100 + 100]);
		for (const t of [sum, g, factors]) t.dispose();
	});
});

it("no record adds 2²³ steps of the grid or more to a coordinate, whatever C is", () => {
	for (const C of [2 ** -104, 1e-3, 0.37, 0.5 + 2 ** -53, 1, 1 + 2 ** -52, 2 ** 126]) {
		const { mostSteps } = new GaussianMechanism({ length: 1, maxGradNorm: C, noiseMultiplier: 0, expectedBatchSize: 1 });
		expect(mostSteps).toBeLessThan(2 ** 23);
		expect(mostSteps).toBeGreaterThan(2 ** 21);
	}
});

describe("the norm and the factor of a record", () => {
	it.each([1, 255, 256, 257, 65_536, 65_537, 1_000_003])("are those of float64 to 5e-7 for %i coordinates", async (P) => {
		for (const [seed, C] of [
			[1, 1],
			[2, 0.37],
			[3, 1e-3],
		] as const) {
			const rows = [
				random(seed, P, (3 * C) / Math.sqrt(P)),
				random(seed + 10, P, 40 / Math.sqrt(P)),
				new Float32Array(P).fill(C / Math.sqrt(P)),
			];
			const { factors, norms } = await factorsOf(device(), rows, C);
			rows.forEach((g, i) => {
				expect(Math.abs(norms[i] / normOf(g) - 1)).toBeLessThan(5e-7);
				expect(Math.abs(factors[i] / Math.min(1, C / normOf(g)) - 1)).toBeLessThan(5e-7);
			});
		}
	});

	it("do not drift with the number of coordinates: 20 million, all of one size, and one large among small", async () => {
		const P = 20_000_000;
		const even = new Float32Array(P).fill(1e-3);
		const one = new Float32Array(P).fill(1e-5);
		one[P - 1] = 2;
		for (const g of [even, one]) {
			const { factors, mechanism } = await factorsOf(device(), [g], 1);
			const expected = Math.min(1, 1 / normOf(g));
			expect(Math.abs(factors[0] / expected - 1)).toBeLessThan(1e-6);
			expect(factors[0] * normOf(g)).toBeLessThan(mechanism.sensitivity);
		}
	});

	it.each([1e-25, 1e-12, 1e12, 1e25])("hold for C = %f: squares neither underflow nor overflow", async (C) => {
		const rows = [random(5, 300, 0.05 * C), random(6, 300, 4 * C), random(7, 300, 1e9 * C)];
		const { factors, norms } = await factorsOf(device(), rows, C);
		rows.forEach((g, i) => {
			expect(Math.abs(norms[i] / normOf(g) - 1)).toBeLessThan(5e-7);
			expect(Math.abs(factors[i] / Math.min(1, C / normOf(g)) - 1)).toBeLessThan(5e-7);
		});
	});

	it("of 2⁶⁴ C and more counts as not finite, and so do NaN and infinity: −1, and nothing is added", async () => {
		const odd = [1e20, Number.NaN, Number.POSITIVE_INFINITY, 3e38].map((v) => Float32Array.of(0.1, v, 0.1));
		const { factors, mechanism } = await factorsOf(device(), [...odd, Float32Array.of(0.1, 0.1, 0.1)], 1);
		expect(factors.map((f) => Math.sign(f))).toEqual([-1, -1, -1, -1, 1]);
		expect(factors[4]).toBe(1);
		expect(mechanism.countSteps).toBe(2 ** 22);
	});

	it("are the same bits whatever a physical batch holds", async () => {
		const rows = Array.from({ length: 90 }, (_, i) => random(i, 70_000, 0.02));
		const whole = await factorsOf(device(), rows, 1);
		for (const size of [1, 7, 64]) {
			const parts = [];
			for (let i = 0; i < rows.length; i += size) parts.push(await factorsOf(device(), rows.slice(i, i + size), 1));
			expect(parts.flatMap((p) => p.factors)).toEqual(whole.factors);
			expect(parts.flatMap((p) => p.norms)).toEqual(whole.norms);
		}
	});

	it.each([undefined, 0.01, 1])("of automatic clipping are C / (‖g‖ + γ), and no record exceeds C: γ = %s", async (gamma) => {
		for (const C of [1, 0.37, 1e-3]) {
			const rows = [1e-9, 1e-3, 0.3, 1, 50].map((size, i) => random(i, 1000, size));
			const { factors, mechanism } = await factorsOf(device(), rows, C, { kind: "automatic", gamma });
			rows.forEach((g, i) => {
				expect(Math.abs(factors[i] / (C / (normOf(g) + (gamma ?? 0.01))) - 1)).toBeLessThan(1e-6);
				expect(factors[i] * normOf(g)).toBeLessThan(mechanism.sensitivity);
			});
		}
	});

	it("know no other clipping", () => {
		for (const clipping of [{ kind: "layer" }, {}, null, { kind: "automatic", gamma: 0 }, { kind: "automatic", gamma: Number.NaN }]) {
			const options = { length: 1, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1, clipping: clipping as Clipping };
			expect(() => new GaussianMechanism(options)).toThrow(expect.objectContaining({ name: "ValueError" }));
		}
	});
});
