import type { Device } from "../device.ts";
import type { MatrixUnit } from "../gpu/matrices.ts";
import type { Physical } from "../physical.ts";
import { collapse, sizeOf } from "../shape.ts";
import { contiguous } from "./contiguous.ts";
import { type AMode, type BMode, type GemmVariant, gemmKernel, type Operands, type Size, TILE_M, TILE_N } from "./gemm.kernel.ts";
import { byMatrices } from "./gemm.matrix.ts";
import { COLUMNS, gemmSharedKernel, LANES } from "./gemm.shared.kernel.ts";
import { extentOf, gemmJoinKernel, gemmTiledKernel, TILES, type Tile } from "./gemm.tiled.kernel.ts";

/** The part of a result that a product is written to: a run of rows in each batch entry, or a run of columns. */
export interface GemmTarget {
	/** Where the first batch entry is written. */
	readonly view: Physical;
	/** Elements from one batch entry to the next. */
	readonly batchStride: number;
	/** Elements from one row to the next; N when left out. */
	readonly rowStride?: number | undefined;
	/** Add to what is there. */
	readonly accumulate: boolean;
	/** Add to this instead, which lies in memory of its own as the result lies in its. */
	readonly plus?: Physical | undefined;
	/** Add up the products of the first axis, the only one before rows and columns, in order: the result has extent 1 there. */
	readonly summed?: boolean | undefined;
	/** Add this product instead, with the leading axes of the other. */
	readonly update?: GemmUpdate | undefined;
}

/** low times up, both f32: each element is summed over the ranks R in order, and then added. */
export interface GemmUpdate {
	/** `[..., M, R]`, contiguous. */
	readonly low: Physical;
	/** `[..., R, N]`. */
	readonly up: Physical;
}

interface Plan {
	readonly lead: readonly number[];
	readonly m: number;
	readonly a: readonly number[];
	readonly b: readonly number[];
	readonly am: number;
}

/** Merges batch axes; when b is the same for all of them, folds them into the rows of a, if the result allows it. */
function plan(a: Physical, b: Physical, canFold: boolean): Plan | undefined {
	const cut = a.rank - 2;
	const lead = a.shape.slice(0, cut);
	const sb = b.strides.slice(0, cut);
	const m = a.shape[cut];
	if (lead.every((d, i) => d === 1 || (canFold && sb[i] === 0))) {
		const rows = collapse(a.shape.slice(0, cut + 1), [a.strides.slice(0, cut + 1)]);
		if (rows.shape.length <= 1) {
			return { lead: [], m: sizeOf(rows.shape), a: [], b: [], am: rows.strides[0][0] ?? a.strides[cut] };
		}
	}
	const batch = collapse(lead, [a.strides.slice(0, cut), sb]);
	if (batch.shape.length > 3) return undefined;
	return { lead: batch.shape, m, a: batch.strides[0], b: batch.strides[1], am: a.strides[cut] };
}

const fours = (...values: readonly number[]) => values.every((v) => v % 4 === 0);

function modeOfA(a: Physical, p: Plan, k: number): AMode {
	const ak = a.strides[a.rank - 1];
	if (ak === 1 && fours(k, a.offset, ...p.a) && (p.m === 1 || p.am % 4 === 0)) return "k";
	if (p.am === 1 && fours(p.m, a.offset, ...p.a) && (k === 1 || ak % 4 === 0)) return "m";
	return "s";
}

function modeOfB(b: Physical, p: Plan, k: number, n: number): BMode {
	const [bk, bn] = b.strides.slice(-2);
	if (bk === 1 && fours(k, b.offset, ...p.b) && (n === 1 || bn % 4 === 0)) return "k";
	if (bn === 1 && fours(n, b.offset, ...p.b) && (k === 1 || bk % 4 === 0)) return "n";
	return "s";
}

/** Number `i` of the three batch axes, of which the first may be left out. */
const at = (v: readonly number[], i: number, fill: number): number => v[i + v.length - 3] ?? fill;

/** Workgroups that keep all units of a large GPU busy, and those that do it to the end: three on each of 132 units. */
const [ENOUGH, EVEN] = [256, 396];
/** A record with no more rows, or columns, than this has few tiles, whatever their kind. */
const THIN = 32;
/** Least part of a sum of such records, and of others, of which a sum has to be long for its parts to be worth what it takes to add them. */
const [THIN_PART, PART, LONG] = [128, 600, 2048];
/** For how many records the tiles of others are counted: the parts must not depend on how many there are. */
const RECORDS = 4;

