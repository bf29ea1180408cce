import * as t from "@hushgrad/tensor";
import { type Device, data, requestDevice, type Tensor } from "@hushgrad/tensor";
import { definePrimitive, type Primitive } from "@hushgrad/tensor/author";
import { registry } from "@hushgrad/tensor/registry";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { limitedDevice } from "../support/smallDevice.ts";

const device = useDevice();
let other: Device;
beforeAll(async () => {
	other = await requestDevice();
});
afterAll(() => other.destroy());

const f32 = (...shape: number[]): Tensor => t.ones(device(), shape);
const i32 = (values: number[]): Tensor => device().fromHost(Int32Array.from(values), [values.length]);
const wherePrimitive = registry.primitives.find((p) => p.spec.name === "where") as Primitive;
/** A tensor of n elements that no kernel has written. */
const hollow = definePrimitive<{ n: number }>({
	name: "hollow",
	signature: "x[] -> y[N]",
	attrs: { n: 1 },
	forward: ({ runtime, attrs: { n } }) => [runtime.empty([1, n])],
	grad: { x: "none" },
	reference: ({ x }) => [x],
});
const u8 = (n: number): Tensor => device().fromHost(new Uint8Array(n), [n]);
const bf16 = (n: number): Tensor => t.cast(f32(n), "bf16");
const disposed = (): Tensor => {
	const x = f32(2);
	x.dispose();
	return x;
};

/** A function that runs when somebody asks for its next value. */
function* generator(): Generator<Tensor> {
	yield f32(1);
}
/** The identity with a gradient of its own, with parts exchanged. */
const custom = (parts: Partial<t.CustomVjp> = {}) =>
	t.customVjp({ name: "own", forward: (x) => ({ value: x }), backward: (dy) => [dy], ...parts });
/** Typed arrays, the type that they are given as, and a word of the cure. */
const ARRAYS: readonly (readonly [ArrayBufferView, t.DType | undefined, string])[] = [
	[Int32Array.of(1, 2), "f32", "Array.from"],
	[Uint32Array.of(1, 2), "f32", "Array.from"],
	[Uint32Array.of(1, 2), "i32", "Int32Array"],
	[Int32Array.of(1, 2), "u32", "Uint32Array"],
	[Int32Array.of(0, 1), "bool", "Uint32Array"],
	[new Uint8Array(8), "f32", "Float32Array"],
	[new Uint8Array(8), "bool", "Uint32Array"],
	[Uint16Array.of(1, 2, 3, 4), undefined, "bf16"],
	[Int16Array.of(1, 2), "bf16", "Uint16Array"],
	[Float64Array.of(1), undefined, "Array.from"],
	[new Uint8ClampedArray(2), "u8", "Uint8Array"],
	[new DataView(new ArrayBuffer(8)), "f32", "Float32Array"],
];

