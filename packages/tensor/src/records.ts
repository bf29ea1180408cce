/**
 * The records of one program that `vmap` runs: how many there are. The object itself is their identity, so that tensors
 * of two programs never meet, however many records each has.
 */
export class Records {
	/** How many records there are, the padding of a batch included. */
	readonly count: number;

	constructor(count: number) {
		this.count = count;
	}
}

/** What a gradient must look like: its shape, and whether it is one for each record or one for all. */
export interface OperandShape {
	/** Shape of the operand: that of one record, where it has records. */
	readonly shape: readonly number[];
	/** The records that the operand has, and its gradient too; undefined where it is one for all. */
	readonly records: Records | undefined;
}

/** Whether a value is an object literal, whose fields may hold tensors. */
export const isPlainObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
	value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