const countOf = (tile: Tile, { M, N }: Pick<Size, "M" | "N">): number => {
	const { rows, columns } = extentOf(tile);
	return Math.ceil(M / rows) * Math.ceil(N / columns);
};

/** Length of the parts that sums over k are split into: all of k where they are not, as where the rows of a record are not known. */
function partOf(rows: number | undefined, N: number, k: number): number {
	const isThin = Math.min(rows ?? N, N) <= THIN;
	const most = isThin ? Math.floor(k / THIN_PART) : k < LONG ? 1 : Math.floor(k / PART);
	if (rows === undefined || most < 2) return Math.max(1, k);
	const needed = isThin ? ENOUGH / countOf("64x64", { M: rows, N }) : EVEN / (RECORDS * countOf("128x128", { M: rows, N }));
	const parts = Math.min(most, Math.ceil(needed));
	return 32 * Math.ceil(k / parts / 32);
}

/** The tile that was measured to be the fastest, or else the largest of which there are enough; which it is changes no bit of the result. */
function tileOf({ tiles, info: { vendor, architecture } }: Device, size: Pick<Size, "M" | "N">, times: number, k: number): Tile {
	const tuned = tiles?.get([times, size.M, size.N, k].join("x"));
	if (tuned) return tuned;
	if (size.N <= 16) return "64x16";
	// Fewer where there are fewer units: 8 to 40 in Apple's GPUs, 8 or so in Intel's processors: "gen-9", "gen-12lp", "xe-2lpg" (docs/gpu.md).
	const enough = vendor === "apple" ? 96 : vendor === "intel" && /\d$|lp/.test(architecture) ? 24 : ENOUGH;
	if (size.M <= 4 && times * countOf("4x256", size) >= enough) return "4x256";
	if (size.M <= 16) return "16x64";
	if (Math.min(size.M, size.N) <= THIN) return "32x32";
	if (times * countOf("128x128", size) >= enough) return "128x128";
	return times * countOf("64x64", size) >= enough ? "64x64" : "32x32";
}

/** Whether a kernel of tiles can add an update to the product of `a`: which changes no bit. */
const isAddedInTiles = ({ low, up }: GemmUpdate, { rank }: Physical): boolean =>
	rank === 3 && up.strides[1] === 1 && low.isContiguous && fours(low.shape[2], low.offset, up.offset, up.strides[0], up.strides[2]);

/**
 * Runs a product in plan "gpu", each sum over k in parts of length `run` that are added in order, and with them, where it is `summed`, the
 * products of all zs.
 */
function tiled(
	operands: Operands,
	size: Size,
	zs: number,
	run: number,
	variant: GemmVariant,
	{ update, summed }: Pick<GemmTarget, "update" | "summed">,
): void {
	const { a, b, ...rest } = operands;
	const stored = { ...rest, ...update };
	const ranks = update && { R: update.low.shape[2], un: update.up.strides[2], uz: update.up.strides[0] };
	const isUpdated = update !== undefined;
	const { M, N, K, oz, om } = size;
	const parts = Math.max(1, Math.ceil(K / run));
	const tile = tileOf(a.runtime.device, size, zs * parts, Math.min(run, K));
	const tiles = zs * parts * countOf(tile, size);
	const grid = tiles * TILES[tile].x * TILES[tile].y;
	const flops = 2 * zs * M * N * K;
	if (parts === 1 && !summed) {
		const kernel = gemmTiledKernel.of({ ...variant, tile, update: isUpdated });
		kernel.run({ a, b, ...stored }, { ...size, tiles, zs, run, op: 0, ...ranks }, grid, flops);
		return;
	}
	const { runtime } = a;
	const x = runtime.empty([parts, zs, M, N]);
	const kernel = gemmTiledKernel.of({ ...variant, onto: false, wideStore: fours(N), tile, update: false });
	kernel.run({ a, b, y: x }, { ...size, tiles, zs, run, oz: M * N, om: N, op: zs * M * N }, grid, flops);
	const { onto, wideStore } = variant;
	const results = summed ? 1 : zs;
	const total = { size: (results * M * N) / (wideStore ? 4 : 1), parts: (parts * zs) / results, M, N, oz, om, ...ranks };
	gemmJoinKernel.of({ onto, wideStore, update: isUpdated }).run({ x, ...stored }, total, total.size);
}

