import { GaussianMechanism, insecureNoiseForTests, type MechanismOptions, type NoiseDraw, secureNoise } from "@hushgrad/dp";
import { capture, type Device, data, full, key, type Tensor, uniformValues } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { BoundedSum } from "../../packages/dp/src/boundedSum.ts";
import { drawOf } from "../../packages/dp/src/mechanism.ts";
import { useDevice } from "../support/device.ts";
import { smallDevice } from "../support/smallDevice.ts";
import { leftBehind, NOTHING } from "./problem.ts";

const device = useDevice();

const mechanismOf = (options: Partial<MechanismOptions> & { length: number }): GaussianMechanism =>
	new GaussianMechanism({ maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 7, ...options });

/** The gradients of parameters of 5,000 numbers, and what is left. */
const parametersOf = (values: Float32Array, length: number, d: Device): Tensor[] =>
	Array.from({ length: Math.ceil(length / 5000) }, (_, i) => {
		const columns = Math.min(5000, length - 5000 * i);
		const rows = values.length / length;
		return d.fromHost(
			Float32Array.from({ length: rows * columns }, (_, k) => values[Math.floor(k / columns) * length + 5000 * i + (k % columns)]),
			[rows, columns],
		);
	});

/** What a sum of so many rows releases, on the device, and what the same sum and noise give on the host. */
async function released(m: GaussianMechanism, grads: readonly Float32Array[], draws: () => NoiseDraw, d: Device = device()) {
	const sum = m.newSum(d);
	for (const values of grads) {
		const rows = values.length / m.length;
		d.scope<void>(() => void sum.add(parametersOf(values, m.length, d), full(d, [rows], 1)));
	}
	const { mean, ...counts } = await sum.release(draws());
	const onDevice = { mean: await data(mean), ...counts };
	mean.dispose();
	const steps = await sum.read();
	sum.dispose();
	return { onDevice, onHost: m.release(steps, draws()), steps };
}

const gradients = (seed: number, rows: number, length: number): Float32Array =>
	uniformValues(key(seed), rows * length).map((v) => 2 * v - 1);

const ADAPTIVE = {
	kind: "adaptive",
	targetUnclippedQuantile: 0.5,
	clipboundLearningRate: 0.2,
	unclippedNumStd: 0.9,
	minClipbound: 0.1,
	maxClipbound: 6,
} as const;

/** The largest difference, relatively. */
const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
	Array.from(a).reduce((most, v, i) => Math.max(most, v === b[i] ? 0 : Math.abs(v - b[i]) / Math.abs(b[i])), 0);

/** A whole number to f32, and a product of two of them: three roundings; on the host one. */
const APART = 4 * 2 ** -24;

