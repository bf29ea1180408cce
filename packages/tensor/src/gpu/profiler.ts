import { BufferUsage, MapMode } from "./flags.ts";
import type { GPUBuffer, GPUCommandEncoder, GPUDevice, GPUQuerySet } from "./types.ts";

/** What one dispatch does, as far as its caller knows. */
export interface Work {
	/** Floating-point operations, where the caller of the kernel gives their number. */
	readonly flops?: number | undefined;
	/** Bytes of all operands and results, each view once, whatever the kernel reads of them. */
	readonly bytes?: number | undefined;
	/** Path of the module that ran; "" outside of modules. */
	readonly path?: string | undefined;
}

/** One dispatch as the GPU timed it, in nanoseconds. */
export interface KernelEvent extends Work {
	/** Name of the kernel, with its variant: "gemm/k/n/f32/f32". */
	readonly kernel: string;
	/** Path of the module that ran; "" outside of modules. */
	readonly path: string;
	/** Nanoseconds from the start of the profile's first dispatch to that of this one. */
	readonly start: number;
	/** Nanoseconds that it took. */
	readonly duration: number;
}

/** Two queries a dispatch; WebGPU allows 4096 a set. */
const QUERIES = 4096;

interface Entry extends Work {
	readonly kernel: string;
	readonly path: string;
}

/** WebGPU's `GPUComputePassTimestampWrites`. */
interface PassTimestamps {
	readonly querySet: GPUQuerySet;
	readonly beginningOfPassWriteIndex: number;
	readonly endOfPassWriteIndex: number;
}

/** Times every dispatch with timestamp queries, each in a pass of its own. */
export class Profiler {
	readonly #device: GPUDevice;
	readonly #set: GPUQuerySet;
	/** Where every submit resolves its queries, before they are copied to a buffer of its own. */
	readonly #resolved: GPUBuffer;
	#entries: Entry[] = [];
	readonly #pending: { readonly entries: readonly Entry[]; readonly staging: GPUBuffer }[] = [];

	/** The device needs the feature timestamp-query. */
	constructor(device: GPUDevice) {
		this.#device = device;
		this.#set = device.createQuerySet({ type: "timestamp", count: QUERIES });
		this.#resolved = device.createBuffer({ size: 8 * QUERIES, usage: BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC });
	}

	/** The queries for the next dispatch; undefined when the set is full until the next submit. */
	next(kernel: string, { flops, bytes, path = "" }: Work): PassTimestamps | undefined {
		const first = 2 * this.#entries.length;
		if (first === QUERIES) return undefined;
		this.#entries.push({ kernel, path, flops, bytes });
		return { querySet: this.#set, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 };
	}

	/** Ends an encoder: its times go to a buffer that `collect` reads. */
	resolve(encoder: GPUCommandEncoder): void {
		if (this.#entries.length === 0) return;
		const size = 16 * this.#entries.length;
		const staging = this.#device.createBuffer({ size, usage: BufferUsage.COPY_DST | BufferUsage.MAP_READ });
		encoder.resolveQuerySet(this.#set, 0, 2 * this.#entries.length, this.#resolved, 0);
		encoder.copyBufferToBuffer(this.#resolved, 0, staging, 0, size);
		this.#pending.push({ entries: this.#entries, staging });
		this.#entries = [];
	}

	/** Every dispatch timed since the last call. The commands must have been submitted. */
	async collect(): Promise<KernelEvent[]> {
		const events: KernelEvent[] = [];
		let zero: bigint | undefined;
		for (const { entries, staging } of this.#pending.splice(0)) {
			await staging.mapAsync(MapMode.READ);
			const times = new BigUint64Array(staging.getMappedRange());
			zero ??= times[0];
			for (const [i, entry] of entries.entries()) {
				const start = Number(times[2 * i] - zero);
				events.push({ ...entry, start, duration: Number(times[2 * i + 1] - times[2 * i]) });
			}
			staging.destroy();
		}
		return events;
	}

	/** Gives up the queries and what was not collected. The commands must have been submitted. */
	destroy(): void {
		this.#set.destroy();
		this.#resolved.destroy();
		for (const { staging } of this.#pending.splice(0)) staging.destroy();
	}
}
