import { HushgradError, Tensor } from "@hushgrad/tensor";
import { Parameter } from "./parameter.ts";

/**
 * Base of all layers. Fields that hold a Module or a Parameter are its children, and the field names are the names in
 * a checkpoint. Subclasses define `forward`; callers use `call`, which frees intermediate tensors and names the layer
 * in errors and reports.
 */
export abstract class Module {
	/** Where the module stands in its model, for error texts; set by `namePaths`. */
	path = "";

	/** Runs `forward` in a memory scope. */
	call<A extends readonly unknown[]>(this: Module & { forward(...args: A): Tensor }, ...args: A): Tensor {
		const device = args.find((a): a is Tensor => a instanceof Tensor)?.device;
		const run = (): Tensor => this.forward(...args);
		try {
			return device === undefined ? run() : device.within(this.path || this.constructor.name, () => device.scope<Tensor>(run));
		} catch (error) {
			if (error instanceof HushgradError) error.locate(this.path || this.constructor.name);
			throw error;
		}
	}

	/** Direct children by field name. */
	children(): [string, Module][] {
		return Object.entries(this).filter((e): e is [string, Module] => e[1] instanceof Module);
	}

	/** Parameters held directly, by field name. */
	parametersHere(): [string, Parameter][] {
		return Object.entries(this).filter((e): e is [string, Parameter] => e[1] instanceof Parameter);
	}

	/** Elements of frozen weights held directly in another form than Parameter (quantised). */
	packedElements(): number {
		return 0;
	}

	/** This module and all below it, with their paths. */
	*namedModules(prefix = ""): Generator<[string, Module]> {
		yield [prefix, this];
		for (const [name, child] of this.children()) yield* child.namedModules(prefix === "" ? name : `${prefix}.${name}`);
	}

	/** Every parameter by path, each once. */
	*namedParameters(): Generator<[string, Parameter]> {
		const seen = new Set<Parameter>();
		for (const [path, module] of this.namedModules()) {
			for (const [name, parameter] of module.parametersHere()) {
				if (seen.has(parameter)) continue;
				seen.add(parameter);
				yield [path === "" ? name : `${path}.${name}`, parameter];
			}
		}
	}

	/** The parameters that training changes, by path. */
	trainableParameters(): Map<string, Parameter> {
		return new Map([...this.namedParameters()].filter(([, p]) => p.trainable));
	}

	/** Tells every module its path. */
	namePaths(): void {
		for (const [path, module] of this.namedModules()) module.path = path;
	}

	/** Makes every parameter frozen. */
	freeze(): void {
		for (const [, parameter] of this.namedParameters()) parameter.trainable = false;
	}

	/** Releases the GPU memory of this module and all below it. */
	dispose(): void {
		for (const [, parameter] of this.parametersHere()) parameter.dispose();
		for (const [, child] of this.children()) child.dispose();
	}

	/** What stands between the parentheses when the module is printed. */
	extraRepr(): string {
		return "";
	}

	/** The module tree, as PyTorch prints it. */
	toString(): string {
		const children = this.children();
		const head = `${this.constructor.name}(`;
		if (children.length === 0) return `${head}${this.extraRepr()})`;
		const lines = groupEqual(children.map(([name, child]) => [name, child.toString()])).map(([name, text]) => `(${name}): ${text}`);
		return `${head}\n${lines.map((l) => l.replace(/^/gm, "  ")).join("\n")}\n)`;
	}
}

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

/** Modules by number, as in `layers.0`. */
export class ModuleList<M extends Module = Module> extends Module {
	readonly items: readonly M[];

	constructor(items: readonly M[]) {
		super();
		this.items = items;
	}

	override children(): [string, Module][] {
		return this.items.map((m, i) => [String(i), m]);
	}
}

export interface ParameterCount {
	readonly trainable: number;
	readonly all: number;
}

/** Counts elements, quantised weights by the number of weights they stand for, tied ones once. */
export function countParameters(model: Module): ParameterCount {
	let trainable = 0;
	let all = 0;
	for (const [, p] of model.namedParameters()) {
		all += p.size;
		if (p.trainable) trainable += p.size;
	}
	for (const [, m] of model.namedModules()) all += m.packedElements();
	return { trainable, all };
}

/** The line peft prints: `trainable params: 6,842,368 || all params: 1,045,583,488 || trainable%: 0.6544`. */
export function trainableParametersLine(model: Module): string {
	const { trainable, all } = countParameters(model);
	const n = (v: number) => v.toLocaleString("en-US");
	return `trainable params: ${n(trainable)} || all params: ${n(all)} || trainable%: ${((100 * trainable) / all).toFixed(4)}`;
}

export function printTrainableParameters(model: Module): void {
	console.log(trainableParametersLine(model));
}
