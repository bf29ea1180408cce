import { assign, cast, ShapeError, Tensor, ValueError, zeros } from "@hushgrad/tensor";
import { expects, named, optionsOf, sameShape, showShape } from "@hushgrad/tensor/author";
import { MODULE, type Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";

/** Every parameter by path, tied ones under each of their names. */
function* allParameters(model: Module): Generator<[string, Parameter]> {
	for (const [path, module] of model.namedModules()) {
		for (const [name, parameter] of module.parametersHere()) yield [path === "" ? name : `${path}.${name}`, parameter];
	}
}

/**
 * The parameters of a model by torch's names, a tied one under each of its own: what `loadStateDict` and `saveFile` take. The tensors are
 * those of the model, not copies; of a quantised weight a new one, of the current scope. Buffers are not saved.
 * @throws ValueError when a parameter has no value.
 */
export const stateDict = named("stateDict", (model: Module): Map<string, Tensor> => {
	expects("stateDict", { model }, { model: MODULE });
	return new Map([...allParameters(model)].map(([name, parameter]) => [name, parameter.dequantize()]));
});

/** Options of `loadStateDict`. */
export interface LoadOptions {
	/** Whether names that only one side has are an error; true when left out. Shapes must always agree. */
	readonly strict?: boolean | undefined;
}

/** What `loadStateDict` did not load. */
export interface Unloaded {
	/** Parameters of the model that the state does not have; they are as they were. */
	readonly missing: readonly string[];
	/** Names of the state that the model does not have. */
	readonly unexpected: readonly string[];
}

/**
 * Copies a state into the parameters of a model, in f32; an optimiser that holds them goes on with the new numbers. Nothing is changed
 * unless all of it fits.
 * @throws ValueError that lists every name that is missing or unexpected (when `strict`), ShapeError that lists every wrong shape.
 */
export const loadStateDict = named(
	"loadStateDict",
	(model: Module, state: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>, options: LoadOptions = {}): Unloaded => {
		expects("loadStateDict", { model, state }, { model: MODULE, state: "options" });
		const { strict = true } = optionsOf("loadStateDict", options, { strict: "flag?" });
		const given = new Map<string, Tensor>(state instanceof Map ? state : Object.entries(state));
		const own = new Map(allParameters(model));
		const missing = [...own.keys()].filter((name) => !given.has(name));
		const unexpected = [...given.keys()].filter((name) => !own.has(name));
		const wrong = [...own].flatMap(([name, { shape }]) => {
			const t = given.get(name);
			if (t === undefined || (t instanceof Tensor && sameShape(t.shape, shape))) return [];
			return [`${name} is ${t instanceof Tensor ? showShape(t.shape) : "no tensor"}, expected ${showShape(shape)}`];
		});
		const faults = [
			...(strict && missing.length > 0 ? [`missing: ${missing.join(", ")}`] : []),
			...(strict && unexpected.length > 0 ? [`unexpected: ${unexpected.join(", ")}`] : []),
			...(wrong.length > 0 ? [`wrong shapes: ${wrong.join(", ")}`] : []),
		];
		if (faults.length > 0) {
			const text = `loadStateDict: the state does not fit ${model.constructor.name}; ${faults.join("; ")}`;
			throw wrong.length > 0
				? new ShapeError("state/shapes", text)
				: new ValueError("state/names", text, { hint: "strict: false loads what fits" });
		}
		for (const [name, parameter] of own) {
			const t = given.get(name);
			if (t === undefined) continue;
			t.device.scope(() => {
				const values = cast(t, "f32");
				if (values !== t) return parameter.assign(values);
				const copy = zeros(t.device, t.shape);
				assign(copy, t);
				parameter.assign(copy);
			});
		}
		return { missing, unexpected };
	},
);
