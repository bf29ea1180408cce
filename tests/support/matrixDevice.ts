import { Device, requestDevice } from "@hushgrad/tensor";
import { EMULATED } from "../../packages/tensor/src/gpu/matrices.ts";
import { limit } from "./smallDevice.ts";

/**
 * A device of plan "matrix" that leaves no product to other kernels for being small. Where the GPU has no units for matrices, it
 * multiplies them in plain WGSL, as any driver can. The library believes that it has these limits. The caller destroys it.
 */
export async function matrixDevice(limits: Readonly<Record<string, number>> = {}): Promise<Device> {
	const model = await requestDevice({ plan: "matrix" }).catch((error: Error & { readonly code?: string }) => {
		if (error.code !== "device/plan") throw error;
		return requestDevice({ plan: "gpu" });
	});
	const { instance, info, debug, matrices = EMULATED } = model;
	const adapter = await instance.requestAdapter();
	if (adapter === null) throw new Error("no adapter");
	const { maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage, maxStorageBufferBindingSize, maxBufferSize } = model.gpu.limits;
	const requiredLimits = { maxComputeWorkgroupStorageSize, maxStorageBuffersPerShaderStage, maxStorageBufferBindingSize, maxBufferSize };
	const requiredFeatures = [...model.gpu.features].filter((name) => adapter.features.has(name)) as GPUFeatureName[];
	const gpu = await adapter.requestDevice({ requiredLimits, requiredFeatures });
	model.destroy();
	limit(gpu, limits);
	return new Device(instance, gpu, info, Number.POSITIVE_INFINITY, debug, { plan: "matrix", matrices: { ...matrices, least: 1 } });
}
