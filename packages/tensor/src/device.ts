import { requestGpu } from "#request";
import { bytesPerElement, type DType, type HostArray, hostArray } from "./dtype.ts";
import { DeviceError, ShapeError } from "./errors.ts";
import { BufferUsage, MapMode } from "./gpu/flags.ts";
import type { KernelSpec } from "./gpu/kernel.ts";
import { PipelineCache } from "./gpu/pipelines.ts";
import { BufferPool, type MemoryReport } from "./gpu/pool.ts";
import { type Binding, type Grid, Recorder } from "./gpu/recorder.ts";
import { checkShape, type Shape, showShape, sizeOf } from "./shape.ts";
import { Storage } from "./storage.ts";
import { Tensor } from "./tensor.ts";

export interface DeviceOptions {
	/** Most bytes of GPU buffers to hold; asking for more throws instead of exhausting the machine. */
	readonly memoryBudget?: number;
}

/** Values that may leave a scope: tensors, and arrays, maps and plain objects of them. */
type NotPromise<T> = T extends PromiseLike<unknown> ? never : T;

const WANTED_LIMITS = [
	"maxBufferSize",
	"maxStorageBufferBindingSize",
	"maxStorageBuffersPerShaderStage",
	"maxComputeInvocationsPerWorkgroup",
	"maxComputeWorkgroupStorageSize",
] as const;
const MAX_GRID = 65535;

/**
 * Opens the GPU. In Node through the npm package `webgpu`, in a browser through `navigator.gpu`.
 * @throws DeviceError when no adapter is found or the device cannot be made.
 */
export async function requestDevice({ memoryBudget = Number.POSITIVE_INFINITY }: DeviceOptions = {}): Promise<Device> {
	const gpu = await requestGpu();
	const adapter = await gpu.requestAdapter();
	if (adapter === null) {
		throw new DeviceError("device/no-adapter", "WebGPU found no adapter", {
			hint: "install a Vulkan, Metal or D3D12 driver; in this repository `npm run doctor` names the line to type",
		});
	}
	const requiredLimits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
	const device = await adapter.requestDevice({ requiredLimits });
	return new Device(gpu, device, adapter.info, memoryBudget);
}

/** A GPU with its memory pool, kernels, pending commands and scopes. */
export class Device {
	readonly gpu: GPUDevice;
	readonly info: GPUAdapterInfo;
	readonly pool: BufferPool;
	readonly pipelines: PipelineCache;
	readonly recorder: Recorder;
	/** Dawn's instance lives only as long as it is reachable. */
	readonly instance: GPU;
	readonly #scopes: Set<Tensor>[] = [];
	#error: DeviceError | undefined;

