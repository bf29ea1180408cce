import { freemem } from "node:os";
import { DeviceError } from "../errors.ts";

/** The GPU entry point in Node: Dawn, from the npm package `webgpu`. */
export async function requestGpu(): Promise<GPU> {
	try {
		const { create } = await import("webgpu");
		return create(["disable-dawn-features=timestamp_quantization"]);
	} catch (cause) {
		throw new DeviceError("device/no-webgpu", "the npm package `webgpu` could not be loaded", {
			hint: "npm install webgpu",
			cause,
		});
	}
}

/** A driver that computes on the processor takes the machine's own memory, and never reports that there is none left. */
export function defaultBudget({ architecture, description, device }: GPUAdapterInfo): number {
	return /llvmpipe|lavapipe|swiftshader/i.test(`${architecture} ${description} ${device}`) ? 0.7 * freemem() : Number.POSITIVE_INFINITY;
}

export const environmentDebug = (): string | undefined => process.env.HUSHGRAD_DEBUG;
