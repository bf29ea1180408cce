import { type DebugOptions, LeakTracker } from "./debug.ts";
import type { Device } from "./device.ts";
import { bytesPerElement, type DType, type HostArray, hostArray } from "./dtype.ts";
import { DeviceError, DTypeError, ShapeError, ValueError } from "./errors.ts";
import type { Kernel } from "./gpu/defineKernel.ts";
import { BufferUsage, MapMode } from "./gpu/flags.ts";
import { MemoryGuard } from "./gpu/guard.ts";
import { PipelineCache } from "./gpu/pipelines.ts";
import { BufferPool } from "./gpu/pool.ts";
import { Profiler } from "./gpu/profiler.ts";
import { type Binding, type Grid, Recorder } from "./gpu/recorder.ts";
import { Status } from "./gpu/status.ts";
import type { Settled } from "./options.ts";
import { Physical } from "./physical.ts";
import type { Records } from "./records.ts";
import { ScopeStack } from "./scopes.ts";
import { checkShape, type Shape, showShape, sizeOf } from "./shape.ts";
import { Storage } from "./storage.ts";
import type { Tape } from "./tape.ts";
import type { Tensor } from "./tensor.ts";
import { deviceBytes, type HostValues } from "./upload.ts";
import type { World } from "./world.ts";

const MAX_GRID = 65535;

/** The working parts of a device, for ops and for the library itself: memory, kernels, and what is going on. */
export class Runtime {
	readonly device: Device;
	readonly gpu: GPUDevice;
	readonly debug: Settled<DebugOptions>;
	readonly pool: BufferPool;
	readonly pipelines: PipelineCache;
	readonly recorder: Recorder;
	readonly status: Status;
	readonly leaks: LeakTracker | undefined;
	/** The gradient computation in progress. */
	tape: Tape | undefined;
	#records: Records | undefined;
	#world: World | undefined;
	#touched: Set<Storage> | undefined;
	#path = "";
	#owner: object | undefined;
	#births = 0;
	#error: DeviceError | undefined;
	#isDestroyed = false;
	readonly #scopes = new ScopeStack();
	readonly #guard: MemoryGuard | undefined;
	readonly #lost: Promise<void>;

