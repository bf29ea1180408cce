import { readFileSync } from "node:fs";
import { dequantizeNF4, Linear, NF4_CODE, NF4Parameter, quantizeLinears, quantizeNF4 } from "@hushgrad/nn";
import { data, key, linear, normalValues, slice, type Tensor, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { quantizeScales, signedDynamicMap } from "../../packages/nn/src/quant/doubleQuant.ts";
import { quantizeBlocks } from "../../packages/nn/src/quant/nf4.ts";
import { useDevice } from "../support/device.ts";

interface Case {
	readonly name: string;
	readonly dtype: "F32" | "BF16" | "F16";
	readonly shape: number[];
	readonly weights: number[] | { readonly repeat: number; readonly values: number[] };
	readonly packed?: number[];
	readonly absmax: number[];
	readonly nested_codes: number[];
	readonly nested_absmax: number[];
	readonly offset: number;
	readonly dequantized?: number[];
}

const golden: { readonly code_bits: string[]; readonly map: number[]; readonly cases: Case[] } = JSON.parse(
	readFileSync(new URL("../goldens/nf4.json", import.meta.url), "utf8"),
);

function weightsOf({ weights }: Case): Float32Array {
	return Float32Array.from(Array.isArray(weights) ? weights : weights.values.flatMap((v) => new Array<number>(weights.repeat).fill(v)));
}

/** The specification's bit patterns of the 16 codes. */
const CODE_BITS = `bf800000 bf3239b1 bf066b30 beca32a0 be91a24d be3d353f bdba7871 00000000
	3da2faff 3e24cae3 3e7c04dd 3ead033a 3ee1a4b8 3f1007ab 3f3913b3 3f800000`.split(/\s+/);

describe("NF4", () => {
	it("has the published codes, bit for bit", () => {
		const bits = [...new Uint32Array(NF4_CODE.buffer)].map((b) => b.toString(16).padStart(8, "0"));
		expect(bits).toEqual(CODE_BITS);
		expect(bits).toEqual(golden.code_bits);
	});

	it.each(golden.cases)("codes, scales and nested state are bit-equal: $name", (c) => {
		const { absmax } = quantizeBlocks(weightsOf(c));
		const state = quantizeNF4(weightsOf(c), c.shape, c.dtype);
		expect([...absmax]).toEqual(c.absmax);
		if (c.packed !== undefined) expect([...state.packed]).toEqual(c.packed);
		// torch takes the mean in f32, in an order of its own: the last bit may differ. Everything after it is equal.
		expect(Math.abs(state.offset - c.offset)).toBeLessThanOrEqual(2 ** -23 * Math.abs(c.offset));
		const nested = quantizeScales(absmax, c.offset);
		expect([...nested.absmax]).toEqual(c.nested_codes);
		expect([...nested.nestedAbsmax]).toEqual(c.nested_absmax);
	});

	it.each(golden.cases.filter((c) => c.dequantized !== undefined))("dequantises as bitsandbytes does, bit for bit: $name", (c) => {
		const { packed, absmax } = quantizeBlocks(weightsOf(c));
		const state = { packed, shape: c.shape, blocksize: 64, dtype: c.dtype, ...quantizeScales(absmax, c.offset) };
		expect([...dequantizeNF4(state)]).toEqual(c.dequantized);
	});

	it("has torch's signed dynamic map, and so the specification's entries", () => {
		const map = signedDynamicMap();
		const entries: [number, number][] = [
			[0, -0.992968738079071],
			[1, -0.9789062738418579],
			[2, -0.96484375],
			[120, -8.874999912222847e-5],
			[126, -5.500000384017767e-7],
			[127, 0],
			[128, 5.500000384017767e-7],
			[129, 3.250000190746505e-6],
			[130, 7.749999895168003e-6],
			[254, 0.992968738079071],
			[255, 1],
		];
		for (const [i, v] of entries) expect(map[i]).toBe(v);
		expect([...map]).toEqual(golden.map);
	});

	it("loses as much on normal weights as bitsandbytes' table says for blocks of 64", () => {
		const w = normalValues(key(5), 1024 * 1024);
		const q = dequantizeNF4(quantizeNF4(w, [1024, 1024]));
		let abs = 0;
		for (let i = 0; i < w.length; i++) abs += Math.abs(w[i] - q[i]) / w.length;
		// 0.072798 with a deviation of 0.000074 a draw; double quantisation adds a little. Both sides are bounded.
		expect(abs).toBeGreaterThan(0.072798 - 7 * 0.000074);
		expect(abs).toBeLessThan(0.0745);
	});

	it("an all-zero block keeps scale 0 and code 7, an all-zero tail scale 1e-38", () => {
		const { packed, absmax } = quantizeBlocks(new Float32Array(64 + 5));
		expect([...absmax]).toEqual([0, Math.fround(1e-38)]);
		expect([...packed].every((b) => b === 0x77)).toBe(true);
	});

	it("refuses NaN and infinity", () => {
		for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
			const w = new Float32Array(128);
			w[70] = bad;
			expect(() => quantizeNF4(w, [2, 64])).toThrow(expect.objectContaining({ code: "nf4/not-finite" }));
		}
		expect(() => quantizeNF4(new Float32Array(10), [3, 4])).toThrow(expect.objectContaining({ name: "ShapeError" }));
	});
});

