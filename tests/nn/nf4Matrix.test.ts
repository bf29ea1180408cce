import { AdamW, applyLora, dequantizeNF4, Linear, loraConfig, NF4Parameter, quantizeLinears, quantizeNF4, Sequential } from "@hushgrad/nn";
import { type Device, data, key, normal, normalValues, square, sum, type Tensor, valueAndGrad, vmap, zeros } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { matrixDevice } from "../support/matrixDevice.ts";
import { expectProduct } from "../support/matrixProducts.ts";

/* Weights in four bits in plan "matrix": those that were rounded to bf16 go into products as bf16, of which f16 holds each, others as f32. */

const other = useDevice({ plan: "gpu" });
const [B, T, N, K] = [2, 33, 48, 64];
const kernels = (on: Device): string[] =>
	runtimeOf(on)
		.pipelines.kernels()
		.map(({ key }) => key);

describe.each(["BF16", "F32", "F16"] as const)("a weight that was %s", (dtype) => {
	let device: Device;
	beforeAll(async () => {
		device = await matrixDevice();
	});
	afterAll(() => device.destroy());

	it("multiplies rows, and their gradient, within the bound of the plan; what it is stays f32", async () => {
		const state = quantizeNF4(normalValues(key(1), N * K), [N, K], dtype);
		const weight = new NF4Parameter([N, K]);
		weight.loadQuantized(device, state);
		const w = Float64Array.from(dequantizeNF4(state));
		const dequantized = weight.dequantize();
		expect([dequantized.dtype, await data(dequantized)]).toEqual(["f32", dequantizeNF4(state)]);
		const x = normalValues(key(2), T * K);
		const slot = { value: device.fromHost(x, [T, K]) };
		const { value, grads } = valueAndGrad(() => sum(square(weight.linear(slot.value))), [slot]);
		const y = await data(weight.linear(slot.value));
		const turned = Float64Array.from({ length: K * N }, (_, i) => w[(i % N) * K + Math.floor(i / N)]);
		expectProduct(y, { data: Float64Array.from(x), shape: [1, T, K] }, { data: turned, shape: [1, K, N] });
		const dy = Float64Array.from(y, (v) => 2 * v);
		expectProduct(await data(grads[0]), { data: dy, shape: [1, T, N] }, { data: w, shape: [1, N, K] });
		expect(kernels(device).some((name) => name.startsWith(`gemm/matrix/f32/${dtype === "BF16" ? "bf16" : "f32"}/`))).toBe(true);
		expect(kernels(device).includes("nf4/dequantize/1/bf16")).toBe(dtype === "BF16");
		for (const t of [dequantized, slot.value, value, ...grads]) t.dispose();
		weight.dispose();
	});

	it("is written beside LoRA's work in the same way, and gives what plan gpu does", async () => {
		const step = async (on: Device): Promise<Float32Array[]> => {
			const layer = new Linear(K, N, { bias: false });
			const model = new Sequential(layer);
			quantizeLinears(model);
			layer.weight.load(on, normalValues(key(3), N * K), dtype);
			const config = loraConfig({ r: 8, lora_alpha: 4, lora_dropout: 0, target_modules: "all-linear" });
			const adapters = [...applyLora(model, config, { device: on, key: key(4) }).values()];
			for (const { lora_B } of adapters) lora_B.weight.assign(normal(on, lora_B.weight.shape, key(5)));
			const parameters = [...model.trainableParameters().values()];
			const optimizer = new AdamW(model.trainableParameters(), { lr: 0 });
			optimizer.step(parameters.map(({ shape }) => zeros(on, shape)));
			const xs = normal(on, [B, T, K], key(6));
			const all = on.scope<readonly Tensor[]>(() =>
				vmap((x: Tensor) => {
					const slots = [{ value: x }, ...parameters];
					return valueAndGrad(() => sum(square(model.call(slots[0].value))), slots).grads;
				})(xs),
			);
			const values = (await Promise.all(all.map((t) => data(t)))) as Float32Array[];
			optimizer.dispose();
			model.dispose();
			return values;
		};
		const [found, expected] = [await step(device), await step(other())];
		for (const [i, values] of found.entries()) {
			const largest = expected[i].reduce((most, v) => Math.max(most, Math.abs(v)), 0);
			const apart = values.reduce((most, v, j) => Math.max(most, Math.abs(v - expected[i][j])), 0);
			// Sums of up to 64 products in pairs of f16, through two layers of sums: a hundred times the least that an f32 of this size tells apart.
			expect(apart / largest).toBeLessThan(100 * 2 ** -24);
		}
		const beside = kernels(device).filter((name) => /^(updated\/back|lowRank\/down)\/.*\/bf16/.test(name));
		expect(beside.length).toBe(dtype === "BF16" ? 2 : 0);
		expect(kernels(other()).some((name) => /^(updated|lowRank|nf4).*bf16/.test(name))).toBe(false);
	});
});
