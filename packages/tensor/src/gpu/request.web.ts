import { DeviceError } from "../errors.ts";
import type { Plan } from "./plan.ts";
import type { AdapterName, GPU, GPUAdapterInfo } from "./types.ts";

/** A page sees one adapter, the one that it is given. */
export const adaptersFound = async (): Promise<AdapterName[]> => [];

/** The GPU entry point in a browser. */
export async function requestGpu(adapter?: string | number, _?: Plan): Promise<GPU> {
	if (adapter !== undefined) {
		throw new DeviceError("device/adapter", "requestDevice: a page cannot choose its adapter by name", { hint: "give powerPreference" });
	}
	const { navigator, isSecureContext, process } = globalThis as Partial<typeof globalThis>;
	if (navigator?.gpu !== undefined) return navigator.gpu as GPU;
	if (process?.versions?.node !== undefined) {
		throw new DeviceError("device/wrong-entry", "the part of @hushgrad/tensor that is for browsers was loaded into Node", {
			hint: "the bundler resolves packages without the condition `node`; build for Node (esbuild: platform `node`; webpack: target `node`)",
		});
	}
	throw new DeviceError("device/no-webgpu", "this browser offers no WebGPU (navigator.gpu is absent)", {
		hint:
			isSecureContext === false
				? "WebGPU is for secure pages only: serve this one over https or from localhost"
				: "use Chrome or Edge 113, Safari 26, Firefox 141 or newer; on Linux Chrome may need the flag --enable-unsafe-webgpu",
	});
}

/** What to do where there is no adapter. */
export const adapterHint =
	"chrome://gpu tells why; without a supported GPU, start Chrome with --enable-unsafe-webgpu and a software driver";

/** The browser watches over memory itself. */
export const defaultBudget = (_: GPUAdapterInfo): number => Number.POSITIVE_INFINITY;

/** The browser tells when the GPU is done. */
export const waitingFor =
	(_: GPUAdapterInfo) =>
	<T>(promise: Promise<T>): Promise<T> =>
		promise;

/** Set `globalThis.HUSHGRAD_DEBUG` before the device is made. */
export const environmentDebug = (): string | undefined => (globalThis as { HUSHGRAD_DEBUG?: string }).HUSHGRAD_DEBUG;