/**
 * Whether matrices of subgroups should compute a product. By what one record has alone: so that a record has the same bits whatever
 * its companions.
 */
const isForMatrices = (unit: MatrixUnit, rows: number | undefined, n: number, k: number): boolean =>
	Math.min(rows ?? n, n) > THIN && n * k >= unit.least;

/** Entry i of the first axis, kept as one of extent 1. */
const single = (x: Physical, i: number): Physical =>
	x.view({ shape: x.shape.with(0, 1), strides: x.strides, offset: x.offset + i * x.strides[0] });

/** Whether a product has the rows and columns that subgroups share. */
const isWide = (rows: number, columns: number): boolean => rows > TILE_M && 2 * columns >= COLUMNS;

/** Rows of a tile that subgroups share: many where few are empty. */
function sharedRows(rows: number): 8 | 16 | 32 {
	if (rows <= LANES) return 8;
	const empty = 32 * Math.ceil(rows / 32) - rows;
	return rows >= 64 && empty <= rows / 8 ? 32 : 16;
}

/** The same product with rows and columns in each other's place. */
const turned = ({ M, N, a0, a1, a2, am, ak, b0, b1, b2, bn, bk, ...rest }: Size): Size => ({
	...{ ...rest, M: N, N: M },
	...{ a0: b0, a1: b1, a2: b2, am: bn, ak: bk, b0: a0, b1: a1, b2: a2, bn: am, bk: ak, om: 1 },
});

const MODE_OF_A = { k: "k", n: "m", s: "s" } as const;
const MODE_OF_B = { k: "k", m: "n", s: "s" } as const;

/** Runs a product in plan "cpu", where subgroups share what they load; of few columns those are its rows. */
function shared({ a, b, ...rest }: Operands, size: Size, zs: number, variant: GemmVariant, update: GemmUpdate | undefined): void {
	const run = (operands: Operands, own: Size, kind: GemmVariant, on: number): void => {
		const rows = sharedRows(own.M);
		const tiles = zs * Math.ceil(own.M / rows) * Math.ceil(own.N / COLUMNS);
		const ranks = update && { R: update.low.shape[2], un: update.up.strides[2], uz: update.up.strides[0] };
		const kernel = gemmSharedKernel.of({ ...kind, rows, update: update !== undefined, apart: on !== 1 });
		const flops = 2 * zs * own.M * own.N * (own.K + (ranks?.R ?? 0));
		kernel.run({ ...operands, ...update }, { ...own, ...ranks, on, tiles }, tiles * LANES, flops);
	};
	const { bDtype } = variant;
	if (isWide(size.M, size.N) || bDtype === "bf16") {
		run({ a, b, ...rest }, size, variant, 1);
		return;
	}
	const kind = { ...variant, a: MODE_OF_A[variant.b], b: MODE_OF_B[variant.a], aDtype: bDtype, bDtype: variant.aDtype, wideStore: false };
	run({ a: b, b: a, ...rest }, turned(size), kind, size.om);
}

/** Whether all subgroups of a device have as many invocations as it takes for them to share what they load, in plan "cpu". */
export const sharesLoads = (device: Device): boolean =>
	device.has("subgroups") && device.info.subgroupMinSize === LANES && device.info.subgroupMaxSize === LANES;

/** Whether subgroups should share what they load: where tiles are filled. */
const isShared = (device: Device, { M, N }: Size, { bDtype }: GemmVariant): boolean =>
	sharesLoads(device) && (isWide(M, N) || (isWide(N, M) && bDtype !== "bf16"));

/** Adds an update to a product that is there. */
const updated = (target: GemmTarget, { low, up }: GemmUpdate): Physical =>
	gemm(low, up, { ...target, update: undefined, plus: undefined, accumulate: true });