describe("a release on the device", () => {
	it("is the same whatever runs its noise comes in, which workers draw, across the counts too", async () => {
		for (const clipping of [undefined, ADAPTIVE]) {
			const m = mechanismOf({ length: 1001, clipping });
			const normals = new Float64Array(m.length + m.counts);
			insecureNoiseForTests(9).fillNormals(normals);
			const cut = (ends: readonly number[]) => [...ends, normals.length].map((end, i) => normals.slice(ends[i - 1] ?? 0, end));
			const batches = Array.from({ length: 3 }, (_, i) => gradients(90 + i, Math.floor(m.mostRows / 2), m.length));
			const { onDevice, onHost } = await released(m, batches, () => drawOf(m, cut([])));
			for (const ends of [[1], [500, 1001], [3, 3, 1000], [1000, 1002]]) {
				expect(await released(m, batches, () => drawOf(m, cut(ends)))).toMatchObject({ onDevice, onHost });
			}
		}
	});

	const cases: readonly (Partial<MechanismOptions> & { length: number })[] = [
		{ length: 1 },
		{ length: 1003 },
		{ length: 64, noiseMultiplier: 0 },
		{ length: 64, noiseMultiplier: 700, expectedBatchSize: 1 },
		{ length: 64, noiseMultiplier: 3e7 },
		{ length: 9, maxGradNorm: 2 ** -104 },
		{ length: 9, maxGradNorm: 3e37 },
		{ length: 33, clipping: ADAPTIVE },
	];
	for (const options of cases) {
		it(`is that of the host: ${JSON.stringify(options)}`, async () => {
			const m = mechanismOf(options);
			const batch = gradients(1, 5, m.length).map((v) => v * m.maxGradNorm);
			batch[0] = Number.NaN;
			const { onDevice, onHost, steps } = await released(m, [batch], () => m.draw(insecureNoiseForTests(3)));
			expect(steps[m.length]).toBe(m.countSteps);
			expect(apart(onDevice.mean, onHost.mean)).toBeLessThan(APART);
			expect(apart([onDevice.notFinite], [onHost.notFinite])).toBeLessThan(APART);
			expect(onDevice.unclipped === undefined).toBe(onHost.unclipped === undefined);
			expect(apart([onDevice.unclipped ?? 1], [onHost.unclipped ?? 1])).toBeLessThan(APART);
		});
	}

	it("takes in what outgrew an i32", async () => {
		const m = mechanismOf({ length: 2, noiseMultiplier: 0.01 });
		const batches = [0, 1, 2, 3, 4].map(() => Float32Array.from({ length: 2 * 300 }, (_, i) => (i % 2 === 0 ? 1 : 0)));
		const { onDevice, onHost, steps } = await released(m, batches, () => m.draw(insecureNoiseForTests(5)));
		expect(steps[0]).toBe(1500 * 2 ** 22);
		expect(apart(onDevice.mean, onHost.mean)).toBeLessThan(APART);
	});

	it("counts the rows of every batch that it holds", async () => {
		const m = mechanismOf({ length: 2, noiseMultiplier: 0.01 });
		const rows = Math.floor(m.mostRows / 2.5);
		const batches = Array.from({ length: 7 }, () => Float32Array.from({ length: 2 * rows }, (_, i) => (i % 2 === 0 ? 1 : 0)));
		const { steps } = await released(m, batches, () => m.draw(insecureNoiseForTests(5)));
		expect(steps[0]).toBe(7 * rows * 2 ** 22);
	});

	it("does so where its noise is sent in parts", async () => {
		const m = mechanismOf({ length: 20_001 });
		const [small, whole] = [await smallDevice(65_536), device()].map((d) =>
			released(m, [gradients(2, 3, m.length)], () => m.draw(insecureNoiseForTests(7)), d),
		);
		expect((await small).onDevice).toEqual((await whole).onDevice);
		expect(apart((await small).onDevice.mean, (await small).onHost.mean)).toBeLessThan(APART);
	});

	it("shows the sum of both, and of neither how large it was", async () => {
		const m = mechanismOf({ length: 6, noiseMultiplier: 4, expectedBatchSize: 1 });
		// Sums that differ by a record's steps, noise that makes up for them: the same bits.
		const own = Float32Array.of(0.4, -0.3, 0.2, -0.1, 2 ** -21, -(2 ** -22));
		const noise = [3.1, -0.2, 2 ** 30, -(2 ** 28), -(2 ** -22), 2 ** -22];
		const steps = await released(m, [own], () => m.given(noise));
		const without = await released(m, [new Float32Array(6)], () => m.given(noise.map((v, i) => v + steps.steps[i] * m.grid)));
		expect(steps.onDevice).toEqual(without.onDevice);
		expect(steps.onDevice.mean.slice(4)).toEqual(Float32Array.of(2 ** -22, 0));
	});

	it("rounds nothing before both are one number", async () => {
		const m = mechanismOf({ length: 2, noiseMultiplier: 4, expectedBatchSize: 1 });
		const rows = Float32Array.from({ length: 18 }, (_, i) => (i % 2 === 1 ? 0 : i === 0 ? 2 ** -22 : 1));
		const { onDevice, steps } = await released(m, [rows], () => m.given([-8, 0]));
		expect(steps[0]).toBe(2 ** 25 + 1); // no f32
		expect(onDevice.mean).toEqual(Float32Array.of(2 ** -22, 0));
	});

	it("gives the same of a sum that was read before", async () => {
		const m = mechanismOf({ length: 3 });
		const means = [];
		for (const readBefore of [false, true]) {
			const sum = m.newSum(device());
			device().scope<void>(() => void sum.add([device().fromHost([0.5, -0.25, 0], [1, 3])], full(device(), [1], 1)));
			if (readBefore) await sum.read();
			const { mean } = await sum.release(m.draw(insecureNoiseForTests(2)));
			means.push(await data(mean));
			mean.dispose();
			sum.dispose();
		}
		expect(means[1]).toEqual(means[0]);
	});

	it("adds the noise of a draw of its own mechanism, once", async () => {
		const m = mechanismOf({ length: 3 });
		const sum = m.newSum(device());
		const draw = m.draw(insecureNoiseForTests(1));
		await expect(sum.release(mechanismOf({ length: 3 }).draw(insecureNoiseForTests(1)))).rejects.toThrow("for another mechanism");
		(await sum.release(draw)).mean.dispose();
		const other = m.newSum(device());
		await expect(other.release(draw)).rejects.toThrow("already added");
		(await other.release(m.draw(insecureNoiseForTests(1)))).mean.dispose();
		for (const s of [sum, other]) s.dispose();
	});

	it("happens once, whatever the noise: at the same time as well, and after more was added", async () => {
		const m = mechanismOf({ length: 3 });
		const sum = m.newSum(device());
		const refused = {
			...{ name: "PrivacyError", code: "privacy/sum-released", op: "BoundedSum.release" },
			message: expect.stringContaining("this sum was released before"),
			hint: expect.stringContaining("a sum for every step"),
		};
		const first = sum.release(m.draw(secureNoise()));
		await expect(sum.release(m.draw(secureNoise()))).rejects.toMatchObject(refused);
		(await first).mean.dispose();
		device().scope<void>(() => void sum.add([device().fromHost([0.5, -0.25, 0], [1, 3])], full(device(), [1], 1)));
		await expect(sum.release(m.draw(secureNoise()))).rejects.toMatchObject(refused);
		sum.dispose();
	});
});

