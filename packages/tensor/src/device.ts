import { type DebugOptions, type Leak, showLeaks } from "./debug.ts";
import type { DType } from "./dtype.ts";
import { DeviceError, NumericError } from "./errors.ts";
import type { MatrixUnit } from "./gpu/matrices.ts";
import { type Plan, type Planned, planFor } from "./gpu/plan.ts";
import type { MemoryReport } from "./gpu/pool.ts";
import { Profiler } from "./gpu/profiler.ts";
import type { GPU, GPUAdapterInfo, GPUDevice } from "./gpu/types.ts";
import type { Tile } from "./ops/gemm.tiled.kernel.ts";
import { type Settled, withDefaults } from "./options.ts";
import { Profile } from "./profile.ts";
import { Runtime } from "./runtime.ts";
import type { NotPromise } from "./scopes.ts";
import type { Shape } from "./shape.ts";
import { refused } from "./shown.ts";
import { foreign, Tensor } from "./tensor.ts";
import { dtypeOf, type HostValues } from "./upload.ts";

/** What was done since the device was made. */
export interface Counters {
	/** Kernels recorded, and those replayed. */
	readonly dispatches: number;
	/** Times that commands were handed to the GPU. */
	readonly submits: number;
	/** Bind groups created: kernels that met a set of buffers for which the cache held none. */
	readonly bindGroups: number;
	/** Kernels compiled. */
	readonly pipelines: number;
}

/** The working parts of a device: for authors of operations, optimisers and engines. */
export let runtimeOf: (device: Device) => Runtime;

/**
 * A GPU with its memory, pending commands and scopes, made by `requestDevice`. Operations record kernels and return at once;
 * the GPU runs them when `data`, `item` or `flush` waits for it, when an outermost `scope` ends, or when 2048 have gathered. Frozen: nobody listens in on what
 * others upload through it.
 *
 * Tensors made inside of a `scope` are released at its end, unless returned or kept: `const y = device.scope(() => tanh(matmul(x, w)))`
 * leaves y alone. Outside of every scope they live until `dispose`. Where 1024 of them have gathered, or 256 MiB (a quarter of the
 * budget, if less), the next `data`, `item` or `flush` has garbage collected, releases those that nothing refers to, and says once
 * where they are made.
 */
export class Device {
	/** WebGPU's own device. What is done with it directly, no check of this library sees. */
	readonly gpu: GPUDevice;
	/** Names of the GPU and its driver, as WebGPU's adapter gives them. */
	readonly info: GPUAdapterInfo;
	/**
	 * Which kernels run where an operation has several: "cpu" on drivers that compute on the processor, where every invocation works by
	 * itself, else "gpu", where those of a workgroup share their memory; "matrix", where it was asked for. Profiles name the kernels that
	 * ran.
	 */
	readonly plan: Plan;
	/** What products of matrices run on in plan "matrix": sizes of the matrices that a subgroup multiplies. */
	readonly matrices: MatrixUnit | undefined;
	/** The tiles of products that were measured, as `requestDevice({ tuning })` was given them; undefined where it was not. */
	readonly tiles: ReadonlyMap<string, Tile> | undefined;
	/** The debug settings, defaults filled in. */
	readonly debug: Settled<DebugOptions>;
	/** WebGPU's entry point: Dawn's instance lives only as long as it is reachable. */
	readonly instance: GPU;
	readonly #runtime: Runtime;
	#isProfiled = false;

	static {
		runtimeOf = (device) => {
			const isObject = typeof device === "object" && device !== null;
			return isObject && #runtime in device ? device.#runtime : foreign("device", device);
		};
		Object.freeze(Device.prototype);
	}

