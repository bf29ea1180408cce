import { inspect } from "node:util";
import { GaussianMechanism, insecureNoiseForTests } from "@hushgrad/dp";
import { AdamW, Dropout, Parameter, SGD } from "@hushgrad/nn";
import { add, type Device, data, key, slice, square, sum, type Tensor, uniformValues } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { smallDevice } from "../support/smallDevice.ts";
import { IN, leftBehind, lossBy, N, NOTHING, OUT, problem, record, weight } from "./problem.ts";

const device = useDevice();

const values = (seed: number, count: number, scale = 1): Float32Array => uniformValues(key(seed), count).map((v) => scale * (2 * v - 1));

const mechanismOf = (length: number): GaussianMechanism =>
	new GaussianMechanism({ length, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1 });

describe("BoundedSum", () => {
	it("equals clipping and rounding in float64, and ignores padding and non-finite records", async () => {
		await fc.assert(
			fc.asyncProperty(fc.nat(1e6), fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 6 }), async (seed, size, records) => {
				const mechanism = mechanismOf(size + 3);
				const a = values(seed, records * size, 3 / Math.sqrt(size));
				const b = values(seed + 1, records * 3, 0.5);
				const weights = Float32Array.from({ length: records }, (_, i) => Number((seed >> i) % 3 !== 0));
				if (records > 2) a[size] = Number.NaN;
				if (records > 3) a[2 * size] = Number.POSITIVE_INFINITY;
				const acc = mechanism.newSum(device());
				device().scope<void>(() => {
					acc.add([device().fromHost(a, [records, size]), device().fromHost(b, [records, 3])], device().fromHost(weights, [records]));
				});
				const got = await acc.read();
				acc.dispose();
				const expected = new Float64Array(size + 4);
				let norm2 = 0;
				for (let s = 0; s < records; s++) {
					const g = [...a.subarray(s * size, (s + 1) * size), ...b.subarray(s * 3, s * 3 + 3)];
					const norm = Math.hypot(...g);
					if (weights[s] === 0) continue;
					if (!Number.isFinite(norm)) {
						expected[size + 3] += mechanism.countSteps;
						continue;
					}
					const factor = Math.min(1, 1 / norm) / mechanism.grid;
					g.forEach((v, i) => {
						expected[i] += Math.round(v * factor);
					});
				}
				// 1e-6 C a record: a product of up to 2²² steps is off by a quarter of a step, rounding by half of one, and the factor by
				// some 2e-7 of 2²² steps.
				got.forEach((v, i) => {
					expect(Math.abs(v - expected[i]) * mechanism.grid).toBeLessThanOrEqual(1e-6 * records);
				});
				expect(got[size + 3]).toBe(expected[size + 3]);
				for (const v of got) norm2 += (v * mechanism.grid) ** 2;
				const counted = weights.filter((w) => w > 0).length;
				expect(Math.sqrt(norm2)).toBeLessThanOrEqual(counted * mechanism.sensitivity);
			}),
			{ numRuns: 40 },
		);
	});

	it("lets no weight count a record more than once", async () => {
		const mechanism = mechanismOf(4);
		const norms: number[] = [];
		for (const weight of [50, 1, 0.5, 0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
			const acc = mechanism.newSum(device());
			device().scope<void>(() => {
				acc.add([device().fromHost(new Float32Array(4).fill(100), [1, 4])], device().fromHost([weight], [1]));
			});
			norms.push(Math.hypot(...(await acc.read())) * mechanism.grid);
			acc.dispose();
		}
		for (const norm of norms) expect(norm).toBeLessThanOrEqual(mechanism.sensitivity);
		expect(norms[0]).toBe(norms[1]);
		expect(norms.slice(3, 6)).toEqual([0, 0, 0]);
	});

	it("sums in pieces where the columns of a batch do not fit one binding", async () => {
		const SIZES = [1000, 3000, 5, 4000, 2000];
		const B = 4;
		const total = SIZES.reduce((a, b) => a + b);
		const run = async (d: Device) => {
			const acc = mechanismOf(total).newSum(d);
			let blocks = 0;
			for (let batch = 0; batch < 2; batch++) {
				d.scope<void>(() => {
					const host = SIZES.map((n, i) => values(10 * batch + i, B * n, 0.03));
					if (batch === 1) host[2][0] = Number.NaN;
					const grads = host.map((v, i) => d.fromHost(v, [B, SIZES[i]]));
					blocks = acc.add(grads, d.fromHost([1, 1, 0, 1], [B])).blocks.length;
				});
			}
			const sum = await acc.read();
			acc.dispose();
			return { blocks, sum };
		};
		const small = await smallDevice(65_536);
		const [pieces, whole] = [await run(small), await run(device())];
		expect(whole.blocks).toBe(1);
		expect(pieces.blocks).toBeGreaterThan(2);
		// The norm is a sum of as many parts as there are blocks: in another order, so rounded otherwise.
		pieces.sum.forEach((v, i) => expect(Math.abs(v - whole.sum[i])).toBeLessThanOrEqual(2 * B));
		// One record is not finite: it counts once, behind all coordinates.
		expect([pieces.sum[total], whole.sum[total]]).toEqual([mechanismOf(total).countSteps, mechanismOf(total).countSteps]);
		small.destroy();
	});
});

