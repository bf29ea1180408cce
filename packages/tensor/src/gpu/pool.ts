import { DeviceError } from "../errors.ts";
import type { Extent } from "../storage.ts";
import { BufferUsage } from "./flags.ts";
import type { GPUBuffer, GPUDevice } from "./types.ts";

/** A GPU buffer with an identity that bind-group keys can use. */
export interface PooledBuffer {
	readonly id: number;
	readonly gpu: GPUBuffer;
	readonly bytes: number;
	/** The captured step it belongs to. */
	arena: Arena | undefined;
}

/**
 * GPU memory in use: the result of `device.memory()`. Buffers come in size classes, of 256 bytes and more and at most an eighth
 * above what is asked for beyond 1 KiB, and count whole.
 */
export interface MemoryReport {
	/** Bytes that tensors own now, those included that get their buffer when the commands that fill them are submitted. */
	readonly liveBytes: number;
	/** Number of buffers for them. */
	readonly liveBuffers: number;
	/** The most bytes that commands ever used at once: a tensor that was released before the submit counts from its first use to its last. */
	readonly peakBytes: number;
	/** Bytes of all buffers created and not destroyed, the idle ones in the pool included. */
	readonly heldBytes: number;
	/** Number of all buffers created and not destroyed. */
	readonly heldBuffers: number;
	/** Live bytes by the path of the module that asked for them; "" outside of modules. */
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
	/** Number of the first storage that the step makes. */
	readonly birth: number;
	readonly idle = new IdleList();
	readonly buffers: PooledBuffer[] = [];

	constructor(birth: number) {
		this.birth = birth;
	}
}

/** Eight size classes an octave, so that rounding wastes at most an eighth. */
export function sizeClass(bytes: number): number {
	if (bytes <= 1024) return Math.max(256, Math.ceil(bytes / 256) * 256);
	const step = 2 ** (Math.floor(Math.log2(bytes)) - 3);
	return Math.ceil(bytes / step) * step;
}

/**
 * Storage buffers, one list a size class. Tensors are counted when they are made and released (`reserve`, `retire`); they have
 * buffers while commands are submitted that use them (`take`, `give`), which is less.
 */
export class BufferPool {
	readonly #device: GPUDevice;
	readonly #budget: number;
	readonly #relieve: { readonly submit: () => void; readonly collect: () => void };
	readonly #idle = new IdleList();
	readonly #labels = new Map<string, number>();
	#arena: Arena | undefined;
	#nextId = 0;
	#liveBytes = 0;
	#liveBuffers = 0;
	#usedBytes = 0;
	/** Bytes of idle buffers in arenas. */
	#asideBytes = 0;
	#peakBytes = 0;
	#heldBytes = 0;
	#heldBuffers = 0;

	/**
	 * `submit` hands all recorded commands to the GPU, so that idle buffers may be destroyed; `collect` releases tensors that are
	 * known to be garbage.
	 */
	constructor(device: GPUDevice, budget: number, relieve: { readonly submit: () => void; readonly collect: () => void }) {
		this.#device = device;
		this.#budget = budget;
		this.#relieve = relieve;
	}

	/** Counts a tensor that is about to be made, and gives the bytes of the buffer it will have. @throws DeviceError beyond a limit. */
	reserve(op: string, bytes: number, label: string): number {
		const size = sizeClass(bytes);
		if (size > this.#device.limits.maxBufferSize) {
			throw new DeviceError("device/buffer-limit", `${op}: a buffer of ${bytes} bytes exceeds the device's limit`, {
				op,
				hint: `maxBufferSize is ${this.#device.limits.maxBufferSize}; split the tensor`,
			});
		}
		if (this.#exceeds(size)) this.#relieve.collect();
		if (this.#exceeds(size)) {
			throw new DeviceError(
				"device/budget",
				`${op}: ${size} more bytes would exceed the memory budget of ${this.#budget} bytes (${this.#liveBytes + this.#asideBytes} in use)`,
				{ op, hint: "use a smaller physical batch or model, or raise memoryBudget in requestDevice" },
			);
		}
		this.#count({ size, label }, 1);
		return size;
	}

	/** Counts a tensor that is about to be released. @throws DeviceError inside a captured step, where it was made before. */
	retire(storage: Extent): void {
		if (this.#arena !== undefined && storage.birth < this.#arena.birth) {
			throw new DeviceError("capture/released", `capture: a tensor made before the step (${storage.bytes} bytes) was released inside it`, {
				hint: "a captured step must leave state where it is: write new values in place with assign()",
			});
		}
		this.#count(storage, -1);
	}

	/** A buffer of this size class, for commands that are about to be submitted. */
	take(size: number): PooledBuffer {
		const own = this.#arena?.idle.take(size);
		if (own !== undefined) this.#asideBytes -= size;
		const buffer = own ?? this.#idle.take(size) ?? this.#create(size);
		if (this.#arena !== undefined && buffer.arena === undefined) {
			buffer.arena = this.#arena;
			this.#arena.buffers.push(buffer);
		}
		this.#usedBytes += size;
		this.#peakBytes = Math.max(this.#peakBytes, this.#usedBytes);
		return buffer;
	}

	/** Takes a buffer back: the commands that are encoded from now on may use it for something else. */
	give(buffer: PooledBuffer): void {
		this.#usedBytes -= buffer.bytes;
		if (buffer.arena !== undefined) this.#asideBytes += buffer.bytes;
		(buffer.arena?.idle ?? this.#idle).add(buffer);
	}

	/** Runs `fn` with all buffers it takes set aside in an arena of their own; `birth` is the number of the next storage. */
	inArena<T>(birth: number, fn: () => T): { result: T; arena: Arena } {
		const before = this.#arena;
		const arena = new Arena(birth);
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
		for (const buffer of arena.idle.drain()) {
			this.#asideBytes -= buffer.bytes;
			this.#idle.add(buffer);
		}
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

	/** Whether so many bytes more are too many. */
	#exceeds(size: number): boolean {
		return this.#liveBytes + this.#asideBytes + size > this.#budget;
	}

	#count({ size, label }: Pick<Extent, "size" | "label">, sign: 1 | -1): void {
		this.#liveBytes += sign * size;
		this.#liveBuffers += sign;
		const total = (this.#labels.get(label) ?? 0) + sign * size;
		if (total === 0) this.#labels.delete(label);
		else this.#labels.set(label, total);
	}

	#create(size: number): PooledBuffer {
		if (this.#heldBytes + size > this.#budget) {
			this.#relieve.submit();
			this.trim();
		}
		const gpu = this.#device.createBuffer({
			size,
			usage: BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST,
		});
		this.#heldBytes += size;
		this.#heldBuffers++;
		return { id: this.#nextId++, gpu, bytes: size, arena: undefined };
	}
}
