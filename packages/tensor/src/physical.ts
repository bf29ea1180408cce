import { bytesPerElement, type DType } from "./dtype.ts";
import type { Runtime } from "./runtime.ts";
import { broadcastStrides, contiguousStrides, isContiguous, type Shape, sizeOf } from "./shape.ts";
import type { Storage } from "./storage.ts";

/** Where a view lies in its storage, in elements of its type, not bytes. */
export interface Place {
	/** Extents, the record axis first. */
	readonly shape: Shape;
	/** Elements from one entry of each axis to the next; 0 repeats one entry. Row-major without gaps when left out. */
	readonly strides?: Shape | undefined;
	/** Number of the first element. When left out: 0, and of `Physical.view` that of the view it is called on. */
	readonly offset?: number | undefined;
}

/**
 * What a kernel sees of a tensor: a strided view of storage. Axis 0 is the record axis, of extent 1 where nobody has
 * records and of stride 0 where all records share one value; a program for one record cannot address it, a kernel walks
 * it like any other. A view has no tape and owns nothing: what `forward` makes lives until the operation has run, and what
 * it returns becomes a tensor.
 */
export class Physical {
	/** The device's working parts: `x.runtime.empty(...)` makes the memory of a result. */
	readonly runtime: Runtime;
	/** The memory, shared with other views. */
	readonly storage: Storage;
	/** Element type. */
	readonly dtype: DType;
	/** Extents: the records, then the visible axes. */
	readonly shape: Shape;
	/** Elements from one entry of each axis to the next, record axis included. 0 along what is repeated. */
	readonly strides: Shape;
	/** Number of the first element in the storage. The accessors of a kernel add it. */
	readonly offset: number;

	static {
		Object.freeze(Physical.prototype);
	}

	/** A view of memory that exists: nothing is allocated, nothing checked against its size. */
	constructor(runtime: Runtime, storage: Storage, dtype: DType, { shape, strides, offset = 0 }: Place) {
		this.runtime = runtime;
		this.storage = storage;
		this.dtype = dtype;
		this.shape = shape;
		this.strides = strides ?? contiguousStrides(shape);
		this.offset = offset;
	}

	/** Number of axes, record axis included: one more than the tensor shows. */
	get rank(): number {
		return this.shape.length;
	}

	/** Number of elements, those of all records together. */
	get size(): number {
		return sizeOf(this.shape);
	}

	/** Bytes of `size` elements; repeated ones count each time. */
	get bytes(): number {
		return this.size * bytesPerElement[this.dtype];
	}

	/** Whether the elements of all records lie in row-major order without gaps. */
	get isContiguous(): boolean {
		return isContiguous(this.shape, this.strides);
	}

	/** Another view of the same storage, row-major without gaps and from this offset where left out. */
	view({ shape, strides, offset = this.offset }: Place): Physical {
		return new Physical(this.runtime, this.storage, this.dtype, { shape, strides, offset });
	}

	/**
	 * The elements of a contiguous view in order, as flat views [n] that each fit one storage binding (on many devices 128 MiB);
	 * the view itself where it fits, as most do. Element-wise kernels run once a part.
	 */
	get pieces(): Physical[] {
		const { maxStorageBufferBindingSize } = this.runtime.gpu.limits;
		if (this.bytes <= maxStorageBufferBindingSize) return [this];
		const most = Math.floor(maxStorageBufferBindingSize / bytesPerElement[this.dtype] / 256 - 1) * 256;
		return Array.from({ length: Math.ceil(this.size / most) }, (_, i) =>
			this.view({ shape: [Math.min(most, this.size - i * most)], offset: this.offset + i * most }),
		);
	}

	/** The axes in another order, record axis included: axis i of the result is axis order[i]. */
	permute(order: readonly number[]): Physical {
		return this.view({ shape: order.map((a) => this.shape[a]), strides: order.map((a) => this.strides[a]) });
	}

	/** The last two axes swapped; the view must have two behind the record axis. */
	transpose(): Physical {
		const order = this.shape.map((_, i) => i);
		order.push(...order.splice(-2, 1));
		return this.permute(order);
	}

	/**
	 * Axes of extent 1 repeated, and new axes in front, both with stride 0 and so without memory. `shape` is aligned at the last
	 * axis and must fit: nothing is checked. Call `lift` first where operands differ in rank, or records would meet other axes.
	 */
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
