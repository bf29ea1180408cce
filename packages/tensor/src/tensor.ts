/// <reference lib="esnext.disposable" preserve="true" />

import type { Device } from "./device.ts";
import { bytesPerElement, type DType } from "./dtype.ts";
import { DeviceError, DisposedError, ValueError } from "./errors.ts";
import type { Records } from "./records.ts";
import { contiguousStrides, type Shape, showShape, sizeOf } from "./shape.ts";
import { Claim, type Storage } from "./storage.ts";
import type { TapeNode } from "./tape.ts";

/** Where the elements lie, and what the tensor takes part in. For authors of ops: `insideOf`. */
export interface Inside {
	/** The memory, shared with views and further handles. */
	readonly storage: Storage;
	/** Elements from one entry of each axis to the next, and the number of the first element. */
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

/**
 * Reads what a tensor keeps to itself: where its elements lie, its records, its place on the tape. For authors; what they read
 * of one record's tensor is theirs to keep apart; `op` names the caller in the error. @throws DisposedError after its release.
 */
export let insideOf: (tensor: Tensor, op?: string) => Inside;

/** The tape node of a tensor, released or not. */
export let nodeOf: (tensor: Tensor) => TapeNode | undefined;

/** A handle's ownership of its memory. */
export let claimOf: (tensor: Tensor) => Claim;

/**
 * What tensors inherit from. Empty: `@hushgrad/tensor/methods` fills it, once, and freezes it. Nothing in here can stand before
 * the fields and getters of a tensor, which are its own.
 */
export const inherited: object = {};

/**
 * Refuses what is no device or tensor of this copy of the library: private fields are not shared between two.
 * @throws ValueError (`call/argument`) for anything else; DeviceError (`device/two-copies`).
 */
export function foreign(what: "device" | "tensor", value: unknown): never {
	const isLike = typeof value === "object" && value !== null && (what === "tensor" ? "dtype" : "gpu") in value;
	if (!isLike || Object.getPrototypeOf(value) === Object.prototype || value instanceof Tensor) {
		const kind = typeof value === "object" && value !== null ? "an object of another kind" : `${typeof value} ${String(value)}`;
		throw new ValueError("call/argument", `expected a ${what}, got ${kind}`);
	}
	throw new DeviceError("device/two-copies", `this ${what} belongs to another copy of @hushgrad/tensor`, {
		hint: "npm ls @hushgrad/tensor shows the copies that are installed; npm dedupe leaves one",
	});
}

/**
 * An immutable n-dimensional array on a device. Inside `vmap` it may stand for one array a record; then `shape` is that
 * of one of them, and nothing that a program can say names another. Frozen, its shape included: a longer one would reach
 * into the next record.
 *
 * A tensor is a handle of memory that views may share. It is released by the scope that owns it, by `dispose`, or by
 * `using x = ...`; outside of every scope also some time after its handle was collected as garbage. Its values change only through `write`, `assign`, `replay` and operations
 * in place.
 */
export class Tensor {
	/** The device it lives on; operands of one operation share it. */
	readonly device: Device;
	/** Element type. */
	readonly dtype: DType;
	/** Extents of the axes, frozen; inside `vmap` those of one record. */
	readonly shape: Shape;
	readonly #inside: Inside;
	readonly #claim: Claim;

	static {
		const isOwn = (t: unknown): boolean => typeof t === "object" && t !== null && #inside in t;
		insideOf = (t, op) => (isOwn(t) ? t.#alive(op) : foreign("tensor", t));
		nodeOf = (t) => (isOwn(t) ? t.#inside.node : foreign("tensor", t));
		claimOf = (t) => (isOwn(t) ? t.#claim : foreign("tensor", t));
		Object.freeze(Object.setPrototypeOf(Tensor.prototype, inherited));
	}

	/** Takes over one ownership of the storage. Made by the library, not by users. */
	constructor(device: Device, dtype: DType, { storage, shape, strides, offset = 0, records, recordStride = 0, node }: Making) {
		this.device = device;
		this.dtype = dtype;
		this.shape = Object.freeze(shape);
		this.#inside = { storage, strides: strides ?? contiguousStrides(shape), offset, records, recordStride, node };
		this.#claim = new Claim(storage);
		Object.freeze(this);
	}

	/** What was made by this class, and nothing that only looks so. */
	static [Symbol.hasInstance](value: unknown): value is Tensor {
		return typeof value === "object" && value !== null && #inside in value;
	}

	/** Number of axes; 0 for a scalar. */
	get rank(): number {
		return (this.shape ?? foreign("tensor", this)).length;
	}

	/** Number of elements: the product of the extents. */
	get size(): number {
		return sizeOf(this.shape ?? foreign("tensor", this));
	}

	/** Bytes of its elements. Views and repeated axes count in full; the buffer may be larger: see `device.memory()`. */
	get bytes(): number {
		return this.size * bytesPerElement[this.dtype];
	}

	/** Whether this handle was released; every use then throws a DisposedError (`tensor/disposed`). */
	get disposed(): boolean {
		return this.#claim.released;
	}

	/**
	 * Gives up this handle; the memory returns to the pool when no handle, view or tape needs it. A second call does nothing.
	 * Kernels that were recorded before still run.
	 */
	dispose(): void {
		this.#claim.release();
	}

	/** `dispose`, for `using`. */
	[Symbol.dispose](): void {
		this.dispose();
	}

	/** Element type and shape for error texts and logs, such as "Tensor(f32 [2, 3])"; no values. */
	toString(): string {
		if (!(#inside in this)) return "no Tensor";
		const { records } = this.#inside;
		const each = records === undefined ? "" : `, one of ${records.count} records`;
		return `Tensor(${this.dtype} ${showShape(this.shape)}${each}${this.disposed ? ", released" : ""})`;
	}

	/** What `console.log` shows: as `toString`, and the device. Values are on the device; `print` reads them. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return `${this} on ${this.device}`;
	}

	/** What a notebook shows: the same. */
	[Symbol.for("Jupyter.display")](): { readonly "text/plain": string } {
		return { "text/plain": `${this} on ${this.device}` };
	}

	#alive(op: string | undefined): Inside {
		if (!this.#claim.released) return this.#inside;
		throw released(op === undefined ? "this tensor" : `${op}: a tensor`, this, op);
	}
}

/** The error of the use of a released tensor, which `what` names. */
export const released = (what: string, { shape }: Tensor, op?: string): DisposedError =>
	new DisposedError("tensor/disposed", `${what} ${showShape(shape)} was released`, {
		op,
		hint: "a scope ended; return the tensor from the scope, or pass it through device.keep",
	});
