import type { Device } from "./device.ts";
import { bytesPerElement, type DType } from "./dtype.ts";
import { DisposedError } from "./errors.ts";
import type { Records } from "./records.ts";
import { contiguousStrides, type Shape, showShape, sizeOf } from "./shape.ts";
import type { Storage } from "./storage.ts";
import type { TapeNode } from "./tape.ts";

/** Where the elements lie, and what the tensor takes part in. For authors of ops: `insideOf`. */
export interface Inside {
	readonly storage: Storage;
	readonly strides: Shape;
	readonly offset: number;
	/** The records of the program that the tensor belongs to, and the elements from one record to the next. */
	readonly records: Records | undefined;
	readonly recordStride: number;
	/** Set while a gradient is being traced. */
	readonly node: TapeNode | undefined;
}

/** What a new handle is made of; row-major, one for all records and untraced where left out. */
export interface Making extends Partial<Inside> {
	readonly storage: Storage;
	readonly shape: Shape;
}

/** Reads what a tensor keeps to itself. @throws DisposedError after its release. */
export let insideOf: (tensor: Tensor) => Inside;

/** The tape node of a tensor, released or not. */
export let nodeOf: (tensor: Tensor) => TapeNode | undefined;

/**
 * An immutable n-dimensional array on a device. Inside `vmap` it may stand for one array a record; then `shape` is that
 * of one of them, and nothing that a program can say names another. Frozen, its shape included: a longer one would reach
 * into the next record.
 */
export class Tensor {
	readonly device: Device;
	readonly dtype: DType;
	readonly shape: Shape;
	readonly #inside: Inside;
	#disposed = false;

	static {
		insideOf = (t) => t.#alive();
		nodeOf = (t) => t.#inside.node;
		Object.freeze(Tensor.prototype);
	}

	/** Takes over one ownership of the storage. Made by the library, not by users. */
	constructor(device: Device, dtype: DType, { storage, shape, strides, offset = 0, records, recordStride = 0, node }: Making) {
		this.device = device;
		this.dtype = dtype;
		this.shape = Object.freeze(shape);
		this.#inside = { storage, strides: strides ?? contiguousStrides(shape), offset, records, recordStride, node };
		Object.freeze(this);
	}

	/** What was made by this class, and nothing that only looks so. */
	static [Symbol.hasInstance](value: unknown): value is Tensor {
		return typeof value === "object" && value !== null && #inside in value;
	}

	get rank(): number {
		return this.shape.length;
	}

	/** Number of elements. */
	get size(): number {
		return sizeOf(this.shape);
	}

	get bytes(): number {
		return this.size * bytesPerElement[this.dtype];
	}

	get disposed(): boolean {
		return this.#disposed;
	}

	/** Gives up this handle; the memory returns to the pool when no handle, view or tape needs it. */
	dispose(): void {
		if (this.#disposed) return;
		this.#disposed = true;
		this.#inside.storage.release();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	toString(): string {
		const { records } = this.#inside;
		return `Tensor(${this.dtype} ${showShape(this.shape)}${records === undefined ? "" : `, one of ${records.count} records`})`;
	}

	#alive(): Inside {
		if (!this.#disposed) return this.#inside;
		throw new DisposedError("tensor/disposed", `this tensor ${showShape(this.shape)} was released`, {
			hint: "a scope ended; return the tensor from the scope, or pass it through device.keep",
		});
	}
}
