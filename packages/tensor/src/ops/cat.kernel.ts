import type { DType } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { type Shape, sizeOf, viewStrides } from "../shape.ts";

/** Parts that one kernel copies: with the result they are as many buffers as every device binds. */
export const CAT_PARTS = 7;
const PARTS = [...new Array(CAT_PARTS).keys()];

const each = <V>(name: string, value: V): Readonly<Record<string, V>> => Object.fromEntries(PARTS.map((i) => [`${name}${i}`, value]));

/**
 * Rows of several matrices side by side in those of one: part i up to column `end{i}`, its rows `row{i}` apart, in elements or fours of
 * them.
 */
export const catKernel = defineKernel("cat", ({ dtype, lanes }: { dtype: DType; lanes: 1 | 4 }) => ({
	params: { n: "u32", width: "u32", row: "u32", ...each("end", "u32" as const), ...each("row", "u32" as const) },
	buffers: { ...each("x", reads(dtype, lanes)), y: writes(dtype, lanes) },
	workgroup: 64,
	body: wgsl`if (index >= p.n) { return; }
let r = index / p.width;
let c = index % p.width;
let to = r * p.row + c;
${PARTS.map((i) => `if (c < p.end${i}) { y_set${lanes === 4 ? "4" : ""}(to, x${i}_at${lanes === 4 ? "4" : ""}(r * p.row${i} + c${i === 0 ? "" : ` - p.end${i - 1}`})); return; }`).join("\n")}`,
}));

/** A part as a matrix: its rows lie in order, at any distance. */
interface Rows {
	readonly x: Physical;
	readonly width: number;
	readonly row: number;
}

/** What comes from the axis on as columns, what comes before it as rows; undefined where a row has gaps. */
function rowsOf(x: Physical, axis: number): Rows | undefined {
	const target: Shape = [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis))];
	const strides = viewStrides(x.shape, x.strides, target);
	if (strides === undefined || (strides[1] !== 1 && target[1] > 1)) return undefined;
	return { x, width: target[1], row: strides[0] };
}

/**
 * Copies parts side by side along an axis of new memory, `whole`, seven at a time; `copy` copies those that it cannot, and tells
 * where they begin along the axis.
 */
export function catInto(parts: readonly Physical[], whole: Physical, axis: number, copy: (part: Physical, start: number) => void): void {
	const { runtime } = whole;
	const inner = sizeOf(whole.shape.slice(axis + 1));
	const isAlone = whole.storage.size > runtime.gpu.limits.maxStorageBufferBindingSize;
	let group: Rows[] = [];
	let start = 0;
	let from = 0;
	const write = (): void => {
		if (group.length > 0) copyRows(group, whole, from * inner, whole.shape[axis] * inner);
		group = [];
		from = start;
	};
	for (const part of parts) {
		const rows = isAlone || part.size === 0 ? undefined : rowsOf(part, axis);
		if (rows === undefined) write();
		else group.push(rows);
		if (rows === undefined && part.size > 0) copy(part, start);
		start += part.shape[axis];
		if (rows === undefined) from = start;
		if (group.length === CAT_PARTS) write();
	}
	write();
}

function copyRows(group: readonly Rows[], whole: Physical, offset: number, row: number): void {
	const { dtype } = whole;
	const width = group.reduce((sum, g) => sum + g.width, 0);
	const y = whole.view({ shape: [whole.size / row, width], strides: [row, 1], offset: whole.offset + offset });
	const filled = PARTS.map((i) => group[i] ?? { ...group[0], width: 0 });
	const ends = filled.map((_, i) => filled.slice(0, i + 1).reduce((sum, g) => sum + g.width, 0));
	const buffers = Object.fromEntries(filled.map(({ x }, i) => [`x${i}`, x]));
	const isWhole = [y.offset, row, ...ends, ...filled.flatMap((part) => [part.x.offset, part.row])].every((v) => v % 4 === 0);
	const lanes = dtype === "f32" && isWhole ? 4 : 1;
	const numbers = Object.fromEntries(
		filled.flatMap((part, i) => [[`end${i}`, ends[i] / lanes] as const, [`row${i}`, part.row / lanes] as const]),
	);
	const n = y.size / lanes;
	catKernel.of({ dtype, lanes }).run({ ...buffers, y }, { ...numbers, n, width: width / lanes, row: row / lanes }, n);
}
