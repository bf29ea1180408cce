import * as t from "@hushgrad/tensor";
import { data, grad, hvp, type Tensor, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { values } from "../support/functionCalls.ts";

const device = useDevice({ debug: { memory: true } });
const i32 = (...v: number[]): Tensor => t.tensor(device(), v, { dtype: "i32" });
const random = (seed: number, ...shape: number[]): Tensor => {
	const { data } = values(numbers(seed, 0), shape, -1, 1);
	return t.reshape(t.tensor(device(), Float32Array.from(data)), shape);
};

type Loss = (...inputs: readonly Tensor[]) => Tensor;
const BOUND = { abs: 2e-5, ulp: 16, why: "sums of about 30 products of size 1, in another order" };

/** Two functions of `inputs` have the same products with their Hessians. */
async function expectSame(fused: Loss, composed: Loss, inputs: readonly Tensor[]): Promise<void> {
	const directions = inputs.map((x, i) => random(50 + i, ...x.shape));
	const of = (f: Loss) => device().scope(() => [...hvp(f, inputs, directions).products]);
	const [got, wanted] = [of(fused), of(composed)];
	for (const [i, g] of got.entries()) {
		const expected = await data(wanted[i]);
		expect(expected.some((v) => Math.abs(v) > 1e-3)).toBe(true);
		expectWithin(await data(g), Float64Array.from(expected), BOUND);
	}
}

const one = (x: Tensor): Tensor => t.sum(t.square(x));

describe("second derivatives of linearCrossEntropy are those of crossEntropy of linear", () => {
	const h = () => random(1, 2, 3, 4);
	const w = () => random(2, 7, 4);
	const labels = () => t.reshape(i32(3, -100, 0, 6, 2, 2), [2, 3]);
	const composed =
		(of: (z: Tensor) => Tensor = (z) => z, ignoreIndex?: number) =>
		(x: Tensor, v: Tensor, l: Tensor): Tensor =>
			t.crossEntropy(of(t.linear(x, v)), l, { reduction: "none", ignoreIndex });

	it("by both operands, with a row left out", async () => {
		const l = labels();
		await expectSame(
			(x, v) => one(t.linearCrossEntropy(x, v, l)),
			(x, v) => one(composed()(x, v, l)),
			[h(), w()],
		);
	});

	it("with a soft cap, and another label to leave out", async () => {
		const l = t.reshape(i32(3, 1, 0, 6, 2, 2), [2, 3]);
		await expectSame(
			(x, v) => one(t.linearCrossEntropy(x, v, l, { softcap: 1.5, ignoreIndex: 2 })),
			(x, v) => one(composed((z) => t.softcap(z, 1.5), 2)(x, v, l)),
			[h(), w()],
		);
	});

	it("of a head in bf16, by the hidden states", async () => {
		const [l, v] = [labels(), t.cast(w(), "bf16")];
		await expectSame(
			(x) => one(t.linearCrossEntropy(x, v, l)),
			(x) => one(composed()(x, v, l)),
			[h()],
		);
	});

	it("of each record, the head being one for all or its own", async () => {
		const l = labels();
		const each = (f: (x: Tensor, v: Tensor, l: Tensor) => Tensor) => (x: Tensor, v: Tensor) =>
			t.sum(vmap((a: Tensor, b: Tensor) => one(grad((c: Tensor) => one(f(c, v, b)))(a)))(x, l));
		await expectSame(each(t.linearCrossEntropy), each(composed()), [h(), w()]);
		const own = (f: (x: Tensor, v: Tensor, l: Tensor) => Tensor) => (x: Tensor, v: Tensor) =>
			t.sum(vmap((a: Tensor, b: Tensor) => one(grad((c: Tensor) => one(f(a, c, b)))(v)))(x, l));
		await expectSame(own(t.linearCrossEntropy), own(composed()), [h(), w()]);
	});

	it("NaN where a label is no class, and 0 where it is left out", async () => {
		const l = i32(9, -100, 1);
		const x = random(1, 3, 4);
		const v = w();
		const direction = t.onesLike(x);
		const { products } = device().scope(() => hvp((a) => t.sum(t.linearCrossEntropy(a, v, l)), [x], [direction]));
		const rows = [...(await data(products[0]))];
		expect(rows.slice(0, 4).every(Number.isNaN)).toBe(true);
		expect(rows.slice(4, 8)).toEqual([0, 0, 0, 0]);
		expect(rows.slice(8).every((g) => Number.isFinite(g) && g !== 0)).toBe(true);
	});
});

describe("second derivatives of embedding are those of a product with one-hot rows", () => {
	const table = () => random(3, 5, 4);
	const square = (y: Tensor): Tensor => t.sum(t.mul(t.square(y), y));

	it("by the table, ids repeated", async () => {
		const ids = i32(4, 0, 4, 4, 2);
		const w = random(4, 5, 4);
		await expectSame(
			(x, s) => square(t.mul(t.embedding(ids, x), s)),
			(x, s) => square(t.mul(t.matmul(t.oneHot(ids, 5), x), s)),
			[table(), w],
		);
	});

	it("none by the row of padding", async () => {
		const ids = i32(4, 0, 1, 4);
		const f = (x: Tensor): Tensor => square(t.embedding(ids, x, { paddingIdx: 4 }));
		const x = table();
		const { products } = device().scope(() => hvp(f, [x], [t.onesLike(x)]));
		const expected = [...(await data(x))].map((v, i) => (i < 8 ? 6 * v : 0));
		expectWithin(await data(products[0]), Float64Array.from(expected), BOUND);
	});

	it("none by ids outside of the table", async () => {
		const x = table();
		const ids = i32(-1, 1, 5);
		const slope = grad((y: Tensor) => t.sum(t.mul(t.embedding(ids, y), t.embedding(ids, y))));
		const y = device().scope(() => grad((z: Tensor) => t.sum(t.mul(slope(z), z)))(x));
		expect([...(await data(y))].map((v) => v === 0)).toEqual(Array.from({ length: 20 }, (_, i) => i < 4 || i >= 8));
	});

	it("by what rows are multiplied with, none for padding and ids outside", async () => {
		const ids = i32(4, 0, -1, 5);
		const [x, s] = [table(), random(6, 4, 4)];
		const direction = random(7, 5, 4);
		const f = (y: Tensor, r: Tensor): Tensor => t.sum(t.mul(t.embedding(ids, y, { paddingIdx: 4 }), r));
		const { products } = device().scope(() => hvp(f, [x, s], [direction, t.zerosLike(s)]));
		const first = [...(await data(direction))].slice(0, 4);
		expect([...(await data(products[1]))]).toEqual([0, 0, 0, 0, ...first, ...new Array(8).fill(0)]);
	});

	it("of each record, the table being one for all or its own", async () => {
		const ids = t.reshape(i32(4, 0, 4, 4, 2, 1), [2, 3]);
		const look = (i: Tensor, x: Tensor): Tensor => t.matmul(t.oneHot(i, 5), x);
		const shared = (f: typeof look) => (x: Tensor, s: Tensor) => t.sum(vmap((i: Tensor, r: Tensor) => square(t.mul(f(i, x), r)))(ids, s));
		await expectSame(shared(t.embedding), shared(look), [table(), random(5, 2, 3, 4)]);
		const own = (f: typeof look) => (x: Tensor, s: Tensor) =>
			t.sum(vmap((i: Tensor, r: Tensor) => one(grad((z: Tensor) => square(t.mul(f(i, z), r)))(x)))(ids, s));
		await expectSame(own(t.embedding), own(look), [table(), random(5, 2, 3, 4)]);
	});
});
