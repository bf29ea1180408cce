import { DeviceError } from "../errors.ts";
import { BufferUsage } from "./flags.ts";
import type { GPUBuffer, GPUDevice } from "./types.ts";

/** A GPU buffer with an identity that bind-group keys can use. */
export interface PooledBuffer {
	readonly id: number;
	readonly gpu: GPUBuffer;
	readonly bytes: number;
	/** The recorder's epoch in which commands last referred to it. */
	usedIn: number;
	/** What it was last acquired for. */
	label: string;
	/** The captured step it belongs to. */
	arena: Arena | undefined;
}

/**
 * GPU memory in use: the result of `device.memory()`. Buffers come in size classes, of 256 bytes and more and at most an eighth
 * above what is asked for beyond 1 KiB, and count whole.
 */
export interface MemoryReport {
	/** Bytes of buffers that tensors own now. */
	readonly liveBytes: number;
	/** Number of buffers that tensors own now. */
	readonly liveBuffers: number;
	/** The most that `liveBytes` ever was. */
	readonly peakBytes: number;
	/** Bytes of all buffers created and not destroyed, the idle ones in the pool included: what `memoryBudget` limits. */
	readonly heldBytes: number;
	/** Number of all buffers created and not destroyed. */
	readonly heldBuffers: number;
	/** Live bytes by the path of the module that allocated them; "" outside of modules. */
	readonly byLabel: Readonly<Record<string, number>>;
}

/**
 * Buffers by size class, the oldest taken first: equal steps get equal buffers, whatever the order in which the step
 * before released them, so that their bind groups are found in the cache.
 */
class IdleList {
	readonly #lists = new Map<number, PooledBuffer[]>();

	take(size: number): PooledBuffer | undefined {
		return this.#lists.get(size)?.pop();
	}

	/** Keeps each list sorted, the smallest number last. */
	add(buffer: PooledBuffer): void {
		const list = this.#lists.get(buffer.bytes);
		if (list === undefined) {
			this.#lists.set(buffer.bytes, [buffer]);
			return;
		}
		let low = 0;
		for (let high = list.length; low < high; ) {
			const middle = (low + high) >> 1;
			if (list[middle].id > buffer.id) low = middle + 1;
			else high = middle;
		}
		list.splice(low, 0, buffer);
	}

	/** Takes all of them out. */
	drain(): PooledBuffer[] {
		const all = [...this.#lists.values()].flat();
		this.#lists.clear();
		return all;
	}
}

/** The buffers of one captured step: reused among its own operations, by nobody else. */
export class Arena {
	readonly idle = new IdleList();
	readonly buffers: PooledBuffer[] = [];
}

/** Eight size classes an octave, so that rounding wastes at most an eighth. */
export function sizeClass(bytes: number): number {
	if (bytes <= 1024) return Math.max(256, Math.ceil(bytes / 256) * 256);
	const step = 2 ** (Math.floor(Math.log2(bytes)) - 3);
	return Math.ceil(bytes / step) * step;
}

/** Pool of storage buffers, one list a size class. */
export class BufferPool {
	readonly #device: GPUDevice;
	readonly #budget: number;
	readonly #submit: () => void;
	readonly #idle = new IdleList();
	readonly #labels = new Map<string, number>();
	#arena: Arena | undefined;
	#nextId = 0;
	#liveBytes = 0;
	#liveBuffers = 0;
	#peakBytes = 0;
	#heldBytes = 0;
	#heldBuffers = 0;

	/** `submit` hands all recorded commands to the GPU, so that idle buffers may be destroyed. */
	constructor(device: GPUDevice, budget: number, submit: () => void) {
		this.#device = device;
		this.#budget = budget;
		this.#submit = submit;
	}

	acquire(bytes: number, label: string): PooledBuffer {
		const size = sizeClass(bytes);
		if (size > this.#device.limits.maxBufferSize) {
			throw new DeviceError("device/buffer-limit", `a buffer of ${bytes} bytes exceeds the device's limit`, {
				hint: `maxBufferSize is ${this.#device.limits.maxBufferSize}; split the tensor`,
			});
		}
		const buffer = this.#arena?.idle.take(size) ?? this.#idle.take(size) ?? this.#create(size);
		if (this.#arena !== undefined && buffer.arena === undefined) {
			buffer.arena = this.#arena;
			this.#arena.buffers.push(buffer);
		}
		buffer.label = label;
		this.#count(buffer, 1);
		this.#peakBytes = Math.max(this.#peakBytes, this.#liveBytes);
		return buffer;
	}

	release(buffer: PooledBuffer): void {
		if (this.#arena !== undefined && buffer.arena !== this.#arena) {
			throw new DeviceError("capture/released", `capture: a tensor made before the step (${buffer.bytes} bytes) was released inside it`, {
				hint: "a captured step must leave state where it is: write new values in place with assign()",
			});
		}
		this.#count(buffer, -1);
		(buffer.arena?.idle ?? this.#idle).add(buffer);
	}

	/** Runs `fn` with all buffers it acquires set aside in an arena of their own. */
	inArena<T>(fn: () => T): { result: T; arena: Arena } {
		const before = this.#arena;
		const arena = new Arena();
		this.#arena = arena;
		try {
			return { result: fn(), arena };
		} catch (error) {
			this.dissolve(arena);
			throw error;
		} finally {
			this.#arena = before;
		}
	}

	/** Gives the buffers of an arena back to everyone. */
	dissolve(arena: Arena): void {
		for (const buffer of arena.buffers) buffer.arena = undefined;
		for (const buffer of arena.idle.drain()) this.#idle.add(buffer);
	}

	/** Destroys every idle buffer. The caller must have submitted the commands that refer to them. */
	trim(): void {
		for (const buffer of this.#idle.drain()) {
			buffer.gpu.destroy();
			this.#heldBytes -= buffer.bytes;
			this.#heldBuffers--;
		}
	}

	report(): MemoryReport {
		return {
			liveBytes: this.#liveBytes,
			liveBuffers: this.#liveBuffers,
			peakBytes: this.#peakBytes,
			heldBytes: this.#heldBytes,
			heldBuffers: this.#heldBuffers,
			byLabel: Object.fromEntries([...this.#labels].sort(([a], [b]) => (a < b ? -1 : 1))),
		};
	}

	#count({ bytes, label }: PooledBuffer, sign: 1 | -1): void {
		this.#liveBytes += sign * bytes;
		this.#liveBuffers += sign;
		const total = (this.#labels.get(label) ?? 0) + sign * bytes;
		if (total === 0) this.#labels.delete(label);
		else this.#labels.set(label, total);
	}

	#create(size: number): PooledBuffer {
		if (this.#heldBytes + size > this.#budget) {
			this.#submit();
			this.trim();
		}
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
		return { id: this.#nextId++, gpu, bytes: size, usedIn: -1, label: "", arena: undefined };
	}
}
