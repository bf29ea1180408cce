import { waitingFor } from "#request";
import { type DebugOptions, LeakTracker } from "./debug.ts";
import type { Device } from "./device.ts";
import { bytesPerElement, type DType, type HostArray, hostArray } from "./dtype.ts";
import { DeviceError, DTypeError, ShapeError, ValueError } from "./errors.ts";
import { Fusion } from "./fusion.ts";
import { bindingOf, checkApart, gridOf, MAX_GRID } from "./gpu/binding.ts";
import type { Binding, Grid, Known } from "./gpu/commands.ts";
import type { Kernel } from "./gpu/defineKernel.ts";
import { MapMode } from "./gpu/flags.ts";
import { MemoryGuard } from "./gpu/guard.ts";
import { PipelineCache } from "./gpu/pipelines.ts";
import { BufferPool, sizeClass } from "./gpu/pool.ts";
import { Profiler } from "./gpu/profiler.ts";
import { Recorder } from "./gpu/recorder.ts";
import { Staging } from "./gpu/staging.ts";
import { Status } from "./gpu/status.ts";
import type { GPUDevice } from "./gpu/types.ts";
import type { Settled } from "./options.ts";
import { Physical } from "./physical.ts";
import type { Records } from "./records.ts";
import { ScopeStack } from "./scopes.ts";
import { checkShape, type Shape, showShape, sizeOf } from "./shape.ts";
import { SpareMemory } from "./spare.ts";
import { Storage } from "./storage.ts";
import type { Tape } from "./tape.ts";
import type { Tensor } from "./tensor.ts";
import { Unowned } from "./unowned.ts";
import { checkDType, deviceBytes, type HostValues } from "./upload.ts";
import type { World } from "./world.ts";

/** Bytes that may lie outside of scopes before a garbage collection is asked for: at most, or a quarter of the budget. */
const MOST_UNOWNED = 256 * 2 ** 20;

/**
 * The working parts of a device, for ops and for the library itself: memory, kernels, and what is going on. An operation needs
 * `empty` of it, for results, and `scope`; engines and optimisers use more. `runtimeOf(device)` gives it.
 */
