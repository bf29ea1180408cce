import { GaussianMechanism } from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import { checkFinite, NumericError, type Tensor, write } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import type { BoundedSum } from "../../packages/dp/src/boundedSum.ts";
import type { Clipped } from "../../packages/dp/src/clip/clip.ts";
import { Diagnostics, PrivateMeasures } from "../../packages/dp/src/diagnostics.ts";
import type { Optimizer } from "../../packages/dp/src/optimizer.ts";
import { ParameterUpdates } from "../../packages/dp/src/parameterUpdates.ts";
import { TranscriptWriter } from "../../packages/dp/src/transcript.ts";
import { useDevice } from "../support/device.ts";
import { leftBehind, NOTHING } from "./problem.ts";

/* What a step notes beside its sum, part by part. */

const device = useDevice();
const column = (...values: readonly number[]): Tensor => device().fromHost(Float32Array.from(values), [values.length]);

describe("a transcript", () => {
	const mechanism = new GaussianMechanism({ length: 2, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 4 });
	const { grid } = mechanism;
	const sumOf = (...steps: readonly number[]) => ({ read: async () => Float64Array.from(steps) }) as BoundedSum;
	const clipped = (shape: readonly number[], ...factors: readonly number[]) =>
		({ factors: device().fromHost(Float32Array.from(factors), shape) }) as Clipped;

	it("has the factors of its batch without padding, 0 for what is not finite, and all in units of the gradient", async () => {
		const left = await leftBehind(device(), async () => {
			const writer = new TranscriptWriter(mechanism, 7, Int32Array.of(5, 1, 9));
			device().scope<void>(() => {
				writer.add(clipped([2, 1], 2 ** 20, -1));
				writer.add(clipped([2, 1], 2 ** 21, 3));
			});
			writer.note(mechanism.given([0.5, -0.25]));
			const mean = column(0.125, 2);
			expect(await writer.write(sumOf(2 ** 20, -(2 ** 21), 77), mean)).toEqual({
				step: 7,
				batch: Int32Array.of(5, 1, 9),
				factors: Float64Array.of(2 ** 20 * grid, 0, 2 ** 21 * grid),
				sum: Float64Array.of(2 ** 20 * grid, -(2 ** 21) * grid),
				noise: Float64Array.of(0.5, -0.25),
				mean: Float32Array.of(0.125, 2),
			});
			writer.dispose();
			mean.dispose();
		});
		expect(left).toEqual(NOTHING);
	});

	it("has a row of factors for each record where clipping is by layer, and none of an empty batch", async () => {
		const layers = new TranscriptWriter(mechanism, 1, Int32Array.of(3, 4));
		layers.add(clipped([4, 2], 1, 2, 3, 4, 0, 0, 0, 0));
		const { factors, noise } = await layers.write(sumOf(0, 0, 0), column(0, 0));
		expect([factors, noise]).toEqual([Float64Array.of(1, 2, 3, 4).map((v) => v * grid), new Float64Array()]);
		layers.dispose();
		const empty = await new TranscriptWriter(mechanism, 1, new Int32Array()).write(sumOf(0, 0, 0), column(0, 0));
		expect(empty.factors).toEqual(new Float64Array());
	});
});

describe("measures of a step", () => {
	it("are of its records, not of padding: mean loss, mean norm, and how many have a norm above C", async () => {
		const left = await leftBehind(device(), async () => {
			const diagnostics = new Diagnostics(2);
			device().scope<void>(() => {
				diagnostics.add(column(1, 100, 4), column(2, 100, 2.5), Int32Array.of(0, -1, 8));
				diagnostics.add(column(200, 7, 300), column(200, 1.5, 300), Int32Array.of(-1, 3, -1));
			});
			expect(await diagnostics.read()).toEqual({ loss: 4, records: 3, meanNorm: 2, clipped: 1 / 3 });
			diagnostics.dispose();
		});
		expect(left).toEqual(NOTHING);
	});

	it("are none of an empty batch, and of one that is padding", async () => {
		const none = { loss: Number.NaN, records: 0, meanNorm: Number.NaN, clipped: Number.NaN };
		expect(await new Diagnostics(1).read()).toEqual(none);
		const padding = new Diagnostics(1);
		padding.add(column(1), column(1), Int32Array.of(-1));
		expect(await padding.read()).toEqual(none);
		padding.dispose();
	});

	it("are shown when they are asked for alone", () => {
		const measures = { loss: 1.5, records: 3, meanNorm: 2, clipped: 0 };
		const own = new PrivateMeasures(measures);
		measures.loss = 9;
		expect(own.reveal()).toEqual({ loss: 1.5, records: 3, meanNorm: 2, clipped: 0 });
		expect([own, own.reveal(), PrivateMeasures.prototype].every(Object.isFrozen)).toBe(true);
		expect(String(own)).toBe("PrivateMeasures(not covered by ε; reveal() gives them)");
		expect(Reflect.get(own, Symbol.for("nodejs.util.inspect.custom")).call(own)).toBe(String(own));
		expect(JSON.stringify({ own })).toBe("{}");
	});
});

