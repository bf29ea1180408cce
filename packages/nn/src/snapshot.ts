import { expects } from "@hushgrad/tensor/author";
import { isContainer, MODULE, Module } from "./module.ts";
import { ModuleBuffer, Parameter } from "./parameter.ts";

/** The fields of a module, the entries of an array or a map, or the tensors of a weight, as they were. */
interface Part {
	readonly of: object;
	readonly values: readonly unknown[];
}

function valuesOf(part: object): readonly unknown[] {
	if (part instanceof Parameter) return part.tensors();
	if (part instanceof ModuleBuffer) return part.hasValue ? [part.value] : [];
	if (part instanceof Map) return [...part.values()];
	return Array.isArray(part) ? part : Object.values(part);
}

/**
 * What a model is made of at this moment: its modules, their public fields, and the tensors of its parameters and buffers. A step of it
 * that was captured (see `capture`) does what the model does as long as `isCurrent`: numbers in the tensors may change, other tensors and
 * other modules, such as adapters that come and go, are not seen by a replay.
 */
export class ModuleSnapshot {
	readonly #parts: readonly Part[];

	constructor(model: Module) {
		expects("ModuleSnapshot", { model }, { model: MODULE });
		const found = new Map<object, Part>();
		const visit = (of: object): void => {
			if (found.has(of)) return;
			const values = [...valuesOf(of)];
			found.set(of, { of, values });
			if (of instanceof Parameter || of instanceof ModuleBuffer) return;
			for (const v of values) if (v instanceof Module || v instanceof Parameter || v instanceof ModuleBuffer || isContainer(v)) visit(v);
		};
		visit(model);
		this.#parts = [...found.values()];
	}

	/** Whether the model is made of the same still. */
	get isCurrent(): boolean {
		return this.#parts.every(({ of, values }) => {
			const now = valuesOf(of);
			return now.length === values.length && now.every((v, i) => Object.is(v, values[i]));
		});
	}
}
