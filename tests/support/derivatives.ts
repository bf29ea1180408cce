import { add, type Device, data, mul, type Slot, sum, valueAndGrad } from "@hushgrad/tensor";
import { type NdArray, type Primitive, runtimeOf } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { expect, it } from "vitest";
import { cotangent, dot, dotSize } from "./bounds.ts";
import { arbitraryDraw, type Case, caseOf, dtypeOf, numbers, upload } from "./cases.ts";
import { part } from "./environment.ts";

/** Operands whose gradient a rule gives. */
export const smooth = (p: Primitive) => p.signature.inputs.filter((o) => typeof p.spec.grad[o.name] === "object");

/** The weighted sum of the results that have a gradient, over slots of which those of `names` are to be differentiated by. */
function functional(device: Device, p: Primitive, c: Case, names: readonly string[]) {
	const traced = p.spec.reference(c.inputs, c.attrs).slice(0, p.spec.traced ?? 1);
	const weights = traced.map((y, i) => cotangent(c.seed + i, y.data.length));
	const slots = p.signature.inputs.map((o): Slot => ({ value: upload(device, c.inputs[o.name], dtypeOf(p, o.name), c.layout) }));
	const chosen = slots.filter((_, i) => names.includes(p.signature.inputs[i].name));
	const ws = weights.map((w, i) => device.fromHost([...w], traced[i].shape));
	const run = () => {
		const results = p.apply(
			slots.map((s) => s.value),
			c.attrs,
		);
		return ws.map((w, i) => sum(mul(results[i], w))).reduce((a, b) => add(a, b));
	};
	return { chosen, run, weights };
}

/** <weights, f(inputs + h direction)> in float64. */
const along =
	(p: Primitive, c: Case, weights: readonly Float64Array[], directions: Readonly<Record<string, Float64Array>>) => (h: number) => {
		const inputs: Record<string, NdArray> = { ...c.inputs };
		for (const [name, d] of Object.entries(directions)) {
			const x = c.inputs[name];
			inputs[name] = { shape: x.shape, data: x.data.map((v, k) => v + h * d[k]) };
		}
		const results = p.spec.reference(inputs, c.attrs);
		return weights.reduce((s, w, i) => s + dot(results[i].data, w), 0);
	};

const directionsOf = (c: Case, names: readonly string[]): Record<string, Float64Array> => {
	const next = numbers(c.seed, 99);
	return Object.fromEntries(names.map((n) => [n, c.inputs[n].data.map(() => Math.fround(next() - 0.5))]));
};

/**
 * First and second derivatives against the reference. A primitive with a composite is the gradient of another, and its
 * operands (such as x and the 1/sqrt(variance) of x) only fit each other there: its derivatives are the second derivatives
 * of that other one.
 */
export function testDerivatives(device: () => Device, p: Primitive): void {
	const names = smooth(p).map((o) => o.name);
	if (names.length === 0) return;

	it("has the gradient of its reference: <v, J u> = <J^T v, u>, J u by central differences", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p), async (draw) => {
				const c = caseOf(p, draw);
				const { grads, weights } = device().scope(() => {
					const { run, chosen, weights } = functional(device(), p, c, names);
					return { weights, grads: [...valueAndGrad(run, chosen).grads] };
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
						const scale = 1 + dotSize(g, u);
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

	/** <gradient, directions> of the functional, and the gradient of that. */
	const twice = (c: Case, directions: Readonly<Record<string, Float64Array>>) =>
		device().scope(() => {
			const { chosen, run, weights } = functional(device(), p, c, names);
			const us = names.map((n) => device().fromHost([...directions[n]], c.inputs[n].shape));
			const slope = () =>
				valueAndGrad(run, chosen)
					.grads.map((g, i) => sum(mul(g, us[i])))
					.reduce((a, b) => add(a, b));
			const { value, grads } = valueAndGrad(slope, chosen);
			return { value, weights, grads: [...grads] };
		});

	it("has the second derivative of its reference", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p), async (draw) => {
				const c = caseOf(p, draw);
				const directions = directionsOf(c, names);
				const { value, weights, grads } = twice(c, directions);
				try {
					let curvature = 0;
					let scale = 1;
					for (let i = 0; i < names.length; i++) {
						const g = await data(grads[i]);
						curvature += dot(g, directions[names[i]]);
						scale += dotSize(g, directions[names[i]]);
					}
					const at = along(p, c, weights, directions);
					const bend = (h: number): number => (at(h) - 2 * at(0) + at(-h)) / h ** 2;
					const expected = bend(1e-4);
					// Where the reference has a kink or a jump within reach, halving the step shows it: no derivative there.
					fc.pre(Math.abs(expected - bend(5e-5)) < 1e-3 * (1 + Math.abs(expected)));
					expect(Math.abs(curvature - expected), `${curvature} against ${expected}`).toBeLessThan(2e-3 * scale);
					// While a gradient is traced, composites stand in for fused gradients: they give the same slope.
					const slope = (at(1e-6) - at(-1e-6)) / 2e-6;
					const [traced] = await data(value);
					expect(Math.abs(traced - slope), `slope ${traced} against ${slope}`).toBeLessThan(1e-3 * (1 + Math.abs(slope)));
				} finally {
					for (const t of [value, ...grads]) t.dispose();
				}
			}),
			part(0.05),
		);
		expect(runtimeOf(device()).tape).toBeUndefined();
	});
}
