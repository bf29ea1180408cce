import type { Device } from "./device.ts";
import { bytesPerElement, type DType } from "./dtype.ts";
import { DisposedError } from "./errors.ts";
import { contiguousStrides, isContiguous, type Shape, showShape, sizeOf } from "./shape.ts";
import type { Storage } from "./storage.ts";
import type { TapeNode } from "./tape.ts";

export interface View {
	readonly shape: Shape;
	readonly strides?: Shape;
	readonly offset?: number;
	readonly perSample?: boolean;
}

/**
 * An immutable n-dimensional array on a device: a view (shape, strides and offset in elements) of shared storage.
 * `perSample` says that axis 0 is the sample axis: no operation may mix its entries. `node` is set while a gradient
 * is being traced.
 */
export class Tensor {
	readonly device: Device;
	readonly dtype: DType;
	readonly shape: Shape;
	readonly strides: Shape;
	readonly offset: number;
	readonly perSample: boolean;
	readonly node: TapeNode | undefined;
	readonly #storage: Storage;
	#disposed = false;

	/** Takes over one ownership of `storage`. Made by `Device` and by ops, not by users. */
	constructor(device: Device, storage: Storage, dtype: DType, view: View, node?: TapeNode) {
		this.device = device;
		this.#storage = storage;
		this.dtype = dtype;
		this.shape = view.shape;
		this.strides = view.strides ?? contiguousStrides(view.shape);
		this.offset = view.offset ?? 0;
		this.perSample = view.perSample ?? false;
		this.node = node;
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

	get isContiguous(): boolean {
		return isContiguous(this.shape, this.strides);
	}

	get disposed(): boolean {
		return this.#disposed;
	}

	get storage(): Storage {
		if (this.#disposed) {
			throw new DisposedError("tensor/disposed", `this tensor ${showShape(this.shape)} was released`, {
				hint: "a scope ended; return the tensor from the scope, or pass it through device.keep",
			});
		}
		return this.#storage;
	}

	/** A further handle on the same storage, owned by the current scope. */
	alias(view: Partial<View> = {}, node?: TapeNode): Tensor {
		const { shape = this.shape, perSample = this.perSample, offset = this.offset } = view;
		const strides = view.strides ?? (view.shape === undefined ? this.strides : contiguousStrides(shape));
		const storage = this.storage.retain();
		return this.device.track(new Tensor(this.device, storage, this.dtype, { shape, strides, offset, perSample }, node));
	}

	/** Gives up this handle; the memory returns to the pool when no handle, view or tape needs it. */
	dispose(): void {
		if (this.#disposed) return;
		this.#disposed = true;
		this.#storage.release();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	toString(): string {
		return `Tensor(${this.dtype} ${showShape(this.shape)}${this.perSample ? ", per sample" : ""})`;
	}
}
