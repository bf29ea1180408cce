import { DeviceError } from "../errors.ts";
import { BufferUsage } from "./flags.ts";
import { MAX_PARAM_BYTES } from "./kernel.ts";
import type { Pipeline } from "./pipelines.ts";
import type { PooledBuffer } from "./pool.ts";
import type { Profiler, Work } from "./profiler.ts";
import type { GPUBindGroup, GPUBuffer, GPUCommandEncoder, GPUComputePassEncoder, GPUDevice } from "./types.ts";

/** A byte range of a buffer as a kernel sees it, and the element of it where the view begins. */
export interface Binding {
	readonly buffer: PooledBuffer;
	readonly offset: number;
	readonly size: number;
	readonly base: number;
}

/** Workgroups on each axis, at most 65535 on each. */
export type Grid = readonly [x: number, y: number, z: number];

/** One recorded kernel. */
export interface Dispatch {
	readonly pipeline: Pipeline;
	readonly bindings: readonly Binding[];
	readonly params: readonly number[];
	readonly grid: Grid;
}

const RING_SLOTS = 2048;
const MAX_BIND_GROUPS = 16384;

/** Writes the parameter block of a dispatch at byte `at`. */
export function writeParams(words: DataView, at: number, { pipeline, params, bindings }: Dispatch): void {
	let next = at;
	for (let i = 0; i < params.length; i++, next += 4) {
		const type = pipeline.params[i][1];
		if (type === "f32") words.setFloat32(next, params[i], true);
		else if (type === "i32") words.setInt32(next, params[i], true);
		else words.setUint32(next, params[i], true);
	}
	for (const b of bindings) {
		words.setUint32(next, b.base, true);
		next += 4;
	}
}

/** Which buffers a dispatch binds, as a key. */
export function bindingKey({ pipeline, bindings }: Dispatch): string {
	let key = pipeline.layoutKey;
	for (const b of bindings) key += `|${b.buffer.id}:${b.offset}:${b.size}`;
	return key;
}

export function createBindGroup(device: GPUDevice, { pipeline, bindings }: Dispatch, params: GPUBuffer): GPUBindGroup {
	return device.createBindGroup({
		layout: pipeline.layout,
		entries: [
			{ binding: 0, resource: { buffer: params, size: MAX_PARAM_BYTES } },
			...bindings.map((b, i) => ({ binding: i + 1, resource: { buffer: b.buffer.gpu, offset: b.offset, size: b.size } })),
		],
	});
}

/**
 * Collects commands in one encoder until `flush`. Parameters go to a ring of uniform slots that is uploaded just
 * before the submit; bind groups are cached by the buffers they name.
 */
export class Recorder {
	/** Times kernels while set. */
	profiler: Profiler | undefined;
	readonly #device: GPUDevice;
	readonly #ring: GPUBuffer;
	readonly #slots = new ArrayBuffer(RING_SLOTS * MAX_PARAM_BYTES);
	readonly #words = new DataView(this.#slots);
	readonly #groups = new Map<string, GPUBindGroup>();
	#listener: ((dispatch: Dispatch) => void) | undefined;
	#encoder: GPUCommandEncoder | undefined;
	#pass: GPUComputePassEncoder | undefined;
	#used = 0;
	#epoch = 0;
	#dispatches = 0;
	#bindGroupsCreated = 0;
	#submits = 0;

