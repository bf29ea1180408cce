import { PrivacyError, ShapeError } from "./errors.ts";
import { broadcastShapes, broadcastStrides, showShape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Brings operands to one shape for an element-wise operation, as views. Shapes align at the last axis (numpy), except
 * that sample axes align with each other: a marked operand of lower rank gets size-1 axes after its axis 0.
 * `core` trailing axes are left out of the broadcast (matmul).
 * @throws PrivacyError when an unmarked operand spans the sample axis.
 */
export function align(op: string, operands: readonly Tensor[], core = 0): { shape: number[]; views: Tensor[] } {
	const rank = Math.max(...operands.map((t) => t.rank));
	const marked = operands.find((t) => t.perSample);
	const lifted = operands.map((t) => {
		if (t.perSample && t.rank < rank) {
			const ones = new Array<number>(rank - t.rank).fill(1);
			const [b, ...rest] = t.shape;
			const [sb, ...restStrides] = t.strides;
			return t.alias({ shape: [b, ...ones, ...rest], strides: [sb, ...ones.map(() => 0), ...restStrides] });
		}
		if (!t.perSample && marked !== undefined && t.rank === rank && rank > core && t.shape[0] !== 1) {
			throw new PrivacyError(
				"privacy/unmarked",
				`${op}: ${showShape(t.shape)} spans the sample axis of ${showShape(marked.shape)} but is not marked per sample`,
				{ op, hint: "axis 0 was moved or merged, or batch data was not marked with markSamples(x)" },
			);
		}
		return t;
	});
	const lead = broadcastShapes(op, ...lifted.map((t) => t.shape.slice(0, t.rank - core)));
	const samples = new Set(operands.filter((t) => t.perSample).map((t) => t.shape[0]));
	if (samples.size > 1) {
		throw new ShapeError("shape/samples", `${op}: the operands hold ${[...samples].join(" and ")} samples`, { op });
	}
	const views = lifted.map((t) => {
		const cut = t.rank - core;
		const shape = [...lead, ...t.shape.slice(cut)];
		const strides = [...broadcastStrides(t.shape.slice(0, cut), t.strides.slice(0, cut), lead), ...t.strides.slice(cut)];
		return t.alias({ shape, strides });
	});
	return { shape: lead, views };
}

/** The axes along which `shape` was repeated to reach `full`, given how `align` lifted it. */
export function repeatedAxes(shape: readonly number[], perSample: boolean, full: readonly number[]): number[] {
	const lead = full.length - shape.length;
	const at = (i: number): number => {
		if (perSample && lead > 0) return i === 0 ? shape[0] : i <= lead ? 1 : shape[i - lead];
		return i < lead ? 1 : shape[i - lead];
	};
	return full.map((_, i) => i).filter((i) => at(i) === 1 && full[i] !== 1);
}