/** What is asked, the error's class and code, and words its text must have. */
const CASES: [string, () => unknown, string, string, string[]][] = [
	[
		"an operation in place with a gradient",
		() =>
			definePrimitive({
				name: "double",
				signature: "x[N] -> x[N]",
				attrs: {},
				forward: () => [],
				grad: { x: { saves: [], rule: ({ dy }) => dy } },
				reference: ({ x }) => [x],
			}),
		"ValueError",
		"primitive/in-place",
		["double"],
	],
	["shapes that do not broadcast", () => t.add(f32(2, 3), f32(2, 4)), "ShapeError", "shape/broadcast", ["add", "[2, 3]", "[2, 4]", "Hint"]],
	[
		"a product of matrices that do not fit",
		() => t.matmul(f32(2, 3), f32(4, 5)),
		"ShapeError",
		"shape/axis",
		["matmul", "[2, 3]", "[4, 5]"],
	],
	["a batch that does not fit", () => t.bmm(f32(2, 2, 3), f32(3, 3, 2)), "ShapeError", "shape/bmm", ["bmm", "[2, 2, 3]"]],
	["another dtype", () => t.add(f32(2), i32([1, 2])), "DTypeError", "op/dtype", ["add", "f32 [2] and i32 [2]", "cast"]],
	["an integer where a float is needed", () => t.exp(i32([1])), "DTypeError", "op/dtype", ["exp", "i32", "f32"]],
	["a sum of a storage type", () => t.sum(u8(2)), "DTypeError", "op/dtype", ["sum", "u8", "cast"]],
	["a mean of whole numbers", () => t.mean(i32([1])), "DTypeError", "op/dtype", ["mean: x is i32 [1]", "cast"]],
	["an axis that is not there", () => t.sum(f32(2, 3), [2]), "ValueError", "axis/range", ["sum", "axis 2", "rank 2"]],
	["an axis that is no whole number", () => t.softmax(f32(2), 0.5), "ValueError", "axis/range", ["softmax", "0.5"]],
	["one axis twice", () => t.sum(f32(2, 3), [1, -1]), "ValueError", "axis/twice", ["sum", "twice"]],
	["a released tensor", () => t.neg(disposed()), "DisposedError", "tensor/disposed", ["[2]", "released", "Hint"]],
	["a tensor of another device", () => t.add(f32(2), t.ones(other, [2])), "ValueError", "op/device", ["add", "different devices"]],
	["joining over two devices", () => t.cat([f32(2), t.ones(other, [2])]), "ValueError", "op/device", ["cat", "different devices", "Hint"]],
	["a product over two devices", () => t.matmul(f32(2, 2), t.ones(other, [2, 2])), "ValueError", "op/device", ["matmul"]],
	["choosing over two devices", () => t.where(t.gt(f32(2), f32(2)), f32(2), t.ones(other, [2])), "ValueError", "op/device", ["where"]],
	["turning round a storage type", () => t.flip(u8(2), [0]), "DTypeError", "op/dtype", ["flip", "u8 [2]", "storage only", "cast"]],
	["joining a storage type", () => t.cat([bf16(2), bf16(1)]), "DTypeError", "op/dtype", ["cat", "bf16 [2]", "storage only", "cast"]],
	["stacking a storage type", () => t.stack([u8(2), u8(2)]), "DTypeError", "op/dtype", ["stack", "u8 [1, 2]", "storage only"]],
	["padding a storage type", () => t.pad(bf16(2), [[1, 0]]), "DTypeError", "op/dtype", ["pad", "bf16 [2]", "storage only", "cast"]],
	["joining two dtypes", () => t.cat([f32(2), i32([1])]), "ShapeError", "shape/cat", ["cat", "f32 [2]", "i32 [1]"]],
	[
		"something that is no tensor",
		() => t.add(f32(2), "3" as unknown as Tensor),
		"ValueError",
		"call/argument",
		["add", 'b is "3"', "a tensor or a number"],
	],
	["a missing operand", () => wherePrimitive.apply([f32(2)]), "ValueError", "op/operands", ["where", "1 operands"]],
	[
		"NaN as an integer",
		() => t.tensor(device(), [1, Number.NaN], [2], "i32"),
		"ValueError",
		"tensor/host-value",
		["element 1", "NaN", "i32"],
	],
	["a fraction as an integer", () => t.tensor(device(), [0.5], [1], "u32"), "ValueError", "tensor/host-value", ["0.5", "u32"]],
	["a number too large for its type", () => t.tensor(device(), [300], [1], "u8"), "ValueError", "tensor/host-value", ["300", "u8"]],
	["too few values", () => t.tensor(device(), [1, 2, 3], [2, 2]), "ShapeError", "tensor/host-size", ["[2, 2]", "16 bytes", "12"]],
	["a negative size", () => t.zeros(device(), [2, -1]), "ShapeError", "shape/extent", ["-1", "Hint"]],
	["a size that is no number", () => t.zeros(device(), [Number.NaN]), "ShapeError", "shape/extent", ["NaN"]],
	["a fraction as a size", () => t.zeros(device(), [1.5]), "ShapeError", "shape/extent", ["1.5"]],
	["an absurd size", () => t.zeros(device(), [2 ** 20, 2 ** 20]), "ShapeError", "shape/too-large", ["1099511627776"]],
	[
		"a tensor beyond one storage binding",
		() => t.neg(hollow.apply([f32()], { n: device().gpu.limits.maxStorageBufferBindingSize / 4 + 64 })[0]),
		"DeviceError",
		"device/binding-limit",
		["neg", "maxStorageBufferBindingSize", "physical batch"],
	],
	["a scalar that is NaN", () => t.add(f32(2), Number.NaN), "ValueError", "op/attribute", ["add", "NaN"]],
	["a scalar that is infinite", () => t.mul(f32(2), Number.POSITIVE_INFINITY), "ValueError", "op/attribute", ["mul", "Infinity"]],
	["a clamp without order", () => t.clamp(f32(2), { min: Number.NaN }), "ValueError", "clamp/range", ["clamp", "NaN"]],
	["a reshape that does not fit", () => t.reshape(f32(6), [4, -1]), "ShapeError", "shape/reshape", ["[6]", "[4, -1]"]],
	["an order that is none", () => t.permute(f32(2, 3), [0, 0]), "ValueError", "permute/order", ["permute"]],
	["an expansion of what is not 1", () => t.expand(f32(2), [3]), "ShapeError", "shape/expand", ["[2]", "[3]", "Hint"]],
	["a slice past the end", () => t.slice(f32(3), 0, 1, 5), "ValueError", "slice/range", ["1..5", "[3]"]],
	["parts that do not make up the whole", () => t.split(f32(5), [2, 2]), "ShapeError", "shape/split", ["2 + 2", "[5]"]],
	["joining nothing", () => t.cat([]), "ValueError", "cat/empty", ["cat"]],
	["stacking what differs", () => t.stack([f32(2), f32(3)]), "ShapeError", "shape/stack", ["[2]", "[3]"]],
	["negative padding", () => t.pad(f32(2), [[-1, 0]]), "ValueError", "pad/pairs", ["pad", "-1"]],
	["more of the largest than there are", () => t.topk(f32(3), 4), "ValueError", "topk/k", ["4", "[3]"]],
	["the largest of nothing", () => t.amax(f32(2, 0), [1]), "ValueError", "reduce/empty", ["amax"]],
	["an equation that is none", () => t.einsum("ij,jk->iz", f32(2, 2), f32(2, 2)), "ValueError", "einsum/equation", ["z", "ij,jk->iz"]],
	["an equation for other shapes", () => t.einsum("ij,jk->ik", f32(2, 3), f32(2, 2)), "ShapeError", "einsum/axis", ["j", "3", "2"]],
	["labels that do not match", () => t.crossEntropy(f32(2, 3), i32([0])), "ShapeError", "loss/labels", ["[1]", "[2, 3]"]],
	[
		"a reduction that is none",
		() => t.crossEntropy(f32(1, 3), i32([0]), { reduction: "avg" as "mean" }),
		"ValueError",
		"call/argument",
		["crossEntropy: reduction", "avg", "mean"],
	],
	[
		"keys and values that do not fit",
		() => t.scaledDotProductAttention(f32(2, 3), f32(2, 3), f32(4, 3)),
		"ShapeError",
		"attention/shapes",
		["[4, 3]"],
	],
	["a range that never ends", () => t.arange(device(), 0, 1, 0), "ValueError", "arange/step", ["arange"]],
	["a value of more than one element", () => t.item(f32(2)) as unknown, "ShapeError", "tensor/item", ["[2]", "2 elements"]],
	[
		"a strided view to write to",
		() => t.write(t.transpose(f32(2, 3)), [1, 2, 3, 4, 5, 6]),
		"ShapeError",
		"tensor/write",
		["write", "[3, 2]"],
	],
	["an assignment of another shape", () => t.assign(f32(2), f32(3)), "ShapeError", "assign/operands", ["[2]", "[3]"]],
	["computing in a storage type", () => t.exp(t.cast(f32(2), "bf16")), "DTypeError", "op/dtype", ["exp", "bf16", "cast"]],
	["a probability above 1", () => t.dropout(f32(2), 1.5, t.DropoutKey.of(device(), t.key(0))), "ValueError", "dropout/p", ["1.5"]],
	["a truth that is 5", () => t.tensor(device(), Uint32Array.of(1, 5), [2], "bool"), "ValueError", "tensor/host-value", ["element 1", "5"]],
	["an element type that is none", () => t.cast(f32(1), "f8" as "f32"), "DTypeError", "tensor/dtype", ["f8", "bf16"]],
	["an async scope", () => device().scope((async () => f32(1)) as never), "ValueError", "scope/async", ["async", "await"]],
	[
		"an async function to differentiate",
		() => t.valueAndGrad((async () => f32(1)) as never, [{ value: f32(1) }]),
		"ValueError",
		"grad/value",
		["valueAndGrad", "async"],
	],
	["a generator as a scope", () => device().scope(() => generator() as never), "ValueError", "scope/async", ["generator"]],
	["a custom gradient of nothing", () => custom()(), "ValueError", "customVjp/inputs", ["own", "at least one"]],
	[
		"an async function with a gradient of its own",
		() => custom({ forward: (async (x: Tensor) => ({ value: x })) as never })(f32(2)),
		"ValueError",
		"customVjp/value",
		["own", "async"],
	],
	[
		"a promise among what a custom gradient keeps",
		() => custom({ forward: (x) => ({ value: x, saved: [Promise.resolve(x) as never] }) })(f32(2)),
		"ValueError",
		"customVjp/value",
		["own"],
	],
	[
		"an async gradient of its own",
		() => t.grad((x: Tensor) => t.sum(custom({ backward: (async (dy: Tensor) => [dy]) as never })(x)))(f32(2)),
		"ValueError",
		"customVjp/gradients",
		["own", "async"],
	],
	[
		"a promise as a gradient of its own",
		() => t.grad((x: Tensor) => t.sum(custom({ backward: (dy) => [Promise.resolve(dy) as never] })(x)))(f32(2)),
		"ValueError",
		"customVjp/gradients",
		["own"],
	],
	...ARRAYS.map(([values, dtype, word]): (typeof CASES)[number] => [
		`a ${values.constructor.name} as ${dtype ?? "nothing by name"}`,
		() => device().fromHost(values as Float32Array, [2], dtype),
		"DTypeError",
		"tensor/host-type",
		[values.constructor.name, dtype ?? "f32", word],
	]),
	[
		"an array of another type to write",
		() => t.write(f32(2), Int32Array.of(1, 2)),
		"DTypeError",
		"tensor/host-type",
		["write", "Array.from"],
	],
	["a seed that is no whole number", () => t.key(0.5), "ValueError", "random/seed", ["0.5"]],
	...[-1, 2 ** 32, 0.5, Number.NaN].map((n): (typeof CASES)[number] => [
		`the use number ${n} of a key`,
		() => t.foldIn(t.key(0), n),
		"ValueError",
		"random/fold",
		[String(n)],
	]),
	["random numbers beyond i32", () => t.randint(device(), [2], t.key(0), 2 ** 31 - 2, 2 ** 31 + 1), "ValueError", "random/range", ["i32"]],
	["random numbers below i32", () => t.randint(device(), [2], t.key(0), -(2 ** 31) - 1, 0), "ValueError", "random/range", ["i32"]],
	["random numbers of no range", () => t.randint(device(), [2], t.key(0), 3, 3), "ValueError", "random/range", ["3..3"]],
	["uniform numbers upside down", () => t.uniform(device(), [2], t.key(0), { low: 2, high: 1 }), "ValueError", "random/range", ["2", "1"]],
	["uniform numbers without end", () => t.uniform(device(), [2], t.key(0), { high: Infinity }), "ValueError", "random/range", ["Infinity"]],
];

