import * as nn from "@hushgrad/nn";
import * as tensor from "@hushgrad/tensor";
import { data, mul, type NdArray, Primitive, perSampleValueAndGrad, type Slot, sum, type Tensor, valueAndGrad } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { arbitraryDraw, type Case, caseOf, dtypeOf, isBatchData, marked, numbers, sampleOf, upload } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

const RUNS = Number(process.env.HUSHGRAD_PROPERTY_RUNS ?? 20);
const device = useDevice();

/** Every primitive the packages export; a new one is tested without being named here. */
const primitives: Primitive[] = [...Object.values(tensor), ...Object.values(nn), ...Object.values(tensor.elementwise)].filter(
	(v): v is Primitive => v instanceof Primitive,
);

const operandsOf = (p: Primitive, c: Case): Tensor[] =>
	p.signature.inputs.map((o) => upload(device(), c.inputs[o.name], dtypeOf(p, o.name), c.reversed));

/** Operands that have a gradient rule. */
const smooth = (p: Primitive) => p.signature.inputs.filter((o) => p.spec.grad[o.name] !== "none");

/**
 * f32 against float64. The widest bound of WGSL in these kernels is tanh's 1e-5 absolute; sums of up to 200 terms of
 * magnitude 4 stay below 200 * 4 * 2^-24.
 */
function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 3e-5): void {
	expect(actual.length).toBe(expected.length);
	for (let i = 0; i < expected.length; i++) {
		const bound = tolerance * (1 + Math.abs(expected[i]));
		if (!(Math.abs(actual[i] - expected[i]) <= bound)) expect(actual[i], `element ${i}`).toBeCloseTo(expected[i], 6);
	}
}

/** Weights of a random linear functional of the first result. */
const cotangent = (seed: number, length: number): Float64Array => {
	const next = numbers(seed, 77);
	return Float64Array.from({ length }, () => Math.fround(next() - 0.5));
};

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
	let s = 0;
	for (let i = 0; i < a.length; i++) s += a[i] * b[i];
	return s;
};

