import { Adam, AdamW, type AdamWOptions, cosineWithWarmup, Parameter, SGD, type SGDOptions } from "@hushgrad/nn";
import { data, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, relativeError } from "../support/goldens.ts";
import { parametersOf, uploads } from "./parameters.ts";

interface AdamWGolden {
	readonly start: number[];
	readonly grads: number[][];
	readonly cases: { readonly name: string; readonly options: AdamWOptions; readonly steps: { readonly float64: number[][] } }[];
}

const device = useDevice();
const golden = goldenJson<AdamWGolden>("optim/adamw.json");

/** The numbers of a parameter that starts at the golden's, after each of the golden's gradients. */
async function trajectory(make: (p: Parameter) => { step(grads: readonly Tensor[]): void }): Promise<Float32Array[]> {
	const p = new Parameter([golden.start.length]);
	p.assign(device().fromHost(Float32Array.from(golden.start), p.shape));
	const optimizer = make(p);
	const after: Float32Array[] = [];
	for (const g of golden.grads) {
		device().scope<void>(() => optimizer.step([device().fromHost(Float32Array.from(g), p.shape)]));
		after.push((await data(p.value)) as Float32Array);
	}
	return after;
}

describe("AdamW", () => {
	it.each(golden.cases)("takes torch's steps: $name", async ({ options, steps }) => {
		const after = await trajectory((p) => new AdamW([p], options));
		// f32 against torch in f64: a few roundings a step, over 12 steps.
		after.forEach((w, t) => expect(relativeError(w, steps.float64[t])).toBeLessThan(2e-6));
	});

	it("without decay is Adam, bit for bit", async () => {
		const options: AdamWOptions = { lr: 0.01, betas: [0.9, 0.95] };
		const adam = await trajectory((p) => new Adam([p], options));
		expect(adam).toEqual(await trajectory((p) => new AdamW([p], { ...options, weightDecay: 0 })));
		expect(adam).toEqual(await trajectory((p) => new Adam([p], { ...options, weightDecay: undefined })));
	});

	it("takes an option of a group that is undefined from the optimiser", async () => {
		const options = { lr: 0.01, weightDecay: 0.1 };
		const grouped = await trajectory((p) => new Adam([{ parameters: [p], lr: undefined, weightDecay: undefined }], options));
		expect(grouped).toEqual(await trajectory((p) => new Adam([p], options)));
	});

	it("refuses gradients that do not match its parameters", () => {
		const [p] = parametersOf(device(), [[2]]);
		expect(() => new AdamW([p], { lr: 0.1 }).step([])).toThrow(expect.objectContaining({ code: "optim/grads" }));
		expect(() => new AdamW([], { lr: 0.1 })).toThrow(expect.objectContaining({ code: "optim/empty" }));
	});

	it("keeps memory exactly flat", () => {
		const [p] = parametersOf(device(), [[1000]]);
		const optimizer = new AdamW([p], { lr: 0.1 });
		const step = () => device().scope<void>(() => optimizer.step([device().fromHost(new Float32Array(1000).fill(1), [1000])]));
		step();
		const { liveBytes, liveBuffers } = device().memory();
		for (let i = 0; i < 50; i++) step();
		expect(device().memory()).toMatchObject({ liveBytes, liveBuffers });
	});
});

/** torch.optim.SGD in float64: g + wd w; buf = momentum buf + that; w -= lr buf. */
function sgdSteps({ lr, momentum = 0, weightDecay = 0 }: SGDOptions): number[][] {
	let w = golden.start.map(Math.fround);
	let buffer = w.map(() => 0);
	return golden.grads.map((grads) => {
		const g = grads.map((v, i) => Math.fround(v) + weightDecay * w[i]);
		buffer = buffer.map((b, i) => momentum * b + g[i]);
		w = w.map((v, i) => v - lr * buffer[i]);
		return w;
	});
}

describe("SGD", () => {
	it.each<[string, SGDOptions]>([
		["plain", { lr: 0.01 }],
		["momentum", { lr: 0.003, momentum: 0.9 }],
		["weight decay", { lr: 0.01, weightDecay: 0.3 }],
		["momentum and weight decay", { lr: 0.003, momentum: 0.95, weightDecay: 0.1 }],
	])("takes the steps of its formula in float64: %s", async (_, options) => {
		const after = await trajectory((p) => new SGD([p], options));
		const expected = sgdSteps(options);
		// f32 against f64: a few roundings a step, over 12 steps; every coordinate by its own size.
		after.forEach((w, t) => {
			w.forEach((v, i) =>
				expect(Math.abs(v - expected[t][i])).toBeLessThan(2e-6 * Math.max(Math.abs(expected[t][i]), Math.abs(golden.start[i]))),
			);
		});
	});
});

/** Vectors of so many numbers are walked in strides that are no whole workgroups. */
it.each([65_537, 131_079, 262_148])("each of %i numbers is moved once", async (length) => {
	for (const make of [SGD, Adam, AdamW]) {
		const ones = new Parameter([length]);
		ones.assign(device().fromHost(new Float32Array(length).fill(1), [length]));
		const optimizer = new make([ones], { lr: 0.25 });
		device().scope<void>(() => optimizer.step(device().fromHost(new Float32Array(length).fill(1), [length])));
		const values = new Set(await data(optimizer.vector.tensor));
		expect([...values], make.name).toHaveLength(1);
		optimizer.dispose();
	}
});

