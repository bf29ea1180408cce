import * as nn from "@hushgrad/nn";
import * as tensor from "@hushgrad/tensor";
import { Primitive } from "@hushgrad/tensor";

/** Every primitive the packages export, by itself or on its function; a new one is tested without being named here. */
export function primitives(): Primitive[] {
	const exported = [...Object.values(tensor), ...Object.values(nn)].map((v) => (v as { primitive?: unknown }).primitive ?? v);
	return [...new Set(exported.filter((v): v is Primitive => v instanceof Primitive))];
}

/** Whether all operands broadcast freely: a row of the element-wise tables. */
export const isElementwise = (p: Primitive): boolean => p.signature.inputs.every((o) => o.shared && o.axes.length === 0);