describe("a sum", () => {
	const wrong = (v: unknown): never => v as never;

	it("refuses by name what is no gradient, no weight, too many rows and other columns", () => {
		const m = mechanismOf({ length: 3 });
		const sum = m.newSum(device());
		const [grads, weights] = [device().fromHost(new Float32Array(6), [2, 3]), full(device(), [2], 1)];
		const none = { name: "ValueError", code: "call/argument", op: "BoundedSum", message: "BoundedSum: mechanism is no GaussianMechanism" };
		expect(() => new BoundedSum(device(), wrong({}))).toThrow(expect.objectContaining(none));
		expect(() => new BoundedSum(device(), wrong(undefined))).toThrow(expect.objectContaining(none));
		expect(() => new BoundedSum(wrong(3), m)).toThrow("BoundedSum: device is 3");
		const own = (message: string) => expect.objectContaining({ op: "BoundedSum.add", message: expect.stringContaining(message) });
		expect(() => sum.add(wrong(3), weights)).toThrow(own("BoundedSum.add: "));
		expect(() => sum.add([wrong(3)], weights)).toThrow(own("BoundedSum.add: "));
		expect(() => sum.add([grads], wrong(3))).toThrow(own("BoundedSum.add: weights is 3"));
		const other = device().fromHost(new Float32Array(4), [2, 2]);
		expect(() => sum.add([other], weights)).toThrow(
			expect.objectContaining({
				code: "dp/columns",
				op: "BoundedSum.add",
				message: "BoundedSum.add: gradients of 2 coordinates, expected 3",
			}),
		);
		const many = full(device(), [m.mostRows + 1], 1);
		expect(() => sum.add([grads], many)).toThrow(
			expect.objectContaining({
				...{ code: "dp/rows", op: "BoundedSum.add" },
				message: `BoundedSum.add: ${m.mostRows + 1} rows in a physical batch, expected at most ${m.mostRows}`,
			}),
		);
		many.dispose();
		const most = [device().fromHost(new Float32Array(3 * m.mostRows), [m.mostRows, 3]), full(device(), [m.mostRows], 1)] as const;
		expect(() => device().scope<void>(() => void sum.add([most[0]], most[1]))).not.toThrow();
		for (const t of most) t.dispose();
		expect(Object.isFrozen(sum) && Object.isFrozen(BoundedSum.prototype)).toBe(true);
		for (const t of [grads, weights, other, sum]) t.dispose();
	});

	it("of nothing is zeros, read as often as one likes, and goes on after it was read", async () => {
		for (const options of [{}, { clipping: ADAPTIVE }]) {
			const m = mechanismOf({ length: 3, ...options });
			const sum = m.newSum(device());
			expect([...(await sum.read())]).toEqual(new Array(3 + m.counts).fill(0));
			const add = () => device().scope<void>(() => void sum.add([device().fromHost([0.5, -0.25, 0], [1, 3])], full(device(), [1], 1)));
			add();
			const once = [0.5, -0.25, 0].map((v) => v / m.grid);
			for (let i = 0; i < 2; i++) expect([...(await sum.read()).subarray(0, 3)]).toEqual(once);
			add();
			add();
			expect([...(await sum.read()).subarray(0, 3)]).toEqual(once.map((v) => 3 * v));
			sum.dispose();
		}
	});

	it("counts beside its last coordinate alone, in however many pieces it is made: what is not finite, and who is clipped", async () => {
		const m = mechanismOf({ length: 20_001, clipping: ADAPTIVE });
		const small = await smallDevice(65_536);
		const rows = [gradients(2, 1, m.length), new Float32Array(m.length).fill(1e-4), new Float32Array(m.length).fill(Number.NaN)];
		const stepsOf = async (chosen: readonly Float32Array[]): Promise<Float64Array> => {
			const sum = m.newSum(small);
			const values = Float32Array.from(chosen.flatMap((row) => [...row]));
			small.scope<void>(() => void sum.add(parametersOf(values, m.length, small), full(small, [chosen.length], 1)));
			const steps = await sum.read();
			sum.dispose();
			return steps;
		};
		const [finite, all] = [await stepsOf(rows.slice(0, 2)), await stepsOf(rows)];
		expect([...finite.subarray(m.length)]).toEqual([0, 0]); // one is clipped, one is not
		expect([...(await stepsOf(rows.slice(0, 1))).subarray(m.length)]).toEqual([0, -m.countSteps]);
		expect([...all.subarray(m.length)]).toEqual([m.countSteps, 0]);
		expect(all.subarray(0, m.length)).toEqual(finite.subarray(0, m.length));
		small.destroy();
	});

	/** Leaves memory of so many i32 that is not zero, for the next to take. */
	const leave = async (count: number): Promise<void> => {
		const dirty = full(device(), [count], 2 ** 20 + 7, "i32");
		await device().flush(); // what is released before it is computed is not computed
		dirty.dispose();
	};

	it("overwrites what its memory held, also after an addition that failed", async () => {
		for (const options of [{ length: 4099 }, { length: 4096 }, { length: 4096, clipping: ADAPTIVE }, { length: 3 }]) {
			const m = mechanismOf(options);
			const rows = gradients(3, 2, m.length);
			const add = (sum: BoundedSum): void =>
				device().scope<void>(() => void sum.add(parametersOf(rows, m.length, device()), full(device(), [2], 1)));
			const inParts = m.newSum(device());
			for (let i = 0; i < 2; i++) {
				add(inParts);
				await inParts.read();
			}
			await leave(m.length + m.counts);
			const sum = m.newSum(device());
			const whole = full(device(), [2, m.length], 1, "i32");
			expect(() => sum.add([whole], full(device(), [2], 1))).toThrow(expect.objectContaining({ name: "DTypeError" }));
			whole.dispose();
			add(sum);
			add(sum);
			expect(await sum.read()).toEqual(await inParts.read());
			for (const s of [inParts, sum]) s.dispose();
		}
	});

	it("of nothing gets noise alone, whatever its memory held", async () => {
		const m = mechanismOf({ length: 6, noiseMultiplier: 0 });
		for (const readBefore of [false, true]) {
			await leave(m.length + m.counts);
			const sum = m.newSum(device());
			if (readBefore) await sum.read();
			const { mean, notFinite } = await sum.release(m.draw(insecureNoiseForTests(2)));
			expect([...(await data(mean)), notFinite]).toEqual(new Array(7).fill(0));
			mean.dispose();
			sum.dispose();
		}
	});

	it("is part of no step that is captured: a replay would add rows that nobody counts", () => {
		const m = mechanismOf({ length: 3 });
		const sum = m.newSum(device());
		const [grads, weights] = [device().fromHost(new Float32Array(6), [2, 3]), full(device(), [2], 1)];
		expect(() => capture(device(), () => sum.add([grads], weights))).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "privacy/sum-captured", op: "BoundedSum.add" },
				message: expect.stringMatching(/^BoundedSum.add: a replay would add rows that nobody counts$/m),
				hint: expect.stringContaining("add them after each replay"),
			}),
		);
		for (const t of [grads, weights, sum]) t.dispose();
	});

	it("leaves nothing behind but the mean", async () => {
		const m = mechanismOf({ length: 20 });
		const once = async () => {
			const sum = m.newSum(device());
			device().scope<void>(() => void sum.add([device().fromHost(new Float32Array(20), [1, 20])], full(device(), [1], 1)));
			const { mean } = await sum.release(m.draw(insecureNoiseForTests(2)));
			mean.dispose();
			sum.dispose();
		};
		await once();
		expect(await leftBehind(device(), once)).toEqual(NOTHING);
	});
});
