import { needsOf } from "../gpu/kernel.ts";
import type { MatrixUnit } from "../gpu/matrices.ts";
import type { Physical } from "../physical.ts";
import type { Runtime } from "../runtime.ts";
import { BLOCK, gemmHalvesKernel, gemmTopsKernel, type HalvesVariant, partsOf, ROWS, SPAN } from "./gemm.halves.kernel.ts";
import type { GemmVariant, Operands, Size } from "./gemm.kernel.ts";
import { gemmMatrixKernel, MATRIX_TILES, type MatrixTile, type MatrixVariant, partsOfTile } from "./gemm.matrix.kernel.ts";

/** Tiles that keep all units of a large GPU busy; of the smallest but one fewer do, because the smallest takes long to multiply. */
const [ENOUGH, FEW] = [256, 64];

const countOf = (tile: MatrixTile, M: number, N: number): number => {
	const { rows, columns } = partsOfTile(tile).extent;
	return Math.ceil(M / rows) * Math.ceil(N / columns);
};

/** The largest tile that the device has room for and of which there are enough; which it is changes no bit of the result. */
function tileOf({ gpu }: Runtime, { M, N }: Size, zs: number, variant: Omit<MatrixVariant, "tile">): MatrixTile {
	const fits = (tile: MatrixTile): boolean =>
		needsOf(gemmMatrixKernel.of({ ...variant, tile }).spec).bytes <= gpu.limits.maxComputeWorkgroupStorageSize;
	const [smallest, next] = [...MATRIX_TILES].reverse();
	const areEnough = (tile: MatrixTile): boolean => zs * countOf(tile, M, N) >= (tile === next ? FEW : ENOUGH);
	return MATRIX_TILES.find((tile) => areEnough(tile) && fits(tile)) ?? smallest;
}

/** Extents, batch axes and strides of an operand, as rows of numbers that are summed over. */
interface Rows {
	readonly x: Physical;
	readonly dtype: HalvesVariant["dtype"];
	readonly along: HalvesVariant["along"];
	readonly R: number;
	readonly strides: Readonly<Record<"s0" | "s1" | "s2" | "rs" | "ks", number>>;
}

/** Whether all batch entries have the same rows. */
const isShared = ({ strides: { s0, s1, s2 } }: Rows): boolean => s0 === 0 && s1 === 0 && s2 === 0;

/** Bytes of a row in f16. */
const bytesOf = ({ dtype }: Rows, K: number): number => Math.ceil(K / BLOCK) * BLOCK * 2 * partsOf(dtype);

/** R rows of an operand in f16, from `first` on, of `zs` batch entries from z on or, where all have the same, of one. */
function halvesOf(rows: Rows, { K, z1, z2 }: Size, z: number, zs: number, first: number, R: number) {
	const { x, dtype, along, strides } = rows;
	const [blocks, times] = [Math.ceil(K / BLOCK), isShared(rows) ? 1 : zs];
	const { runtime } = x;
	const y = runtime.empty([times, R, blocks, 16 * partsOf(dtype)], "u32");
	const e = runtime.empty([times, R], "u32");
	const runs = along === "row" ? 1 : Math.ceil((blocks * BLOCK) / SPAN);
	const groups = times * runs * Math.ceil(R / ROWS[along]);
	const part = x.view({ shape: x.shape, strides: x.strides, offset: x.offset + first * strides.rs });
	const numbers = { ...strides, K, z1, z2, zFirst: z, R, groups, runs };
	const tops = along === "row" ? {} : { top: runtime.empty([times, runs, R], "u32") };
	if (tops.top !== undefined) gemmTopsKernel.of({ dtype }).run({ x: part, top: tops.top }, numbers, 256 * groups);
	gemmHalvesKernel.of({ dtype, along }).run({ x: part, y, e, ...tops }, { ...numbers, blocks }, 256 * groups);
	return { y, e, step: isShared(rows) ? 0 : R };
}

/** Where each of the runs of at most `most` begins, that n is cut into, and how long it is. */
const runs = (n: number, most: number): (readonly [first: number, length: number])[] =>
	Array.from({ length: Math.ceil(n / most) }, (_, i) => [i * most, Math.min(most, n - i * most)] as const);

/**
 * Runs a product of `zs` batch entries in plan "matrix": brings its factors into f16, and multiplies those. Where they are larger than
 * one binding, by parts: of the batch, or of the rows and columns of the result.
 */
export function byMatrices(unit: MatrixUnit, operands: Operands, size: Size, zs: number, modes: GemmVariant): void {
	const { a, b, ...stored } = operands;
	const { runtime } = a;
	const { M, N, K, a0, a1, a2, am, ak, b0, b1, b2, bn, bk, om } = size;
	const { aDtype, bDtype, onto } = modes;
	const { m, n, k, lanes, isEmulated } = unit;
	const along = (mode: GemmVariant["a" | "b"]) => (mode === "k" ? "row" : "any");
	const ofA: Rows = { x: a, dtype: aDtype, along: along(modes.a), R: M, strides: { s0: a0, s1: a1, s2: a2, rs: am, ks: ak } };
	const ofB: Rows = { x: b, dtype: bDtype, along: along(modes.b), R: N, strides: { s0: b0, s1: b1, s2: b2, rs: bn, ks: bk } };
	const variant = { aDtype, bDtype, onto, m, n, k, lanes, isEmulated };
	const { maxStorageBufferBindingSize: room } = runtime.gpu.limits;
	const [rows, columns] = [ofA, ofB].map((side) => Math.min(side.R, Math.floor(room / bytesOf(side, K))));
	const entries = [ofA, ofB].map((side) => (isShared(side) ? zs : Math.floor(room / bytesOf(side, K) / side.R)));
	for (const [z, times] of runs(zs, Math.max(1, Math.min(zs, ...entries)))) {
		for (const [m0, ownM] of runs(M, rows)) {
			const left = halvesOf(ofA, size, z, times, m0, ownM);
			for (const [n0, ownN] of runs(N, columns)) {
				const right = halvesOf(ofB, size, z, times, n0, ownN);
				const own = { ...size, M: ownM, N: ownN };
				const tile = tileOf(runtime, own, times, variant);
				const moved = (x: Physical, by: number): Physical => x.view({ shape: x.shape, strides: x.strides, offset: x.offset + by });
				const at = Object.fromEntries(Object.entries(stored).map(([name, x]) => [name, moved(x, m0 * om + n0)]));
				const tiles = times * countOf(tile, ownM, ownN);
				const { down, across } = partsOfTile(tile);
				const factors = { left: left.y, leftE: left.e, right: right.y, rightE: right.e };
				const numbers = { tiles, zFirst: z, aM: left.step, bN: right.step, blocks: Math.ceil(K / BLOCK) };
				gemmMatrixKernel
					.of({ ...variant, tile })
					.run(
						{ a: moved(a, m0 * am), b: moved(b, n0 * bn), ...factors, y: stored.y, ...at },
						{ ...own, ...numbers },
						tiles * lanes * down * across,
						2 * times * ownM * ownN * K,
					);
			}
		}
	}
}