describe("updates of parameters", () => {
	/** Two parameters of two numbers each, which move by −`lr` times the mean. */
	function updates({ lr = 1, schedule }: { readonly lr?: number; readonly schedule?: (step: number) => number } = {}) {
		const [a, b] = ["a", "b"].map((name) => {
			const p = new Parameter([2]);
			p.name = name;
			p.assign(column(1, 2));
			return p;
		});
		const optimizer = new SGD([a, b], { lr, schedule });
		return { optimizer, own: new ParameterUpdates(optimizer) };
	}
	const still = (name: string) => ({
		...{ name: "PrivacyError", code: "privacy/not-training", message: expect.stringContaining(`${name} did not move in the first step`) },
		hint: "the optimiser's step must change the vector that it shows the engine",
	});

	it("move every parameter by the first of them, in one number at least, and later none", async () => {
		await expect(updates().own.apply(column(1, 1, 0, 0))).rejects.toMatchObject(still("b"));
		await expect(updates().own.apply(column(0, 0, 1, 1))).rejects.toMatchObject(still("a"));
		const { own } = updates();
		await own.apply(column(0, 1, 1, 0));
		await own.apply(column(0, 0, 0, 0));
		await expect(own.apply(column(1, 1, 0, 0))).resolves.toBeUndefined();
	});

	it("are not asked to at a rate of 0, but at the next above it", async () => {
		const { own } = updates({ schedule: (step) => (step === 1 ? 0 : 1) });
		await own.apply(column(1, 1, 1, 1));
		await expect(own.apply(column(1, 1, 0, 0))).rejects.toMatchObject(still("b"));
		const back = updates({ schedule: (step) => (step === 1 ? -1 : 1) });
		await back.own.apply(column(0, 0, 0, 0));
	});

	it("are the only ones that write the vector, from the first on", async () => {
		const { own, optimizer } = updates();
		const ones = () => write(optimizer.vector.tensor, Float32Array.of(1, 1, 1, 1));
		ones();
		own.checkUntouched();
		await own.apply(column(1, 1, 1, 1));
		own.checkUntouched();
		await own.apply(column(1, 1, 1, 1));
		own.checkUntouched();
		ones();
		expect(() => own.checkUntouched()).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "privacy/moved-between" },
				message: expect.stringContaining("the trained parameters were written since the last private step, not by this engine"),
				hint: "a step with gradients of private records has no place between private steps; to go on from other parameters, plan a new run",
			}),
		);
	});

	it("keep parameters finite, or name the first that is not", async () => {
		for (const [mean, path] of [
			[[1, 1, 1, Number.NaN], "b"],
			[[Number.NaN, 1, 1, Number.NaN], "a"],
		] as const) {
			const { own } = updates();
			await own.apply(column(1, 1, 1, 1));
			const failure = await own.apply(column(...mean)).catch((error: unknown) => error);
			expect(failure).toMatchObject({
				...{ name: "NumericError", code: "numeric/not-finite", path, message: expect.stringContaining(`${path} holds NaN or infinity`) },
				cause: expect.objectContaining({ message: expect.stringContaining("the parameters holds NaN or infinity") }),
			});
			const { cause, hint } = failure as NumericError & { readonly hint?: string };
			expect(hint).toBe((cause as typeof failure & { readonly hint?: string }).hint);
		}
	});

	it("say it of something else where that is not finite", async () => {
		const { own } = updates();
		checkFinite(column(Number.POSITIVE_INFINITY), "what was before");
		const failure = await own.apply(column(1, 1, 1, 1)).catch((error: unknown) => error);
		expect(failure).toBeInstanceOf(NumericError);
		expect((failure as Error).message).toContain("what was before holds NaN or infinity");
	});

	it("hand the mean on without what it was computed from", async () => {
		const { optimizer } = updates();
		const seen: Tensor[] = [];
		const watched: Optimizer = {
			lr: 1,
			vector: optimizer.vector,
			step: (mean) => {
				seen.push(mean);
				optimizer.step(mean);
			},
		};
		const mean = column(1, 1, 1, 1);
		await new ParameterUpdates(watched).apply(mean);
		expect(seen).toHaveLength(1);
		expect(seen[0]).not.toBe(mean);
	});
});
