import { DeviceError } from "../errors.ts";
import type { GPUAdapterInfo } from "./types.ts";

/**
 * Which kernels a device runs where an operation has several; results are the same bits whenever one plan runs on one device.
 *
 * - "cpu", for drivers that compute on the processor: every invocation works by itself, from registers, and one does a whole row.
 *   It needs nothing beyond what every device has.
 * - "gpu", for all others: invocations of a workgroup share tiles and rows through its memory, and wait for each other at barriers.
 */
export type Plan = "cpu" | "gpu";

type Limits = Readonly<Partial<Record<"maxComputeWorkgroupStorageSize" | "maxComputeInvocationsPerWorkgroup", number>>>;

/** What the plan "gpu" takes; WebGPU grants both, but for its compatibility mode. */
const NEEDS = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 } as const;

/** Whether the driver computes on the processor. */
export const isSoftware = ({ architecture, description, device }: GPUAdapterInfo): boolean =>
	/llvmpipe|lavapipe|swiftshader/i.test(`${architecture} ${description} ${device}`);

/**
 * The plan that is wanted, or where none is, the one for the kind of adapter. @throws DeviceError (`device/plan`) where the device
 * lacks what the plan that is wanted needs.
 */
export function planFor(info: GPUAdapterInfo, limits: Limits, wanted?: Plan): Plan {
	const missing = Object.entries(NEEDS).filter(([name, least]) => !((limits[name as keyof Limits] ?? 0) >= least));
	if (wanted === undefined) return isSoftware(info) || missing.length > 0 ? "cpu" : "gpu";
	if (wanted === "gpu" && missing.length > 0) {
		const lacks = missing.map(([name, least]) => `${name} is ${limits[name as keyof Limits]}, and it needs ${least}`);
		throw new DeviceError("device/plan", `requestDevice: the plan gpu cannot run here: ${lacks.join("; ")}`, {
			op: "requestDevice",
			hint: 'plan "cpu" runs everywhere',
		});
	}
	return wanted;
}
