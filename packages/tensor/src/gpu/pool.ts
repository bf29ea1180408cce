import { DeviceError } from "../errors.ts";
import { BufferUsage } from "./flags.ts";

/** A GPU buffer with an identity that bind-group keys can use. */
export interface PooledBuffer {
	readonly id: number;
	readonly gpu: GPUBuffer;
	readonly bytes: number;
	/** The recorder's epoch in which commands last referred to it. */
	usedIn: number;
}

export interface MemoryReport {
	/** Bytes of buffers that tensors own now. */
	readonly liveBytes: number;
	/** Number of buffers that tensors own now. */
	readonly liveBuffers: number;
	/** The most `liveBytes` ever reached. */
	readonly peakBytes: number;
	/** Bytes of all buffers created, the idle ones in the pool included. */
	readonly heldBytes: number;
	/** Number of all buffers created and not destroyed. */
	readonly heldBuffers: number;
}

/** Eight size classes an octave, so that rounding wastes at most an eighth. */
export function sizeClass(bytes: number): number {
	if (bytes <= 1024) return Math.max(256, Math.ceil(bytes / 256) * 256);
	const step = 2 ** (Math.floor(Math.log2(bytes)) - 3);
	return Math.ceil(bytes / step) * step;
}

/** Last-in, first-out pool of storage buffers, one list a size class. */
export class BufferPool {
	readonly #device: GPUDevice;
	readonly #budget: number;
	readonly #idle = new Map<number, PooledBuffer[]>();
	#nextId = 0;
	#liveBytes = 0;
	#liveBuffers = 0;
	#peakBytes = 0;
	#heldBytes = 0;
	#heldBuffers = 0;

	constructor(device: GPUDevice, budget: number) {
		this.#device = device;
		this.#budget = budget;
	}

	acquire(bytes: number): PooledBuffer {
		const size = sizeClass(bytes);
		if (size > this.#device.limits.maxBufferSize) {
			throw new DeviceError("device/buffer-limit", `a buffer of ${bytes} bytes exceeds the device's limit`, {
				hint: `maxBufferSize is ${this.#device.limits.maxBufferSize}; split the tensor`,
			});
		}
		const buffer = this.#idle.get(size)?.pop() ?? this.#create(size);
		this.#liveBytes += size;
		this.#liveBuffers++;
		this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes);
		return buffer;
	}

	release(buffer: PooledBuffer): void {
		this.#liveBytes -= buffer.bytes;
		this.#liveBuffers--;
		const list = this.#idle.get(buffer.bytes);
		if (list === undefined) this.#idle.set(buffer.bytes, [buffer]);
		else list.push(buffer);
	}

	/** Destroys every idle buffer. The caller must have submitted the commands that refer to them. */
	trim(): void {
		for (const list of this.#idle.values()) {
			for (const buffer of list) {
				buffer.gpu.destroy();
				this.#heldBytes -= buffer.bytes;
				this.#heldBuffers--;
			}
		}
		this.#idle.clear();
	}

	report(): MemoryReport {
		return {
			liveBytes: this.#liveBytes,
			liveBuffers: this.#liveBuffers,
			peakBytes: this.#peakBytes,
			heldBytes: this.#heldBytes,
			heldBuffers: this.#heldBuffers,
		};
	}

	#create(size: number): PooledBuffer {
		if (this.#heldBytes + size > this.#budget) {
			throw new DeviceError(
				"device/budget",
				`${size} more bytes would exceed the memory budget of ${this.#budget} bytes (${this.#heldBytes} held)`,
				{ hint: "use a smaller physical batch or model, or raise memoryBudget in requestDevice" },
			);
		}
		const gpu = this.#device.createBuffer({
			size,
			usage: BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST,
		});
		this.#heldBytes += size;
		this.#heldBuffers++;
		return { id: this.#nextId++, gpu, bytes: size, usedIn: -1 };
	}
}