	constructor(device: Device, gpu: GPUDevice, memoryBudget: number, debug: Settled<DebugOptions>) {
		this.device = device;
		this.gpu = gpu;
		this.debug = debug;
		this.recorder = new Recorder(gpu);
		this.pool = new BufferPool(gpu, memoryBudget, () => {
			this.recorder.flush();
			this.recorder.forgetBuffers();
		});
		this.pipelines = new PipelineCache(gpu, (key, wgsl) => {
			if (debug.level >= 4) debug.log(`// ${key}\n${wgsl}\n`);
		});
		this.status = new Status(gpu);
		if (debug.level >= 1) this.leaks = new LeakTracker();
		if (debug.memory) this.#guard = new MemoryGuard(gpu, this.pipelines, this.recorder, this.status);
		if (debug.level >= 2 && gpu.features.has("timestamp-query")) this.recorder.profiler = new Profiler(gpu, () => this.#path);
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

	/** Path of the module that runs now; names it in errors and reports. */
	get path(): string {
		return this.#path;
	}

	/** The path as a phrase for error texts. */
	get where(): string {
		return this.#path === "" ? "" : ` in ${this.#path}`;
	}

	/** The records of the program that runs now. */
	get records(): Records | undefined {
		return this.#records;
	}

	/** The closed world of the private program that runs now. */
	get world(): World | undefined {
		return this.#world;
	}

	/** Number that the next storage will have. */
	get nextBirth(): number {
		return this.#births;
	}

	/** Whose call runs now: the root of its modules. */
	get owner(): object | undefined {
		return this.#owner;
	}

	/** Runs `fn` as part of the module at `path`, on behalf of `owner`. */
	within<T>(path: string, fn: () => T, owner = this.#owner): T {
		const before = { path: this.#path, owner: this.#owner };
		this.#path = path;
		this.#owner = owner;
		try {
			return fn();
		} finally {
			this.#path = before.path;
			this.#owner = before.owner;
		}
	}

	/** Runs `fn` as part of the program of these records, or of none. */
	during<T>(records: Records | undefined, fn: () => T): T {
		const before = this.#records;
		this.#records = records;
		try {
			return fn();
		} finally {
			this.#records = before;
		}
	}

	/** Runs `fn` in a closed world. */
	inside<T>(world: World, fn: () => T): T {
		if (this.#world !== undefined) throw new ValueError("privacy/nested", "a private program runs already");
		this.#world = world;
		try {
			return fn();
		} finally {
			this.#world = undefined;
		}
	}

	/** Runs `fn` and returns the memory that its kernels read and write. */
	watching<T>(fn: () => T): { readonly result: T; readonly touched: ReadonlySet<Storage> } {
		const touched = new Set<Storage>();
		this.#touched = touched;
		try {
			return { result: fn(), touched };
		} finally {
			this.#touched = undefined;
		}
	}

	/** Registers a handle with the innermost scope. */
	track<T extends Tensor>(tensor: T): T {
		this.#scopes.add(tensor);
		this.leaks?.add(tensor);
		return tensor;
	}

	/** Takes a tensor out of every scope. */
	keep<T extends Tensor>(tensor: T): T {
		this.#scopes.remove(tensor);
		return tensor;
	}

	/** One ownership of the storage of a view: that of the scope which made it, or a further one. */
	own({ storage }: Physical): Storage {
		return this.#scopes.remove(storage) ? storage : storage.retain();
	}

	/** Runs `fn` and releases what was made inside, except what was taken out by `own` or `keep`. */
	scopeThrough<T>(fn: () => T): T {
		return this.#scopes.runThrough(fn);
	}

	/** Runs `fn` and releases what was made inside, except what it returns. */
	scope<T>(fn: () => T): T {
		return this.#scopes.run(fn);
	}

	/** Memory with undefined contents, owned by the innermost scope. `shape` starts with the record axis. */
	empty(shape: Shape, dtype: DType = "f32"): Physical {
		checkShape("empty", shape);
		if (bytesPerElement[dtype] === undefined) {
			const known = Object.keys(bytesPerElement).join(", ");
			throw new DTypeError("tensor/dtype", `empty: ${dtype} is no element type`, { op: "empty", hint: `there are ${known}` });
		}
		if (dtype === "f16" && !this.gpu.features.has("shader-f16")) {
			throw new DeviceError("device/no-f16", "empty: this device has no f16", { op: "empty", hint: "use f32, or bf16 for storage" });
		}
		const bytes = Math.max(4, Math.ceil((sizeOf(shape) * bytesPerElement[dtype]) / 4) * 4);
		const buffer = this.pool.acquire(bytes + (this.#guard?.band ?? 0), this.#path);
		this.#guard?.fill(buffer, bytes);
		const storage = new Storage(buffer, bytes, this.#births++, (s) => {
			this.#guard?.check(s.buffer, s.bytes);
			this.pool.release(s.buffer);
		});
		this.#scopes.add(storage);
		return new Physical(this, storage, dtype, { shape: [...shape] });
	}

	/** Copies host values into new memory. @throws PrivacyError inside a private program. */
	upload(op: string, values: HostValues, shape: Shape, dtype: DType): Physical {
		checkShape(op, shape);
		const bytes = deviceBytes(op, values, shape, dtype);
		this.#world?.refuse(op, `host values ${showShape(shape)} are uploaded`);
		const out = this.empty([1, ...shape], dtype);
		if (bytes.byteLength > 0) this.recorder.upload(out.storage.buffer, bytes);
		return out;
	}

	/** Records one run of a kernel, with buffers and numbers in its order: see `Kernel.run`. */
	run(kernel: Kernel, views: readonly Physical[], params: readonly number[], grid: number | Grid, flops?: number): void {
		this.raise();
		const pipeline = this.pipelines.get(kernel);
		const bindings = views.map((view, i) => this.#bind(kernel, pipeline.buffers[i], view));
		checkApart(kernel, pipeline.layoutKey, pipeline.buffers, bindings);
		if (grid === 0) return;
		const groups = typeof grid === "number" ? linearGrid(Math.ceil(grid / pipeline.lanes)) : grid;
		if (groups.some((g) => g > MAX_GRID)) {
			throw new ShapeError("kernel/grid", `${kernel.key}: ${groups.join(" x ")} workgroups exceed the limit of ${MAX_GRID} an axis`);
		}
		const bytes = this.recorder.profiler && views.reduce((sum, t) => sum + t.bytes, 0);
		this.recorder.dispatch({ pipeline, bindings, params, grid: groups }, { flops, bytes });
	}

	/** Reads a contiguous view back, without its record axis. */
	async read(view: Physical): Promise<HostArray> {
		this.raise();
		const { bytes, dtype, offset, storage } = view;
		if (bytes === 0) return hostArray(dtype, new ArrayBuffer(0));
		const first = offset * bytesPerElement[dtype];
		const start = Math.floor(first / 4) * 4;
		const lead = first - start;
		const size = Math.ceil((lead + bytes) / 4) * 4;
		const staging = this.gpu.createBuffer({ size, usage: BufferUsage.COPY_DST | BufferUsage.MAP_READ });
		this.recorder.copy(storage.buffer, start, staging, size);
		this.recorder.flush();
		try {
			await this.orLost(staging.mapAsync(MapMode.READ));
			this.raise();
			return hostArray(dtype, staging.getMappedRange().slice(lead, lead + bytes));
		} finally {
			staging.destroy();
		}
	}

	/** Throws the first error the GPU reported since the last call. */
	raise(): void {
		const error = this.#error;
		if (error === undefined) return;
		if (error.code === "device/validation") this.#error = undefined;
		throw error;
	}

	/** A promise of the GPU; when the device is lost, the error that says so. */
	async orLost<T>(promise: Promise<T>): Promise<T> {
		try {
			return await promise;
		} catch (cause) {
			await Promise.race([this.#lost, new Promise((resolve) => setTimeout(resolve, 1000))]);
			this.raise();
			throw new DeviceError("device/read", "reading from the GPU failed", { cause });
		}
	}

	destroy(): void {
		this.#isDestroyed = true;
		this.recorder.destroy();
		this.status.destroy();
		this.#guard?.destroy();
		this.gpu.destroy();
	}

	/** The buffer range that a view covers, for a kernel. */
	#bind({ key, spec }: Kernel, name: string, view: Physical): Binding {
		const { dtype, access } = spec.buffers[name];
		if (view.dtype !== dtype) {
			throw new DTypeError("kernel/dtype", `kernel ${key}: ${name} is ${view.dtype}, expected ${dtype}`, { op: key });
		}
		this.#world?.check(key, name, view.storage, access);
		this.#touched?.add(view.storage);
		const { buffer } = view.storage;
		const limit = this.gpu.limits.maxStorageBufferBindingSize;
		if (buffer.bytes <= limit) return { buffer, offset: 0, size: buffer.bytes, base: view.offset };
		const width = bytesPerElement[dtype];
		const last = view.shape.reduce((sum, d, i) => sum + (d - 1) * view.strides[i], view.offset);
		const offset = Math.floor((view.offset * width) / 256) * 256;
		const size = Math.ceil(((last + 1) * width - offset) / 16) * 16;
		if (size > limit) {
			throw new DeviceError("device/binding-limit", `${key}: a view of ${size} bytes exceeds one storage binding`, {
				hint: `maxStorageBufferBindingSize is ${limit}; use a smaller physical batch, or shorter records`,
			});
		}
		return { buffer, offset, size: Math.min(size, buffer.bytes - offset), base: view.offset - offset / width };
	}
}

/** A kernel may not write what it reads under another name. */
function checkApart({ key }: Kernel, layout: string, names: readonly string[], bindings: readonly Binding[]): void {
	for (let i = 0; i < bindings.length; i++) {
		if (layout[i] !== "w") continue;
		const other = bindings.findIndex((b, j) => j !== i && b.buffer === bindings[i].buffer);
		if (other >= 0) {
			throw new ValueError(
				"kernel/overlap",
				`kernel ${key}: ${names[i]} and ${names[other]} lie in one buffer, and it writes ${names[i]}`,
				{
					op: key,
					hint: "copy one of them first",
				},
			);
		}
	}
}

function linearGrid(groups: number): Grid {
	const x = Math.min(groups, MAX_GRID);
	return [x, Math.ceil(groups / x), 1];
}
