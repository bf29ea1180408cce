/**
 * The records of one program that `vmap` runs: how many there are. The object itself is their identity, so that tensors
 * of two programs never meet, however many records each has.
 */
export class Records {
	readonly count: number;

	constructor(count: number) {
		this.count = count;
	}
}

/** What a gradient must look like: its shape, and whether it is one for each record or one for all. */
export interface OperandShape {
	readonly shape: readonly number[];
	readonly records: Records | undefined;
}

/** Whether a value is an object literal, whose fields may hold tensors. */
export const isPlainObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
	value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
