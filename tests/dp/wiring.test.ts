import { type EngineOptions, epsilon, insecureNoiseForTests, type Optimizer, PrivacyEngine } from "@hushgrad/dp";
import { Dropout, Parameter, SGD } from "@hushgrad/nn";
import { add, type Device, type DropoutKey, data, key, mul, sum, type Tensor, zeros } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { planOf, type Settings } from "./problem.ts";

/* Whether the engine's parts are wired as the plan says: what is sampled, clipped, noised and divided is measured from outside. */

const device = useDevice();
const P = 4000;

/** An engine that trains zeros of these sizes, and the noisy means that its optimiser was given. */
function measured(d: Device, options: Settings, sizes: readonly number[] = [P]) {
	const parameters = sizes.map((n, i) => {
		const w = new Parameter([n]);
		w.name = `w${i}`;
		w.assign(zeros(d, [n]));
		return w;
	});
	const sgd = new SGD(parameters, { lr: 1 });
	const given: Promise<ArrayLike<number>>[] = [];
	const optimizer: Optimizer = {
		lr: 1,
		vector: sgd.vector,
		step(gradient) {
			given.push(data(gradient));
			sgd.step(gradient);
		},
	};
	const all = {
		optimizer,
		datasetSize: 200,
		expectedBatchSize: 20,
		targetEpsilon: 8,
		targetDelta: 1e-4,
		steps: 60,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(5),
		allowMeaninglessEpsilon: true,
		...options,
	};
	const engine = PrivacyEngine.follow(planOf(all), all);
	const mean = async (): Promise<number[]> => Array.from(await given[given.length - 1]);
	return { w: parameters[0], parameters, engine, mean };
}

/** The gradient of every record is `scale` in every coordinate; padding and noise aside, it hangs on nothing. */
const constant =
	(w: Parameter, scale: number) =>
	({ one }: { readonly one: Tensor }): Tensor =>
		mul(mul(sum(w.value), scale), one);
const encode = (i: number) => ({ one: 1, number: i });

const norm = (v: readonly number[]): number => Math.hypot(...v);
const deviation = (v: readonly number[]): number => norm(v) / Math.sqrt(v.length);

/** Gradients of norm 10^6: clipped to C each, all in one direction. */
const HUGE = 1e6 / Math.sqrt(P);
/** An epsilon at which noise is small beside clipped records. */
const LOUD = { targetEpsilon: 1e7 };

describe("noise", () => {
	it.each([
		{ maxGradNorm: 1, expectedBatchSize: 20, physicalBatchSize: 8 },
		{ maxGradNorm: 0.01, expectedBatchSize: 50, physicalBatchSize: 3 },
		{ maxGradNorm: 30, expectedBatchSize: 7.5, physicalBatchSize: 100 },
	])("has deviation sigma C / L in every coordinate, once a step: %j", async (options) => {
		const { w, engine, mean } = measured(device(), options);
		const { noiseMultiplier } = engine.plan;
		expect(noiseMultiplier).toBeGreaterThan(0.1);
		const expected = (noiseMultiplier * options.maxGradNorm) / options.expectedBatchSize;
		const steps: number[][] = [];
		for (let i = 0; i < 3; i++) {
			await engine.step(encode, constant(w, 0));
			steps.push(await mean());
		}
		for (const g of steps) {
			// 4,000 normals: the deviation of the sample is within 1.1 % in 68 of 100 runs; here 6 times that.
			expect(deviation(g) / expected).toBeGreaterThan(0.933);
			expect(deviation(g) / expected).toBeLessThan(1.067);
			expect(Math.abs(g.reduce((a, b) => a + b, 0) / P)).toBeLessThan((6 * expected) / Math.sqrt(P));
		}
		// Fresh in every step: the difference of two is sqrt(2) as large.
		const difference = steps[0].map((v, i) => v - steps[1][i]);
		expect(deviation(difference) / (Math.SQRT2 * expected)).toBeGreaterThan(0.933);
	});

	it("comes from the platform's generator unless told otherwise, and the statement says which", async () => {
		const draw = async (noise: EngineOptions["noise"]): Promise<readonly [number[], string]> => {
			const { w, engine, mean } = measured(device(), { noise });
			await engine.step(encode, constant(w, 0));
			return [await mean(), engine.statement()];
		};
		const [[first, statement], [second]] = [await draw(undefined), await draw(undefined)];
		expect(statement).toMatch(/^Differential privacy/);
		expect(first.filter((v, i) => v === second[i]).length).toBeLessThan(P / 100);
		const [[seeded, warning], [again]] = [await draw(insecureNoiseForTests(3)), await draw(insecureNoiseForTests(3))];
		expect(warning).toMatch(/^NOT PRIVATE/);
		expect(seeded).toEqual(again);
	});
});

