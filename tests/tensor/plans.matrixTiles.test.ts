import type { Device } from "@hushgrad/tensor";
import { gemm, type NdArray, runtimeOf } from "@hushgrad/tensor/author";
import { afterAll, beforeAll, expect, it } from "vitest";
import { needsOf } from "../../packages/tensor/src/gpu/kernel.ts";
import { EMULATED } from "../../packages/tensor/src/gpu/matrices.ts";
import { gemmMatrixKernel } from "../../packages/tensor/src/ops/gemm.matrix.kernel.ts";
import { matrixDevice } from "../support/matrixDevice.ts";
import { coarse, expectProduct, values } from "../support/matrixProducts.ts";

let device: Device;
beforeAll(async () => {
	device = await matrixDevice();
});
afterAll(() => device.destroy());

it.each([
	["128x128/2x4", 131, 134],
	["128x64/2x2", 131, 67],
	["64x64/2x2", 65, 67],
] as const)("64 products in tiles of %s equal float64, for matrices in bf16", async (tile, M, N) => {
	const runtime = runtimeOf(device);
	const [a, b] = [values([64, M, 12], 11), coarse(values([64, 12, N], 12))];
	const read = runtime.scope(() => {
		const put = ({ data, shape }: NdArray, dtype: "f32" | "bf16") => runtime.upload("test", Float32Array.from(data), shape, dtype);
		return { values: runtime.read(gemm(put(a, "f32"), put(b, "bf16"))) };
	});
	expectProduct(Float32Array.from(await read.values), a, b);
	const { least: _, ...unit } = device.matrices ?? EMULATED;
	const kernel = gemmMatrixKernel.of({ ...unit, tile, aDtype: "f32", bDtype: "bf16", onto: false });
	expect(needsOf(kernel.spec).bytes).toBeLessThanOrEqual(device.gpu.limits.maxComputeWorkgroupStorageSize);
	expect(runtime.pipelines.kernels()).toContain(kernel);
});
