import { adapterHint, adaptersFound, defaultBudget, environmentDebug, requestGpu } from "#request";
import { type DebugOptions, parseDebug } from "./debug.ts";
import { Device } from "./device.ts";
import { DeviceError, ValueError } from "./errors.ts";
import { expects, isCount, type Kind, oneOf, optional } from "./expects.ts";
import { MATRIX_FEATURES } from "./gpu/matrices.ts";
import { type Plan, planFor } from "./gpu/plan.ts";
import type { AdapterName } from "./gpu/types.ts";
import { type Tuning, tilesOf } from "./tuning.ts";

/** How a device is opened. */
export interface DeviceOptions {
	/**
	 * Which GPU: a part of its name that no other has, or its number among those that `listAdapters` gives. The one that WebGPU takes
	 * when left out. Browsers let no page choose by name.
	 */
	readonly adapter?: string | number | undefined;
	/** Where there is a fast GPU and a thrifty one, which of them WebGPU should take; it may take the other. */
	readonly powerPreference?: "high-performance" | "low-power" | undefined;
	/**
	 * Most bytes of GPU buffers to hold; asking for more throws instead of exhausting the machine. Left out: 70 % of the
	 * free memory where the GPU is the processor itself, else no limit.
	 */
	readonly memoryBudget?: number | undefined;
	/**
	 * Which kernels run: "gpu" or "cpu" (see `Plan`). By the kind of the adapter when left out. Each is correct wherever it runs,
	 * and slow on the other kind. "matrix" is for GPUs with units for products of matrices, in Node.
	 */
	readonly plan?: Plan | undefined;
	/** Tiles for plan "gpu" that were measured on this adapter: what `npm run autotune` wrote, parsed. It changes times, and no result. */
	readonly tuning?: Tuning | undefined;
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
const ADAPTER: Kind = [(v) => typeof v === "string" || isCount(v), "the name of an adapter, or its number"];
const KINDS = {
	adapter: optional(ADAPTER),
	powerPreference: optional(oneOf("high-performance", "low-power")),
	plan: optional(oneOf("cpu", "gpu", "matrix")),
	tuning: "options?",
	memoryBudget: "number?",
	debug: "options",
} as const;
const WANTED_FEATURES = ["shader-f16", "timestamp-query", "subgroups"] as const;

/** The GPUs that `requestDevice` may open, by name and backend, in Node. Empty in a browser, which chooses itself. */
export const listAdapters = (): Promise<AdapterName[]> => adaptersFound();

/**
 * Opens the GPU. In Node through the npm package `webgpu`, in a browser through `navigator.gpu`.
 * @throws DeviceError when no adapter is found (`device/no-adapter`), none or several fit the name (`device/adapter`, with the names
 * there are), it lacks what the plan needs (`device/plan`), the tuning is another's (`device/tuning`), or the device cannot be made.
 */
export async function requestDevice(options: DeviceOptions = {}): Promise<Device> {
	expects("requestDevice", { options }, { options: "options" });
	const { memoryBudget, debug = parseDebug(environmentDebug()), adapter: chosen, powerPreference, plan: wanted, tuning } = options;
	expects("requestDevice", { adapter: chosen, powerPreference, plan: wanted, tuning, memoryBudget, debug }, KINDS);
	expects("requestDevice", { "debug.level": debug.level, "debug.log": debug.log }, { "debug.level": "number?", "debug.log": "function?" });
	if (memoryBudget !== undefined && !(memoryBudget > 0)) {
		throw new ValueError("device/memory-budget", `requestDevice: memoryBudget is ${memoryBudget}, expected a number of bytes`, {
			op: "requestDevice",
		});
	}
	const gpu = await requestGpu(chosen, wanted);
	const adapter = await gpu.requestAdapter(powerPreference && { powerPreference });
	if (adapter === null) {
		throw new DeviceError("device/no-adapter", "WebGPU found no adapter", { hint: adapterHint });
	}
	const planned = planFor(adapter.info, adapter.limits, wanted, adapter.features);
	const tiles = tuning && tilesOf(tuning, adapter.info, planned.plan);
	const features: readonly string[] = [...WANTED_FEATURES, ...(planned.plan === "matrix" ? MATRIX_FEATURES : [])];
	const requiredLimits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
	const requiredFeatures = [...new Set(features)].filter((name) => adapter.features.has(name)) as GPUFeatureName[];
	const device = await adapter.requestDevice({ requiredLimits, requiredFeatures });
	return new Device(gpu, device, adapter.info, memoryBudget ?? defaultBudget(adapter.info), debug, { ...planned, tiles });
}