it("a size beyond the largest buffer is refused", async () => {
	const small = await limitedDevice({ maxBufferSize: 2 ** 32 });
	expect(() => t.zeros(small, [2 ** 31])).toThrow(expect.objectContaining({ name: "DeviceError", code: "device/buffer-limit" }));
	expect(() => t.zeros(small, [2 ** 31])).toThrow(/8589934592[\s\S]*split/);
	small.destroy();
});

describe("bad input gives one typed error with its fix, and the device stays as it was", () => {
	it.each(CASES)("%s", async (_, ask, name, code, words) => {
		const before = device().memory();
		const attempt = async () =>
			device()
				.scope<unknown[]>(() => [ask()] as unknown[] as Tensor[])
				.at(0);
		const error = await attempt()
			.then(
				async (v) => (v instanceof Promise ? v : undefined),
				(e: unknown) => e,
			)
			.then(
				(v) => v,
				(e: unknown) => e,
			);
		expect(error).toMatchObject({ name, code });
		for (const word of words) expect((error as Error).message).toContain(word);
		const { liveBytes, liveBuffers } = device().memory();
		expect(liveBuffers - before.liveBuffers, "buffers left").toBe(0);
		expect(liveBytes - before.liveBytes).toBe(0);
		const y = device().scope<Tensor>(() => t.add(f32(2), 1));
		expect([...(await data(y))]).toEqual([2, 2]);
		y.dispose();
		await device().flush();
	});

	it("more memory than the budget, before the machine runs out", async () => {
		const small = await requestDevice({ memoryBudget: 2 ** 20 });
		const held: Tensor[] = [];
		expect(() => {
			for (let i = 0; i < 20; i++) held.push(t.ones(small, [2 ** 16]));
		}).toThrow(expect.objectContaining({ name: "DeviceError", code: "device/budget", hint: expect.stringContaining("memoryBudget") }));
		expect(held.length).toBe(4);
		for (const x of held) x.dispose();
		const other = t.ones(small, [2 ** 17]);
		expect((await data(other))[5]).toBe(1);
		small.destroy();
		await expect(requestDevice({ memoryBudget: -1 })).rejects.toMatchObject({ code: "device/memory-budget" });
	});
});
