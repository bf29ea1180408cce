import type { Physical } from "../physical.ts";
import { collapse, type Shape } from "../shape.ts";

/** How a kernel walks operands of one shape: merged extents, and each operand's strides along them. */
export interface Walk {
	readonly rank: number;
	/** The parameters that `walkParams` declares, and their values. */
	readonly params: Readonly<Record<string, number>>;
	/** Whether every operand is walked in order, without gaps. */
	readonly isFlat: boolean;
}

/** The extents after the first, then the strides of each operand, by the names that `walkCode` uses. */
export function planWalk(shape: Shape, operands: readonly Physical[]): Walk {
	const merged = collapse(
		shape,
		operands.map((t) => t.strides),
	);
	const rank = merged.shape.length;
	const values = [...merged.shape.slice(1), ...merged.strides.flat()];
	return {
		rank,
		params: Object.fromEntries(walkNames(rank, operands.length).map((name, i) => [name, values[i]])),
		isFlat: rank === 0 || (rank === 1 && merged.strides.every(([s]) => s === 1)),
	};
}

function walkNames(rank: number, operands: number): string[] {
	const names: string[] = [];
	for (let i = 1; i < rank; i++) names.push(`d${i}`);
	for (let o = 0; o < operands; o++) for (let i = 0; i < rank; i++) names.push(`s${o}_${i}`);
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