	constructor(device: GPUDevice) {
		this.#device = device;
		this.#ring = device.createBuffer({
			label: "parameters",
			size: this.#slots.byteLength,
			usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
		});
	}

	/** Dispatches recorded since the device was made. */
	get dispatches(): number {
		return this.#dispatches;
	}

	/** Bind groups created since the device was made. */
	get bindGroupsCreated(): number {
		return this.#bindGroupsCreated;
	}

	/** Submits since the device was made. */
	get submits(): number {
		return this.#submits;
	}

	/** Whether `listen` runs: a step is being captured. */
	get isListening(): boolean {
		return this.#listener !== undefined;
	}

	dispatch(dispatch: Dispatch, work: Work = {}): void {
		const { pipeline, bindings, grid } = dispatch;
		if (this.#used === RING_SLOTS) this.flush();
		const slot = this.#used++ * MAX_PARAM_BYTES;
		writeParams(this.#words, slot, dispatch);
		if (this.profiler !== undefined) this.#endPass();
		const timestampWrites = this.profiler?.next(pipeline.key, work);
		this.#pass ??= this.#begin().beginComputePass(timestampWrites && { timestampWrites });
		this.#pass.setPipeline(pipeline.gpu);
		this.#pass.setBindGroup(0, this.#group(dispatch), [slot]);
		this.#pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
		for (const b of bindings) b.buffer.usedIn = this.#epoch;
		this.#dispatches++;
		this.#listener?.(dispatch);
	}

	/** Copies bytes between buffers, in order with the kernels. */
	copy(from: PooledBuffer, fromOffset: number, to: GPUBuffer, bytes: number): void {
		this.#endPass();
		this.#begin().copyBufferToBuffer(from.gpu, fromOffset, to, 0, bytes);
		from.usedIn = this.#epoch;
	}

	/** Overwrites part of a buffer with a pattern, in order with the kernels. */
	fill(to: PooledBuffer, at: number, pattern: GPUBuffer, bytes: number): void {
		this.#endPass();
		this.#begin().copyBufferToBuffer(pattern, 0, to.gpu, at, bytes);
		to.usedIn = this.#epoch;
	}

	/** Writes host bytes into a buffer, after every command recorded so far that refers to it. */
	upload(to: PooledBuffer, data: ArrayBufferView): void {
		if (this.#listener !== undefined) {
			throw new DeviceError("capture/upload", "capture: host data was uploaded inside the step, where it would be frozen", {
				hint: "make the tensor before the capture and refresh it with write(x, values) before each replay",
			});
		}
		if (to.usedIn === this.#epoch) this.flush();
		this.#device.queue.writeBuffer(to.gpu, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
	}

	/** Submits what was recorded. Does not wait. */
	flush(): void {
		if (this.#encoder === undefined) return;
		this.#endPass();
		this.profiler?.resolve(this.#encoder);
		if (this.#used > 0) {
			this.#device.queue.writeBuffer(this.#ring, 0, this.#slots, 0, this.#used * MAX_PARAM_BYTES);
		}
		this.#device.queue.submit([this.#encoder.finish()]);
		this.#submits++;
		this.#encoder = undefined;
		this.#used = 0;
		this.#epoch++;
		if (this.#groups.size > MAX_BIND_GROUPS) this.#groups.clear();
	}

	/** Runs `fn` and returns the kernels it recorded. */
	listen<T>(fn: () => T): { result: T; dispatches: Dispatch[] } {
		const before = this.#listener;
		const dispatches: Dispatch[] = [];
		this.#listener = (d) => dispatches.push(d);
		try {
			return { result: fn(), dispatches };
		} finally {
			this.#listener = before;
		}
	}

	forgetBuffers(): void {
		this.#groups.clear();
	}

	destroy(): void {
		this.#groups.clear();
		this.#ring.destroy();
	}

	#begin(): GPUCommandEncoder {
		this.#encoder ??= this.#device.createCommandEncoder();
		return this.#encoder;
	}

	#endPass(): void {
		this.#pass?.end();
		this.#pass = undefined;
	}

	#group(dispatch: Dispatch): GPUBindGroup {
		const key = bindingKey(dispatch);
		let group = this.#groups.get(key);
		if (group === undefined) {
			group = createBindGroup(this.#device, dispatch, this.#ring);
			this.#bindGroupsCreated++;
			this.#groups.set(key, group);
		}
		return group;
	}
}
