import { type DType, data, movedim, mul, type Slot, square, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { expectSame, expectWithin } from "../support/bounds.ts";
import { extents, layouts, numbers, upload } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { part } from "../support/environment.ts";
import { isDrawable, testLinearOps } from "../support/linearSuite.ts";
import { build } from "../support/nd.ts";
import { linearOps } from "../support/registry.ts";

testLinearOps(linearOps().filter(isDrawable));

describe("the ends of vmap", () => {
	const device = useDevice({ debug: { memory: true } });
	const batches = fc.record({
		seed: fc.nat(2 ** 31 - 1),
		shape: fc.array(extents(4), { minLength: 1, maxLength: 4 }),
		axis: fc.nat(),
		negative: fc.boolean(),
		layout: layouts,
	});

	it("are the only operations that no shape allows to call", () => {
		expect(
			linearOps()
				.filter((op) => !isDrawable(op))
				.map((op) => op.spec.name)
				.sort(),
		).toEqual(["hide", "reveal", "sumRecords"]);
	});

	it.each<DType>(["f32", "i32", "bool"])("vmap of nothing moves the axis of the records to the front, in %s", async (dtype) => {
		await fc.assert(
			fc.asyncProperty(batches, async ({ seed, shape, axis, negative, layout }) => {
				const at = axis % shape.length;
				const next = numbers(seed, 0);
				const x = build(shape, () => (dtype === "f32" ? Math.fround(next()) : Math.floor(2 * next())));
				const [y, z] = device().scope<Tensor[]>(() => {
					const batch = upload(device(), x, dtype, layout);
					const moved = vmap(
						(r: Tensor) => {
							expect(r.shape).toEqual(shape.toSpliced(at, 1));
							return r;
						},
						{ inAxes: negative ? at - shape.length : at },
					)(batch);
					return [moved, movedim(batch, at, 0)];
				});
				expect(y.shape).toEqual(z.shape);
				expectSame(await data(y), await data(z), "record");
				y.dispose();
				z.dispose();
			}),
			part(0.1),
		);
	});

	it("gradients and second gradients through vmap equal those of the batch written by hand", async () => {
		await fc.assert(
			fc.asyncProperty(batches, async ({ seed, shape, axis, layout }) => {
				const at = axis % shape.length;
				const next = numbers(seed, 0);
				const [x, w, u, v] = [shape, shape.toSpliced(at, 1), shape, shape.toSpliced(at, 1)].map((s) =>
					build(s, () => Math.fround(2 * next() - 1)),
				);
				/** Gradients of the sum of (x w)^2 x by x and w, and of their products with u and v. */
				const derivatives = (total: (x: Tensor, w: Tensor) => Tensor): Tensor[] =>
					device().scope<Tensor[]>(() => {
						const slots: Slot[] = [{ value: upload(device(), x, "f32", layout) }, { value: upload(device(), w, "f32") }];
						const [p, q] = [upload(device(), u, "f32"), upload(device(), v, "f32")];
						const first = () => valueAndGrad(() => total(slots[0].value, slots[1].value), slots).grads;
						const products = first().map((_, i) => valueAndGrad(() => sum(mul(first()[i], [p, q][i])), slots).grads);
						return [...first(), ...products.flat()];
					});
				const byVmap = derivatives((a, b) => sum(vmap((r: Tensor) => sum(mul(square(mul(r, b)), r)), { inAxes: at })(a)));
				const byHand = derivatives((a, b) => {
					const rows = movedim(a, at, 0);
					return sum(mul(square(mul(rows, b)), rows));
				});
				for (const [i, t] of byVmap.entries()) {
					expectWithin(await data(t), await data(byHand[i]), { abs: 1e-5, ulp: 8, why: "sums of up to 4 records and 64 products" });
					expect(t.shape).toEqual(byHand[i].shape);
				}
				for (const t of [...byVmap, ...byHand]) t.dispose();
			}),
			part(0.1),
		);
		await device().flush();
	});
});
