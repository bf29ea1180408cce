import * as t from "@hushgrad/tensor";
import { data, type Tensor } from "@hushgrad/tensor";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { build } from "../support/nd.ts";

const device = useDevice({ debug: { memory: true } });

describe("casts", () => {
	const interesting = [0, -0, 1, -1, 0.1, 1 / 3, 65504, 65519, 65520, 1e-7, 6e-8, 2.98e-8, 2.99e-8, 1e30, -1e-40, 3.3895314e38];

	it("to bf16 and back round to the nearest, ties to even, bit for bit like the host", async () => {
		const x = Float32Array.from([...interesting, ...t.normalValues(t.key(1), 301).map((v, i) => v * 2 ** ((i % 80) - 40))]);
		const back = await data(device().scope<Tensor>(() => t.cast(t.cast(device().fromHost(x, [x.length]), "bf16"), "f32")));
		expect(back).toEqual(fromBfloat16(toBfloat16(x)));
		const strided = device().scope<Tensor>(() => t.transpose(t.cast(device().fromHost(x.slice(0, 315), [5, 63]), "bf16")));
		const host = fromBfloat16(toBfloat16(x));
		expect([...(await data(strided))]).toEqual([...build([63, 5], ([i, j]) => host[j * 63 + i]).data]);
		strided.dispose();
	});

	it("to f16 and back round to the nearest, ties to even, or say that the device has no f16", async () => {
		const x = Float32Array.from([...interesting, ...t.normalValues(t.key(2), 301).map((v, i) => v * 2 ** ((i % 40) - 26))]);
		const run = () => device().scope<Tensor>(() => t.cast(t.cast(device().fromHost(x, [x.length]), "f16"), "f32"));
		if (!device().has("shader-f16")) {
			expect(run).toThrow(expect.objectContaining({ code: "device/no-f16" }));
			return;
		}
		const out = run();
		const expected = fromFloat16(toFloat16(x));
		(await data(out)).forEach((v, i) => {
			// WGSL lets a driver flush subnormal halves to zero.
			if (v !== 0 || Math.abs(expected[i]) >= 2 ** -14) expect(v, `of ${x[i]}`).toBe(expected[i]);
		});
		out.dispose();
	});

	it("between numbers, bools and bytes", async () => {
		const cast = async (v: number[], from: t.DType, to: t.DType) => {
			const y = device().scope<Tensor>(() => t.cast(device().fromHost(v, [v.length], from), to));
			const all = [...(await data(y))];
			y.dispose();
			return all;
		};
		expect(await cast([1.9, -1.9, 3e9, -3e9], "f32", "i32")).toEqual([1, -1, 2147483647, -2147483648]);
		expect(await cast([-5, 0, 300.7, 12.5, 255], "f32", "u8")).toEqual([0, 0, 255, 12, 255]);
		expect(await cast([1, 2, 3, 250, 7], "u8", "f32")).toEqual([1, 2, 3, 250, 7]);
		expect(await cast([0, -2, 0.5], "f32", "bool")).toEqual([0, 1, 1]);
		expect(await cast([1, 0, 1], "bool", "f32")).toEqual([1, 0, 1]);
		expect(await cast([-7, 8], "i32", "f32")).toEqual([-7, 8]);
		expect(await cast([-7, 8], "i32", "u32")).toEqual([0, 8]);
		expect(await cast([3e9, 8], "u32", "i32")).toEqual([2147483647, 8]);
	});
});

describe("creation", () => {
	it.each<[string, () => Tensor, number[]]>([
		["arange", () => t.arange(device(), 1, 10, 3), [1, 4, 7]],
		["arange of integers", () => t.arange(device(), 5, 0, -2, "i32"), [5, 3, 1]],
		["linspace", () => t.linspace(device(), -1, 1, 5), [-1, -0.5, 0, 0.5, 1]],
		["eye", () => t.eye(device(), 2, 3), [1, 0, 0, 0, 1, 0]],
		["full of integers", () => t.full(device(), [2], -3, "i32"), [-3, -3]],
		["host values of the type itself", () => device().fromHost(Uint32Array.of(2 ** 32 - 1, 3), [2]), [2 ** 32 - 1, 3]],
		["bytes", () => device().fromHost(Uint8Array.of(1, 255, 7), [3]), [1, 255, 7]],
		["bits of bf16", () => device().fromHost(Uint16Array.of(0x3f80, 0xc000), [2], "bf16"), [1, -2]],
		["bytes of bf16", () => device().fromHost(Uint8Array.of(0x80, 0x3f, 0, 0xc0), [2], "bf16"), [1, -2]],
		["f32 converted to whole numbers", () => device().fromHost(Float32Array.of(3, -4), [2], "i32"), [3, -4]],
		["whole numbers converted to f32", () => device().fromHost(Array.from(Int32Array.of(1, -2)), [2]), [1, -2]],
		["ones of bool", () => t.ones(device(), [2], "bool"), [1, 1]],
		["zerosLike", () => t.zerosLike(t.ones(device(), [2])), [0, 0]],
		["randint", () => t.randint(device(), [3], t.key(1), 4, 5), [4, 4, 4]],
		["bernoulli", () => t.bernoulli(device(), [3], t.key(1), 1), [1, 1, 1]],
	])("%s", async (_, make, expected) => {
		const x = device().scope<Tensor>(make);
		expect([...(await data(x))]).toEqual(expected);
		x.dispose();
	});

	it.each<[t.DType, number]>([
		["bool", 5],
		["i32", 2 ** 31],
		["i32", 0.5],
		["u32", -1],
	])("refuses to fill %s with %d, which it does not hold", (dtype, value) => {
		const { liveBuffers } = device().memory();
		expect(() => t.full(device(), [2], value, dtype)).toThrow(expect.objectContaining({ name: "ValueError" }));
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});
