import { type Device, HushgradError, Tensor, ValueError } from "@hushgrad/tensor";
import { expects, instanceOf, type Kind, runtimeOf, tensorsIn } from "@hushgrad/tensor/author";
import { ModuleBuffer, Parameter } from "./parameter.ts";

/**
 * Base of all layers, in the manner of torch's Module. Public fields that hold modules, parameters or buffers, directly or in
 * arrays, maps and plain objects, are its parts, and the field names are the names in a checkpoint. Subclasses define `forward`;
 * callers use `call`, which frees intermediate tensors and names the layer in errors and reports.
 */
export abstract class Module {
	/** Where the module stands in its model, such as `layers.0.mlp`; "" for a root and before `namePaths`. */
	path = "";
	#root: Module | undefined;

	/**
	 * Runs `forward` in a memory scope. What it returns (tensors, or arrays, maps and plain objects of them) outlives it. The first
	 * call names the paths of the tree. Without a tensor among the arguments it is `forward` and nothing else.
	 * @throws ValueError for a module that the running model does not know (one in a #private field, or made on the way) and for
	 * one that stands in two places. Errors of `forward` are given the layer's path.
	 */
	call<A extends readonly unknown[], R>(this: Module & { forward(...args: A): R }, ...args: A): R {
		const device = deviceOf(args);
		if (device === undefined) return this.forward(...args);
		const runtime = runtimeOf(device);
		const root = this.#findRoot(runtime.owner);
		const name = this.path || this.constructor.name;
		try {
			return runtime.within(name, () => runtime.scope(() => this.forward(...args)), root);
		} catch (error) {
			if (error instanceof HushgradError) error.locate(name);
			throw error;
		}
	}

