import type { Physical } from "../physical.ts";
import type { KernelSpec } from "./kernel.ts";
import type { Grid } from "./recorder.ts";

/** A kernel with its names: what it is called with is checked by the compiler, and again when it runs. */
export class Kernel<P extends string = string, B extends string = string> {
	readonly key: string;
	readonly spec: KernelSpec<P, B>;

	constructor(key: string, spec: KernelSpec<P, B>) {
		this.key = key;
		this.spec = spec;
	}

	/**
	 * Records one run. `grid` is a number of invocations, or of workgroups on each axis; `flops` is for reports.
	 * @throws ValueError for a name that is missing, not the kernel's, or given twice; DTypeError for another element type.
	 */
	run(buffers: Readonly<Record<B, Physical>>, params: Readonly<Record<P, number>>, grid: number | Grid, flops?: number): void {
		const [first] = Object.values<Physical>(buffers);
		first.runtime.run(this, buffers, params, grid, flops);
	}
}

/** What tells the kernels of a family apart: element types, modes, ranks. */
export type Variant = Readonly<Record<string, string | number | boolean>>;

/** Kernels that are made from one text. Each is made once, and named by the family and its variant. */
export class KernelFamily<V extends Variant = Variant, P extends string = string, B extends string = string> {
	readonly name: string;
	readonly #make: (variant: V) => KernelSpec<P, B>;
	readonly #made = new Map<string, Kernel<P, B>>();

	constructor(name: string, make: (variant: V) => KernelSpec<P, B>) {
		this.name = name;
		this.#make = make;
	}

	/** The kernel of a variant. */
	of(variant: V): Kernel<P, B> {
		let key = this.name;
		for (const name in variant) {
			const value: string | number | boolean = variant[name];
			if (value !== false) key += `/${value === true ? name : value}`;
		}
		let kernel = this.#made.get(key);
		if (kernel === undefined) {
			kernel = new Kernel(key, this.#make(variant));
			this.#made.set(key, kernel);
		}
		return kernel;
	}
}

/**
 * Defines a kernel, or a family of kernels by a function of the variant alone. It is called with named tensors and
 * numbers: `kernel.run({ x, y }, { n: x.size }, x.size)`.
 */
export function defineKernel<V extends Variant, S extends KernelSpec>(
	name: string,
	make: (variant: V) => S,
): KernelFamily<V, Names<S["params"]>, Names<S["buffers"]>>;
export function defineKernel<S extends KernelSpec>(name: string, spec: S): Kernel<Names<S["params"]>, Names<S["buffers"]>>;
export function defineKernel<V extends Variant>(name: string, spec: KernelSpec | ((variant: V) => KernelSpec)): Kernel | KernelFamily<V> {
	return typeof spec === "function" ? new KernelFamily(name, spec) : new Kernel(name, spec);
}

type Names<T> = keyof T & string;
