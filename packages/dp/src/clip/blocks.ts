import { cat, type Device, reshape, slice, Tensor } from "@hushgrad/tensor";
import { expects, runtimeOf } from "@hushgrad/tensor/author";
import { GradientColumns } from "./gradientColumns.ts";
import { PART } from "./tree.ts";

/** Gradients of the records by one parameter: held, f32 `[B, …]`, or computed when asked for. */
export type RecordGradient = Tensor | GradientColumns;

/** Some columns of the gradients by all parameters side by side. */
export interface Block {
	/** The group of coordinates that they are of. */
	readonly group: number;
	/** How many. */
	readonly columns: number;
	/** Calls `fn` with them, f32 `[B, columns]`, held or computed anew, and returns what it returns; see `device.scope`. */
	use<T>(fn: (g: Tensor) => T): T;
}

/** A run of columns of one gradient. */
interface Run {
	readonly gradient: RecordGradient;
	readonly from: number;
	readonly to: number;
}

/** Bytes of what is computed anew at once. */
const STREAMED_BYTES = 16 * 2 ** 20;
/** Times that `together` columns fit into a block, so that little is computed in two of them. */
const MOST_SHARED = 8;
/** Columns from which on a gradient is not copied to lie beside others. */
const ALONE = 2 ** 16;

const isHeld = (g: RecordGradient): g is Tensor => g instanceof Tensor;

/** @throws ValueError for what are no gradients. */
export function checkGradients(op: string, grads: readonly RecordGradient[]): void {
	expects(op, { grads }, { grads: "list" });
	const held = grads.filter((g) => !(g instanceof GradientColumns));
	expects(op, { grads: held }, { grads: "tensors" });
}

/** Numbers in the gradient of one of B records. */
export const columnsOf = (g: RecordGradient, B: number): number => (isHeld(g) ? g.size / B : g.columns);

/** Gradients that lie side by side: a large one by itself, small ones together. It follows from the columns, not from B. */
function groupsOf(grads: readonly RecordGradient[], B: number): RecordGradient[][] {
	const groups: RecordGradient[][] = [];
	let isOpen = false;
	for (const g of grads) {
		const isAlone = columnsOf(g, B) >= ALONE;
		if (isOpen && !isAlone) groups[groups.length - 1].push(g);
		else groups.push([g]);
		isOpen = !isAlone;
	}
	return groups;
}

/** Columns of one block of a group at most: a multiple of a part, so that parts are the same runs of coordinates whatever B is. */
function widthFor(group: readonly RecordGradient[], B: number, binding: number): number {
	const whole = (columns: number): number => Math.max(1, Math.floor(columns / PART)) * PART;
	const most = whole(binding / (4 * B));
	const together = Math.max(0, ...group.map((g) => (isHeld(g) ? 0 : g.together)));
	return together === 0 ? most : Math.min(most, whole(Math.max(STREAMED_BYTES / (4 * B), MOST_SHARED * together)));
}

/** The columns of a group, as runs for each block. */
function runsOf(group: readonly RecordGradient[], B: number, width: number): Run[][] {
	const blocks: Run[][] = [[]];
	let room = width;
	for (const gradient of group) {
		const columns = columnsOf(gradient, B);
		for (let from = 0; from < columns; ) {
			if (room === 0) {
				blocks.push([]);
				room = width;
			}
			const to = Math.min(columns, from + room);
			blocks[blocks.length - 1].push({ gradient, from, to });
			room -= to - from;
			from = to;
		}
	}
	return blocks.filter((runs) => runs.length > 0);
}

/** The columns of the gradients of a group side by side, in blocks that one storage binding holds. */
export function blocksOf(device: Device, grads: readonly RecordGradient[], B: number, group: number): Block[] {
	const { maxStorageBufferBindingSize } = device.gpu.limits;
	const blocks = groupsOf(grads, B).flatMap((group) => runsOf(group, B, widthFor(group, B, maxStorageBufferBindingSize)));
	return blocks.map((runs) => blockOf(device, runs, B, group));
}

/** Columns of a gradient: where it is held, the gradient itself or a view of it. */
function read({ gradient, from, to }: Run, B: number): Tensor {
	if (!isHeld(gradient)) return gradient.read(from, to);
	const columns = columnsOf(gradient, B);
	const { shape } = gradient;
	const rows = shape.length === 2 && shape[0] === B ? gradient : reshape(gradient, [B, columns]);
	return from === 0 && to === columns ? rows : slice(rows, 1, from, to);
}

function blockOf(device: Device, runs: readonly Run[], B: number, group: number): Block {
	const make = (): Tensor => {
		const parts = runs.map((run) => read(run, B));
		return parts.length === 1 ? parts[0] : cat(parts, 1);
	};
	const columns = runs.reduce((sum, { from, to }) => sum + to - from, 0);
	if (!runs.every((run) => isHeld(run.gradient))) return { group, columns, use: (fn) => runtimeOf(device).scope(() => fn(make())) };
	const held = make();
	return { group, columns, use: (fn) => fn(held) };
}