describe("clipping", () => {
	it.each([0.5, 1, 3])("leaves every record a norm of C = %f, and no more", async (maxGradNorm) => {
		const { w, engine, mean } = measured(device(), { ...LOUD, maxGradNorm, datasetSize: 20, steps: 3 });
		const { records, clipped, meanNorm } = (await engine.step(encode, constant(w, HUGE))).private.reveal();
		expect([records, clipped]).toEqual([20, 1]);
		expect(meanNorm / 1e6).toBeCloseTo(1, 4);
		// L = N = 20 records, all in one direction: 20 C / L; noise of deviation sigma C / L in 4,000 coordinates beside it.
		const bound = maxGradNorm * (1 + (engine.plan.noiseMultiplier * Math.sqrt(P) * 1.1) / 20);
		expect(engine.plan.noiseMultiplier).toBeLessThan(0.011);
		expect(norm(await mean())).toBeLessThan(bound);
		expect(norm(await mean())).toBeGreaterThan(0.998 * maxGradNorm);
	});

	it("leaves small gradients as they are", async () => {
		const { w, engine, mean } = measured(device(), { ...LOUD, datasetSize: 20, steps: 3 });
		const { clipped, meanNorm } = (await engine.step(encode, constant(w, 0.25 / Math.sqrt(P)))).private.reveal();
		expect(clipped).toBe(0);
		expect(meanNorm).toBeCloseTo(0.25, 5);
		expect(norm(await mean())).toBeCloseTo(0.25, 2);
	});

	it("is over all parameters together", async () => {
		const options = { ...LOUD, datasetSize: 20, steps: 3 };
		const { parameters, engine, mean } = measured(device(), options, [P / 4, (3 * P) / 4]);
		const loss = ({ one }: { readonly one: Tensor }): Tensor => {
			const [a, b] = parameters.map((p) => sum(p.value));
			return mul(mul(add(a, b), HUGE), one);
		};
		await engine.step(encode, loss);
		const g = await mean();
		expect(norm(g)).toBeLessThan(1.02);
		expect(norm(g)).toBeGreaterThan(0.998);
		expect(norm(g.slice(0, P / 4))).toBeCloseTo(Math.sqrt(1 / 4), 2);
		expect(norm(g.slice(P / 4))).toBeCloseTo(Math.sqrt(3 / 4), 2);
	});
});

describe("sampling", () => {
	it("draws L records in the mean, whatever a physical batch holds, and accounts for that rate", async () => {
		const { w, engine } = measured(device(), { steps: 60, physicalBatchSize: 16 });
		const sizes: number[] = [];
		for (let i = 0; i < 60; i++) sizes.push((await engine.step(encode, constant(w, 0))).private.reveal().records);
		const average = sizes.reduce((a, b) => a + b) / 60;
		// Binomial(200, 0.1) a step: the mean of 60 has a deviation of 0.55; here 5 times that.
		expect(Math.abs(average - 20)).toBeLessThan(2.8);
		expect(new Set(sizes).size).toBeGreaterThan(5);
		expect(engine.getEpsilon()).toBe(engine.plan.epsilon);
		expect(engine.getEpsilon()).toBeLessThanOrEqual(8);
		expect(engine.plan.epsilon).toBeGreaterThan(7.9);
	});

	it("tells epsilon at the delta that is asked for, of the steps taken, whatever the plan's own", async () => {
		const { w, engine } = measured(device(), { steps: 4 });
		for (let i = 0; i < 2; i++) await engine.step(encode, constant(w, 0));
		const { sampleRate, noiseMultiplier, targetDelta } = engine.plan;
		const spent = (delta: number): number => epsilon([{ sampleRate, noiseMultiplier, steps: 2 }], { delta });
		expect(engine.getEpsilon()).toBe(spent(targetDelta));
		expect(engine.getEpsilon(1e-6)).toBe(spent(1e-6));
		expect(spent(1e-6)).toBeGreaterThan(spent(targetDelta));
	});

	it("draws each record as often as any other", async () => {
		const { w, engine } = measured(device(), { datasetSize: 10, expectedBatchSize: 5, steps: 80, targetDelta: 1e-3 });
		const drawn = new Float64Array(10);
		for (let i = 0; i < 80; i++) {
			const step = new Set<number>();
			const counting = (r: number) => {
				step.add(r);
				return encode(r);
			};
			await engine.step(counting, constant(w, 0));
			for (const r of step) drawn[r]++;
		}
		// Binomial(80, 0.5): deviation 4.5; here 4.5 times that for ten records.
		for (const n of drawn) expect(Math.abs(n - 40)).toBeLessThan(20);
	});
});

