import { BoundedSum, fixedPointGrid, insecureNoiseForTests, PrivacyEngine, type PrivacyEngineOptions } from "@hushgrad/dp";
import { type Device, data, linear, markSamples, mul, mulScalar, type Slot, square, sub, sum, type Tensor } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();

const values = (seed: number, count: number, scale = 1) => {
	const next = numbers(seed, 5);
	return Float32Array.from({ length: count }, () => scale * (2 * next() - 1));
};

/** Plain gradient descent over slots, as the engine sees an optimiser. */
class Descent {
	readonly slots: readonly Slot[];
	lr: number;
	constructor(slots: readonly Slot[], lr: number) {
		this.slots = slots;
		this.lr = lr;
	}
	step(grads: readonly Tensor[]): void {
		this.slots.forEach((s, i) => {
			const old = s.value;
			s.value = old.device.keep(sub(old, mulScalar(grads[i], this.lr)));
			old.dispose();
		});
	}
}

const N = 40;
const IN = 5;
const OUT = 3;

/** Least squares on fixed data: loss_i = |x_i W^T - y_i|^2. */
function problem(d: Device, options: Partial<PrivacyEngineOptions> = {}) {
	const w: Slot = { value: d.keep(d.fromHost(values(1, OUT * IN), [OUT, IN])) };
	const x = values(2, N * IN);
	const y = values(3, N * OUT);
	const rows = (source: Float32Array, width: number, indices: Int32Array) => {
		const out = new Float32Array(indices.length * width);
		indices.forEach((r, i) => {
			if (r >= 0) out.set(source.subarray(r * width, (r + 1) * width), i * width);
		});
		return markSamples(d.fromHost(out, [indices.length, width]));
	};
	const lossOf = ({ indices, weights }: { indices: Int32Array; weights: Float32Array }) => {
		const error = sub(linear(rows(x, IN, indices), w.value), rows(y, OUT, indices));
		return mul(sum(square(error), [1]), markSamples(d.fromHost(weights, [weights.length])));
	};
	const optimizer = new Descent([w], 0.1);
	const engine = PrivacyEngine.makePrivateWithEpsilon({
		parameters: new Map([["w", w]]),
		optimizer,
		datasetSize: N,
		expectedBatchSize: 10,
		physicalBatchSize: 4,
		targetEpsilon: 8,
		targetDelta: 1e-4,
		steps: 5,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(11),
		...options,
	});
	return { w, lossOf, engine, optimizer, x, y };
}

describe("BoundedSum", () => {
	it("equals clipping and rounding in float64, and ignores padding and non-finite samples", async () => {
		await fc.assert(
			fc.asyncProperty(fc.nat(1e6), fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 6 }), async (seed, size, samples) => {
				const grid = fixedPointGrid(1, size + 3);
				const a = values(seed, samples * size, 3 / Math.sqrt(size));
				const b = values(seed + 1, samples * 3, 0.5);
				const weights = Float32Array.from({ length: samples }, (_, i) => Number((seed >> i) % 3 !== 0));
				if (samples > 2) a[size] = Number.NaN;
				if (samples > 3) a[2 * size] = Number.POSITIVE_INFINITY;
				const acc = new BoundedSum(device(), [size, 3], grid);
				device().scope<void>(() => {
					acc.add([device().fromHost(a, [samples, size]), device().fromHost(b, [samples, 3])], device().fromHost(weights, [samples]));
				});
				const got = await acc.read();
				acc.dispose();
				const expected = new Float64Array(size + 3);
				let norm2 = 0;
				for (let s = 0; s < samples; s++) {
					const g = [...a.subarray(s * size, (s + 1) * size), ...b.subarray(s * 3, s * 3 + 3)];
					const norm = Math.hypot(...g);
					if (weights[s] === 0 || !Number.isFinite(norm)) continue;
					const factor = Math.min(1, grid.clipNorm / norm) / grid.grid;
					g.forEach((v, i) => {
						expected[i] += Math.round(v * factor);
					});
				}
				// One f32 product of up to 2^20 steps is off by at most a sixteenth of a step times the samples; rounding may then
				// differ by one step a sample, plus the f32 error of the norm (relative 1e-6 of 2^20 steps).
				got.forEach((v, i) => {
					expect(Math.abs(v - expected[i])).toBeLessThanOrEqual(3 * samples);
				});
				for (const v of got) norm2 += (v * grid.grid) ** 2;
				const counted = weights.filter((w) => w > 0).length;
				expect(Math.sqrt(norm2)).toBeLessThanOrEqual(counted * 1);
			}),
			{ numRuns: 40 },
		);
	});
});

