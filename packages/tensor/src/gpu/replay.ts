import { writeParams } from "./binding.ts";
import type { Dispatch, Placed } from "./commands.ts";
import { BufferUsage } from "./flags.ts";
import { MAX_PARAM_BYTES } from "./kernel.ts";
import { bindingKey, createBindGroup } from "./recorder.ts";
import type { GPUBindGroup, GPUBuffer, GPUComputePassEncoder, GPUComputePipeline, GPUDevice } from "./types.ts";

/** A fixed list of kernels with their parameters and bind groups, to be run again and again. */
export class ReplayList {
	readonly #params: GPUBuffer;
	readonly #pipelines: readonly GPUComputePipeline[];
	readonly #groups: readonly GPUBindGroup[];
	readonly #offsets: Uint32Array;
	readonly #grids: Uint32Array;

	constructor(device: GPUDevice, dispatches: readonly Dispatch<Placed>[]) {
		const block = new ArrayBuffer(Math.max(1, dispatches.length) * MAX_PARAM_BYTES);
		const words = new DataView(block);
		this.#params = device.createBuffer({
			label: "replay parameters",
			size: block.byteLength,
			usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
		});
		const groups = new Map<string, GPUBindGroup>();
		this.#groups = dispatches.map((d, i) => {
			writeParams(words, i * MAX_PARAM_BYTES, d);
			const key = bindingKey(d);
			const group = groups.get(key) ?? createBindGroup(device, d, this.#params);
			groups.set(key, group);
			return group;
		});
		device.queue.writeBuffer(this.#params, 0, block);
		this.#pipelines = dispatches.map((d) => d.pipeline.gpu);
		this.#offsets = Uint32Array.from(dispatches, (_, i) => i * MAX_PARAM_BYTES);
		this.#grids = Uint32Array.from(dispatches.flatMap((d) => d.grid));
	}

	get length(): number {
		return this.#pipelines.length;
	}

	/** Encodes kernels first..end−1. */
	encode(pass: GPUComputePassEncoder, first: number, end: number): void {
		let current: GPUComputePipeline | undefined;
		for (let i = first; i < end; i++) {
			const pipeline = this.#pipelines[i];
			if (pipeline !== current) pass.setPipeline(pipeline);
			current = pipeline;
			pass.setBindGroup(0, this.#groups[i], this.#offsets, i, 1);
			pass.dispatchWorkgroups(this.#grids[3 * i], this.#grids[3 * i + 1], this.#grids[3 * i + 2]);
		}
	}

	destroy(): void {
		this.#params.destroy();
	}
}
