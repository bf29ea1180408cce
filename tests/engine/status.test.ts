import { Linear } from "@hushgrad/nn";
import {
	checkFinite,
	contiguous,
	type Device,
	data,
	div,
	exp,
	mulScalar,
	type Slot,
	sub,
	sum,
	type Tensor,
	transpose,
	valueAndGrad,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const bits = (...words: number[]): Float32Array => new Float32Array(Uint32Array.from(words).buffer);

describe("checkFinite", () => {
	const device = useDevice();

	it.each<[string, number, boolean, boolean]>([
		["a quiet NaN", 0x7fc00000, true, true],
		["a signalling NaN with the sign set", 0xff800001, true, true],
		["infinity", 0x7f800000, true, false],
		["minus infinity", 0xff800000, true, false],
		["the largest number", 0x7f7fffff, false, false],
		["a subnormal", 0x00000001, false, false],
	])("judges %s by its bits", async (_, word, isFound, isFoundAmongInfinities) => {
		const values = new Float32Array(1000).fill(1);
		values.set(bits(word), 997);
		const x = device().fromHost(values, [10, 100]);
		for (const [allowInfinity, found] of [
			[false, isFound],
			[true, isFoundAmongInfinities],
		]) {
			checkFinite(x, "x", { allowInfinity });
			if (found)
				await expect(device().flush()).rejects.toMatchObject({ code: "numeric/not-finite", message: expect.stringContaining("x holds") });
			else await device().flush();
		}
		checkFinite(transpose(x), "a view of x");
		if (isFound) await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("a view of x") });
		await device().flush();
		x.dispose();
	});

	it("names the first of several, and starts afresh after it was told", async () => {
		const good = device().fromHost([1], [1]);
		const bad = device().fromHost([Number.NaN], [1]);
		checkFinite(good, "first");
		checkFinite(bad, "second");
		checkFinite(bad, "third");
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("second holds") });
		checkFinite(good, "first");
		await device().flush();
		good.dispose();
		bad.dispose();
	});
});

describe("debug: nan", () => {
	const device = useDevice({ debug: { nan: true } });

	it("names the first operation that made a number that is not finite, and the module it ran in", async () => {
		const x = device().fromHost([1, 0, 2], [1, 3]);
		const layer = new Linear(3, 3);
		layer.path = "model.layers.1.up_proj";
		layer.weight.assign(device().fromHost(new Float32Array(9).fill(3e38), [3, 3]));
		device().scope<void>(() => {
			mulScalar(layer.call(x), 0.5);
		});
		await expect(device().flush()).rejects.toMatchObject({
			message: expect.stringContaining("the result of linear in model.layers.1.up_proj"),
		});
		device().scope<void>(() => {
			const y = div(x, device().fromHost([1, 0, 1], [3]));
			sum(exp(y));
		});
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("the result of div holds") });
		x.dispose();
		layer.dispose();
	});

	it("names the gradient that is not finite although the value is", async () => {
		const small: Slot = { value: device().fromHost([1e-30], [1]) };
		device().scope<void>(() => {
			const { value } = valueAndGrad(() => sum(div(device().fromHost([1e-10], [1]), small.value)), [small]);
			checkFinite(value, "the value");
		});
		await expect(device().flush()).rejects.toMatchObject({ message: expect.stringContaining("the gradient of div by b holds") });
	});

	it("is silent when all is well", async () => {
		const x = device().fromHost([1, 2], [2]);
		device().scope<void>(() => {
			sub(exp(x), x);
		});
		await device().flush();
		x.dispose();
	});
});

/** A kernel that writes one element too far, and one that leaves its result unwritten. */
function broken(device: Device, x: Tensor, kind: "beyond" | "copies beyond" | "unwritten"): Tensor {
	const y = device.empty(x.shape);
	device.run(
		`broken/${kind}`,
		() => ({
			params: { n: "u32" },
			buffers: { x: { dtype: "f32", access: "read" }, y: { dtype: "f32", access: "write" } },
			workgroup: [64, 1, 1],
			body: {
				beyond: "if (index <= p.n) { y_set(index, 1.0); }",
				"copies beyond": "if (index <= p.n) { y_set(index, x_at(index)); }",
				unwritten: "if (index + 1u < p.n) { y_set(index, x_at(index)); }",
			}[kind],
		}),
		[contiguous(x), y],
		[x.size],
		x.size + 1,
	);
	return y;
}

describe("debug: memory", () => {
	const device = useDevice({ debug: { memory: true } });

	it.each(["beyond", "copies beyond"] as const)("catches a kernel that writes (%s) a tensor, whatever its size", async (kind) => {
		for (const size of [1, 63, 64, 65, 1000, 70000]) {
			const x = device().fromHost(new Float32Array(size), [size]);
			device().within("model.head", () => broken(device(), x, kind).dispose());
			await expect(device().flush()).rejects.toMatchObject({
				code: "device/stray-write",
				message: expect.stringContaining("in model.head"),
			});
			x.dispose();
			await device().flush();
		}
	});

	it("shows what was never written as NaN", async () => {
		const x = device().fromHost(new Float32Array(8).fill(2), [8]);
		const y = broken(device(), x, "unwritten");
		expect([...(await data(y))]).toEqual([2, 2, 2, 2, 2, 2, 2, Number.NaN]);
		x.dispose();
		y.dispose();
	});
});
