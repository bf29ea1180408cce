import { DeviceError } from "../errors.ts";
import type { Tile } from "../ops/gemm.tiled.kernel.ts";
import { MATRIX_FEATURES, type MatrixUnit, matrixUnitOf } from "./matrices.ts";
import type { GPUAdapterInfo } from "./types.ts";

/**
 * Which kernels a device runs where an operation has several; results are the same bits whenever one plan runs on one device.
 *
 * - "cpu", for drivers that compute on the processor: every invocation works by itself, from registers, and one does a whole row.
 *   It needs nothing beyond what every device has; products of matrices share loads where subgroups have 8 invocations.
 * - "gpu", for all others: invocations of a workgroup share tiles and rows through its memory, and wait for each other at barriers.
 * - "matrix", only where it is asked for: as "gpu", but large products of matrices are computed by the subgroups' units for them, in
 *   which factors are f16 and sums f32. Each f32 is given as the sum of two f16, scaled by a power of two of its own row (of the left
 *   matrix) or column (of the right), so that the products are near those of f32: with u = 2^-20 and u' = 2^-28, an element is off by at
 *   most (u + K 2^-23) sum |a| |b| + u' (max |a| sum |b| + max |b| sum |a|), the maxima and sums over its row and its column of length K.
 *   It needs WebGPU's features shader-f16 and subgroups, and chromium-experimental-subgroup-matrix, which Dawn alone has.
 */
export type Plan = "cpu" | "gpu" | "matrix";

type Limits = Readonly<Partial<Record<"maxComputeWorkgroupStorageSize" | "maxComputeInvocationsPerWorkgroup", number>>>;

/** What the plans "gpu" and "matrix" take; WebGPU grants both, but for its compatibility mode. */
const NEEDS = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 } as const;

/** Whether the driver computes on the processor. */
export const isSoftware = ({ architecture, description, device }: GPUAdapterInfo): boolean =>
	/llvmpipe|lavapipe|swiftshader/i.test(`${architecture} ${description} ${device}`);

/** A plan, and how its products of matrices run. */
export interface Planned {
	/** The kernels that run. */
	readonly plan: Plan;
	/** The unit of plan "matrix"; undefined in others. */
	readonly matrices?: MatrixUnit | undefined;
	/** The tile of a product whose tile was measured, by its name in a `Tuning`. */
	readonly tiles?: ReadonlyMap<string, Tile> | undefined;
}

/**
 * The plan that is wanted, or where none is, the one for the kind of adapter. @throws DeviceError (`device/plan`) where the device
 * lacks what the plan that is wanted needs.
 */
export function planFor(
	info: GPUAdapterInfo,
	limits: Limits,
	wanted?: Plan,
	features: Pick<ReadonlySet<string>, "has"> = new Set(),
): Planned {
	const few = Object.entries(NEEDS).filter(([name, least]) => !((limits[name as keyof Limits] ?? 0) >= least));
	if (wanted === undefined) return { plan: isSoftware(info) || few.length > 0 ? "cpu" : "gpu" };
	const lacks = wanted === "cpu" ? [] : few.map(([name, least]) => `${name} is ${limits[name as keyof Limits]}, and it needs ${least}`);
	const matrices = wanted === "matrix" ? matrixUnitOf(info) : undefined;
	if (wanted === "matrix") {
		const missing = MATRIX_FEATURES.filter((name) => !features.has(name));
		lacks.push(...missing.map((name) => `there is no ${name}`));
		if (missing.length === 0 && matrices === undefined) lacks.push("no matrices of f16 that are added in f32 fit its tiles");
	}
	if (lacks.length > 0) {
		throw new DeviceError("device/plan", `requestDevice: the plan ${wanted} cannot run here: ${lacks.join("; ")}`, {
			op: "requestDevice",
			hint: 'plan "cpu" runs everywhere',
		});
	}
	return { plan: wanted, matrices };
}