	constructor(instance: GPU, gpu: GPUDevice, info: GPUAdapterInfo, memoryBudget: number) {
		this.instance = instance;
		this.gpu = gpu;
		this.info = info;
		this.pool = new BufferPool(gpu, memoryBudget);
		this.pipelines = new PipelineCache(gpu);
		this.recorder = new Recorder(gpu);
		gpu.addEventListener?.("uncapturederror", (event) => {
			const { message } = (event as GPUUncapturedErrorEvent).error;
			this.#error ??= new DeviceError("device/validation", `the GPU reported: ${message}`);
		});
		gpu.lost.then(({ reason, message }) => {
			if (reason !== "destroyed") {
				this.#error = new DeviceError("device/lost", `the GPU device was lost: ${message}`, {
					hint: "request a new device and continue from the last checkpoint",
				});
			}
		});
	}

	/** Bytes and buffers in use. */
	memory(): MemoryReport {
		return this.pool.report();
	}

	/** A tensor with undefined contents. */
	empty(shape: Shape, dtype: DType = "f32"): Tensor {
		checkShape("empty", shape);
		const bytes = Math.max(4, Math.ceil((sizeOf(shape) * bytesPerElement[dtype]) / 4) * 4);
		return this.track(new Tensor(this, new Storage(this.pool, bytes), dtype, { shape: [...shape] }));
	}

	/** Copies host values to the device. dtype follows the array type unless given; bf16 takes its raw bytes. */
	fromHost(data: HostArray | Uint8Array | readonly number[], shape: Shape, dtype?: DType): Tensor {
		const type = dtype ?? (data instanceof Int32Array ? "i32" : data instanceof Uint32Array ? "u32" : "f32");
		const array = Array.isArray(data) ? toHostArray(data, type) : (data as HostArray | Uint8Array);
		const bytes = sizeOf(shape) * bytesPerElement[type];
		if (array.byteLength !== bytes) {
			throw new ShapeError("tensor/host-size", `tensor: ${showShape(shape)} of ${type} needs ${bytes} bytes, got ${array.byteLength}`, {
				op: "tensor",
			});
		}
		const out = this.empty(shape, type);
		if (bytes === 0) return out;
		this.recorder.upload(out.storage.buffer, bytes % 4 === 0 ? array : padToWord(array));
		return out;
	}

	/** Registers a handle with the innermost scope. */
	track(tensor: Tensor): Tensor {
		this.#scopes.at(-1)?.add(tensor);
		return tensor;
	}

	/** Takes a tensor out of every scope; the caller releases it with `dispose`. */
	keep<T extends Tensor>(tensor: T): T {
		for (const scope of this.#scopes) scope.delete(tensor);
		return tensor;
	}

	/**
	 * Runs `fn` and releases every tensor made inside, except those it returns (directly, or in arrays, maps and
	 * plain objects), which pass to the enclosing scope.
	 */
	scope<T>(fn: () => NotPromise<T>): T {
		const scope = new Set<Tensor>();
		this.#scopes.push(scope);
		try {
			const result = fn();
			const survivors = new Set<Tensor>();
			collect(result, survivors);
			for (const t of survivors) {
				if (scope.delete(t)) this.#scopes.at(-2)?.add(t);
			}
			return result;
		} finally {
			this.#scopes.pop();
			for (const t of scope) t.dispose();
		}
	}

	/**
	 * Records one kernel. `tensors` go to its buffers and `params` to its parameters, both in the order of the spec;
	 * `grid` is a number of invocations (1-D kernels) or a number of workgroups on each axis.
	 */
	run(key: string, spec: () => KernelSpec, tensors: readonly Tensor[], params: readonly number[], grid: number | Grid): void {
		this.raise();
		const kernel = this.pipelines.get(key, spec);
		if (grid === 0) return;
		const groups = typeof grid === "number" ? linearGrid(Math.ceil(grid / kernel.lanes)) : grid;
		if (groups.some((g) => g > MAX_GRID)) {
			throw new ShapeError("kernel/grid", `${key}: ${groups.join(" x ")} workgroups exceed the limit of ${MAX_GRID} an axis`);
		}
		const bindings = tensors.map((t) => this.#bind(key, t));
		this.recorder.dispatch(kernel, bindings, params, groups);
	}

	/** Reads a contiguous tensor back. */
	async read(tensor: Tensor): Promise<HostArray> {
		this.raise();
		const bytes = tensor.bytes;
		if (bytes === 0) return hostArray(tensor.dtype, new ArrayBuffer(0));
		const start = Math.floor((tensor.offset * bytesPerElement[tensor.dtype]) / 4) * 4;
		const lead = tensor.offset * bytesPerElement[tensor.dtype] - start;
		const size = Math.ceil((lead + bytes) / 4) * 4;
		const staging = this.gpu.createBuffer({ size, usage: BufferUsage.COPY_DST | (MapMode.READ as number) });
		this.recorder.copy(tensor.storage.buffer, start, staging, size);
		this.recorder.flush();
		try {
			await staging.mapAsync(MapMode.READ);
			const copy = staging.getMappedRange().slice(lead, lead + bytes);
			this.raise();
			return tensor.dtype === "bf16" ? widenBf16(new Uint16Array(copy)) : hostArray(tensor.dtype, copy);
		} catch (cause) {
			this.raise();
			throw new DeviceError("device/read", "reading a tensor back failed", { cause });
		} finally {
			staging.destroy();
		}
	}

	/** Submits pending commands and waits until the GPU has done them. */
	async flush(): Promise<void> {
		this.recorder.flush();
		await this.gpu.queue.onSubmittedWorkDone();
		this.raise();
	}

	/** Frees pooled buffers that no tensor owns. */
	async trim(): Promise<void> {
		await this.flush();
		this.recorder.forgetBuffers();
		this.pool.trim();
	}

	destroy(): void {
		this.recorder.destroy();
		this.gpu.destroy();
	}

	/** Throws the first error the GPU reported since the last call. */
	raise(): void {
		const error = this.#error;
		if (error === undefined) return;
		if (error.code !== "device/lost") this.#error = undefined;
		throw error;
	}

	#bind(key: string, t: Tensor): Binding {
		const { buffer } = t.storage;
		const limit = this.gpu.limits.maxStorageBufferBindingSize;
		if (buffer.bytes <= limit) return { buffer, offset: 0, size: buffer.bytes, base: t.offset };
		const width = bytesPerElement[t.dtype];
		const last = t.shape.reduce((sum, d, i) => sum + (d - 1) * t.strides[i], t.offset);
		const offset = Math.floor((t.offset * width) / 256) * 256;
		const size = Math.ceil(((last + 1) * width - offset) / 16) * 16;
		if (size > limit) {
			throw new DeviceError("device/binding-limit", `${key}: a view of ${size} bytes exceeds one storage binding`, {
				hint: `maxStorageBufferBindingSize is ${limit}; work on slices along the first axis`,
			});
		}
		return { buffer, offset, size: Math.min(size, buffer.bytes - offset), base: t.offset - offset / width };
	}
}

function linearGrid(groups: number): Grid {
	const x = Math.min(groups, MAX_GRID);
	return [x, Math.ceil(groups / x), 1];
}

function collect(value: unknown, into: Set<Tensor>): void {
	if (value instanceof Tensor) into.add(value);
	else if (Array.isArray(value)) for (const v of value) collect(v, into);
	else if (value instanceof Map) for (const v of value.values()) collect(v, into);
	else if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
		for (const v of Object.values(value)) collect(v, into);
	}
}

function toHostArray(values: readonly number[], dtype: DType): HostArray {
	if (dtype === "i32") return Int32Array.from(values);
	if (dtype === "u32" || dtype === "bool") return Uint32Array.from(values);
	return Float32Array.from(values);
}

function padToWord(array: ArrayBufferView): Uint8Array {
	const out = new Uint8Array(Math.ceil(array.byteLength / 4) * 4);
	out.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
	return out;
}

function widenBf16(half: Uint16Array): Float32Array {
	const words = new Uint32Array(half.length);
	for (let i = 0; i < half.length; i++) words[i] = half[i] << 16;
	return new Float32Array(words.buffer);
}
