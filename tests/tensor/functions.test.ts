import * as t from "@hushgrad/tensor";
import { data, type Tensor } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { BREADTH_CALLS } from "../support/breadthCalls.ts";
import { layouts, numbers, upload } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { RUNS } from "../support/environment.ts";
import { FUNCTIONS, values } from "../support/functionCalls.ts";
import { SHAPE_CALLS } from "../support/shapeCalls.ts";

const CALLS = Math.max(3, Math.ceil(RUNS / 5));
const device = useDevice({ debug: { memory: true } });

describe.each(Object.entries({ ...FUNCTIONS, ...SHAPE_CALLS, ...BREADTH_CALLS }))("%s", (_, draw) => {
	it("equals its definition in float64, and its gradient the slope of it", async () => {
		await fc.assert(
			fc.asyncProperty(fc.nat(2 ** 31 - 1), layouts, async (seed, layout) => {
				const { inputs, dtypes, run, expected, abs = 0, discrete } = draw(numbers(seed, 0));
				const dtype = (i: number) => dtypes?.[i] ?? "f32";
				const y = expected(...inputs);
				const out = device().scope<Tensor>(() => run(...inputs.map((x, i) => upload(device(), x, dtype(i), layout))));
				expect(out.shape).toEqual(y.shape);
				expectWithin(await data(out), y.data, { abs, ulp: 8, why: "sums of a few products" });
				out.dispose();
				if (discrete) return;
				const r = numbers(seed, 1);
				const w = values(r, y.shape, -1, 1);
				const smooth = inputs.map((_, i) => i).filter((i) => dtype(i) === "f32");
				const { grads } = device().scope(() => {
					const operands = inputs.map((x, i) => upload(device(), x, dtype(i), layout));
					const free = smooth.map((i) => operands[i]);
					const f = (...xs: Tensor[]) => run(...operands.map((x, i) => (smooth.includes(i) ? xs[smooth.indexOf(i)] : x)));
					return { grads: [...t.vjp(f, free, upload(device(), w, "f32")).grads] };
				});
				for (const [k, i] of smooth.entries()) {
					const u = values(r, inputs[i].shape, -0.5, 0.5).data;
					const value = (h: number): number => {
						const moved = { ...inputs[i], data: inputs[i].data.map((v, n) => v + h * u[n]) };
						return expected(...inputs.with(i, moved)).data.reduce((s, v, n) => s + v * w.data[n], 0);
					};
					const slope = (value(1e-6) - value(-1e-6)) / 2e-6;
					const g = Float64Array.from(await data(grads[k]));
					const dot = g.reduce((s, v, n) => s + v * u[n], 0);
					const scale = 1 + g.reduce((s, v, n) => s + Math.abs(v * u[n]), 0);
					expect(Math.abs(dot - slope), `gradient ${i}: ${dot} against ${slope}`).toBeLessThan(2e-4 * scale);
				}
				for (const g of grads) g.dispose();
			}),
			{ numRuns: CALLS },
		);
		await device().flush();
	});
});