describe("groups", () => {
	const SHAPES = [[3], [2, 4], [5], [1, 2]];
	const STEPS = 6;

	/** Runs some steps on all parameters and returns their values. */
	async function trained(make: (p: readonly Parameter[]) => { step(all: readonly Tensor[]): void }): Promise<number[][]> {
		const parameters = parametersOf(device(), SHAPES);
		const optimizer = make(parameters);
		for (let t = 0; t < STEPS; t++) device().scope<void>(() => optimizer.step(uploads(device(), SHAPES, 100 + t)));
		return Promise.all(parameters.map(async (p) => [...(await data(p.value))]));
	}

	it("train as an optimiser each would, bit for bit: rates and decays of their own, in order", async () => {
		const common: AdamWOptions = { lr: 0.05, weightDecay: 0.2, schedule: (t) => 1 / t };
		const together = await trained(
			(p) =>
				new AdamW(
					[{ parameters: [p[0], p[1]], weightDecay: 0 }, { parameters: [p[2]], lr: 0.7, betas: [0.5, 0.6] }, { parameters: [p[3]] }],
					common,
				),
		);
		const apart = await trained((p) => {
			const first = new AdamW([p[0], p[1]], { ...common, weightDecay: 0 });
			const second = new AdamW([p[2]], { ...common, lr: 0.7, betas: [0.5, 0.6] });
			const third = new AdamW([p[3]], common);
			return {
				step: (g) => {
					first.step(g.slice(0, 2));
					second.step([g[2]]);
					third.step([g[3]]);
				},
			};
		});
		expect(together).toEqual(apart);
		expect(together).not.toEqual(await trained((p) => new AdamW(p, common)));
	});

	it("equal two SGDs in float64", async () => {
		const reference = (index: number, { lr, momentum = 0, weightDecay = 0 }: SGDOptions, start: number[], grads: number[][]): number[] => {
			expect(start.length).toBe(SHAPES[index].reduce((a, b) => a * b));
			let [w, b] = [start, start.map(() => 0)];
			for (const g of grads) {
				b = b.map((v, i) => momentum * v + g[i] + weightDecay * w[i]);
				w = w.map((v, i) => v - lr * b[i]);
			}
			return w;
		};
		const slow = { lr: 0.02, momentum: 0.9, weightDecay: 0.1 };
		const fast = { lr: 0.3, momentum: 0.2, weightDecay: 0 };
		const got = await trained(
			(p) =>
				new SGD(
					[
						{ parameters: p.slice(0, 2), weightDecay: 0.1 },
						{ parameters: p.slice(2), lr: 0.3, momentum: 0.2 },
					],
					{ lr: 0.02, momentum: 0.9 },
				),
		);
		const numbers = async (t: Tensor): Promise<number[]> => [...(await data(t))];
		const starts = await Promise.all(uploads(device(), SHAPES).map(numbers));
		for (const [i, w] of got.entries()) {
			const grads = await Promise.all(Array.from({ length: STEPS }, (_, t) => numbers(uploads(device(), SHAPES, 100 + t)[i])));
			const expected = reference(i, i < 2 ? slow : fast, starts[i], grads);
			expect(relativeError(w, expected)).toBeLessThan(2e-6);
		}
	});
});

describe("schedules", () => {
	it("belong to the optimiser: the rate of step 1, 2, … is lr times the schedule's factor", async () => {
		const [p] = parametersOf(device(), [[1]]);
		p.assign(device().fromHost([0], [1]));
		const asked: number[] = [];
		const schedule = (t: number): number => {
			asked.push(t);
			return 2 ** -t;
		};
		const optimizer = new SGD([p], { lr: 8, schedule });
		const values: number[] = [];
		for (let t = 1; t <= 4; t++) {
			expect(optimizer.steps).toBe(t - 1);
			expect(optimizer.lr).toBe(8 * 2 ** -t);
			device().scope<void>(() => optimizer.step(device().fromHost([1], [1])));
			values.push((await data(p.value))[0]);
		}
		expect(values).toEqual([-4, -6, -7, -7.5]);
		expect(new Set(asked)).toEqual(new Set([1, 2, 3, 4]));
	});

	it("of warm-up and cosine give the first and the last step a rate", () => {
		const optimizer = new SGD(parametersOf(device(), [[1]]), { lr: 1, schedule: cosineWithWarmup(4, 11) });
		const rates: number[] = [];
		for (let t = 1; t <= 10; t++) {
			rates.push(optimizer.lr);
			device().scope<void>(() => optimizer.step(device().fromHost([1], [1])));
		}
		expect(rates.slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
		expect(Math.min(...rates)).toBeGreaterThan(0);
		expect(rates[9]).toBe(Math.min(...rates));
	});
});

describe("cosineWithWarmup", () => {
	const { cases } = goldenJson<{ cases: { warmup: number; total: number; multipliers: number[] }[] }>("optim/schedule.json");

	it.each(cases)("equals transformers: warm-up $warmup of $total", ({ warmup, total, multipliers }) => {
		const schedule = cosineWithWarmup(warmup, total);
		multipliers.forEach((m, k) => expect(schedule(k)).toBeCloseTo(m, 12));
	});
});