	/** Takes over a WebGPU device; `memoryBudget` is in bytes. `requestDevice` calls it. */
	constructor(instance: GPU, gpu: GPUDevice, info: GPUAdapterInfo, memoryBudget: number, debug: DebugOptions = {}, planned?: Planned) {
		this.instance = instance;
		this.gpu = gpu;
		this.info = info;
		const { plan, matrices, tiles } = planned ?? planFor(info, gpu.limits);
		this.plan = plan;
		this.matrices = matrices;
		this.tiles = tiles;
		this.debug = withDefaults<Settled<DebugOptions>>({ level: 0, nan: false, memory: false, log: (text) => console.error(text) }, debug);
		this.#runtime = new Runtime(this, gpu, memoryBudget, this.debug);
		Object.freeze(this);
		if (this.debug.level >= 1) {
			const names = [info.vendor, info.architecture, info.description].filter((s) => s !== "").join(", ");
			this.debug.log(
				`device: ${names}; plan ${plan}${tiles ? ", tuned" : ""}; budget ${Number.isFinite(memoryBudget) ? `${Math.floor(memoryBudget)} bytes` : "none"}`,
			);
		}
	}

	/** Name of the GPU and its driver, such as "Device(llvmpipe ...)". */
	toString(): string {
		const { vendor, architecture, device, description } = this.info;
		const names = [description || device, architecture, vendor].filter((s) => s !== "");
		return `Device(${names[0] ?? "GPU"})`;
	}

	/** What `console.log` shows: its name, and the memory in use. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		const { liveBytes, liveBuffers } = this.memory();
		return `${this} with ${liveBytes} bytes in ${liveBuffers} buffers`;
	}

	/** What a notebook shows: the same. */
	[Symbol.for("Jupyter.display")](): { readonly "text/plain": string } {
		return { "text/plain": String(this) };
	}

	/** Whether the device offers a WebGPU feature, such as "shader-f16". */
	has(feature: string): boolean {
		return typeof feature === "string" && this.gpu.features.has(feature); // Dawn ends the process for a symbol
	}

	/** Bytes and buffers in use, those of captured steps included. */
	memory(): MemoryReport {
		return this.#runtime.pool.report();
	}

	/** Kernels, submits, bind groups and pipelines so far: what a step costs is their difference. */
	counters(): Counters {
		const { recorder, pipelines } = this.#runtime;
		return {
			dispatches: recorder.dispatches,
			submits: recorder.submits,
			bindGroups: recorder.bindGroupsCreated,
			pipelines: pipelines.size,
		};
	}

	/** Tensors that are alive, by the place of the program that made them, the most bytes first. Empty below debug level 1. */
	leaks(): Leak[] {
		return this.#runtime.leaks?.report() ?? [];
	}

	/**
	 * Copies host values, in row-major order, to a new tensor. dtype, when left out, is i32 for an Int32Array, u32 for a
	 * Uint32Array, u8 for a Uint8Array, else f32. Plain numbers and Float32Arrays are converted: rounded to f32, f16 or bf16
	 * (nearest, ties to even), checked for whole numbers. Other typed arrays are those that hold the dtype: an Int32Array for i32,
	 * a Uint32Array for u32 and bool (checked for 0 and 1), a Uint8Array for u8, the bits of f16 and bf16 in a Uint16Array or a
	 * Uint8Array. The tensor belongs to the innermost scope.
	 * @throws ShapeError when the sizes differ or `shape` is none; DTypeError (`tensor/host-type`) for another typed array;
	 * ValueError for numbers that an integer type does not hold; DeviceError for f16 on a device without it, where memory runs out,
	 * and inside a step that is being captured; PrivacyError inside a private program.
	 */
	fromHost(values: HostValues, shape: Shape, dtype: DType = dtypeOf(values)): Tensor {
		const runtime = this.#runtime;
		return runtime.scope(() => {
			const uploaded = runtime.upload("fromHost", values, shape, dtype);
			return runtime.track(new Tensor(this, dtype, { storage: runtime.own(uploaded), shape: [...shape] }));
		});
	}

	/** Path of the module that runs now, "" outside of modules; names it in errors, profiles and `memory().byLabel`. */
	get path(): string {
		return this.#runtime.path;
	}

	/** Runs `fn` as part of the module at `path`: for parts of a program that are no modules. */
	within<T>(path: string, fn: () => T): T {
		if (typeof path !== "string") throw refused("within", "path", path, "a string");
		if (typeof fn !== "function") throw refused("within", "fn", fn, "a function");
		return this.#runtime.within(path, fn);
	}

