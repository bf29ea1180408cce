import type { Physical } from "../physical.ts";
import { collapse, type Shape } from "../shape.ts";

/** How a kernel walks operands of one shape: merged extents, and each operand's strides along them. */
export interface Walk {
	readonly extents: Shape;
	readonly strides: readonly Shape[];
}

/** The walk of views of one shape. */
export function planWalk(shape: Shape, operands: readonly Physical[]): Walk {
	const { shape: extents, strides } = collapse(
		shape,
		operands.map((t) => t.strides),
	);
	return { extents, strides };
}

/** The parameters that `walkParams` declares: the extents after the first, then the strides of each operand. */
export function walkValues(extents: Shape, strides: readonly Shape[]): Record<string, number> {
	const params: Record<string, number> = {};
	for (let i = 1; i < extents.length; i++) params[extentName(i)] = extents[i];
	for (let o = 0; o < strides.length; o++) for (let i = 0; i < extents.length; i++) params[strideName(o, i)] = strides[o][i];
	return params;
}

/** The same, in the order of the names. */
export function walkNumbers(extents: Shape, strides: readonly Shape[]): number[] {
	const numbers = extents.slice(1);
	for (const s of strides) numbers.push(...s);
	return numbers;
}

/* Names as kept strings: making them anew for every call takes longer than the walk. */
const EXTENTS = Array.from({ length: 8 }, (_, i) => `d${i}`);
const STRIDES = Array.from({ length: 4 }, (_, o) => Array.from({ length: 8 }, (_, i) => `s${o}_${i}`));
const extentName = (axis: number): string => EXTENTS[axis] ?? `d${axis}`;
const strideName = (operand: number, axis: number): string => STRIDES[operand]?.[axis] ?? `s${operand}_${axis}`;

function walkNames(rank: number, operands: number): string[] {
	const names: string[] = [];
	for (let i = 1; i < rank; i++) names.push(extentName(i));
	for (let o = 0; o < operands; o++) for (let i = 0; i < rank; i++) names.push(strideName(o, i));
	return names;
}

/** The walk as parameters of a kernel. */
export const walkParams = (rank: number, operands: number): Record<string, "u32"> =>
	Object.fromEntries(walkNames(rank, operands).map((n) => [n, "u32" as const]));

/** WGSL that turns the flat number `index` into each operand's element number `i0`, `i1`, … */
export function walkCode(rank: number, operands: number, index = "index"): string {
	const lines = [`var rest = ${index};`];
	for (let i = rank - 1; i > 0; i--) lines.push(`let c${i} = rest % p.d${i}; rest = rest / p.d${i};`);
	for (let o = 0; o < operands; o++) {
		const terms = [];
		for (let i = 0; i < rank; i++) terms.push(`${i === 0 ? "rest" : `c${i}`} * p.s${o}_${i}`);
		lines.push(`let i${o} = ${terms.join(" + ") || "0u"};`);
	}
	return lines.join("\n");
}
