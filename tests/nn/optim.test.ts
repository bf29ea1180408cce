import { AdamW, type AdamWOptions, cosineWithWarmup, Parameter } from "@hushgrad/nn";
import { data } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, relativeError } from "../support/goldens.ts";

interface AdamWGolden {
	readonly start: number[];
	readonly grads: number[][];
	readonly cases: { readonly name: string; readonly options: AdamWOptions; readonly steps: { readonly float64: number[][] } }[];
}

describe("AdamW", () => {
	const device = useDevice();
	const golden = goldenJson<AdamWGolden>("optim/adamw.json");

	it.each(golden.cases)("takes torch's steps: $name", async ({ options, steps }) => {
		const p = new Parameter([golden.start.length]);
		p.assign(device().fromHost(Float32Array.from(golden.start), p.shape));
		const optimizer = new AdamW([p], options);
		for (const [t, g] of golden.grads.entries()) {
			const grad = device().fromHost(Float32Array.from(g), p.shape);
			optimizer.step([grad]);
			grad.dispose();
			// f32 against torch in f64: a few roundings a step, over 12 steps.
			expect(relativeError(await data(p.value), steps.float64[t])).toBeLessThan(2e-6);
		}
	});

	it("refuses gradients that do not match its parameters", () => {
		const p = new Parameter([2]);
		p.assign(device().fromHost(Float32Array.of(1, 2), [2]));
		expect(() => new AdamW([p], { lr: 0.1 }).step([])).toThrow(expect.objectContaining({ code: "optim/grads" }));
		expect(() => new AdamW([], { lr: 0.1 })).toThrow(expect.objectContaining({ code: "optim/empty" }));
	});

	it("keeps memory exactly flat", () => {
		const p = new Parameter([1000]);
		p.assign(device().fromHost(new Float32Array(1000), p.shape));
		const optimizer = new AdamW([p], { lr: 0.1 });
		const step = () => device().scope<void>(() => optimizer.step([device().fromHost(new Float32Array(1000).fill(1), [1000])]));
		step();
		const { liveBytes, liveBuffers } = device().memory();
		for (let i = 0; i < 50; i++) step();
		expect(device().memory()).toMatchObject({ liveBytes, liveBuffers });
	});
});

describe("cosineWithWarmup", () => {
	const { cases } = goldenJson<{ cases: { warmup: number; total: number; multipliers: number[] }[] }>("optim/schedule.json");

	it.each(cases)("equals transformers: warm-up $warmup of $total", ({ warmup, total, multipliers }) => {
		const schedule = cosineWithWarmup(warmup, total);
		multipliers.forEach((m, k) => expect(schedule(k)).toBeCloseTo(m, 12));
	});
});
