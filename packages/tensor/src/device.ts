import { type DebugOptions, type Leak, LeakTracker, showLeaks } from "./debug.ts";
import { bytesPerElement, type DType, type HostArray, hostArray } from "./dtype.ts";
import { DeviceError, DTypeError, NumericError, ShapeError } from "./errors.ts";
import { BufferUsage, MapMode } from "./gpu/flags.ts";
import { MemoryGuard } from "./gpu/guard.ts";
import type { KernelSpec } from "./gpu/kernel.ts";
import { PipelineCache } from "./gpu/pipelines.ts";
import { BufferPool, type MemoryReport } from "./gpu/pool.ts";
import { Profiler } from "./gpu/profiler.ts";
import { type Binding, type Grid, Recorder } from "./gpu/recorder.ts";
import { Status } from "./gpu/status.ts";
import { Profile } from "./profile.ts";
import { type NotPromise, ScopeStack } from "./scopes.ts";
import { checkShape, type Shape, sizeOf } from "./shape.ts";
import { Storage } from "./storage.ts";
import type { Tape } from "./tape.ts";
import { Tensor } from "./tensor.ts";
import { deviceBytes, dtypeOf, type HostValues } from "./upload.ts";

const MAX_GRID = 65535;

/** A GPU with its memory pool, kernels, pending commands and scopes. */
export class Device {
	readonly gpu: GPUDevice;
	readonly info: GPUAdapterInfo;
	readonly pool: BufferPool;
	readonly pipelines: PipelineCache;
	readonly recorder: Recorder;
	readonly status: Status;
	readonly debug: Required<DebugOptions>;
	/** Dawn's instance lives only as long as it is reachable. */
	readonly instance: GPU;
	/** The gradient computation in progress. */
	tape: Tape | undefined;
	readonly #scopes = new ScopeStack();
	readonly #leaks: LeakTracker | undefined;
	readonly #guard: MemoryGuard | undefined;
	#path = "";
	#error: DeviceError | undefined;
	/** Settles when the device is gone and `#error` says so. */
	readonly #lost: Promise<void>;
	#isDestroyed = false;

