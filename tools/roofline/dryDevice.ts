import { Device, type Plan } from "@hushgrad/tensor";

/** One dispatch as it was submitted: everything that its cost follows from. */
export interface Dispatch {
	/** Name of the kernel. */
	readonly kernel: string;
	readonly wgsl: string;
	/** The parameter block, at the place of the dispatch. */
	readonly block: DataView;
	/** Workgroups on each axis. */
	readonly grid: readonly [number, number, number];
	/** Bytes of each binding, by its number. */
	readonly bound: ReadonlyMap<number, number>;
}

/** What was submitted since the last `take`. */
export interface Recording {
	readonly dispatches: readonly Dispatch[];
	/** Times that commands were handed over. */
	readonly submits: number;
	/** Bytes copied from buffer to buffer, those that are read back included. */
	readonly copied: number;
	/** Bytes that the host sent to storage buffers. */
	readonly uploaded: number;
}

/** What of an adapter a program can see. */
export interface DryAdapter {
	readonly name: string;
	/** As WebGPU names them: tiles go by that. "" when left out. */
	readonly vendor?: string;
	readonly architecture?: string;
	readonly limits: Readonly<Record<string, number>>;
	readonly features: readonly string[];
	/** Invocations of a subgroup, where all have as many. */
	readonly subgroup?: number | undefined;
	/** Which kernels run; by the name and the limits when left out. */
	readonly plan?: Plan;
}

const UNIFORM = 0x40;

interface DryBuffer {
	readonly size: number;
	/** What uniform buffers hold; others hold nothing. */
	readonly held: ArrayBuffer | undefined;
}
interface DryPipeline {
	readonly kernel: string;
	readonly wgsl: string;
}
interface DryGroup {
	readonly uniform: DryBuffer | undefined;
	readonly bound: ReadonlyMap<number, number>;
}
type DryCommand =
	| { readonly pipeline: DryPipeline; readonly group: DryGroup; readonly offset: number; readonly grid: readonly [number, number, number] }
	| { readonly copied: number };

/**
 * A WebGPU device without a GPU. Programs run on it as on any other: they make buffers, which take no memory, compile kernels,
 * which stay text, and submit commands, which are kept instead of run. What they read back is 0. `take` gives what was submitted:
 * kernels with their parameters, in order, which is all that is needed to say what they would cost.
 */
export class DryDevice {
	/** The library's device. */
	readonly device: Device;
	#dispatches: Dispatch[] = [];
	#submits = 0;
	#copied = 0;
	#uploaded = 0;

	constructor(adapter: DryAdapter) {
		const { name: device, vendor = "", architecture = "", subgroup } = adapter;
		const sizes = { subgroupMinSize: subgroup, subgroupMaxSize: subgroup };
		const info = { vendor, architecture, device, description: "recorded, not run", ...sizes };
		this.device = new Device(
			{} as GPU,
			this.#gpu(adapter),
			info,
			Number.POSITIVE_INFINITY,
			{ level: 0 },
			adapter.plan && { plan: adapter.plan },
		);
	}

	/** What was submitted since the last call. */
	take(): Recording {
		const taken = { dispatches: this.#dispatches, submits: this.#submits, copied: this.#copied, uploaded: this.#uploaded };
		this.#dispatches = [];
		this.#submits = 0;
		this.#copied = 0;
		this.#uploaded = 0;
		return taken;
	}

	#gpu({ limits, features }: DryAdapter): GPUDevice {
		const queue = {
			writeBuffer: (to: DryBuffer, at: number, from: ArrayBuffer | ArrayBufferView, start = 0, size?: number) => {
				const bytes = bytesOf(from, start, size);
				if (to.held === undefined) this.#uploaded += bytes.byteLength;
				else new Uint8Array(to.held).set(bytes, at);
			},
			submit: (lists: readonly (readonly DryCommand[])[]) => {
				this.#submits++;
				for (const command of lists.flat()) this.#run(command);
			},
			onSubmittedWorkDone: async () => undefined,
		};
		const gpu = {
			limits,
			features: new Set(features),
			queue,
			lost: new Promise<GPUDeviceLostInfo>(() => {}),
			addEventListener: () => {},
			destroy: () => {},
			createBuffer: ({ size, usage }: GPUBufferDescriptor) => bufferOf(size, usage),
			createShaderModule: ({ code }: GPUShaderModuleDescriptor) => ({ code }),
			createPipelineLayout: () => ({}),
			createBindGroupLayout: () => ({}),
			createComputePipeline: ({ label = "", compute }: { label?: string; compute: { module: { code: string } } }): DryPipeline => ({
				kernel: label,
				wgsl: compute.module.code,
			}),
			createBindGroup: ({ entries }: { entries: readonly { binding: number; resource: Resource }[] }) => groupOf(entries),
			createCommandEncoder: encoder,
		};
		// What of WebGPU the library calls, and no more.
		return gpu as unknown as GPUDevice;
	}

	#run(command: DryCommand): void {
		if ("copied" in command) {
			this.#copied += command.copied;
			return;
		}
		const { pipeline, group, offset, grid } = command;
		const { held } = group.uniform ?? {};
		const block = new DataView(held === undefined ? new ArrayBuffer(0) : held.slice(offset, offset + 256));
		this.#dispatches.push({ ...pipeline, block, grid, bound: group.bound });
	}
}

interface Resource {
	readonly buffer: DryBuffer;
	readonly size?: number;
}

function bytesOf(from: ArrayBuffer | ArrayBufferView, start: number, size: number | undefined): Uint8Array {
	if (!ArrayBuffer.isView(from)) return new Uint8Array(from, start, size);
	const width = "BYTES_PER_ELEMENT" in from ? Number(from.BYTES_PER_ELEMENT) : 1;
	const length = size === undefined ? from.byteLength - start * width : size * width;
	return new Uint8Array(from.buffer, from.byteOffset + start * width, length);
}

function bufferOf(size: number, usage: number) {
	return {
		size,
		held: (usage & UNIFORM) === 0 ? undefined : new ArrayBuffer(size),
		mapAsync: async () => undefined,
		getMappedRange: () => new ArrayBuffer(size),
		unmap: () => {},
		destroy: () => {},
	};
}

function groupOf(entries: readonly { readonly binding: number; readonly resource: Resource }[]): DryGroup {
	const uniform = entries.find(({ resource }) => resource.buffer.held !== undefined)?.resource.buffer;
	const storage = entries.filter(({ resource }) => resource.buffer.held === undefined);
	return { uniform, bound: new Map(storage.map(({ binding, resource }) => [binding, resource.size ?? resource.buffer.size])) };
}

function encoder() {
	const commands: DryCommand[] = [];
	return {
		beginComputePass: () => {
			let pipeline: DryPipeline = { kernel: "", wgsl: "" };
			let group: DryGroup = { uniform: undefined, bound: new Map() };
			let offset = 0;
			return {
				setPipeline: (to: DryPipeline) => {
					pipeline = to;
				},
				setBindGroup: (_: number, to: DryGroup, offsets: ArrayLike<number> = [0], first = 0) => {
					group = to;
					offset = offsets[first] ?? 0;
				},
				dispatchWorkgroups: (x: number, y = 1, z = 1) => {
					commands.push({ pipeline, group, offset, grid: [x, y, z] });
				},
				end: () => {},
			};
		},
		copyBufferToBuffer: (_from: DryBuffer, _at: number, _to: DryBuffer, _start: number, copied: number) => {
			commands.push({ copied });
		},
		clearBuffer: () => {},
		finish: () => commands,
	};
}