	/** The root of this call: that of the call that runs already, or the own one. */
	#findRoot(running: object | undefined): Module {
		if (!(running instanceof Module)) {
			if (this.#root === undefined) this.namePaths();
			return this.#root ?? this;
		}
		if (this.#root !== running) running.namePaths();
		if (this.#root === running) return running;
		throw new ValueError(
			"module/hidden",
			`Module.call: ${this.constructor.name} is called inside ${running.constructor.name}, which does not know it`,
			{
				op: "Module.call",
				path: running.path,
				hint: "hold modules in public fields, arrays or maps: a #private field hides them from training, saving and freezing",
			},
		);
	}

	/** Direct children by name: of fields, `layers.0` of arrays and `heads.left` of maps and plain objects, in order. */
	children(): [string, Module][] {
		return this.#parts((v) => v instanceof Module);
	}

	/** Parameters held directly, by name; those of children are not among them. */
	parametersHere(): [string, Parameter][] {
		return this.#parts((v) => v instanceof Parameter);
	}

	/** Buffers held directly, by name; those of children are not among them. */
	buffersHere(): [string, ModuleBuffer][] {
		return this.#parts((v) => v instanceof ModuleBuffer);
	}

	/**
	 * Puts another module in the place of a direct child, `name` as in `children`. Paths are as before until `namePaths`.
	 * @throws ValueError when there is no such child.
	 */
	replaceChild(name: string, module: Module): void {
		expects("Module.replaceChild", { name, module }, { name: "text", module: MODULE });
		for (const { name: here, part, container, key } of placesIn(this.holder)) {
			if (here !== name || !(part instanceof Module)) continue;
			if (container instanceof Map) container.set(key, module);
			else (container as Record<string, Module>)[String(key)] = module;
			return;
		}
		throw new ValueError("module/child", `Module.replaceChild: ${this.constructor.name} has no module ${name}`, {
			path: this.path,
			hint: "children() lists them",
		});
	}

	/** What holds the parts: the fields. A subclass may name another container, as `ModuleList` does. */
	protected get holder(): object {
		return this;
	}

	/**
	 * This module and all below it, depth first, with their paths; `prefix` is the path of this one.
	 * @throws ValueError for a module that stands in two places.
	 */
	*namedModules(prefix = ""): Generator<[string, Module]> {
		expects("Module.namedModules", { prefix }, { prefix: "text" });
		yield* this.#walk("Module.namedModules", prefix, new Map());
	}

	*#walk(op: string, path: string, seen: Map<Module, string>): Generator<[string, Module]> {
		const other = seen.get(this);
		if (other !== undefined) {
			throw new ValueError("module/twice", `${op}: one ${this.constructor.name} stands at "${other}" and at "${path}"`, {
				op,
				hint: "make two modules; to share a weight, let both hold the same Parameter",
			});
		}
		seen.set(this, path);
		yield [path, this];
		for (const [name, child] of this.children()) yield* child.#walk(op, join(path, name), seen);
	}

	/**
	 * Every parameter from here downwards by path, each once; a tied one under its first.
	 * @throws ValueError for a module that stands in two places.
	 */
	*namedParameters(prefix = ""): Generator<[string, Parameter]> {
		expects("Module.namedParameters", { prefix }, { prefix: "text" });
		const seen = new Set<Parameter>();
		for (const [path, module] of this.#walk("Module.namedParameters", prefix, new Map())) {
			for (const [name, parameter] of module.parametersHere()) {
				if (seen.has(parameter)) continue;
				seen.add(parameter);
				yield [join(path, name), parameter];
			}
		}
	}

	/** The parameters that training changes, by path: those that are not frozen. What an optimiser takes. */
	trainableParameters(): Map<string, Parameter> {
		return new Map([...this.namedParameters()].filter(([, p]) => p.trainable));
	}

	/**
	 * Every tensor that the forward pass may read: parameters, in all their parts, and buffers, each once. Those without values are
	 * left out. The privacy engine of `@hushgrad/dp` declares them public.
	 */
	*stateTensors(): Generator<Tensor> {
		const seen = new Set<unknown>();
		for (const [, module] of this.namedModules()) {
			for (const { part } of placesIn(module.holder)) {
				if (seen.has(part)) continue;
				seen.add(part);
				if (part instanceof Parameter) yield* part.tensors();
				else if (part instanceof ModuleBuffer && part.hasValue) yield part.value;
			}
		}
	}

	/**
	 * Tells every module and parameter its path, with this module as the root.
	 * @throws ValueError for a module that stands in two places.
	 */
	namePaths(): void {
		for (const [path, module] of this.namedModules()) {
			module.path = path;
			module.#root = this;
		}
		for (const [path, parameter] of this.namedParameters()) parameter.name = path;
	}

	/** Freezes every parameter from here downwards. */
	freeze(): void {
		for (const [, parameter] of this.namedParameters()) parameter.trainable = false;
	}

	/**
	 * Releases the GPU memory of the parameters and buffers from here downwards; they are as before they had values.
	 * @throws ValueError while an optimiser holds one of them; then nothing is released.
	 */
	dispose(): void {
		for (const [, parameter] of this.namedParameters()) parameter.checkFree("Module.dispose");
		for (const [, part] of [...this.parametersHere(), ...this.buffersHere(), ...this.children()]) part.dispose();
	}

	/** What stands between the parentheses when a module without children is printed. */
	extraRepr(): string {
		return "";
	}

	#parts<T extends Part>(is: (part: Part) => part is T): [string, T][] {
		return [...placesIn(this.holder)].flatMap(({ name, part }): [string, T][] => (is(part) ? [[name, part]] : []));
	}

	/** The module tree, as PyTorch prints it; runs of equal neighbours share a line. */
	toString(): string {
		const children = this.children();
		const head = `${this.constructor.name}(`;
		if (children.length === 0) return `${head}${this.extraRepr()})`;
		const lines = groupEqual(children.map(([name, child]) => [name, child.toString()])).map(([name, text]) => `(${name}): ${text}`);
		return `${head}\n${lines.map((l) => l.replace(/^/gm, "  ")).join("\n")}\n)`;
	}

	/** What `console.log` shows: the tree, and how many parameters it has. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return countParameters(this).all === 0 ? `${this}` : `${this}\n${trainableParametersLine(this)}`;
	}

	/** What a notebook shows: the tree. */
	[Symbol.for("Jupyter.display")](): { readonly "text/plain": string } {
		return { "text/plain": `${this}` };
	}
}

