import { bytesPerElement, type DType } from "./dtype.ts";
import type { Runtime } from "./runtime.ts";
import { broadcastStrides, contiguousStrides, isContiguous, type Shape, sizeOf } from "./shape.ts";
import type { Storage } from "./storage.ts";

/** Where a view lies in its storage, in elements. Strides are row-major and the offset 0 where left out. */
export interface Place {
	readonly shape: Shape;
	readonly strides?: Shape | undefined;
	readonly offset?: number | undefined;
}

/**
 * What a kernel sees of a tensor: a strided view of storage. Axis 0 is the record axis, of extent 1 where nobody has
 * records and of stride 0 where all records share one value; a program for one record cannot address it, a kernel walks
 * it like any other. A view has no tape and owns nothing.
 */
export class Physical {
	readonly runtime: Runtime;
	readonly storage: Storage;
	readonly dtype: DType;
	readonly shape: Shape;
	readonly strides: Shape;
	readonly offset: number;

	constructor(runtime: Runtime, storage: Storage, dtype: DType, { shape, strides, offset = 0 }: Place) {
		this.runtime = runtime;
		this.storage = storage;
		this.dtype = dtype;
		this.shape = shape;
		this.strides = strides ?? contiguousStrides(shape);
		this.offset = offset;
	}

	get rank(): number {
		return this.shape.length;
	}

	/** Number of elements, those of all records together. */
	get size(): number {
		return sizeOf(this.shape);
	}

	get bytes(): number {
		return this.size * bytesPerElement[this.dtype];
	}

	/** Whether the elements of all records lie in row-major order without gaps. */
	get isContiguous(): boolean {
		return isContiguous(this.shape, this.strides);
	}

	/** Another view of the same storage. */
	view({ shape, strides, offset = this.offset }: Place): Physical {
		return new Physical(this.runtime, this.storage, this.dtype, { shape, strides, offset });
	}

	/** The elements of a contiguous view in order, in parts that each fit one storage binding: one for most. */
	get pieces(): Physical[] {
		const { maxStorageBufferBindingSize } = this.runtime.gpu.limits;
		if (this.bytes <= maxStorageBufferBindingSize) return [this];
		const most = Math.floor(maxStorageBufferBindingSize / bytesPerElement[this.dtype] / 256 - 1) * 256;
		return Array.from({ length: Math.ceil(this.size / most) }, (_, i) =>
			this.view({ shape: [Math.min(most, this.size - i * most)], offset: this.offset + i * most }),
		);
	}

	/** The axes in another order; record axis included. */
	permute(order: readonly number[]): Physical {
		return this.view({ shape: order.map((a) => this.shape[a]), strides: order.map((a) => this.strides[a]) });
	}

	/** The last two axes swapped. */
	transpose(): Physical {
		const order = this.shape.map((_, i) => i);
		order.push(...order.splice(-2, 1));
		return this.permute(order);
	}

	/** Axes of extent 1 repeated, and new axes, both without memory. `shape` is aligned at the last axis. */
	broadcast(shape: Shape): Physical {
		return this.view({ shape, strides: broadcastStrides(this.shape, this.strides, shape) });
	}

	/** Axes of extent 1 put in behind the record axis until the rank is `rank`: what numpy's broadcasting does to visible axes. */
	lift(rank: number): Physical {
		const ones = new Array<number>(rank - this.rank).fill(1);
		if (ones.length === 0) return this;
		const [records, ...shape] = this.shape;
		const [stride, ...strides] = this.strides;
		return this.view({ shape: [records, ...ones, ...shape], strides: [stride, ...ones.map(() => 0), ...strides] });
	}
}
