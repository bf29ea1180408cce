import { adapterHint, defaultBudget, environmentDebug, requestGpu } from "#request";
import { type DebugOptions, parseDebug } from "./debug.ts";
import { Device } from "./device.ts";
import { DeviceError, ValueError } from "./errors.ts";
import { expects } from "./expects.ts";

/** How a device is opened. */
export interface DeviceOptions {
	/**
	 * Most bytes of GPU buffers to hold; asking for more throws instead of exhausting the machine. Left out: 70 % of the
	 * free memory where the GPU is the processor itself, else no limit.
	 */
	readonly memoryBudget?: number | undefined;
	/** What the device tells about itself; HUSHGRAD_DEBUG of the environment when left out. */
	readonly debug?: DebugOptions | undefined;
}

const WANTED_LIMITS = [
	"maxBufferSize",
	"maxStorageBufferBindingSize",
	"maxStorageBuffersPerShaderStage",
	"maxComputeInvocationsPerWorkgroup",
	"maxComputeWorkgroupStorageSize",
] as const;
const WANTED_FEATURES = ["shader-f16", "timestamp-query"] as const;

/**
 * Opens the GPU. In Node through the npm package `webgpu`, in a browser through `navigator.gpu`.
 * @throws DeviceError when no adapter is found or the device cannot be made.
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
	expects("requestDevice", { options }, { options: "options" });
	const { memoryBudget, debug = parseDebug(environmentDebug()) } = options;
	expects("requestDevice", { memoryBudget, debug }, { memoryBudget: "number?", debug: "options" });
	expects("requestDevice", { "debug.level": debug.level, "debug.log": debug.log }, { "debug.level": "number?", "debug.log": "function?" });
	if (memoryBudget !== undefined && !(memoryBudget > 0)) {
		throw new ValueError("device/memory-budget", `requestDevice: memoryBudget is ${memoryBudget}, expected a number of bytes`, {
			op: "requestDevice",
		});
	}
	const gpu = await requestGpu();
	const adapter = await gpu.requestAdapter();
	if (adapter === null) {
		throw new DeviceError("device/no-adapter", "WebGPU found no adapter", { hint: adapterHint });
	}
	const requiredLimits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
	const requiredFeatures = WANTED_FEATURES.filter((name) => adapter.features.has(name));
	const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
	return new Device(gpu, device, adapter.info, memoryBudget ?? defaultBudget(adapter.info), debug);
}