	/**
	 * Takes a tensor out of the scope that owns it and returns it; the caller releases it with `dispose`, or refers to it no more: it
	 * is then garbage, as tensors outside of scopes may be.
	 */
	keep<T extends Tensor>(tensor: T): T {
		if (!(tensor instanceof Tensor)) throw refused("keep", "tensor", tensor, "a tensor");
		return this.#runtime.keep(tensor);
	}

	/**
	 * Runs `fn` and releases every tensor made inside, except those it returns (directly, or in arrays, maps and
	 * plain objects), which pass to the enclosing scope, or to the caller where there is none. After an error all are released.
	 * What was made outside stays as it is.
	 * @throws ValueError (`scope/async`) for a function that is async: its tensors would be released while it waits.
	 */
	scope<T>(fn: () => T & NotPromise<T>): T {
		const runtime = this.#runtime;
		const result = runtime.scope(fn);
		if (!runtime.inScope) runtime.recorder.start();
		return result;
	}

	/**
	 * Submits pending commands and waits until the GPU has done them, by reading one status word: a step that ends with
	 * it is known to be done. A failed check is told once.
	 * @throws DeviceError when the device was lost (`device/lost`) or destroyed, reported an error (`device/validation`), or a
	 * kernel wrote behind a tensor (`device/stray-write`, debug setting `memory`); NumericError when `checkFinite` or the debug
	 * setting `nan` found NaN or infinity.
	 */
	async flush(): Promise<void> {
		const runtime = this.#runtime;
		runtime.raise();
		await runtime.settle();
		const { notFinite, strayWrite } = await runtime.orLost(runtime.status.read(runtime.recorder));
		runtime.raise();
		if (strayWrite !== undefined) throw new DeviceError("device/stray-write", `a kernel wrote behind ${strayWrite}`);
		if (notFinite !== undefined) {
			throw new NumericError("numeric/not-finite", `${notFinite} holds NaN or infinity`, {
				hint: this.debug.nan ? undefined : "HUSHGRAD_DEBUG=nan names the first operation that made one",
			});
		}
	}

	/** Waits as `flush` does, then gives pooled buffers that no tensor owns back to the system. @throws What `flush` does. */
	async trim(): Promise<void> {
		await this.flush();
		this.#runtime.recorder.flush();
		this.#runtime.recorder.forgetBuffers();
		this.#runtime.pool.trim();
		this.#runtime.staging.trim();
	}

	/**
	 * Times every kernel that is recorded while `fn` runs, each in a pass of its own, and waits for them; `fn` may be async. Those too
	 * whose results nobody reads, which are not run elsewhere. Replays of captured steps are not timed. @throws DeviceError when the device has no timestamp queries, or another profile is
	 * being taken (`device/profiling`).
	 */
	async profile(fn: () => unknown): Promise<Profile> {
		if (typeof fn !== "function") throw refused("profile", "fn", fn, "a function");
		if (!this.has("timestamp-query")) throw new DeviceError("device/no-timestamps", "profile: this device has no timestamp queries");
		if (this.#isProfiled) {
			throw new DeviceError("device/profiling", "profile: another profile is being taken", { op: "profile", hint: "await it first" });
		}
		const { recorder, gpu } = this.#runtime;
		recorder.flush();
		const before = recorder.profiler;
		const profiler = new Profiler(gpu);
		recorder.profiler = profiler;
		this.#isProfiled = true;
		try {
			try {
				await fn();
			} finally {
				recorder.flush();
				recorder.profiler = before;
				this.#isProfiled = false;
			}
			return new Profile(await this.#runtime.orLost(profiler.collect()));
		} finally {
			profiler.destroy();
		}
	}

	/** `destroy`, after printing the time of every kernel at debug level 2 and more. */
	async close(): Promise<void> {
		const { recorder } = this.#runtime;
		if (recorder.profiler !== undefined) {
			recorder.flush();
			this.debug.log(new Profile(await recorder.profiler.collect()).table());
		}
		this.destroy();
	}

	/**
	 * Gives the device and all its memory up at once. From debug level 1 on prints the tensors that are still alive. From then on
	 * reads, uploads and operations throw a DeviceError (`device/destroyed`).
	 */
	destroy(): void {
		const leaks = this.leaks();
		if (leaks.length > 0) this.debug.log(showLeaks(leaks));
		this.#runtime.destroy();
	}
}
