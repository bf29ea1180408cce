import {
	add,
	type Bound,
	type DType,
	data,
	fromFloat16,
	mul,
	type NdArray,
	type Primitive,
	perSampleValueAndGrad,
	type Slot,
	square,
	sum,
	type Tensor,
	toFloat16,
	valueAndGrad,
} from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { arbitraryDraw, type Case, caseOf, dtypeOf, isBatchData, marked, numbers, sampleOf, upload } from "./cases.ts";
import { useDevice } from "./device.ts";
import { RUNS, setting } from "./environment.ts";

const SEED = setting("HUSHGRAD_PROPERTY_SEED");
const part = (fraction: number) => ({
	numRuns: Math.max(2, Math.ceil(RUNS * fraction)),
	...(SEED === undefined ? {} : { seed: Number(SEED) }),
});

const SAMPLES = 3;

/** Operands that have a gradient rule. */
const smooth = (p: Primitive) => p.signature.inputs.filter((o) => p.spec.grad[o.name] !== "none");

/** Whether every rule can be differentiated again. */
const isSmoothTwice = (p: Primitive) =>
	smooth(p).every((o) => {
		const rule = p.spec.grad[o.name];
		return rule === "none" || rule.again !== "none";
	});

/** Throws unless every element is as near to its reference as the bound allows, NaN where it is NaN. */
export function expectWithin(actual: ArrayLike<number>, expected: ArrayLike<number>, { abs = 0, ulp = 0, why }: Bound): void {
	expect(actual.length).toBe(expected.length);
	for (let i = 0; i < expected.length; i++) {
		const [a, e] = [actual[i], expected[i]];
		const allowed = abs + (ulp + 2) * 2 ** -23 * Math.abs(e) + 2 ** -126;
		if (a === e || (Number.isNaN(a) && Number.isNaN(e)) || Math.abs(a - e) <= allowed) continue;
		throw new Error(`element ${i} is ${a}, expected ${e} within ${allowed} (${why})`);
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

const boundOf = (p: Primitive): Bound => p.spec.test?.bound ?? { why: "correctly rounded" };

/** The properties that every primitive has to have. */
export function testPrimitives(primitives: readonly Primitive[]): void {
	const device = useDevice({ debug: { memory: true } });

	const operandsOf = (p: Primitive, c: Case): Tensor[] =>
		p.signature.inputs.map((o) => upload(device(), c.inputs[o.name], dtypeOf(p, o.name), c.reversed));

	/** Runs a primitive and compares every result with the reference. */
	async function compare(p: Primitive, c: Case, operands: () => Tensor[], bound: Bound, convert = (v: number) => v): Promise<void> {
		const outputs = device().scope<Tensor[]>(() => p.apply(operands(), c.attrs));
		const expected = p.spec.reference(c.inputs, c.attrs);
		try {
			for (let i = 0; i < expected.length; i++) {
				expect(outputs[i].shape).toEqual(expected[i].shape);
				expectWithin(await data(outputs[i]), expected[i].data.map(convert), bound);
			}
		} finally {
			for (const t of outputs) t.dispose();
		}
	}

	/** Slots for all operands, those that are differentiated, and the weighted sum of the first result. */
	function functional(p: Primitive, c: Case, of = (y: Tensor) => y) {
		const y = p.spec.reference(c.inputs, c.attrs)[0];
		const weights = cotangent(c.seed, y.data.length);
		const slots: Slot[] = operandsOf(p, c).map((value) => ({ value }));
		const names = smooth(p).map((o) => o.name);
		const chosen = slots.filter((_, i) => names.includes(p.signature.inputs[i].name));
		const w = device().fromHost([...weights], y.shape);
		const run = () => {
			const result = p.apply(
				slots.map((s) => s.value),
				c.attrs,
			)[0];
			return sum(mul(of(result), w));
		};
		return { names, chosen, run, weights };
	}

	/** <weights, f(inputs + h direction)> in float64. */
	const along = (p: Primitive, c: Case, weights: Float64Array, directions: Readonly<Record<string, Float64Array>>) => (h: number) => {
		const inputs: Record<string, NdArray> = { ...c.inputs };
		for (const [name, d] of Object.entries(directions)) {
			const x = c.inputs[name];
			inputs[name] = { shape: x.shape, data: x.data.map((v, k) => v + h * d[k]) };
		}
		return dot(p.spec.reference(inputs, c.attrs)[0].data, weights);
	};

	const directionsOf = (c: Case, names: readonly string[]): Record<string, Float64Array> => {
		const next = numbers(c.seed, 99);
		return Object.fromEntries(names.map((n) => [n, c.inputs[n].data.map(() => Math.fround(next() - 0.5))]));
	};

	describe.each(primitives.map((p) => [p.spec.name, p] as const))("%s", (_, p) => {
		it("equals its float64 reference, writes nothing beside its result and reads nothing unwritten", async () => {
			await fc.assert(
				fc.asyncProperty(arbitraryDraw(p), async (draw) => {
					const c = caseOf(p, draw);
					await compare(p, c, () => operandsOf(p, c), boundOf(p));
				}),
				part(1),
			);
			await device().flush();
		});

		const others = (["f16", "i32", "u32"] as const).filter((d) => p.signature.inputs.some((o) => otherDtype(p, o.name, d)));
		it.each(others)("equals its reference in %s", async (dtype) => {
			await fc.assert(
				fc.asyncProperty(arbitraryDraw(p), async (draw) => {
					const c = asDtype(p, caseOf(p, draw), dtype);
					const operands = () =>
						p.signature.inputs.map((o) =>
							upload(device(), c.inputs[o.name], otherDtype(p, o.name, dtype) ? dtype : dtypeOf(p, o.name), c.reversed),
						);
					if (dtype === "f16" && !device().has("shader-f16")) {
						expect(() => device().scope<Tensor[]>(operands)).toThrow(expect.objectContaining({ code: "device/no-f16" }));
						return;
					}
					const { abs = 0, ulp = 0, why } = boundOf(p);
					const bound =
						dtype === "f16" ? { abs: abs + 2 ** -24, ulp: ulp + 2 ** 12, why: `${why}, rounded to f16` } : { why: "whole numbers" };
					await compare(p, c, operands, bound, dtype === "u32" ? (v) => v >>> 0 : undefined);
				}),
				part(0.1),
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
						refuses(replaced({ data: values.map(() => 0), shape }, "u8"), "DTypeError");
						const released = operandsOf(p, c);
						released[at].dispose();
						expect(() => p.apply(released, c.attrs)).toThrow(expect.objectContaining({ name: "DisposedError" }));
						for (const [attr, value] of Object.entries(p.spec.attrs)) {
							if (typeof value !== "number") continue;
							expect(() => p.apply(operandsOf(p, c), { [attr]: Number.NaN })).toThrow(expect.objectContaining({ code: "op/attribute" }));
						}
					});
					const works = device().scope<Tensor[]>(() => p.apply(operandsOf(p, c), c.attrs));
					for (const t of works) t.dispose();
				}),
				part(0.05),
			);
			await device().flush();
		});

		const floats = p.signature.inputs.filter((o) => dtypeOf(p, o.name) === "f32" && p.spec.grad[o.name] !== "none");
		if (floats.length > 0)
			it("passes NaN on exactly where its reference does", async () => {
				await fc.assert(
					fc.asyncProperty(arbitraryDraw(p), fc.nat(), async (draw, pick) => {
						const c = caseOf(p, draw);
						const { name } = floats[pick % floats.length];
						const values = c.inputs[name].data.slice();
						if (values.length === 0) return;
						values[pick % values.length] = Number.NaN;
						const spoiled = { ...c, inputs: { ...c.inputs, [name]: { ...c.inputs[name], data: values } } };
						const expected = p.spec.reference(spoiled.inputs, c.attrs)[0].data;
						const [y, ...rest] = device().scope<Tensor[]>(() => p.apply(operandsOf(p, spoiled), c.attrs));
						const actual = await data(y);
						for (const t of [y, ...rest]) t.dispose();
						expected.forEach((e, i) => {
							if (Number.isNaN(e) !== Number.isNaN(actual[i])) throw new Error(`element ${i} is ${actual[i]}, expected ${e}`);
						});
					}),
					part(0.1),
				);
			});

		if (smooth(p).length === 0) return;

		it("has the gradient of its reference: <v, J u> = <J^T v, u>, J u by central differences", async () => {
			await fc.assert(
				fc.asyncProperty(arbitraryDraw(p), async (draw) => {
					const c = caseOf(p, draw);
					const { names, grads, weights } = device().scope(() => {
						const f = functional(p, c);
						return { ...f, chosen: [], run: undefined, grads: [...valueAndGrad(f.run, f.chosen).grads] };
					});
					const directions = directionsOf(c, names);
					try {
						for (let i = 0; i < names.length; i++) {
							const u = directions[names[i]];
							const at = along(p, c, weights, { [names[i]]: u });
							const rise = (h: number): number => (at(h) - at(-h)) / (2 * h);
							const slope = rise(1e-6);
							fc.pre(Math.abs(slope - rise(5e-7)) < 1e-3 * (1 + Math.abs(slope)));
							const g = await data(grads[i]);
							const scale = 1 + dot(g.map(Math.abs), u.map(Math.abs));
							expect(Math.abs(dot(g, u) - slope), `d${names[i]}: ${dot(g, u)} against ${slope}`).toBeLessThan(1e-4 * scale);
						}
					} finally {
						for (const t of grads) t.dispose();
					}
				}),
				part(0.25),
			);
			await device().flush();
		});

		it(isSmoothTwice(p) ? "has the second derivative of its reference" : "refuses a second derivative by name", async () => {
			await fc.assert(
				fc.asyncProperty(arbitraryDraw(p), async (draw) => {
					const c = caseOf(p, draw);
					const directions = directionsOf(
						c,
						smooth(p).map((o) => o.name),
					);
					const twice = () =>
						device().scope(() => {
							const { names, chosen, run, weights } = functional(p, c, isSmoothTwice(p) ? undefined : square);
							const us = names.map((n) => device().fromHost([...directions[n]], c.inputs[n].shape));
							const slope = () =>
								valueAndGrad(run, chosen)
									.grads.map((g, i) => sum(mul(g, us[i])))
									.reduce((a, b) => add(a, b));
							return { names, weights, grads: [...valueAndGrad(slope, chosen).grads] };
						});
					if (!isSmoothTwice(p)) {
						if (Object.values(c.inputs).some((x) => x.data.length === 0)) return;
						expect(twice).toThrow(expect.objectContaining({ code: "grad/order" }));
						return;
					}
					const { names, weights, grads } = twice();
					try {
						let curvature = 0;
						let scale = 1;
						for (let i = 0; i < names.length; i++) {
							const g = await data(grads[i]);
							curvature += dot(g, directions[names[i]]);
							scale += dot(g.map(Math.abs), directions[names[i]].map(Math.abs));
						}
						const at = along(p, c, weights, directions);
						const bend = (h: number): number => (at(h) - 2 * at(0) + at(-h)) / h ** 2;
						const expected = bend(1e-4);
						// Where the reference has a kink or a jump within reach, halving the step shows it: no derivative there.
						fc.pre(Math.abs(expected - bend(5e-5)) < 1e-3 * (1 + Math.abs(expected)));
						expect(Math.abs(curvature - expected), `${curvature} against ${expected}`).toBeLessThan(2e-3 * scale);
					} finally {
						for (const t of grads) t.dispose();
					}
				}),
				part(0.05),
			);
			expect(device().tape).toBeUndefined();
		});

		const batched = p.signature.inputs.filter((o) => isBatchData(p, o));
		if (!p.signature.inputs.some((o) => o.leading)) return;

		/** Per-sample gradients of the smooth operands: batch operands are scaled by a parameter of one sample's shape. */
		async function perSample(c: Case, samples: number, scales: Readonly<Record<string, NdArray>>): Promise<Float64Array[]> {
			const grads = device().scope<Tensor[]>(() => {
				const parameters = new Map<string, Slot>();
				for (const o of smooth(p))
					parameters.set(o.name, { value: upload(device(), o.leading ? scales[o.name] : c.inputs[o.name], "f32") });
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
						expectWithin(own, alone[i], { abs: 1e-5, ulp: 84, why: "1e-5: other kernels may serve other shapes" });
					});
				}),
				part(0.1),
			);
		});
	});
}

/** Whether an operand is drawn in `dtype` when the whole case is. */
const otherDtype = (p: Primitive, operand: string, dtype: DType): boolean => {
	const allowed = p.spec.dtypes?.[operand] ?? ["f32"];
	return allowed[0] === "f32" && allowed.includes(dtype);
};

/** The same case with values that `dtype` holds; whole numbers other than 0, which nothing divides by. */
function asDtype(p: Primitive, c: Case, dtype: DType): Case {
	const next = numbers(c.seed, 42);
	const value = (v: number): number => {
		if (dtype === "f16") return fromFloat16(toFloat16(Float32Array.of(v)))[0];
		const size = 1 + Math.floor(6 * next());
		return dtype === "i32" && next() < 0.5 ? -size : size;
	};
	const inputs = Object.fromEntries(
		Object.entries(c.inputs).map(([name, x]) => [name, otherDtype(p, name, dtype) ? { ...x, data: x.data.map(value) } : x]),
	);
	return { ...c, inputs };
}

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