describe("PrivacyEngine", () => {
	it.each([0, 0.4])("gives the same sum and the same step for every physical batch size, bit for bit (dropout %f)", async (p) => {
		const after: number[][] = [];
		const reports: number[][] = [];
		for (const physicalBatchSize of [1, 2, 3, 7, 40]) {
			const { w, engine, encode, loss } = problem(device(), { physicalBatchSize });
			const drop = new Dropout(p);
			for (let step = 0; step < 2; step++) {
				const report = await engine.step(encode, ({ x, y }, key) => loss({ x: drop.forward(x, key), y }));
				const { records, clipped } = report.private.reveal();
				reports.push([step, records, clipped]);
			}
			after.push([...(await data(w.value))]);
		}
		for (const other of after) expect(other).toEqual(after[0]);
		for (const [i, report] of reports.entries()) expect(report).toEqual(reports[i % 2]);
		expect(reports[0][1]).toBeGreaterThan(7);
	});

	it("does so where the vector outgrows a storage binding", async () => {
		const small = await smallDevice(98_304);
		const SIZES = [3000, 2999, 1, 3000, 2000, 3000, 3000, 3000, 3000, 3000];
		const run = async (physicalBatchSize: number): Promise<ArrayLike<number>> => {
			const weights = SIZES.map((n, i) => {
				const w = new Parameter([n]);
				w.name = `w${i}`;
				w.assign(small.fromHost(values(i, n, 0.01), [n]));
				return w;
			});
			const optimizer = new AdamW(weights, { lr: 0.1 });
			expect(optimizer.vector.tensor.bytes).toBeGreaterThan(small.gpu.limits.maxStorageBufferBindingSize);
			const { engine } = problem(small, { optimizer, physicalBatchSize, expectedBatchSize: 15 });
			const encode = (i: number) => ({ by: Float32Array.from(SIZES, (_, k) => Math.sin(i + k)) });
			const loss = ({ by }: { readonly by: Tensor }): Tensor =>
				weights.map((w, k) => sum(square(add(w.value, slice(by, 0, k, k + 1))))).reduce((a, b) => add(a, b));
			await engine.step(encode, loss);
			const after = await data(optimizer.vector.tensor);
			optimizer.dispose();
			for (const w of weights) w.dispose();
			return after;
		};
		const first = await run(1);
		for (const physicalBatchSize of [3, 7, 8]) expect(await run(physicalBatchSize)).toEqual(first);
		small.destroy();
	});

	it("ends within the target, refuses a step beyond the plan, and counts empty batches", async () => {
		const { engine, encode, loss } = problem(device(), { expectedBatchSize: 0.5, steps: 8 });
		const sizes: number[] = [];
		for (let i = 0; i < 8; i++) sizes.push((await engine.step(encode, loss)).private.reveal().records);
		expect(sizes).toContain(0);
		expect(engine.steps).toBe(8);
		expect(engine.getEpsilon()).toBeLessThanOrEqual(8);
		expect(engine.getEpsilon()).toBe(engine.plan.epsilon);
		await expect(engine.step(encode, loss)).rejects.toMatchObject({ name: "PrivacyError", code: "privacy/plan-spent" });
	});

	it("moves the parameters on an empty batch (noise only), without asking for a record", async () => {
		const { w, engine, loss } = problem(device(), { expectedBatchSize: 1e-9 });
		const before = await data(w.value);
		const { records } = (await engine.step(() => expect.unreachable(), loss)).private.reveal();
		expect(records).toBe(0);
		const now = await data(w.value);
		expect(now.every((v, i) => v !== before[i])).toBe(true);
	});

	it("encodes the records that it drew, one at a time, and no others", async () => {
		const { engine, loss } = problem(device(), { selfCheckEvery: undefined });
		const first = await asked();
		const second = await asked();
		for (const indices of [first.indices, second.indices]) {
			expect(indices.every((i) => Number.isInteger(i) && i >= 0 && i < N)).toBe(true);
		}
		// In the first step a batch is run again, without its first and without its last record.
		expect(new Set(first.indices).size).toBe(first.records);
		expect(first.indices.length).toBe(first.records + 2 * 3);
		expect(second.indices).toEqual([...new Set(second.indices)]);
		expect(second.indices.length).toBe(second.records);

		async function asked() {
			const indices: number[] = [];
			const encode = (i: number) => {
				indices.push(i);
				return record(i);
			};
			return { indices, records: (await engine.step(encode, loss)).private.reveal().records };
		}
	});

	it("notices an optimiser that trains other numbers than those it shows", async () => {
		const strange = new SGD([weight(device(), "stranger")], { lr: 0.1 });
		const own = new SGD([weight(device())], { lr: 0.1 });
		const optimizer = { lr: 0.1, vector: own.vector, step: (g: Parameters<SGD["step"]>[0]) => strange.step(g) };
		device().scope<void>(() => strange.step(device().fromHost(new Float32Array(IN * OUT), [IN * OUT])));
		const { engine, encode } = problem(device(), { optimizer });
		const [w] = own.vector.parameters;
		const left = await leftBehind(device(), () =>
			expect(engine.step(encode, lossBy(w))).rejects.toMatchObject({
				code: "privacy/not-training",
				message: expect.stringContaining("w did not"),
			}),
		);
		expect(left).toEqual(NOTHING);
	});

	it("takes the rate of its optimiser's schedule: 0 in the first step moves nothing, and is no fault", async () => {
		const w = weight(device());
		const optimizer = new SGD([w], { lr: 0.1, schedule: (t) => t - 1 });
		const { engine, encode } = problem(device(), { optimizer });
		const before = await data(w.value);
		await engine.step(encode, lossBy(w));
		expect(await data(w.value)).toEqual(before);
		await engine.step(encode, lossBy(w));
		expect(await data(w.value)).not.toEqual(before);
	});

	it("keeps to what was planned, whatever becomes of the options and the optimiser's fields", async () => {
		const w = weight(device());
		const sgd = new SGD([w], { lr: 0.1 });
		const run = async (change: (options: Record<string, unknown>, optimizer: Record<string, unknown>) => void) => {
			w.assign(device().fromHost(values(1, OUT * IN), [OUT, IN]));
			const optimizer = { lr: 0.1, vector: sgd.vector, step: (g: Tensor) => sgd.step(g) };
			const options = { optimizer, noise: insecureNoiseForTests(3), steps: 2, maxGradNorm: 1, selfCheckEvery: 1, physicalBatchSize: 4 };
			const { engine, encode } = problem(device(), options);
			change(options, optimizer);
			for (let i = 0; i < 2; i++) await engine.step(encode, lossBy(w));
			await expect(engine.step(encode, lossBy(w))).rejects.toMatchObject({ code: "privacy/plan-spent" });
			return [await data(w.value), engine.getEpsilon(), engine.statement()];
		};
		const planned = await run(() => {});
		const strange = new SGD([weight(device(), "stranger")], { lr: 0.1 });
		const changed = await run((options, optimizer) => {
			Object.assign(options, { noise: insecureNoiseForTests(9), steps: 9, maxGradNorm: 100, expectedBatchSize: 40, physicalBatchSize: 1 });
			optimizer.vector = strange.vector;
		});
		expect(changed).toEqual(planned);
		const { plan } = problem(device()).engine;
		expect(() => Object.assign(plan, { noiseMultiplier: 0 })).toThrow(TypeError);
	});

	it("refuses delta >= 1/N, and numbers out of range", () => {
		expect(() => problem(device(), { targetDelta: 1 / N })).toThrow(/1\/N/);
		for (const options of [
			{ physicalBatchSize: 0 },
			{ physicalBatchSize: 1.5 },
			{ selfCheckEvery: 0 },
			{ selfCheckEvery: Number.NaN },
			{ steps: 0 },
			{ maxGradNorm: 0 },
			{ expectedBatchSize: N + 1 },
			{ targetEpsilon: 0 },
		]) {
			expect(() => problem(device(), options)).toThrow(
				expect.objectContaining({ name: "ValueError", code: expect.stringMatching(/^dp\//) }),
			);
		}
	});

	it("keeps GPU memory exactly flat over 200 steps", async () => {
		const { engine, encode, loss } = problem(device(), { steps: 221, selfCheckEvery: 7 });
		for (let i = 0; i < 20; i++) await engine.step(encode, loss);
		const start = device().memory();
		for (let i = 0; i < 200; i++) {
			await engine.step(encode, loss);
			expect(device().memory()).toMatchObject({ liveBytes: start.liveBytes, liveBuffers: start.liveBuffers });
		}
	});

	it("with almost no noise and no clipping takes the step of plain gradient descent", async () => {
		const { w, engine, encode, loss, optimizer } = problem(device(), {
			expectedBatchSize: N,
			targetEpsilon: 1e7,
			maxGradNorm: 1000,
			steps: 1,
		});
		const before = await data(w.value);
		await engine.step(encode, loss);
		const now = await data(w.value);
		for (let o = 0; o < OUT; o++) {
			for (let i = 0; i < IN; i++) {
				let gradient = 0;
				for (let r = 0; r < N; r++) {
					const { x, y } = record(r);
					let prediction = 0;
					for (let k = 0; k < IN; k++) prediction += x[k] * before[o * IN + k];
					gradient += (2 * (prediction - y[o]) * x[i]) / N;
				}
				// Noise of deviation sigma C / N and rounding to C 2^-20 steps.
				const noise = (6 * engine.plan.noiseMultiplier * 1000) / N + 1000 / 2 ** 20;
				expect(Math.abs(now[o * IN + i] - (before[o * IN + i] - optimizer.lr * gradient))).toBeLessThan(0.1 * noise + 1e-5);
			}
		}
	});

	it("may run beside another engine on the same device, each with its own batches", async () => {
		const run = async (isTogether: boolean) => {
			const [a, b] = [problem(device(), { physicalBatchSize: 3 }), problem(device(), { physicalBatchSize: 5 })];
			const steps = [() => a.engine.step(a.encode, a.loss), () => b.engine.step(b.encode, b.loss)];
			if (isTogether) await Promise.all(steps.map((s) => s()));
			else for (const s of steps) await s();
			return Promise.all([a, b].map(({ w }) => data(w.value)));
		};
		expect(await run(true)).toEqual(await run(false));
	});
});

it("console.log shows an engine in one line, and nothing of its inside", async () => {
	const { engine, encode, loss } = problem(device());
	expect(inspect(engine)).toBe("PrivacyEngine(step 0 of 5, ε = 0 of 8 at δ = 1e-4, NOT PRIVATE: noise from a seed)");
	await engine.step(encode, loss);
	expect(inspect([engine])).toMatch(/PrivacyEngine\(step 1 of 5, ε = \d\.\d+ of 8 at δ = 1e-4/);
	expect(Number(/ε = ([\d.]+)/.exec(String(engine))?.[1])).toBeGreaterThanOrEqual(engine.getEpsilon());
});
