import { GaussianMechanism, insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import { data, mul, sum, type Tensor, zeros } from "@hushgrad/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { drawOf } from "../../packages/dp/src/mechanism.ts";
import { joined, stepsOf } from "../../packages/dp/src/noiseDraw.ts";
import { NoiseWorkers } from "../../packages/dp/src/noiseWorkers.ts";
import { useDevice } from "../support/device.ts";
import { correlation, kolmogorovSmirnov, moment } from "./statistics.ts";

const DRAWS = 10_000_000;
const device = useDevice();

describe("normals from workers", () => {
	const workers = new NoiseWorkers(3);
	afterAll(() => workers.close());

	it("10⁷ of them: deviation to 0.1 %, Kolmogorov–Smirnov, tails, no sequence twice", async () => {
		const z = joined((await workers.normals(DRAWS)) ?? []);
		expect(z.length).toBe(DRAWS);
		// 5 standard errors each.
		const error = (variance: number): number => 5 * Math.sqrt(variance / DRAWS);
		expect(Math.abs(moment(z, 1))).toBeLessThan(error(1));
		expect(Math.abs(Math.sqrt(moment(z, 2)) - 1)).toBeLessThan(0.001);
		expect(Math.abs(moment(z, 3))).toBeLessThan(error(15));
		expect(Math.abs(moment(z, 4) - 3)).toBeLessThan(error(96));
		const beyond = (limit: number): number => z.reduce((count, v) => count + Number(Math.abs(v) > limit), 0);
		for (const [limit, expected] of [
			[3, 26_997.96],
			[4, 633.425],
			[5, 5.733],
		]) {
			expect(Math.abs(beyond(limit) - expected)).toBeLessThan(5 * Math.sqrt(expected) + 1);
		}
		const third = Math.ceil(DRAWS / 3 / 2) * 2;
		expect(Math.abs(correlation(z.subarray(0, third - 2), z.subarray(third, 2 * third - 2)))).toBeLessThan(5);
		expect(new Set(z.subarray(0, 1000)).size).toBe(1000);
		expect(z.subarray(third, third + 1000).some((v) => v === z[0])).toBe(false);
		expect(kolmogorovSmirnov(z)).toBeLessThan(Math.sqrt(Math.log(2e6) / 2));
	}, 120_000);

	it("are few on the spot, and none after the end", async () => {
		const some = new NoiseWorkers(1);
		expect(await some.normals(1000)).toBeUndefined();
		const [a, b] = await Promise.all([some.normals(200_001), some.normals(200_000)]);
		expect([a?.[0].length, b?.[0].length]).toEqual([200_001, 200_000]);
		expect(a?.[0][0]).not.toBe(b?.[0][0]);
		some.close();
		expect(await some.normals(1_000_000)).toBeUndefined();
	});

	it("are none where a worker fails: noise is then drawn on the spot, and nobody waits for ever", async () => {
		const failing = new NoiseWorkers(2);
		expect((await failing.normals(300_000))?.map((run) => run.length)).toEqual([150_000, 150_000]);
		const asked = [failing.normals(2 ** 40), failing.normals(300_000)]; // no array is so long: it throws in the worker
		expect(await Promise.all(asked)).toEqual([undefined, undefined]);
		expect(await failing.normals(300_000)).toBeUndefined();
	});
});

describe("noise on the grid", () => {
	it("is the normal rounded to whole steps: the exact discrete law, cell by cell", () => {
		const mechanism = new GaussianMechanism({ length: 1_999_999, maxGradNorm: 1, noiseMultiplier: 3e-7, expectedBatchSize: 1 });
		const deviation = (3e-7 * mechanism.sensitivity) / mechanism.grid;
		expect(deviation).toBeGreaterThan(1.2);
		const z = new Float64Array(2_000_000);
		insecureNoiseForTests(77).fillNormals(z);
		const steps = stepsOf(drawOf(mechanism, [z]).take());
		expect(steps.every(Number.isInteger)).toBe(true);
		// P(k) = Φ((k + ½)/s) − Φ((k − ½)/s), by Simpson's rule on the density.
		const mass = (k: number): number => {
			let total = 0;
			for (let i = 0; i <= 64; i++) {
				const x = k - 0.5 + i / 64;
				total += (i === 0 || i === 64 ? 1 : i % 2 === 1 ? 4 : 2) * Math.exp(-((x / deviation) ** 2) / 2);
			}
			return total / 64 / 3 / (deviation * Math.sqrt(2 * Math.PI));
		};
		for (let k = -5; k <= 5; k++) {
			const expected = 2_000_000 * mass(k);
			const count = steps.reduce((n, v) => n + Number(v === k || (k === 0 && v === 0)), 0);
			expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected));
		}
	});
});

it("an engine with many parameters adds noise of the right size, drawn ahead", async () => {
	const P = 150_000;
	const w = new Parameter([P]);
	w.assign(zeros(device(), [P]));
	const engine = PrivacyEngine.makePrivate({
		optimizer: new SGD([w], { lr: 1 }),
		datasetSize: 100,
		expectedBatchSize: 10,
		noiseMultiplier: 2,
		maxGradNorm: 0.5,
		targetDelta: 1e-4,
		steps: 3,
	});
	let before = new Float32Array(P);
	const moved: Float32Array[] = [];
	for (let step = 0; step < 3; step++) {
		await engine.step(
			(i) => ({ zero: 0, i }),
			({ zero }: { readonly zero: Tensor; readonly i: Tensor }) => mul(sum(w.value), zero),
		);
		const now = (await data(w.value)) as Float32Array<ArrayBuffer>;
		moved.push(now.map((v, i) => v - before[i]));
		before = now;
	}
	const deviation = (2 * 0.5) / 10;
	for (const step of moved) {
		expect(Math.abs(Math.sqrt(moment(Float64Array.from(step), 2)) / deviation - 1)).toBeLessThan(0.01);
	}
	const unit = (v: Float32Array): Float64Array => Float64Array.from(v, (x) => x / deviation);
	expect(Math.abs(correlation(unit(moved[0]), unit(moved[1])))).toBeLessThan(5);
	w.value.dispose();
});
