import { type Device, data, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { IN, leftBehind, N, NOTHING, OUT, problem, record } from "./problem.ts";

const device = useDevice();

interface Row {
	readonly x: Tensor;
	readonly y: Tensor;
}

describe("arrays that are written after they were handed over", () => {
	/** Two steps; `spoil` sees the arrays that the engine was given, at every call of the loss. */
	async function run(d: Device, spoil: (arrays: Float32Array[]) => void, physicalBatchSize = 4) {
		const { w, engine, loss } = problem(d, { physicalBatchSize, expectedBatchSize: N });
		const arrays: Float32Array[] = [];
		const encode = (i: number) => {
			const { x, y } = record(i);
			arrays.push(x, y);
			return { x, y };
		};
		const spoiling = (row: Row): Tensor => {
			spoil(arrays);
			const value = loss(row);
			spoil(arrays);
			return value;
		};
		const reports = [await engine.step(encode, spoiling), await engine.step(encode, spoiling)];
		return { w: await data(w.value), reports };
	}

	it.each([1, 4, N])("change nothing: not the clipping, not the sum, not the diagnostics (batches of %i)", async (physicalBatchSize) => {
		const expected = await run(device(), () => {}, physicalBatchSize);
		for (const by of [10, 0, Number.NaN]) {
			const scale = (arrays: Float32Array[]): void => {
				for (const a of arrays) for (let i = 0; i < a.length; i++) a[i] *= by;
			};
			expect(await run(device(), scale, physicalBatchSize)).toEqual(expected);
		}
	});

	it("nor do those that encode() itself writes later, or gives anew at every reading", async () => {
		const expected = await run(device(), () => {});
		const buffers = { x: new Float32Array(IN), y: new Float32Array(OUT) };
		const sources = [
			(i: number) => {
				buffers.x.set(record(i).x);
				buffers.y.set(record(i).y);
				return buffers;
			},
			(i: number) => {
				let reads = 0;
				return {
					get x() {
						return reads++ === 0 ? record(i).x : new Float32Array(IN).fill(1000);
					},
					y: record(i).y,
				};
			},
		];
		for (const encode of sources) {
			const { w, engine, loss } = problem(device(), { expectedBatchSize: N });
			await engine.step(encode, loss);
			await engine.step(encode, loss);
			expect(await data(w.value)).toEqual(expected.w);
		}
	});
});

describe("records whose numbers are no use", () => {
	/** Two steps in which some records are exchanged for others. */
	async function run(exchange: (i: number) => ReturnType<typeof record>, physicalBatchSize = 4) {
		const { w, engine, loss } = problem(device(), { expectedBatchSize: N, physicalBatchSize });
		const reports = [await engine.step(exchange, loss), await engine.step(exchange, loss)];
		return { w: await data(w.value), reports };
	}
	const BAD = new Set([0, 7, 18, 39]);
	/** Its gradient is 0. */
	const silent = () => ({ x: new Float32Array(IN), y: new Float32Array(OUT) });

	it.each([
		["NaN", Number.NaN],
		["infinity", Number.POSITIVE_INFINITY],
		["minus infinity", Number.NEGATIVE_INFINITY],
		["the largest number", 3.4e38],
	])("%s: contributes exactly nothing, touches no other record, and shows in the loss", async (_, bad) => {
		const expected = await run((i) => (BAD.has(i) ? silent() : record(i)));
		for (const physicalBatchSize of [4, 7]) {
			const got = await run(
				(i) => (BAD.has(i) ? { ...record(i), x: record(i).x.map((v, k) => (k === 1 ? bad : v)) } : record(i)),
				physicalBatchSize,
			);
			expect(got.w).toEqual(expected.w);
			expect(got.w.every(Number.isFinite)).toBe(true);
			for (const report of got.reports) {
				const { loss, records } = report.private.reveal();
				expect([Number.isFinite(loss), records]).toEqual([false, N]);
			}
		}
	});

	it.each([1, 4, N])(
		"all of them: the run stops before anything moves, and the step was counted (batches of %i)",
		async (physicalBatchSize) => {
			const { w, engine, loss } = problem(device(), { expectedBatchSize: N, physicalBatchSize });
			const before = await data(w.value);
			const nan = (i: number) => ({ ...record(i), x: new Float32Array(IN).fill(Number.NaN) });
			const left = await leftBehind(device(), async () => {
				await expect(engine.step(nan, loss)).rejects.toMatchObject({
					name: "NumericError",
					code: "privacy/diverged",
					hint: expect.stringContaining("epsilon covers it"),
				});
			});
			expect(left).toEqual(NOTHING);
			expect(await data(w.value)).toEqual(before);
			expect([engine.steps, engine.getEpsilon() > 0]).toEqual([1, true]);
		},
	);

	it("less than half of them: the step goes on as if they were not there", async () => {
		const bad = (i: number) => ({ ...record(i), x: new Float32Array(IN).fill(Number.NaN) });
		const isBad = (i: number): boolean => i % 5 < 2;
		const got = await run((i) => (isBad(i) ? bad(i) : record(i)));
		expect(got.w).toEqual((await run((i) => (isBad(i) ? silent() : record(i)))).w);
		expect(got.reports[0].private.reveal()).toMatchObject({ loss: Number.NaN, records: N });
		expect(Math.abs(got.reports[0].notFinite - 16)).toBeLessThan(10);
	});

	it("one of them does not show in whether a run goes on: the count that decides is noisy", async () => {
		const { engine, loss } = problem(device(), { expectedBatchSize: 1, steps: 12 });
		const nan = (i: number) => ({ ...record(i), x: new Float32Array(IN).fill(Number.NaN) });
		let drawn = 0;
		for (let step = 0; step < 4; step++) drawn += (await engine.step(nan, loss)).private.reveal().records;
		expect(drawn).toBeGreaterThan(0);
	});

	it("large ones are clipped like any other", async () => {
		const { engine, w, loss } = problem(device(), { expectedBatchSize: N, targetEpsilon: 1e7, steps: 1 });
		const before = await data(w.value);
		const report = await engine.step((i) => ({ x: record(i).x.map((v) => v * 1e6), y: record(i).y }), loss);
		const after = await data(w.value);
		expect(report.private.reveal().clipped).toBe(1);
		expect(Math.hypot(...after.map((v, i) => v - before[i]))).toBeLessThan(0.1 * 1.01);
	});
});
