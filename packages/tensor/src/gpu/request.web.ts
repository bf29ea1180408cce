import { DeviceError } from "../errors.ts";

/** The GPU entry point in a browser. */
export async function requestGpu(): Promise<GPU> {
	const gpu = globalThis.navigator?.gpu;
	if (gpu === undefined) {
		throw new DeviceError("device/no-webgpu", "this browser offers no WebGPU (navigator.gpu is absent)", {
			hint: "use a current browser over https or localhost, and check that WebGPU is enabled",
		});
	}
	return gpu;
}

/** The browser watches over memory itself. */
export const defaultBudget = (_: GPUAdapterInfo): number => Number.POSITIVE_INFINITY;

/** Set `globalThis.HUSHGRAD_DEBUG` before the device is made. */
export const environmentDebug = (): string | undefined => (globalThis as { HUSHGRAD_DEBUG?: string }).HUSHGRAD_DEBUG;