describe.each(primitives.map((p) => [p.spec.name, p] as const))("%s", (_, p) => {
	it("equals its float64 reference", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p), async (draw) => {
				const c = caseOf(p, draw);
				const outputs = device().scope<Tensor[]>(() => p.apply(operandsOf(p, c), c.attrs));
				const expected = p.spec.reference(c.inputs, c.attrs);
				for (let i = 0; i < expected.length; i++) {
					expect(outputs[i].shape).toEqual(expected[i].shape);
					expectClose(await data(outputs[i]), expected[i].data, p.spec.test?.tolerance);
				}
				for (const t of outputs) t.dispose();
			}),
			{ numRuns: RUNS },
		);
	});

	it("refuses wrong shapes, dtypes and released operands by name, and leaves nothing behind", async () => {
		const refuses = (operands: readonly Tensor[], kind: string) => {
			const { liveBuffers } = device().memory();
			expect(() => device().scope<Tensor[]>(() => p.apply(operands))).toThrow(
				expect.objectContaining({ name: kind, message: expect.stringContaining(`${p.spec.name}: `) }),
			);
			expect(device().memory().liveBuffers).toBe(liveBuffers);
		};
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p), fc.nat(), async (draw, pick) => {
				const c = caseOf(p, draw);
				const { inputs } = p.signature;
				const at = pick % inputs.length;
				const { name, axes, leading, shared } = inputs[at];
				const replaced = (x: NdArray, dtype = dtypeOf(p, name)) =>
					operandsOf(p, c).map((t, i) => (i === at ? upload(device(), x, dtype) : t));
				const { data: values, shape } = c.inputs[name];
				const zeros = (to: readonly number[]): NdArray => ({ shape: to, data: new Float64Array(to.reduce((n, d) => n * d, 1)) });
				device().scope<void>(() => {
					if (axes.length > 0) refuses(replaced(zeros(axes.slice(1).map(() => 2))), "ShapeError");
					if (!leading) refuses(replaced(zeros([2, 2, 2, ...shape])), "ShapeError");
					const bound = axes.findIndex((a) => /^\d+$/.test(a) || inputs.some((o, i) => i !== at && o.axes.includes(a)));
					if (bound >= 0)
						refuses(replaced(zeros(shape.map((d, k) => (k === shape.length - axes.length + bound ? d + 1 : d)))), "ShapeError");
					if (leading && !shared && inputs.filter((o) => o.leading && !o.shared).length > 1)
						refuses(replaced(zeros([3, ...shape])), "ShapeError");
					if (dtypeOf(p, name) !== "i32") refuses(replaced({ data: values, shape }, "i32"), "DTypeError");
					const released = operandsOf(p, c);
					released[at].dispose();
					expect(() => p.apply(released, c.attrs)).toThrow(expect.objectContaining({ name: "DisposedError" }));
				});
				const works = device().scope<Tensor[]>(() => p.apply(operandsOf(p, c), c.attrs));
				for (const t of works) t.dispose();
			}),
			{ numRuns: RUNS },
		);
	});

	if (smooth(p).length === 0) return;

	it("has the gradient of its reference (directional differences)", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p), async (draw) => {
				const c = caseOf(p, draw);
				const names = smooth(p).map((o) => o.name);
				const y = p.spec.reference(c.inputs, c.attrs)[0];
				const weights = cotangent(c.seed, y.data.length);
				const { grads } = device().scope(() => {
					const operands = operandsOf(p, c);
					const slots: Slot[] = operands.map((value) => ({ value }));
					const chosen = slots.filter((_, i) => names.includes(p.signature.inputs[i].name));
					const w = device().fromHost([...weights], y.shape);
					const run = () =>
						sum(
							mul(
								p.apply(
									slots.map((s) => s.value),
									c.attrs,
								)[0],
								w,
							),
						);
					return { grads: [...valueAndGrad(run, chosen).grads] };
				});
				const next = numbers(c.seed, 99);
				for (let i = 0; i < names.length; i++) {
					const x = c.inputs[names[i]];
					const direction = x.data.map(() => next() - 0.5);
					const at = (h: number) => {
						const moved: NdArray = { shape: x.shape, data: x.data.map((v, k) => v + h * direction[k]) };
						return dot(p.spec.reference({ ...c.inputs, [names[i]]: moved }, c.attrs)[0].data, weights);
					};
					const h = 1e-6;
					const slope = (at(h) - at(-h)) / (2 * h);
					const g = await data(grads[i]);
					const scale = 1 + dot(g.map(Math.abs), direction.map(Math.abs));
					expect(Math.abs(dot(g, direction) - slope), `d${names[i]}: ${dot(g, direction)} against ${slope}`).toBeLessThan(1e-4 * scale);
				}
				for (const t of grads) t.dispose();
			}),
			{ numRuns: RUNS },
		);
	});

	const batched = p.signature.inputs.filter((o) => isBatchData(p, o));
	if (!p.signature.inputs.some((o) => o.leading)) return;

	const SAMPLES = 3;

	/** Per-sample gradients of the smooth operands: batch operands are scaled by a parameter of one sample's shape. */
	async function perSample(c: Case, samples: number, scales: Readonly<Record<string, NdArray>>): Promise<Float64Array[]> {
		const grads = device().scope<Tensor[]>(() => {
			const parameters = new Map<string, Slot>();
			for (const o of smooth(p)) parameters.set(o.name, { value: upload(device(), o.leading ? scales[o.name] : c.inputs[o.name], "f32") });
			const batch = new Map(batched.map((o) => [o.name, marked(upload(device(), c.inputs[o.name], dtypeOf(p, o.name)))]));
			const fixed = new Map(
				p.signature.inputs
					.filter((o) => !batched.includes(o) && !parameters.has(o.name))
					.map((o) => [o.name, upload(device(), c.inputs[o.name], dtypeOf(p, o.name))]),
			);
			const run = () => {
				const operands = p.signature.inputs.map((o) => {
					const rows = batch.get(o.name);
					const slot = parameters.get(o.name)?.value;
					if (rows === undefined) return (slot ?? fixed.get(o.name)) as Tensor;
					return slot === undefined ? rows : mul(rows, slot);
				});
				const y = p.apply(operands, c.attrs)[0];
				const w = device().fromHost([...cotangent(c.seed, y.size / samples)], y.shape.slice(1));
				const weighted = mul(y, w);
				return weighted.rank === 1 ? weighted : sum(weighted, weighted.shape.map((_, i) => i).slice(1));
			};
			return [...perSampleValueAndGrad(run, [...parameters.values()], samples).grads];
		});
		const out = await Promise.all(grads.map(async (g) => Float64Array.from(await data(g))));
		for (const g of grads) g.dispose();
		return out;
	}

	it("keeps samples apart: equal to single samples, bit-identical whatever the companions", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p, { samples: SAMPLES }), async (draw) => {
				const c = caseOf(p, draw, { broadcast: false, samples: SAMPLES });
				const companions = caseOf(p, { ...draw, seed: draw.seed + 1 }, { broadcast: false, samples: SAMPLES });
				const scales = Object.fromEntries(batched.map((o) => [o.name, sampleScale(c.inputs[o.name], c.seed)]));
				const all = await perSample(c, SAMPLES, scales);
				const kept = draw.seed % SAMPLES;
				const mixed = await perSample({ ...c, inputs: replaceOthers(p, c, companions, kept) }, SAMPLES, scales);
				const alone = await perSample({ ...c, inputs: onlySample(p, c, kept) }, 1, scales);
				all.forEach((g, i) => {
					const width = g.length / SAMPLES;
					const own = g.slice(kept * width, (kept + 1) * width);
					expect(mixed[i].slice(kept * width, (kept + 1) * width)).toEqual(own);
					expectClose(own, alone[i], 1e-5);
				});
			}),
			{ numRuns: Math.ceil(RUNS / 2) },
		);
	});
});

/** Factors near 1 in the shape of one sample. */
function sampleScale(x: NdArray, seed: number): NdArray {
	const shape = x.shape.slice(1);
	const next = numbers(seed, 55);
	return { shape, data: Float64Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => Math.fround(0.8 + 0.4 * next())) };
}

function replaceOthers(p: Primitive, c: Case, other: Case, kept: number): Record<string, NdArray> {
	const inputs: Record<string, NdArray> = { ...c.inputs };
	for (const o of p.signature.inputs.filter((q) => isBatchData(p, q))) {
		const mine = c.inputs[o.name];
		const width = mine.data.length / mine.shape[0];
		const values = other.inputs[o.name].data.slice();
		values.set(mine.data.subarray(kept * width, (kept + 1) * width), kept * width);
		inputs[o.name] = { shape: mine.shape, data: values };
	}
	return inputs;
}

function onlySample(p: Primitive, c: Case, kept: number): Record<string, NdArray> {
	const inputs: Record<string, NdArray> = { ...c.inputs };
	for (const o of p.signature.inputs.filter((q) => isBatchData(p, q))) inputs[o.name] = sampleOf(c.inputs[o.name], kept);
	return inputs;
}