describe("PrivacyEngine", () => {
	it("gives the same sum and the same step for every physical batch size, bit for bit", async () => {
		const after: number[][] = [];
		for (const physicalBatchSize of [1, 2, 3, 7, 40]) {
			const { w, engine, lossOf } = problem(device(), { physicalBatchSize });
			await engine.step(lossOf);
			await engine.step(lossOf);
			after.push([...(await data(w.value))]);
		}
		for (const other of after) expect(other).toEqual(after[0]);
	});

	it("ends within the target, refuses a step beyond the plan, and counts empty batches", async () => {
		const { engine, lossOf } = problem(device(), { expectedBatchSize: 0.5, steps: 8 });
		const sizes: number[] = [];
		for (let i = 0; i < 8; i++) sizes.push((await engine.step(lossOf)).records);
		expect(sizes).toContain(0);
		expect(engine.steps).toBe(8);
		expect(engine.getEpsilon()).toBeLessThanOrEqual(8);
		expect(engine.getEpsilon()).toBe(engine.plan.epsilon);
		await expect(engine.step(lossOf)).rejects.toMatchObject({ name: "PrivacyError", code: "privacy/plan-spent" });
	});

	it("moves the parameters on an empty batch (noise only)", async () => {
		const { w, engine, lossOf } = problem(device(), { expectedBatchSize: 1e-9 });
		const before = await data(w.value);
		const { records } = await engine.step(lossOf);
		expect(records).toBe(0);
		const now = await data(w.value);
		expect(now.every((v, i) => v !== before[i])).toBe(true);
	});

	it("notices an optimiser that trains other tensors", async () => {
		const stranger: Slot = { value: device().keep(device().fromHost(values(9, OUT * IN), [OUT, IN])) };
		const { engine, lossOf } = problem(device(), { optimizer: new Descent([stranger], 0.1) });
		await expect(engine.step(lossOf)).rejects.toMatchObject({ code: "privacy/not-training" });
	});

	it("refuses delta >= 1/N and losses that mix samples", async () => {
		expect(() => problem(device(), { targetDelta: 1 / N })).toThrow(/1\/N/);
		const { engine, lossOf } = problem(device());
		await expect(engine.step((b) => sum(lossOf(b)))).rejects.toMatchObject({ name: "PrivacyError" });
	});

	it("keeps GPU memory exactly flat over 200 steps", async () => {
		const { engine, lossOf } = problem(device(), { steps: 220 });
		for (let i = 0; i < 20; i++) await engine.step(lossOf);
		const start = device().memory();
		for (let i = 0; i < 200; i++) await engine.step(lossOf);
		expect(device().memory()).toMatchObject({ liveBytes: start.liveBytes, liveBuffers: start.liveBuffers });
	});

	it("with almost no noise and no clipping takes the step of plain gradient descent", async () => {
		const { w, engine, lossOf, x, y, optimizer } = problem(device(), {
			expectedBatchSize: N,
			targetEpsilon: 1e7,
			maxGradNorm: 1000,
			steps: 1,
		});
		const before = await data(w.value);
		await engine.step(lossOf);
		const now = await data(w.value);
		for (let o = 0; o < OUT; o++) {
			for (let i = 0; i < IN; i++) {
				let gradient = 0;
				for (let r = 0; r < N; r++) {
					let prediction = 0;
					for (let k = 0; k < IN; k++) prediction += x[r * IN + k] * before[o * IN + k];
					gradient += (2 * (prediction - y[r * OUT + o]) * x[r * IN + i]) / N;
				}
				// Noise of deviation sigma C / N and rounding to C 2^-20 steps.
				const noise = (6 * engine.plan.noiseMultiplier * 1000) / N + 1000 / 2 ** 20;
				expect(Math.abs(now[o * IN + i] - (before[o * IN + i] - optimizer.lr * gradient))).toBeLessThan(0.1 * noise + 1e-5);
			}
		}
	});
});
