import { afterAll, beforeAll, expect, it } from "vitest";
import { create } from "webgpu";
import { kernelSource, needsOf } from "../../packages/tensor/src/gpu/kernel.ts";
import { EMULATED, MATRIX_FEATURES } from "../../packages/tensor/src/gpu/matrices.ts";
import { gemmHalvesKernel, gemmTopsKernel, ROWS } from "../../packages/tensor/src/ops/gemm.halves.kernel.ts";
import { gemmMatrixKernel, MATRIX_TILES } from "../../packages/tensor/src/ops/gemm.matrix.kernel.ts";

/** Dawn without a driver compiles WGSL, with all its extensions, and runs nothing. */
const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
let device: GPUDevice | undefined;
beforeAll(async () => {
	const adapter = await gpu.requestAdapter();
	device = await adapter?.requestDevice({ requiredFeatures: MATRIX_FEATURES as GPUFeatureName[] });
});
afterAll(() => device?.destroy());

async function messagesOf(code: string): Promise<string[]> {
	if (device === undefined) throw new Error("no device");
	device.pushErrorScope("validation");
	const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
	const error = await device.popErrorScope();
	return [...messages.map(({ message }) => message), ...(error === null ? [] : [error.message])];
}

const DTYPES = ["f32", "bf16", "f16"] as const;
const { least: _, ...emulated } = EMULATED;
const UNITS = [emulated, ...[[16, 16, 16], [16, 8, 16], [16, 8, 8], [8, 8, 8]].map(([m, n, k]) => ({ m, n, k, lanes: 32, isEmulated: false }))]; // biome-ignore format: shapes

it.each(UNITS)("every kernel compiles, without a warning, for $m x $n x $k, emulated: $isEmulated", async (unit) => {
	for (const tile of MATRIX_TILES) {
		for (const bDtype of DTYPES) {
			for (const onto of ["y", "c", false] as const) {
				for (const aDtype of ["f32", "f16"] as const) {
					const { spec } = gemmMatrixKernel.of({ ...unit, tile, aDtype, bDtype, onto });
					expect(await messagesOf(kernelSource(spec))).toEqual([]);
					expect(needsOf(spec).invocations).toBeLessThanOrEqual(256);
					expect(needsOf(spec).bytes).toBeLessThanOrEqual(tile.startsWith("32x32") ? 16384 : 49152);
				}
			}
		}
	}
});

it("so does every kernel that makes halves", async () => {
	for (const dtype of DTYPES) {
		expect(await messagesOf(kernelSource(gemmTopsKernel.of({ dtype }).spec))).toEqual([]);
		for (const along of Object.keys(ROWS) as (keyof typeof ROWS)[]) {
			expect(await messagesOf(kernelSource(gemmHalvesKernel.of({ dtype, along }).spec))).toEqual([]);
		}
	}
});

it("a kernel that is wrong does not", async () => {
	const { spec } = gemmMatrixKernel.of({ ...UNITS[1], tile: "32x32/2x2", aDtype: "f32", bDtype: "f32", onto: false });
	const wrong = kernelSource(spec).replace("row_major", "sideways");
	expect(await messagesOf(wrong)).not.toEqual([]);
});