export class Runtime {
	/** The device that it is part of. */
	readonly device: Device;
	/** WebGPU's own device; its `limits` and `features` are what kernels may ask for. */
	readonly gpu: GPUDevice;
	/** The debug settings, defaults filled in. */
	readonly debug: Settled<DebugOptions>;
	/** Buffers, and the count of their bytes. */
	readonly pool: BufferPool;
	/** Kernels compiled so far. */
	readonly pipelines: PipelineCache;
	/** Commands that were recorded and not yet submitted. */
	readonly recorder: Recorder;
	/** Buffers through which results are read. */
	readonly staging: Staging;
	/** Words on the GPU in which kernels note what went wrong; `device.flush()` reads them. */
	readonly status: Status;
	/** Tensors outside of every scope. */
	readonly unowned: Unowned;
	/** Memory that its owners can do without. */
	readonly spare = new SpareMemory();
	/** Where living tensors were made; undefined below debug level 1. */
	readonly leaks: LeakTracker | undefined;
	/** The gradient computation in progress, `tape.recording` or not; undefined outside of one. */
	tape: Tape | undefined;
	#records: Records | undefined;
	#world: World | undefined;
	#touched: Map<Storage, number> | undefined;
	#path = "";
	#owner: object | undefined;
	#births = 0;
	#error: DeviceError | undefined;
	#isDestroyed = false;
	readonly #scopes = new ScopeStack((tensor) => this.unowned.add(tensor));
	readonly #free = (storage: Storage): void => {
		this.pool.retire(storage);
		this.recorder.release(storage);
	};
	readonly #guard: MemoryGuard | undefined;
	readonly #lost: Promise<void>;
	readonly #waiting: <T>(promise: Promise<T>) => Promise<T>;

	static {
		Object.freeze(Runtime.prototype);
	}

	constructor(device: Device, gpu: GPUDevice, memoryBudget: number, debug: Settled<DebugOptions>) {
		this.device = device;
		this.gpu = gpu;
		this.debug = debug;
		this.#waiting = waitingFor(device.info);
		this.unowned = new Unowned(Math.min(MOST_UNOWNED, memoryBudget / 4), debug.log);
		this.pool = new BufferPool(gpu, memoryBudget, {
			submit: () => {
				this.recorder.flush();
				this.recorder.forgetBuffers();
			},
			collect: () => {
				this.unowned.release();
				this.spare.release();
			},
		});
		this.recorder = new Recorder(gpu, this.pool);
		this.pipelines = new PipelineCache(gpu, (key, wgsl) => {
			if (debug.level >= 4) debug.log(`// ${key}\n${wgsl}\n`);
		});
		this.recorder.fusion = new Fusion(this.pipelines, device.plan);
		this.staging = new Staging(gpu);
		this.status = new Status(gpu);
		if (debug.level >= 1) this.leaks = new LeakTracker();
		if (debug.memory) this.#guard = new MemoryGuard(gpu, this.pipelines, this.recorder, this.status);
		this.recorder.guard = this.#guard;
		if (debug.level >= 2 && gpu.features.has("timestamp-query")) this.recorder.profiler = new Profiler(gpu);
		gpu.addEventListener?.("uncapturederror", (event) => {
			const { message } = (event as GPUUncapturedErrorEvent).error;
			this.#error ??= new DeviceError("device/validation", `the GPU reported: ${message}`);
		});
		this.#lost = gpu.lost.then(({ message }) => {
			if (this.#isDestroyed) return;
			this.#error = new DeviceError("device/lost", `the GPU device was lost: ${message}`, {
				hint: "request a new device and continue from the last checkpoint",
			});
		});
	}

	/** Path of the module that runs now, "" outside of modules; names it in errors and reports. */
	get path(): string {
		return this.#path;
	}

	/** The path as a phrase for error texts: " in PATH", or "". */
	get where(): string {
		return this.#path === "" ? "" : ` in ${this.#path}`;
	}

	/** The records of the program that `vmap` runs now; undefined outside of one. */
	get records(): Records | undefined {
		return this.#records;
	}

	/** The closed world of the private program that runs now; undefined outside of one. */
	get world(): World | undefined {
		return this.#world;
	}

	/** Number that the next storage will have: storages of this or a greater number are made from now on. */
	get nextBirth(): number {
		return this.#births;
	}

	/** Whose call runs now: the root of its modules; undefined outside of modules. */
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

	/** Runs `fn`, which is synchronous, in a closed world. @throws ValueError (`privacy/nested`) inside another. */
	inside<T>(world: World, fn: () => T): T {
		if (this.#world !== undefined) throw new ValueError("privacy/nested", "a private program runs already");
		this.#world = world;
		try {
			return fn();
		} finally {
			this.#world = undefined;
		}
	}

	/** Runs `fn` and notes the memory that its kernels read and write; where it is nested, only the innermost does. */
	watching<T>(fn: () => T): {
		/** What `fn` returned. */
		readonly result: T;
		/** Every storage that was bound to a kernel, and how often it had been written before. */
		readonly touched: ReadonlyMap<Storage, number>;
	} {
		const before = this.#touched;
		const touched = new Map<Storage, number>();
		this.#touched = touched;
		try {
			return { result: fn(), touched };
		} finally {
			this.#touched = before;
		}
	}

	/** Hands a new tensor to the innermost scope, which will release it, and returns it. Without a scope nobody owns it. */
	track<T extends Tensor>(tensor: T): T {
		this.#scopes.add(tensor);
		this.leaks?.add(tensor);
		return tensor;
	}

	/**
	 * Takes a tensor out of the scope that owns it and returns it: the caller releases it. Where the caller forgets it, it is
	 * released some time after its last handle was collected as garbage.
	 */
	keep<T extends Tensor>(tensor: T): T {
		this.#scopes.remove(tensor);
		this.unowned.keep(tensor);
		return tensor;
	}

	/** `keep` for a caller that releases it whatever happens, before the program goes on. */
	hold<T extends Tensor>(tensor: T): T {
		this.#scopes.remove(tensor);
		return tensor;
	}

	/**
	 * One ownership of the storage of a view, for a new `Tensor` to take over: that of the scope in which `empty` made it, or a
	 * further one where a tensor has it already.
	 */
	own({ storage }: Physical): Storage {
		return this.#scopes.remove(storage) ? storage : storage.retain();
	}

	/** Runs `fn` and releases what was made inside, except what was taken out by `own` or `keep`: results are not looked at. */
	scopeThrough<T>(fn: () => T): T {
		return this.#scopes.runThrough(fn);
	}

	/** Whether a scope is open. */
	get inScope(): boolean {
		return this.#scopes.isOpen;
	}

	/**
	 * Runs `fn` and releases what was made inside, except the tensors and views that it returns (by themselves, or in arrays,
	 * maps and plain objects), which pass to the enclosing scope. `op` names the caller in errors. @throws ValueError for a function that
	 * is async.
	 */
	scope<T>(fn: () => T, op = "scope"): T {
		return this.#scopes.run(fn, op);
	}

	/**
	 * Memory with undefined contents, owned by the innermost scope. `shape` starts with the record axis; dtype is f32 when left
	 * out. Row-major without gaps, offset 0. `op` names the caller in errors.
	 * @throws ShapeError for what is no shape; DTypeError for an unknown type; DeviceError for f16 on a device without it
	 * (`device/no-f16`), and beyond the memory budget (`device/budget`) or the size of a buffer (`device/buffer-limit`).
	 */
	empty(shape: Shape, dtype: DType = "f32", op = "empty"): Physical {
		this.raise();
		checkShape(op, shape);
		checkDType(op, dtype);
		if (dtype === "f16" && !this.gpu.features.has("shader-f16")) {
			throw new DeviceError("device/no-f16", `${op}: this device has no f16`, { op, hint: "use f32, or bf16 for storage" });
		}
		const bytes = Math.max(4, Math.ceil((sizeOf(shape) * bytesPerElement[dtype]) / 4) * 4);
		const isReal = !this.recorder.isRehearsing;
		const room = bytes + (this.#guard?.band ?? 0);
		const size = isReal ? this.pool.reserve(op, room, this.#path) : sizeClass(room);
		const storage = new Storage({ bytes, size, birth: this.#births++, label: this.#path }, isReal ? this.#free : () => {}, isReal);
		this.#scopes.add(storage);
		return new Physical(this, storage, dtype, { shape: [...shape] });
	}

	/**
	 * Copies host values, as `device.fromHost` takes them, into new memory of shape [1, ...shape]; `op` names the caller in errors.
	 * @throws What `empty` and `device.fromHost` do: PrivacyError inside a private program.
	 */
	upload(op: string, values: HostValues, shape: Shape, dtype: DType): Physical {
		checkShape(op, shape);
		const bytes = deviceBytes(op, values, shape, dtype);
		this.#world?.refuse(op, `host values ${showShape(shape)} are uploaded`);
		const out = this.empty([1, ...shape], dtype, op);
		if (bytes.byteLength > 0) this.recorder.upload(out.storage, bytes);
		return out;
	}

	/** Records one run of a kernel, with buffers and numbers in its order and unchecked: `Kernel.run` takes them by name. */
	run(
		kernel: Kernel,
		views: readonly Physical[],
		params: readonly number[],
		grid: number | Grid,
		{ flops, elementwise, zeroed }: Known = {},
	): void {
		this.raise();
		const pipeline = this.pipelines.get(kernel);
		const bindings = views.map((view, i) => this.#bind(kernel, pipeline.buffers[i], view));
		checkApart(kernel.key, pipeline.layoutKey, pipeline.buffers, bindings);
		if (grid === 0) return;
		const groups = typeof grid === "number" ? gridOf(grid, pipeline) : grid;
		if (groups.some((g) => g > MAX_GRID)) {
			throw new ShapeError("kernel/grid", `${kernel.key}: ${groups.join(" x ")} workgroups exceed the limit of ${MAX_GRID} an axis`);
		}
		const work = this.recorder.profiler && { flops, bytes: views.reduce((sum, t) => sum + t.bytes, 0), path: this.#path };
		this.recorder.dispatch({ pipeline, bindings, params, grid: groups, work, elementwise, zeroed });
	}

	/**
	 * Reads the elements of a contiguous view back, those of all records one after the other: submits what is pending, waits.
	 * Not refused in any program: `data` is. @throws DeviceError at the call where a step is recorded without being run
	 * (`capture/read`), and as a rejection when the device was lost or reported an error.
	 */
	read(view: Physical): Promise<HostArray> {
		this.recorder.checkReadable();
		return this.#read(view);
	}

	async #read(view: Physical): Promise<HostArray> {
		this.raise();
		const { bytes, dtype, offset, storage } = view;
		if (bytes === 0) return hostArray(dtype, new ArrayBuffer(0));
		const first = offset * bytesPerElement[dtype];
		const start = Math.floor(first / 4) * 4;
		const lead = first - start;
		const size = Math.ceil((lead + bytes) / 4) * 4;
		const staging = this.staging.take(size);
		this.recorder.copy(storage, start, staging, size);
		try {
			await this.settle();
			this.recorder.flush();
			await this.orLost(staging.mapAsync(MapMode.READ));
			this.raise();
			const values = hostArray(dtype, staging.getMappedRange(0, size).slice(lead, lead + bytes));
			staging.unmap();
			this.staging.give(staging);
			return values;
		} catch (error) {
			staging.destroy();
			throw error;
		}
	}

	/**
	 * What precedes a submit that is waited for. Where much was left outside of scopes, it asks for a garbage collection first:
	 * what nobody refers to needs no memory beyond the last command that uses it.
	 */
	settle(): Promise<void> | undefined {
		return this.unowned.isTooMuch ? this.unowned.collect().then(() => this.spare.releaseAbandoned()) : undefined;
	}

	/** Throws the first DeviceError that the GPU reported since the last call; one of a lost or destroyed device each time. */
	raise(): void {
		const error = this.#error;
		if (error === undefined) return;
		if (error.code === "device/validation") this.#error = undefined;
		throw error;
	}

	/**
	 * Waits for a promise of the GPU. Where it is rejected, throws the DeviceError that says why: lost, destroyed, an error that
	 * was reported, or else `device/read`.
	 */
	async orLost<T>(promise: Promise<T>): Promise<T> {
		try {
			return await this.#waiting(promise);
		} catch (cause) {
			await Promise.race([this.#lost, new Promise((resolve) => setTimeout(resolve, 1000))]);
			this.raise();
			throw new DeviceError("device/read", "reading from the GPU failed", { cause });
		}
	}

	/** Gives up the device and all its memory: `device.destroy()` without the report of what is alive. */
	destroy(): void {
		this.#isDestroyed = true;
		this.#error = new DeviceError("device/destroyed", "this device was destroyed", { hint: "request a new one" });
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
		const { storage } = view;
		if (this.#touched?.has(storage) === false) this.#touched.set(storage, storage.writes);
		if (access === "write") storage.writes++;
		return bindingOf(key, view, this.gpu.limits.maxStorageBufferBindingSize);
	}
}
