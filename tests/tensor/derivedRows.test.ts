import { data, type Tensor, vmap } from "@hushgrad/tensor";
import type { Bound } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { arbitraryDraw, caseOf, dtypeOf, upload } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { RUNS } from "../support/environment.ts";
import { registries } from "../support/registry.ts";

const derived = Object.values(registries).flatMap((r) => r.derived);
const device = useDevice({ debug: { memory: true } });

it("there is one for every derivative of a row, each of its own name", () => {
	const names = derived.map((p) => p.spec.name);
	expect(new Set(names).size).toBe(names.length);
	expect(names).toEqual(expect.arrayContaining(["mul.da", "mul.db", "div.db", "tanh.dx", "where.da", "geglu.db", "geglu.d", "pow.da"]));
});

const ofNumbers = Object.values(registries).flatMap((r) => r.numbered.flatMap((p) => p.spec.derived?.() ?? []));

/** Gradients of the element-wise rows against their own formula in float64; that it is the derivative, the row's tests show. */
describe.each([...derived, ...ofNumbers].map((p) => [p.spec.name, p] as const))("%s", (_, p) => {
	it("equals its float64 reference, also for records", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p), async (draw) => {
				const c = caseOf(p, draw);
				const expected = p.spec.reference(c.inputs, c.attrs);
				const operands = (): Tensor[] => p.signature.inputs.map((o) => upload(device(), c.inputs[o.name], dtypeOf(p, o.name), c.layout));
				const results = device().scope<Tensor[]>(() => p.apply(operands(), c.attrs));
				expect(results.map((y) => y.shape)).toEqual(expected.map((e) => e.shape));
				const values = await Promise.all(results.map((y) => data(y)));
				values.forEach((v, i) => {
					expectWithin(v, expected[i].data, p.spec.test?.bound as Bound);
				});
				if (c.inputs[p.signature.inputs[0].name].shape.length === 0) return;
				// The first axis of all operands as records, where all have it.
				const ranks = new Set(p.signature.inputs.map((o) => c.inputs[o.name].shape.length));
				const counts = new Set(p.signature.inputs.map((o) => c.inputs[o.name].shape[0]));
				if (ranks.size > 1 || counts.size > 1) return;
				const each = device().scope<Tensor[]>(() => vmap((...own: Tensor[]) => [...p.apply(own, c.attrs)])(...operands()));
				for (const [i, y] of each.entries()) expect([...(await data(y))]).toEqual([...values[i]]);
			}),
			{ numRuns: Math.max(2, Math.ceil(RUNS * 0.05)) },
		);
		await device().flush();
	});
});