/** What is a `Module`, and a list of them. */
export const MODULE: Kind = instanceOf(Module, "a Module");
const MODULES: Kind = [(v) => Array.isArray(v) && v.every(MODULE[0]), "a list of Modules"];

/** Joins runs of equal neighbours into one line, "(0-25): 26 x Block(". */
function groupEqual(entries: [string, string][]): [string, string][] {
	const groups: { first: string; last: string; text: string; count: number }[] = [];
	for (const [name, text] of entries) {
		const last = groups.at(-1);
		if (last !== undefined && last.text === text && /^\d+$/.test(name)) {
			last.last = name;
			last.count++;
		} else groups.push({ first: name, last: name, text, count: 1 });
	}
	return groups.map(({ first, last, text, count }) => (count === 1 ? [first, text] : [`${first}-${last}`, `${count} x ${text}`]));
}

/** Modules by number, as in `layers.0`: torch's ModuleList. It has no `forward`. */
export class ModuleList<M extends Module = Module> extends Module {
	/** The modules, in order. */
	readonly items: readonly M[];

	/** The array is held, not copied. */
	constructor(items: readonly M[]) {
		super();
		expects("ModuleList", { items }, { items: MODULES });
		this.items = items;
	}

	protected override get holder(): object {
		return this.items;
	}
}

const join = (prefix: string, name: string): string => (prefix === "" ? name : `${prefix}.${name}`);

/** What a module is made of. */
type Part = Module | Parameter | ModuleBuffer;

/** A part, and where it stands. */
interface Place {
	readonly name: string;
	readonly part: Part;
	readonly container: object;
	readonly key: unknown;
}

/** The parts in a container, those in arrays, maps and plain objects below it included. */
function* placesIn(container: object, prefix = "", seen = new Set<unknown>()): Generator<Place> {
	const isList = Array.isArray(container) || container instanceof Map;
	for (const [key, value] of isList ? container.entries() : Object.entries(container)) {
		const name = join(prefix, String(key));
		if (value instanceof Module || value instanceof Parameter || value instanceof ModuleBuffer) yield { name, part: value, container, key };
		else if (isContainer(value) && !seen.has(value)) yield* placesIn(value, name, seen.add(value));
	}
}

export const isContainer = (value: unknown): value is object =>
	Array.isArray(value) ||
	value instanceof Map ||
	(typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype);

/** The device of the first tensor among the arguments, or in arrays and plain objects of them. */
function deviceOf(args: readonly unknown[]): Device | undefined {
	for (const arg of args) for (const t of arg instanceof Tensor ? [arg] : tensorsIn(arg)) return t.device;
	return undefined;
}

/** Numbers of elements of a model, as `countParameters` finds them. */
export interface ParameterCount {
	/** Elements of parameters that are not frozen. */
	readonly trainable: number;
	/** Elements of all parameters. */
	readonly all: number;
}

/** Counts the elements of the parameters: quantised weights by the weights that they stand for, tied ones once; no buffers. */
export function countParameters(model: Module): ParameterCount {
	expects("countParameters", { model }, { model: MODULE });
	let trainable = 0;
	let all = 0;
	for (const [, p] of model.namedParameters()) {
		all += p.size;
		if (p.trainable) trainable += p.size;
	}
	return { trainable, all };
}

/** The line peft prints: `trainable params: 6,842,368 || all params: 1,045,583,488 || trainable%: 0.6544`. */
export function trainableParametersLine(model: Module): string {
	expects("trainableParametersLine", { model }, { model: MODULE });
	const { trainable, all } = countParameters(model);
	const n = (v: number) => v.toLocaleString("en-US");
	return `trainable params: ${n(trainable)} || all params: ${n(all)} || trainable%: ${((100 * trainable) / all).toFixed(4)}`;
}

/** Prints `trainableParametersLine` to the console: peft's print_trainable_parameters. */
export function printTrainableParameters(model: Module): void {
	expects("printTrainableParameters", { model }, { model: MODULE });
	console.log(trainableParametersLine(model));
}
