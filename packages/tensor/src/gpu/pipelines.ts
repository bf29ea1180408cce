import { DeviceError, ValueError } from "../errors.ts";
import { ShaderStage } from "./flags.ts";
import { type KernelSpec, kernelSource, MAX_PARAM_BYTES, needsOf, type ParamType, workgroupOf } from "./kernel.ts";
import type { GPUBindGroupLayout, GPUComputePipeline, GPUDevice } from "./types.ts";

/** A compiled kernel and the layout of its parameter block. */
export interface Pipeline {
	readonly key: string;
	readonly layoutKey: string;
	readonly layout: GPUBindGroupLayout;
	/** Compiled when it is first asked for, where `ready` has not done it before. */
	readonly gpu: GPUComputePipeline;
	readonly params: readonly (readonly [string, ParamType])[];
	readonly buffers: readonly string[];
	readonly lanes: number;
	/** Compiles it beside others, without holding up the program. An error is reported when it is asked for. */
	ready(): Promise<void>;
}

/** A kernel as the cache sees it. */
interface Source {
	readonly key: string;
	readonly spec: KernelSpec;
}

/** Compiles each kernel once. Shapes are parameters, so that a program needs dozens of pipelines, not thousands. */
export class PipelineCache {
	readonly #device: GPUDevice;
	readonly #compiled = new Map<Source, Pipeline>();
	readonly #onCompile: (key: string, wgsl: string) => void;
	readonly #layouts = new Map<string, GPUBindGroupLayout>();

	/** `onCompile` sees the WGSL of every new kernel. */
	constructor(device: GPUDevice, onCompile: (key: string, wgsl: string) => void = () => {}) {
		this.#device = device;
		this.#onCompile = onCompile;
	}

	get size(): number {
		return this.#compiled.size;
	}

	/** Every kernel compiled so far. */
	kernels(): readonly Source[] {
		return [...this.#compiled.keys()];
	}

	/** The pipeline of a kernel, compiled on first use. It belongs to the object, so that two kernels of one name stay two. */
	get(kernel: Source): Pipeline {
		const known = this.#compiled.get(kernel);
		if (known !== undefined) return known;
		const pipeline = this.#compile(kernel.key, kernel.spec);
		this.#compiled.set(kernel, pipeline);
		return pipeline;
	}

	#compile(key: string, spec: KernelSpec): Pipeline {
		const params = Object.entries(spec.params);
		const buffers = Object.keys(spec.buffers);
		if ((params.length + buffers.length) * 4 > MAX_PARAM_BYTES) {
			throw new ValueError("kernel/params", `kernel ${key} has more than ${MAX_PARAM_BYTES} bytes of parameters`);
		}
		this.#checkNeeds(key, spec);
		const layoutKey = buffers.map((n) => (spec.buffers[n].access === "read" ? "r" : "w")).join("");
		const layout = this.#layout(layoutKey);
		const code = kernelSource(spec);
		this.#onCompile(key, code);
		const module = this.#device.createShaderModule({ label: key, code });
		const device = this.#device;
		const descriptor = {
			label: key,
			layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
			compute: { module, entryPoint: "main" },
		};
		let compiled: GPUComputePipeline | undefined;
		const [x, y, z] = workgroupOf(spec);
		return {
			...{ key, layoutKey, layout, params, buffers, lanes: x * y * z },
			get gpu() {
				compiled ??= device.createComputePipeline(descriptor);
				return compiled;
			},
			ready: async () => {
				if (compiled !== undefined) return;
				const pipeline = await device.createComputePipelineAsync(descriptor).catch(() => undefined);
				compiled ??= pipeline;
			},
		};
	}

	/** The kernel must fit the workgroups of the device. */
	#checkNeeds(key: string, spec: KernelSpec): void {
		const { invocations, bytes } = needsOf(spec);
		const { maxComputeInvocationsPerWorkgroup: most, maxComputeWorkgroupStorageSize: memory } = this.#device.limits;
		if (!(invocations > most || bytes > memory)) return;
		throw new DeviceError(
			"kernel/workgroup",
			`kernel ${key} needs ${invocations} invocations that share ${bytes} bytes; workgroups here have ${most} and ${memory}`,
			{ op: key, hint: 'requestDevice({ plan: "cpu" }) has kernels for every device' },
		);
	}

	#layout(key: string): GPUBindGroupLayout {
		let layout = this.#layouts.get(key);
		if (layout === undefined) {
			const storage = [...key].map((access, i) => ({
				binding: i + 1,
				visibility: ShaderStage.COMPUTE,
				buffer: { type: (access === "r" ? "read-only-storage" : "storage") as GPUBufferBindingType },
			}));
			layout = this.#device.createBindGroupLayout({
				entries: [
					{
						binding: 0,
						visibility: ShaderStage.COMPUTE,
						buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: 0 },
					},
					...storage,
				],
			});
			this.#layouts.set(key, layout);
		}
		return layout;
	}
}