describe("the mean", () => {
	it("divides by the public L, not by the records of the batch", async () => {
		const { w, engine, mean } = measured(device(), { ...LOUD, steps: 8 });
		const seen = new Set<number>();
		for (let i = 0; i < 8; i++) {
			const { records } = (await engine.step(encode, constant(w, HUGE))).private.reveal();
			seen.add(records);
			expect(norm(await mean()) / (records / 20)).toBeGreaterThan(0.998);
			expect(norm(await mean()) / (records / 20)).toBeLessThan(1.02);
		}
		expect(seen.size).toBeGreaterThan(3);
	});

	it("counts no padding: one record in a batch of eight is one record", async () => {
		const { w, engine, mean } = measured(device(), { ...LOUD, datasetSize: 1, expectedBatchSize: 1, targetDelta: 0.1, steps: 2 });
		// A gradient that hangs on no record: padding, whose values are zeros, would have it too.
		const loss = ({ one }: { readonly one: Tensor }): Tensor => add(mul(sum(w.value), HUGE), one);
		const { records } = (await engine.step(encode, loss)).private.reveal();
		expect(records).toBe(1);
		expect(norm(await mean())).toBeGreaterThan(0.998);
		expect(norm(await mean())).toBeLessThan(1 + engine.plan.noiseMultiplier * Math.sqrt(P) * 1.1);
	});
});

describe("dropout", () => {
	/** How much of each coordinate was let through, over the records of a step: 0, 1 or 2 of two. */
	async function counts(records: number, options: Settings = {}): Promise<number[][]> {
		const { w, engine, mean } = measured(
			device(),
			{
				...LOUD,
				datasetSize: records,
				expectedBatchSize: records,
				targetDelta: 0.1,
				maxGradNorm: 20,
				steps: 2,
				...options,
			},
			[64],
		);
		const drop = new Dropout(0.5);
		const loss = ({ one }: { readonly one: Tensor }, dropout?: DropoutKey): Tensor => mul(sum(drop.forward(w.value, dropout)), one);
		const steps: number[][] = [];
		for (let i = 0; i < 2; i++) {
			await engine.step(encode, loss);
			// Half of L times the mean of 0 and 2 a record; noise of deviation 0.2 in it.
			steps.push((await mean()).map((v) => Math.abs(Math.round((v * records) / 2))));
		}
		return steps;
	}

	it("draws a mask of its own for every record and every step, from the key", async () => {
		const [first, second] = await counts(1);
		expect(new Set([...first, ...second])).toEqual(new Set([0, 1]));
		expect(first).not.toEqual(second);
		expect(await counts(1)).toEqual([first, second]);
		expect(await counts(1, { key: key(4) })).not.toEqual([first, second]);
		const [two] = await counts(2);
		// Masks that were the same would let 0 or 2 through everywhere; of 64 coordinates half are let through once.
		expect(Math.abs(two.filter((n) => n === 1).length - 32)).toBeLessThan(20);
	});
});

describe("large batches", () => {
	it("are summed exactly, however many records one sum on the device holds", async () => {
		const N = 3000;
		const { w, engine, mean } = measured(
			device(),
			{ ...LOUD, datasetSize: N, expectedBatchSize: N, targetDelta: 1e-4, physicalBatchSize: 700, steps: 1 },
			[3],
		);
		// Two thirds pull one way, one third the other, all of norm C: the sum is N/3 C, and the device holds some 500 of them.
		const loss = ({ one }: { readonly one: Tensor }): Tensor => mul(mul(sum(w.value), 100), one);
		const { records, clipped } = (await engine.step((i) => ({ one: i % 3 === 0 ? -1 : 1 }), loss)).private.reveal();
		expect([records, clipped]).toEqual([N, 1]);
		for (const v of await mean()) expect(v).toBeCloseTo(1 / 3 / Math.sqrt(3), 4);
	});

	it("are summed exactly where the whole batch pulls one way, by one coordinate", async () => {
		const N = 2500;
		const options = { ...LOUD, datasetSize: N, expectedBatchSize: N, targetDelta: 1e-4, physicalBatchSize: 4000, steps: 1 };
		for (const scale of [100, -100]) {
			const { w, engine, mean } = measured(device(), options, [1]);
			await engine.step(encode, constant(w, scale));
			expect((await mean())[0]).toBeCloseTo(Math.sign(scale), 4);
		}
	});
});