/**
 * a `[..., M, K]` (f32 or f16) times b `[..., K, N]` (f32, f16 or bf16), accumulated in f32; the leading axes of both, the
 * record axis first, must already be equal (repeat with stride 0). Any strides; shapes are not checked. Without `target` the
 * result is a fresh contiguous f32 `[..., M, N]`, else the view of the target. `rows`, where it is given, is the number of rows that
 * one record has: the sums over K may then be added in parts, by that number, N and K alone.
 */
export function gemm(a: Physical, b: Physical, target?: GemmTarget, rows?: number): Physical {
	const lead = a.shape.slice(0, -2);
	const [m, k] = a.shape.slice(-2);
	const n = b.shape[b.rank - 1];
	const om = target?.rowStride ?? n;
	const { plan: kernels, matrices } = a.runtime.device;
	const unit = matrices !== undefined && isForMatrices(matrices, rows, n, k) ? matrices : undefined;
	const update = target?.update;
	if (update !== undefined && target !== undefined && (unit !== undefined || !isAddedInTiles(update, a))) {
		gemm(a, b, { ...target, update: undefined }, rows);
		return updated(target, update);
	}
	if (target?.summed && (kernels === "cpu" || unit !== undefined)) {
		for (let i = 0; i < lead[0]; i++) {
			const onto = i > 0 ? { accumulate: true, plus: undefined } : undefined;
			gemm(single(a, i), single(b, i), { ...target, summed: undefined, ...onto }, rows);
		}
		return target.view;
	}
	const isSharedUp = update === undefined || lead[0] === 1 || update.up.strides[0] === 0;
	const p = plan(a, b, isSharedUp && (target === undefined || target.batchStride === m * om));
	if (p === undefined) return a.isContiguous ? gemm(a, contiguous(b), target, rows) : gemm(contiguous(a), b, target, rows);
	const y = target?.view ?? a.runtime.empty([...lead, m, n]);
	if (sizeOf(lead) * m * n === 0) return y;
	const z = sizeOf(p.lead);
	const oz = target?.batchStride ?? p.m * n;
	const c = target?.plus;
	const variant: GemmVariant = {
		a: modeOfA(a, p, k),
		b: modeOfB(b, p, k, n),
		aDtype: a.dtype === "f16" ? "f16" : "f32",
		bDtype: b.dtype === "bf16" || b.dtype === "f16" ? b.dtype : "f32",
		onto: c !== undefined ? "c" : target?.accumulate ? "y" : false,
		wideStore: fours(n, oz, om, y.offset, c?.offset ?? 0),
	};
	const size: Size = {
		M: p.m,
		N: n,
		K: k,
		z1: at(p.lead, 1, 1),
		z2: at(p.lead, 2, 1),
		a0: at(p.a, 0, 0),
		a1: at(p.a, 1, 0),
		a2: at(p.a, 2, 0),
		am: p.am,
		ak: a.strides[a.rank - 1],
		b0: at(p.b, 0, 0),
		b1: at(p.b, 1, 0),
		b2: at(p.b, 2, 0),
		bk: b.strides[b.rank - 2],
		bn: b.strides[b.rank - 1],
		oz,
		om,
	};
	const summand = c && { c };
	if (unit !== undefined) {
		byMatrices(unit, { a, b, y, ...summand }, size, z, variant);
		return y;
	}
	if (kernels !== "cpu") {
		const run = partOf(rows, n, k);
		// On tiles of 128x128 an update takes longer as a product is stored than as one of its own: 40 against 33 ms on an H200 (docs/gpu.md).
		const isApart = update !== undefined && k <= run && tileOf(a.runtime.device, size, z, k) === "128x128";
		tiled({ a, b, y, ...summand }, size, z, run, variant, { update: isApart ? undefined : update, summed: target?.summed });
		return isApart && target ? updated(target, update) : y;
	}
	if (isShared(a.runtime.device, size, variant)) {
		const isApart = update !== undefined && !isWide(p.m, n);
		shared({ a, b, y, ...summand }, size, z, variant, isApart ? undefined : update);
		return isApart && target ? updated(target, update) : y;
	}
	const tiles = z * Math.ceil(p.m / TILE_M) * Math.ceil(n / TILE_N);
	gemmKernel.of(variant).run({ a, b, y, ...summand }, { ...size, tiles }, tiles, 2 * z * p.m * n * k);
	return update && target ? updated(target, update) : y;
}
