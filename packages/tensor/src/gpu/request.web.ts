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
