import type { GPUAdapterInfo } from "./types.ts";

/**
 * How a device multiplies small matrices: m x k by k x n, in f16, added to m x n in f32, by `lanes` invocations together.
 * Emulated, it is done in plain WGSL, which runs everywhere: the same tiles, places and roundings, for tests.
 */
export interface MatrixUnit {
	/** Rows of the left factor and of the sum. */
	readonly m: number;
	/** Columns of the right factor and of the sum. */
	readonly n: number;
	/** Columns of the left factor, rows of the right one. */
	readonly k: number;
	/** Invocations that hold a matrix together: a subgroup. */
	readonly lanes: number;
	/** Whether plain WGSL takes the place of the unit. */
	readonly isEmulated: boolean;
	/** Least product of the columns of a result and the length of its sums for which it pays to bring the factors into f16. */
	readonly least: number;
}

/** What the plan "matrix" takes of WebGPU; Dawn alone has the last. */
export const MATRIX_FEATURES: readonly string[] = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"];

/** The unit that tests have on drivers without one. */
export const EMULATED: MatrixUnit = { m: 16, n: 16, k: 16, lanes: 32, isEmulated: true, least: 1 };

/** One of the sizes and types that an adapter offers. */
export interface MatrixConfig {
	/** Type of the factors. */
	readonly componentType: string;
	/** Type of the product. */
	readonly resultComponentType: string;
	readonly M: number;
	readonly N: number;
	readonly K: number;
}

/** What Dawn tells of an adapter beyond what every version of WebGPU does. */
interface WithMatrices extends GPUAdapterInfo {
	readonly subgroupMatrixConfigs?: Iterable<MatrixConfig>;
}

/** Rows and columns of the parts of a tile, and depth of its slices: what the sides of a unit's matrices divide. */
const [SIDE, DEPTH] = [16, 32];

/** The unit of an adapter that kernels here can use: of those with factors in f16 and sums in f32, that of the largest matrices. */
export function matrixUnitOf(info: GPUAdapterInfo): MatrixUnit | undefined {
	const { subgroupMinSize, subgroupMaxSize: lanes = 0, subgroupMatrixConfigs = [] }: WithMatrices = info;
	const fits = ({ componentType, resultComponentType, M, N, K }: MatrixConfig): boolean =>
		componentType === "f16" && resultComponentType === "f32" && SIDE % M === 0 && SIDE % N === 0 && DEPTH % K === 0 && K % 8 === 0;
	const sizeOf = ({ M, N, K }: MatrixConfig): number => M * N * K;
	const [best] = [...subgroupMatrixConfigs].filter(fits).sort((a, b) => sizeOf(b) - sizeOf(a));
	if (best === undefined || lanes !== subgroupMinSize || lanes === 0 || 32 % lanes !== 0) return undefined;
	return { m: best.M, n: best.N, k: best.K, lanes, isEmulated: false, least: 2 ** 18 };
}