	constructor(instance: GPU, gpu: GPUDevice, info: GPUAdapterInfo, memoryBudget: number, debug: DebugOptions = {}) {
		this.instance = instance;
		this.gpu = gpu;
		this.info = info;
		this.debug = { level: 0, nan: false, memory: false, log: (text) => console.error(text), ...debug };
		const { level, log } = this.debug;
		this.recorder = new Recorder(gpu);
		this.pool = new BufferPool(gpu, memoryBudget, () => {
			this.recorder.flush();
			this.recorder.forgetBuffers();
		});
		this.pipelines = new PipelineCache(gpu, (key, wgsl) => {
			if (level >= 4) log(`// ${key}\n${wgsl}\n`);
		});
		this.status = new Status(gpu);
		if (level >= 1) {
			this.#leaks = new LeakTracker();
			log(
				`device: ${[info.vendor, info.architecture, info.description].filter((s) => s !== "").join(", ")}; budget ${Math.floor(memoryBudget)} bytes`,
			);
		}
		if (this.debug.memory) this.#guard = new MemoryGuard(gpu, this.pipelines, this.recorder, this.status);
		if (level >= 2 && this.has("timestamp-query")) this.recorder.profiler = new Profiler(gpu, () => this.#path);
		gpu.addEventListener?.("uncapturederror", (event) => {
			const { message } = (event as GPUUncapturedErrorEvent).error;
			this.#error ??= new DeviceError("device/validation", `the GPU reported: ${message}`);
		});
		this.#lost = gpu.lost.then(({ message }) => {
			this.#error = this.#isDestroyed
				? new DeviceError("device/destroyed", "this device was destroyed", { hint: "request a new one" })
				: new DeviceError("device/lost", `the GPU device was lost: ${message}`, {
						hint: "request a new device and continue from the last checkpoint",
					});
		});
	}

	/** Whether the device offers a WebGPU feature, such as "shader-f16". */
	has(feature: GPUFeatureName): boolean {
		return this.gpu.features.has(feature);
	}

	/** Bytes and buffers in use. */
	memory(): MemoryReport {
		return this.pool.report();
	}

	/** Tensors that are alive, by the place of the program that made them. Needs debug level 1. */
	leaks(): Leak[] {
		return this.#leaks?.report() ?? [];
	}

	/** A tensor with undefined contents. */
	empty(shape: Shape, dtype: DType = "f32"): Tensor {
		checkShape("empty", shape);
		if (bytesPerElement[dtype] === undefined) {
			const known = Object.keys(bytesPerElement).join(", ");
			throw new DTypeError("tensor/dtype", `empty: ${dtype} is no element type`, { op: "empty", hint: `there are ${known}` });
		}
		if (dtype === "f16" && !this.has("shader-f16")) {
			throw new DeviceError("device/no-f16", "empty: this device has no f16", { op: "empty", hint: "use f32, or bf16 for storage" });
		}
		const bytes = Math.max(4, Math.ceil((sizeOf(shape) * bytesPerElement[dtype]) / 4) * 4);
		const buffer = this.pool.acquire(bytes + (this.#guard?.band ?? 0), this.#path);
		this.#guard?.fill(buffer, bytes);
		const storage = new Storage(buffer, bytes, (s) => {
			this.#guard?.check(s.buffer, s.bytes);
			this.pool.release(s.buffer);
		});
		return this.track(new Tensor(this, storage, dtype, { shape: [...shape] }));
	}

	/**
	 * Copies host values to the device. dtype follows the array type unless given; a Uint8Array or Uint16Array with a
	 * dtype is taken as raw bytes. Plain numbers and Float32Arrays are rounded to f16 and bf16.
	 * @throws ShapeError when the sizes differ, ValueError for numbers that an integer type does not hold.
	 */
	fromHost(values: HostValues, shape: Shape, dtype: DType = dtypeOf(values)): Tensor {
		checkShape("tensor", shape);
		const bytes = deviceBytes("tensor", values, shape, dtype);
		const out = this.empty(shape, dtype);
		if (bytes.byteLength > 0) this.recorder.upload(out.storage.buffer, bytes);
		return out;
	}

	/** Path of the module that runs now; names it in errors and reports. */
	get path(): string {
		return this.#path;
	}

	/** Runs `fn` as part of the module at `path`. */
	within<T>(path: string, fn: () => T): T {
		const before = this.#path;
		this.#path = path;
		try {
			return fn();
		} finally {
			this.#path = before;
		}
	}

	/** Registers a handle with the innermost scope. */
	track(tensor: Tensor): Tensor {
		this.#scopes.add(tensor);
		this.#leaks?.add(tensor);
		return tensor;
	}

	/** Takes a tensor out of every scope; the caller releases it with `dispose`. */
	keep<T extends Tensor>(tensor: T): T {
		this.#scopes.remove(tensor);
		return tensor;
	}

	/**
	 * Runs `fn` and releases every tensor made inside, except those it returns (directly, or in arrays, maps and
	 * plain objects), which pass to the enclosing scope.
	 */
	scope<T>(fn: () => NotPromise<T>): T {
		return this.#scopes.run(fn);
	}

	/**
	 * Records one kernel. `tensors` go to its buffers and `params` to its parameters, both in the order of the spec;
	 * `grid` is a number of invocations (1-D kernels) or a number of workgroups on each axis. `flops` is for reports.
	 */
	run(
		key: string,
		spec: () => KernelSpec,
		tensors: readonly Tensor[],
		params: readonly number[],
		grid: number | Grid,
		flops?: number,
	): void {
		const bindings = tensors.map((t) => this.bind(key, t));
		this.dispatch(key, spec, bindings, params, grid, {
			flops,
			bytes: this.recorder.profiler && tensors.reduce((sum, t) => sum + t.bytes, 0),
		});
	}

	/** Records one kernel on buffer ranges. */
	dispatch(
		key: string,
		spec: () => KernelSpec,
		bindings: readonly Binding[],
		params: readonly number[],
		grid: number | Grid,
		work = {},
	): void {
		this.raise();
		const kernel = this.pipelines.get(key, spec);
		if (grid === 0) return;
		const groups = typeof grid === "number" ? linearGrid(Math.ceil(grid / kernel.lanes)) : grid;
		if (groups.some((g) => g > MAX_GRID)) {
			throw new ShapeError("kernel/grid", `${key}: ${groups.join(" x ")} workgroups exceed the limit of ${MAX_GRID} an axis`);
		}
		this.recorder.dispatch({ kernel, bindings, params, grid: groups }, work);
	}

	/** Reads a contiguous tensor back. */
	async read(tensor: Tensor): Promise<HostArray> {
		this.raise();
		const { bytes } = tensor;
		if (bytes === 0) return hostArray(tensor.dtype, new ArrayBuffer(0));
		const start = Math.floor((tensor.offset * bytesPerElement[tensor.dtype]) / 4) * 4;
		const lead = tensor.offset * bytesPerElement[tensor.dtype] - start;
		const size = Math.ceil((lead + bytes) / 4) * 4;
		const staging = this.gpu.createBuffer({ size, usage: BufferUsage.COPY_DST | BufferUsage.MAP_READ });
		this.recorder.copy(tensor.storage.buffer, start, staging, size);
		this.recorder.flush();
		try {
			await this.#orLost(staging.mapAsync(MapMode.READ));
			this.raise();
			return hostArray(tensor.dtype, staging.getMappedRange().slice(lead, lead + bytes));
		} finally {
			staging.destroy();
		}
	}

	/**
	 * Submits pending commands and waits until the GPU has done them, by reading one status word: a step that ends with
	 * it is known to be done.
	 * @throws DeviceError when the device was lost or reported an error; NumericError when a check found NaN or infinity.
	 */
	async flush(): Promise<void> {
		this.raise();
		const { notFinite, strayWrite } = await this.#orLost(this.status.read(this.recorder));
		this.raise();
		if (strayWrite !== undefined) throw new DeviceError("device/stray-write", `a kernel wrote behind ${strayWrite}`);
		if (notFinite !== undefined) {
			throw new NumericError("numeric/not-finite", `${notFinite} holds NaN or infinity`, {
				hint: this.debug.nan ? undefined : "HUSHGRAD_DEBUG=nan names the first operation that made one",
			});
		}
	}

	/** Frees pooled buffers that no tensor owns. */
	async trim(): Promise<void> {
		await this.flush();
		this.recorder.forgetBuffers();
		this.pool.trim();
	}

	/** Times every kernel that `fn` records. @throws DeviceError when the device has no timestamp queries. */
	async profile(fn: () => unknown): Promise<Profile> {
		if (!this.has("timestamp-query")) throw new DeviceError("device/no-timestamps", "profile: this device has no timestamp queries");
		this.recorder.flush();
		const before = this.recorder.profiler;
		const profiler = new Profiler(this.gpu, () => this.#path);
		this.recorder.profiler = profiler;
		try {
			await fn();
			this.recorder.flush();
			return new Profile(await this.#orLost(profiler.collect()));
		} finally {
			this.recorder.profiler = before;
			profiler.destroy();
		}
	}

	/** Prints what the debug level asks for, and gives the device up. */
	async close(): Promise<void> {
		const { profiler } = this.recorder;
		if (profiler !== undefined) {
			this.recorder.flush();
			this.debug.log(new Profile(await profiler.collect()).table());
		}
		this.destroy();
	}

	/** Gives the device up at once. At debug level 1 prints the tensors that are still alive. */
	destroy(): void {
		const leaks = this.leaks();
		if (leaks.length > 0) this.debug.log(showLeaks(leaks));
		this.#isDestroyed = true;
		this.recorder.destroy();
		this.status.destroy();
		this.#guard?.destroy();
		this.gpu.destroy();
	}

	/** Throws the first error the GPU reported since the last call. */
	raise(): void {
		const error = this.#error;
		if (error === undefined) return;
		if (error.code === "device/validation") this.#error = undefined;
		throw error;
	}

	/** A promise of the GPU; when the device is lost, the error that says so. */
	async #orLost<T>(promise: Promise<T>): Promise<T> {
		try {
			return await promise;
		} catch (cause) {
			await Promise.race([this.#lost, new Promise((resolve) => setTimeout(resolve, 1000))]);
			this.raise();
			throw new DeviceError("device/read", "reading from the GPU failed", { cause });
		}
	}

	/** The buffer range that a view covers, for a kernel. */
	bind(key: string, t: Tensor): Binding {
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