describe("NF4Parameter", () => {
	const device = useDevice();

	it.each([
		[8, 16],
		[24, 64],
		[96, 384],
		[300, 64],
	])("dequantises on the GPU bit-equal to the host: [%i, %i]", async (n, k) => {
		// 0 to 4 and, in steps of 2^-24, below the smallest normal number of f16.
		const values = normalValues(key(n), n * k).map((v, i) => v * (Math.floor(i / 64) % 2 === 0 ? 1 : 3e-5));
		for (const dtype of ["F32", "BF16", "F16"] as const) {
			const state = quantizeNF4(values, [n, k], dtype);
			const weight = new NF4Parameter([n, k]);
			weight.loadQuantized(device(), state);
			expect(weight.dtype).toBe(dtype);
			const w = weight.dequantize();
			expect(await data(w)).toEqual(dequantizeNF4(state));
			expect(await weight.quantState()).toEqual(state);
			w.dispose();
			weight.dispose();
		}
	});

	it("rounds as f16 does at every border: ties to even, subnormal, infinite", async () => {
		// One block, of scale 1 (map[255] = 1, nested 1 - 0) times the codes: the nested scale carries the value to be rounded.
		const tests = [
			65504,
			65519.99,
			65520,
			70000,
			1,
			1 + 2 ** -11,
			1 + 3 * 2 ** -11,
			2 ** -14,
			2 ** -24,
			2 ** -25,
			1.5 * 2 ** -24,
			3 * 2 ** -25,
		];
		for (const v of [...tests, 2.0 ** -26, 6.0e-5, 6.1e-5, 5.9e-8]) {
			const state = {
				...{ packed: new Uint8Array(32).fill(0xf0), shape: [8, 8], blocksize: 64, dtype: "F16" as const },
				...{ absmax: Uint8Array.of(255), nestedAbsmax: Float32Array.of(v), nestedMap: signedDynamicMap(), offset: 0 },
			};
			const weight = new NF4Parameter([8, 8]);
			weight.loadQuantized(device(), state);
			const w = weight.dequantize();
			expect(await data(w), `${v}`).toEqual(dequantizeNF4(state));
			w.dispose();
			weight.dispose();
		}
	});

	it("quantises what it loads, and multiplies as its dequantised weight does, bit for bit", async () => {
		const values = normalValues(key(3), 24 * 64);
		const layer = new Linear(64, 24, { bias: false });
		quantizeLinears(layer);
		layer.weight.load(device(), values, "F32");
		const x = device().fromHost(normalValues(key(4), 5 * 64), [5, 64]);
		const w = layer.weight.dequantize();
		expect(await data(w)).toEqual(dequantizeNF4(quantizeNF4(values, [24, 64])));
		expect(await data(layer.call(x))).toEqual(await data(linear(x, w)));
		layer.dispose();
	});

	const rowBy = useDevice({ plan: "gpu" });
	it.each(
		[device, rowBy].flatMap((on) =>
			[
				[1, 64],
				[24, 128],
				[130, 320],
				[7, 4160],
			].map(([n, k]) => [n, k, on] as const),
		),
	)("multiplies one row by its dequantised weight [%i, %i], alone and of each record, in its own plan and plan gpu", async (n, k, on) => {
		for (const [i, dtype] of (["F32", "BF16", "F16"] as const).entries()) {
			const state = quantizeNF4(normalValues(key(n + i), n * k), [n, k], dtype);
			const weight = new NF4Parameter([n, k]);
			weight.loadQuantized(on(), state);
			const w = dequantizeNF4(state);
			const x = normalValues(key(k + i), 3 * k);
			const rows = on().fromHost(x, [3, 1, k]);
			const each = (await data(on().scope(() => vmap((row: Tensor) => weight.linear(row))(rows)))) as Float32Array;
			for (let r = 0; r < 3; r++) {
				// Behind the others, or behind a number, so that it begins at no multiple of four.
				const shifted = on().fromHost(Float32Array.of(0, ...x.subarray(r * k, (r + 1) * k)), [k + 1]);
				for (const row of [slice(rows, 0, r, r + 1), slice(shifted, 0, 1, k + 1)]) {
					const y = (await data(on().scope(() => weight.linear(row)))) as Float32Array;
					expect([...y]).toEqual([...each.subarray(r * n, (r + 1) * n)]);
				}
				for (let j = 0; j < n; j++) {
					let [sum, size] = [0, 0];
					for (let q = 0; q < k; q++) {
						sum += x[r * k + q] * w[j * k + q];
						size += Math.abs(x[r * k + q] * w[j * k + q]);
					}
					// Products and sums of a block of 64, then of up to 65 blocks.
					expect(Math.abs(each[r * n + j] - sum)).toBeLessThanOrEqual((20 + k / 64) * 2 ** -24 * size);
				}
			}
			weight.dispose();
		}
	});

	it("refuses a weight of another shape, one that fills no words, training, and reading before it has a value", () => {
		const weight = new NF4Parameter([8, 64]);
		weight.name = "q_proj.weight";
		const other = quantizeNF4(new Float32Array(64 * 8), [64, 8]);
		expect(() => weight.loadQuantized(device(), other)).toThrow(expect.objectContaining({ code: "nf4/state" }));
		expect(() => new NF4Parameter([3, 3])).toThrow(expect.objectContaining({ code: "nf4/size" }));
		expect(() => new NF4Parameter([64])).toThrow(expect.objectContaining({ code: "nf4/size" }));
		for (const read of [() => weight.weight, () => weight.dequantize()]) {
			expect(read).toThrow(expect.objectContaining({ code: "parameter/empty", message: expect.stringContaining("q_proj.weight") }));
		}
		expect(() => {
			weight.trainable = true;
		}).toThrow(expect.objectContaining({ code: "nf4/frozen", message: expect.stringContaining("q_proj.weight") }));
		expect(() => weight.value).toThrow(expect.objectContaining({ code: "nf4/value" }));
		expect(() => {
			weight.value = device().fromHost(Float32Array.of(0), [1]);
		}).toThrow(expect.objectContaining({ name: "ValueError", code: "nf4/value" }));
		weight.load(device(), new Float32Array(512));
		expect(() => weight.linear(device().fromHost(new Float32Array(8), [8]))).toThrow(
			expect.objectContaining({ name: "ShapeError", code: "nf4/width" }),
		);
		weight.dispose();
		expect(() => weight.assign()).toThrow(expect.objectContaining({ code: "nf4/assign" }));
	});

	it("loads again without keeping the weight before", () => {
		const weight = new NF4Parameter([8, 64]);
		const before = device().memory();
		const values = normalValues(key(7), 8 * 64);
		weight.load(device(), values);
		const once = device().memory();
		weight.load(device(), values);
		expect(device().memory()).toMatchObject({ liveBytes: once.liveBytes, liveBuffers: once.liveBuffers });
		weight.dispose();
		expect(weight.hasValue).toBe(false);
		expect(device().memory()).toMatchObject({ liveBytes: before.liveBytes, liveBuffers: before.liveBuffers });
	});
});
