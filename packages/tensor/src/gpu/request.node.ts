import { DeviceError } from "../errors.ts";

/** The GPU entry point in Node: Dawn, from the npm package `webgpu`. */
export async function requestGpu(): Promise<GPU> {
	try {
		const { create } = await import("webgpu");
		return create([]);
	} catch (cause) {
		throw new DeviceError("device/no-webgpu", "the npm package `webgpu` could not be loaded", {
			hint: "npm install webgpu",
			cause,
		});
	}
}
