import { BufferUsage } from "./flags.ts";
import { MAX_PARAM_BYTES } from "./kernel.ts";
import type { Kernel } from "./pipelines.ts";
import type { PooledBuffer } from "./pool.ts";

/** A byte range of a buffer as a kernel sees it, and the element of it where the view begins. */
export interface Binding {
	readonly buffer: PooledBuffer;
	readonly offset: number;
	readonly size: number;
	readonly base: number;
}

export type Grid = readonly [x: number, y: number, z: number];

const RING_SLOTS = 2048;
const MAX_BIND_GROUPS = 16384;

/**
 * Collects commands in one encoder until `flush`. Parameters go to a ring of uniform slots that is uploaded just
 * before the submit; bind groups are cached by the buffers they name.
 */
export class Recorder {
	readonly #device: GPUDevice;
	readonly #ring: GPUBuffer;
	readonly #slots = new ArrayBuffer(RING_SLOTS * MAX_PARAM_BYTES);
	readonly #words = new DataView(this.#slots);
	readonly #groups = new Map<string, GPUBindGroup>();
	#encoder: GPUCommandEncoder | undefined;
	#pass: GPUComputePassEncoder | undefined;
	#used = 0;
	#epoch = 0;
	#dispatches = 0;

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

	get bindGroups(): number {
		return this.#groups.size;
	}

	dispatch(kernel: Kernel, bindings: readonly Binding[], params: readonly number[], grid: Grid): void {
		if (this.#used === RING_SLOTS) this.flush();
		const slot = this.#used++ * MAX_PARAM_BYTES;
		this.#write(slot, kernel, params, bindings);
		this.#pass ??= this.#begin().beginComputePass();
		this.#pass.setPipeline(kernel.pipeline);
		this.#pass.setBindGroup(0, this.#group(kernel, bindings), [slot]);
		this.#pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
		for (const b of bindings) b.buffer.usedIn = this.#epoch;
		this.#dispatches++;
	}

	copy(from: PooledBuffer, fromOffset: number, to: GPUBuffer, bytes: number): void {
		this.#endPass();
		this.#begin().copyBufferToBuffer(from.gpu, fromOffset, to, 0, bytes);
		from.usedIn = this.#epoch;
	}

	/** Writes host bytes into a buffer, after every command recorded so far that refers to it. */
	upload(to: PooledBuffer, data: ArrayBufferView): void {
		if (to.usedIn === this.#epoch) this.flush();
		this.#device.queue.writeBuffer(to.gpu, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
	}

	/** Submits what was recorded. Does not wait. */
	flush(): void {
		if (this.#encoder === undefined) return;
		this.#endPass();
		if (this.#used > 0) {
			this.#device.queue.writeBuffer(this.#ring, 0, this.#slots, 0, this.#used * MAX_PARAM_BYTES);
		}
		this.#device.queue.submit([this.#encoder.finish()]);
		this.#encoder = undefined;
		this.#used = 0;
		this.#epoch++;
		if (this.#groups.size > MAX_BIND_GROUPS) this.#groups.clear();
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

	#write(slot: number, kernel: Kernel, params: readonly number[], bindings: readonly Binding[]): void {
		let at = slot;
		for (let i = 0; i < params.length; i++, at += 4) {
			const type = kernel.params[i][1];
			if (type === "f32") this.#words.setFloat32(at, params[i], true);
			else if (type === "i32") this.#words.setInt32(at, params[i], true);
			else this.#words.setUint32(at, params[i], true);
		}
		for (const b of bindings) {
			this.#words.setUint32(at, b.base, true);
			at += 4;
		}
	}

	#group(kernel: Kernel, bindings: readonly Binding[]): GPUBindGroup {
		let key = kernel.layoutKey;
		for (const b of bindings) key += `|${b.buffer.id}:${b.offset}:${b.size}`;
		let group = this.#groups.get(key);
		if (group === undefined) {
			group = this.#device.createBindGroup({
				layout: kernel.layout,
				entries: [
					{ binding: 0, resource: { buffer: this.#ring, size: MAX_PARAM_BYTES } },
					...bindings.map((b, i) => ({
						binding: i + 1,
						resource: { buffer: b.buffer.gpu, offset: b.offset, size: b.size },
					})),
				],
			});
			this.#groups.set(key, group);
		}
		return group;
	}
}
