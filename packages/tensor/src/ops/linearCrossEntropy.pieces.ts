import { bytesPerElement } from "../dtype.ts";
import type { Physical } from "../physical.ts";
import { sizeOf } from "../shape.ts";
import { contiguous } from "./contiguous.ts";
import { gemm } from "./gemm.ts";

/** The soft-cap of the logits, 0 for none, and the label of rows that are left out. */
export type LossAttrs = { softcap: number; ignoreIndex: number };

/** Most bytes of logits held at once. */
const LOGIT_BYTES = 32 * 2 ** 20;

/**
 * Columns of the vocabulary whose logits are joined at once. It sets the order of the sums over the vocabulary, and so
 * does not depend on how many rows or records there are: no record's loss is rounded as its companions want it.
 */
const CHUNK = 16384;

/** Columns that a kernel may compute together. */
export const TILE = 8;

type Inputs = Readonly<Record<string, Physical>>;

/** One piece of the logits: rows start..start+run-1 of each of G groups, columns first..first+n-1 of the vocabulary. */
export interface Piece {
	/** The part of h [G, run, D], and of w [G, n, D]. */
	readonly h: Physical;
	readonly w: Physical;
	readonly params: Readonly<Record<"n" | "first" | "cap" | "ignore" | "all" | "start" | "run", number>>;
}

/** At most `most` columns of the vocabulary, in whole tiles, whose rows of w fit one binding. */
export function columnsOf({ runtime, shape, dtype }: Physical, most: number): number {
	const fit = Math.floor(runtime.gpu.limits.maxStorageBufferBindingSize / (shape[2] * bytesPerElement[dtype])) - 1;
	return Math.max(TILE, Math.floor(Math.min(most, fit) / TILE) * TILE);
}

/** Logits that are held at once. */
export const logitsAtOnce = ({ runtime }: Physical): number => Math.min(LOGIT_BYTES, runtime.gpu.limits.maxStorageBufferBindingSize) / 4;

/** `count` entries of the middle axis of t [G, R, D], from number `first` on. */
export const part = (t: Physical, first: number, count: number): Physical =>
	t.view({ shape: [t.shape[0], count, t.shape[2]], strides: t.strides, offset: t.offset + first * t.strides[1] });

/** Numbers of rows of so many that are read at once: four where all of them begin at a multiple of it. */
export const lanesOf = (width: number, ...given: readonly Physical[]): 1 | 4 =>
	[width, ...given.map((t) => t.offset)].every((v) => v % 4 === 0) ? 4 : 1;

/** How much of h w^T is a piece: so many columns where so many are left, and rows of each group. */
interface PieceSize {
	readonly columns: (left: number) => number;
	readonly rows: number;
}

/** Calls `step` with each piece of h w^T, h [G, R, D], w [G, V, D]. */
export function overPieces(h: Physical, w: Physical, attrs: LossAttrs, { columns, rows }: PieceSize, step: (piece: Piece) => void): void {
	const [, R] = h.shape;
	const [, V] = w.shape;
	for (let first = 0, n = 0; first < V; first += n) {
		n = columns(V - first);
		for (let start = 0; start < R; start += rows) {
			const run = Math.min(rows, R - start);
			const params = { n, first, cap: attrs.softcap, ignore: attrs.ignoreIndex, all: R, start, run };
			h.runtime.scope(() => step({ h: part(h, start, run), w: part(w, first, n), params }));
		}
	}
}

/** h [..., D] as [G, R, D] in order: one group of all rows where w is one for all records, else a group for each. */
function grouped({ h, w }: Inputs): { readonly h: Physical; readonly w: Physical } {
	const [B, V, D] = w.shape;
	const isShared = B === 1 || w.strides[0] === 0;
	const rows = sizeOf(h.shape.slice(1, -1));
	return {
		h: contiguous(h).view({ shape: isShared ? [1, B * rows, D] : [B, rows, D] }),
		w: isShared ? w.view({ shape: [1, V, D], strides: w.strides }) : w,
	};
}

/** Pieces in which every row meets the vocabulary in the same chunks, as many rows at once as memory allows. */
export function inChunks(inputs: Inputs, attrs: LossAttrs, step: (piece: Piece) => void): void {
	const { h, w } = grouped(inputs);
	const columns = columnsOf(w, CHUNK);
	const width = h.shape[0] * Math.max(1, Math.min(columns, w.shape[1]));
	const rows = Math.max(4, Math.floor(logitsAtOnce(h) / width / 4) * 4);
	overPieces(h, w, attrs, { columns: (left) => Math.min(columns, left), rows }, step);
}

export const logits = ({ h, w }: Piece): Physical => gemm(h, w.transpose());
