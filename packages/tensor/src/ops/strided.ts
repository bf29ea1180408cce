import { collapse, type Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** How a kernel walks operands of one shape: merged extents, and each operand's strides along them. */
export interface Walk {
	readonly rank: number;
	readonly params: readonly number[];
	readonly names: readonly string[];
}

/** Parameters and names for `walkCode`: the extents after the first, then the strides of each operand. */
export function planWalk(shape: Shape, operands: readonly Tensor[]): Walk {
	const merged = collapse(
		shape,
		operands.map((t) => t.strides),
	);
	const rank = merged.shape.length;
	return {
		rank,
		params: [...merged.shape.slice(1), ...merged.strides.flat()],
		names: walkNames(rank, operands.length),
	};
}

export function walkNames(rank: number, operands: number): string[] {
	const names: string[] = [];
	for (let i = 1; i < rank; i++) names.push(`d${i}`);
	for (let o = 0; o < operands; o++) for (let i = 0; i < rank; i++) names.push(`s${o}_${i}`);
	return names;
}

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

/** The names as parameters of a kernel. */
export const asParams = (names: readonly string[]): Record<string, "u32"> => Object.fromEntries(names.map((n) => [n, "u32" as const]));
