import * as t from "@hushgrad/tensor";
import { data, Tensor } from "@hushgrad/tensor";
import "@hushgrad/tensor/methods";
import { privateProgram } from "@hushgrad/tensor/author";
import { describe, expect, expectTypeOf, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const inherited = Object.getPrototypeOf(Tensor.prototype) as Record<string, unknown>;
const names = Object.getOwnPropertyNames(inherited);
const of = (...values: number[]): Tensor => device().fromHost(values, [values.length]);

describe("methods of tensors", () => {
	it("are the functions of their names", async () => {
		expect(names.length).toBeGreaterThan(60);
		for (const name of names) expect(name in t, name).toBe(true);
		const x = of(1, -4, 2);
		const pairs: [() => Tensor, () => Tensor][] = [
			[() => x.mul(2).add(x).sub(1).div(3), () => t.div(t.sub(t.add(t.mul(x, 2), x), 1), 3)],
			[() => x.where(x.gt(0), 0), () => t.where(t.gt(x, 0), x, 0)],
			[() => x.maskedFill(x.lt(0), 7), () => t.maskedFill(x, t.lt(x, 0), 7)],
			[() => x.reshape([3, 1]).matmul(x.unsqueeze(0)).softmax(0), () => t.softmax(t.matmul(t.reshape(x, [3, 1]), t.unsqueeze(x, 0)), 0)],
			[() => x.clamp({ min: 0 }).cumsum(0).mean(), () => t.mean(t.cumsum(t.clamp(x, { min: 0 }), 0))],
			[() => x.sort({ descending: true }).values, () => t.sort(x, { descending: true }).values],
			[() => x.split([1, 2])[1].pow(2).sum([0], { keepDim: true }), () => t.sum(t.pow(t.split(x, [1, 2])[1], 2), [0], { keepDim: true })],
		];
		for (const [method, call] of pairs) {
			const [a, b] = device().scope(() => [method(), call()]);
			expect(a.shape).toEqual(b.shape);
			expect([...(await data(a))]).toEqual([...(await data(b))]);
		}
		expect(
			await device()
				.scope<Tensor>(() => x.square().sum())
				.item(),
		).toBe(21);
		expect([...(await x.data())]).toEqual([1, -4, 2]);
	});

	it("work in programs for one record, in gradients and in private programs", async () => {
		const x = device().fromHost([1, 2, 3, 4], [2, 2]);
		const each = device().scope<Tensor>(() => t.vmap((row: Tensor) => t.grad((v: Tensor) => v.pow(3).sum())(row))(x));
		expect([...(await data(each))]).toEqual([3, 12, 27, 48]);
		const inside = privateProgram(device(), [x], () => x.mul(2).sum());
		expect(await inside.item()).toBe(20);
	});

	it("have the types of their functions", () => {
		expectTypeOf<Tensor["mul"]>().toEqualTypeOf<(b: Tensor | number) => Tensor>();
		expectTypeOf<Tensor["logicalAnd"]>().toEqualTypeOf<(b: Tensor | boolean) => Tensor>();
		expectTypeOf<ReturnType<Tensor["sort"]>>().toEqualTypeOf<t.Sorted>();
		expectTypeOf<ReturnType<Tensor["item"]>>().toEqualTypeOf<Promise<number>>();
	});

	it("refuse what their functions refuse, by their names", () => {
		expect(() => of(1, 2).add(of(1, 2, 3))).toThrow(expect.objectContaining({ code: "shape/broadcast", op: "add" }));
		const { mul } = of(1);
		expect(() => mul(2)).toThrow(expect.objectContaining({ code: "call/argument", op: "mul" }));
	});

	it("cannot be replaced, added to or hidden", () => {
		const x = of(1);
		const evil = { value: () => x, configurable: true };
		for (const target of [x, Tensor.prototype, inherited]) {
			for (const name of ["mul", "size", "others"]) {
				expect(() => Object.defineProperty(target, name, evil), name).toThrow(TypeError);
				expect(Reflect.set(target, name, evil.value), name).toBe(false);
				if (Object.hasOwn(target, name)) expect(Reflect.deleteProperty(target, name), name).toBe(false);
			}
			expect(Reflect.setPrototypeOf(target, {})).toBe(false);
		}
		expect(() => Object.assign(x.mul, { call: () => x })).toThrow(TypeError);
	});

	it("hide no field of a tensor", () => {
		for (const name of names) expect(Object.hasOwn(Tensor.prototype, name) || Object.hasOwn(of(1), name), name).toBe(false);
	});
});
