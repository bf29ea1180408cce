import { ValueError } from "../errors.ts";
import { Physical } from "../physical.ts";
import type { Runtime } from "../runtime.ts";
import type { Grid } from "./commands.ts";
import type { KernelSpec, ParamType } from "./kernel.ts";

const isOf = (type: ParamType, value: unknown): boolean =>
	typeof value === "number" &&
	(type === "f32" ||
		(Number.isInteger(value) && (type === "u32" ? value >= 0 && value < 2 ** 32 : value >= -(2 ** 31) && value < 2 ** 31)));

/**
 * A kernel with its names, made by `defineKernel`: what it is called with is checked by the compiler, and again when it runs.
 * Each device compiles it at its first run.
 */
export class Kernel<P extends string = string, B extends string = string> {
	/** Its name in errors, profiles and debug output; of a family, with the variant: "copy/f32/f16/2". */
	readonly key: string;
	/** Its definition. */
	readonly spec: KernelSpec<P, B>;
	readonly #buffers: readonly B[];
	readonly #params: readonly P[];
	readonly #types: readonly ParamType[];

	static {
		Object.freeze(Kernel.prototype);
	}

	constructor(key: string, spec: KernelSpec<P, B>) {
		this.key = key;
		this.spec = Object.freeze(spec);
		this.#buffers = Object.keys(spec.buffers) as B[];
		this.#params = Object.keys(spec.params) as P[];
		this.#types = Object.values(spec.params);
		Object.freeze(this);
	}

	/**
	 * Records one run, on the device of the views; it happens in the order of the calls. `grid` is the least number of
	 * invocations, rounded up to whole workgroups, or the workgroups on each axis; 0 runs nothing. `flops` is the number of
	 * floating-point operations, for profiles. Views are bound as they are: strides are the kernel's to follow.
	 * @throws ValueError for a name that is missing or not the kernel's, a number that is not of its type, views of two devices
	 * (`kernel/names`), and a buffer that is written and given under another name too (`kernel/overlap`); DTypeError for another
	 * element type; ShapeError for more than 65535 workgroups on an axis of a grid; DeviceError for a view larger than one
	 * binding, and when the device was lost or reported an error; PrivacyError where a private program may not touch a view.
	 */
	run(buffers: Readonly<Record<B, Physical>>, params: Readonly<Record<P, number>>, grid: number | Grid, flops?: number): void {
		const views: Physical[] = [];
		const numbers: number[] = [];
		for (const name of this.#buffers) views.push(buffers[name]);
		for (const name of this.#params) numbers.push(params[name]);
		let isRight = countNames(buffers) === views.length && countNames(params) === numbers.length;
		for (const v of views) isRight &&= v instanceof Physical && v.runtime === views[0].runtime;
		for (let i = 0; i < numbers.length; i++) isRight &&= isOf(this.#types[i], numbers[i]);
		if (!isRight) throw this.#fault(buffers, params);
		views[0].runtime.run(this, views, numbers, grid, { flops });
	}

	/** The error of a call with wrong names or values. */
	#fault(views: Readonly<Record<string, unknown>>, numbers: Readonly<Record<string, unknown>>): ValueError {
		const { key, spec } = this;
		const faults: string[] = [];
		let runtime: Runtime | undefined;
		for (const name of this.#buffers) {
			const view = views[name];
			if (!(view instanceof Physical)) faults.push(`buffer ${name} is ${view === undefined ? "missing" : `${view}, not a view`}`);
			else if (runtime !== undefined && view.runtime !== runtime) faults.push(`buffer ${name} lives on another device`);
			else runtime = view.runtime;
		}
		for (const name of this.#params) {
			const [type, value] = [spec.params[name], numbers[name]];
			if (!isOf(type, value)) faults.push(`number ${name} is ${value === undefined ? "missing" : `${value}, expected ${type}`}`);
		}
		for (const name in views) if (!Object.hasOwn(spec.buffers, name)) faults.push(`it has no buffer ${name}`);
		for (const name in numbers) if (!Object.hasOwn(spec.params, name)) faults.push(`it has no number ${name}`);
		const hint = `it has buffers ${this.#buffers.join(", ")} and numbers ${this.#params.join(", ")}`;
		return new ValueError("kernel/names", `kernel ${key}: ${faults.join(", ")}`, { op: key, hint });
	}
}

function countNames(object: object): number {
	let count = 0;
	for (const _ in object) count++;
	return count;
}

/** What tells the kernels of a family apart: element types, modes, ranks. */
export type Variant = Readonly<Record<string, string | number | boolean>>;

/** A text that no variant with other names or values has. */
function textOf(names: readonly string[], variant: Variant): string {
	let text = "";
	for (const name of names) {
		const value = variant[name];
		text += typeof value === "string" ? `${name}=${value.length}:${value};` : `${name}=${value};`;
	}
	return text;
}

/**
 * Kernels that are made from one text, by `defineKernel` with a function. Each is made once, and named by the family and its
 * variant.
 */
export class KernelFamily<V extends Variant = Variant, P extends string = string, B extends string = string> {
	/** Its name, with which the keys of its kernels begin. */
	readonly name: string;
	/** Compared as methods are, so that families of all variants fit in one list. */
	readonly #make: { of(variant: V): KernelSpec<P, B> }["of"];
	/** By the text of the variant, with its names as they were given and in their own order. */
	readonly #made = new Map<string, Kernel<P, B>>();

	static {
		Object.freeze(KernelFamily.prototype);
	}

	constructor(name: string, make: (variant: V) => KernelSpec<P, B>) {
		this.name = name;
		this.#make = make;
		Object.freeze(this);
	}

	/** The kernels made so far, by any device. */
	get made(): readonly Kernel<P, B>[] {
		return [...new Set(this.#made.values())];
	}

	/** The kernel of a variant, made at the first call, which gives it its name; the order of the values' names does not matter. */
	of(variant: V): Kernel<P, B> {
		const names = Object.keys(variant);
		const asGiven = textOf(names, variant);
		const known = this.#made.get(asGiven);
		if (known !== undefined) return known;
		const identity = textOf(names.sort(), variant);
		let kernel = this.#made.get(identity);
		if (kernel === undefined) {
			const values = Object.entries(variant).filter(([, value]) => value !== false);
			const key = [this.name, ...values.map(([name, value]) => (value === true ? name : value))].join("/");
			kernel = new Kernel(key, this.#make(variant));
			this.#made.set(identity, kernel);
		}
		this.#made.set(asGiven, kernel);
		return kernel;
	}
}

/**
 * Defines a family of kernels by a function of the variant alone, such as `({ dtype }: { dtype: DType }) => ({ params, ... })`.
 * It is called with named views and numbers: `family.of({ dtype }).run({ x, y }, { n: x.size }, x.size)`. Nothing is compiled
 * before it runs. Export it, for `npm run kernels` and the tests to find it.
 */
export function defineKernel<V extends Variant, S extends KernelSpec>(
	name: string,
	make: (variant: V) => S,
): KernelFamily<V, Names<S["params"]>, Names<S["buffers"]>>;
/** Defines one kernel: `kernel.run({ x, y }, { n: x.size }, x.size)`. */
export function defineKernel<S extends KernelSpec>(name: string, spec: S): Kernel<Names<S["params"]>, Names<S["buffers"]>>;
export function defineKernel<V extends Variant>(name: string, spec: KernelSpec | ((variant: V) => KernelSpec)): Kernel | KernelFamily<V> {
	return typeof spec === "function" ? new KernelFamily(name, spec) : new Kernel(name, spec);
}

type Names<T> = keyof T & string;
