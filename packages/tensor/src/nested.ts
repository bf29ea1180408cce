import type { DType, HostArray } from "./dtype.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { type Shape, showShape } from "./shape.ts";
import { shown } from "./shown.ts";

/** Numbers or booleans in lists of lists, all of one length on each level; one alone is a scalar. */
export type Nested = number | boolean | readonly Nested[];

/** Nested lists as flat values, in row-major order, and what they say about shape and element type. */
export interface Flat {
	readonly values: number[];
	readonly shape: number[];
	/** bool when every element is true or false and there is one; else f32. */
	readonly dtype: DType;
}

/**
 * Flattens nested lists.
 * @throws ShapeError (`tensor/ragged`) where a list has another length or depth than the first of its level; ValueError
 * (`tensor/host-value`) for an element that is neither number nor boolean, and for both together. The place is named.
 */
export function flattened(op: string, nested: unknown): Flat {
	const shape: number[] = [];
	for (let level = nested; Array.isArray(level); level = level[0]) shape.push(level.length);
	const values: number[] = [];
	let first: unknown;
	const visit = (value: unknown, depth: number, place: string): void => {
		if (depth === shape.length && (typeof value === "number" || typeof value === "boolean")) {
			first ??= value;
			if (typeof first !== typeof value) {
				throw new ValueError("tensor/host-value", `${op}: element${place} is ${value}, the first is ${first}`, {
					op,
					hint: "give numbers or booleans, not both",
				});
			}
			values.push(Number(value));
		} else if (Array.isArray(value) && value.length === shape[depth]) {
			for (let i = 0; i < value.length; i++) visit(value[i], depth + 1, `${place}[${i}]`);
		} else if (Array.isArray(value) || typeof value === "number" || typeof value === "boolean") {
			const what = Array.isArray(value) ? `a list of ${value.length}` : String(value);
			const expected = depth === shape.length ? "a number" : `a list of ${shape[depth]}`;
			throw new ShapeError("tensor/ragged", `${op}: element${place} is ${what}, expected ${expected} as at the first place`, {
				op,
				hint: `the first element of each level gives the shape ${showShape(shape)}; pad the others`,
			});
		} else {
			throw new ValueError("tensor/host-value", `${op}: element${place} is ${shown(value)}, expected a number or a boolean`, { op });
		}
	};
	visit(nested, 0, "");
	return { values, shape, dtype: typeof first === "boolean" ? "bool" : "f32" };
}

/** Flat values of a shape as nested lists; bool as booleans. */
export function nestedOf(values: HostArray, shape: Shape, dtype: DType): Nested {
	let next = 0;
	const level = (depth: number): Nested => {
		if (depth < shape.length) return Array.from({ length: shape[depth] }, () => level(depth + 1));
		const value = values[next++];
		return dtype === "bool" ? value !== 0 : value;
	};
	return level(0);
}
