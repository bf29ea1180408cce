import { type DebugOptions, type Leak, showLeaks } from "./debug.ts";
import type { DType } from "./dtype.ts";
import { DeviceError, NumericError } from "./errors.ts";
import type { MemoryReport } from "./gpu/pool.ts";
import { Profiler } from "./gpu/profiler.ts";
import { type Settled, withDefaults } from "./options.ts";
import { Profile } from "./profile.ts";
import { Runtime } from "./runtime.ts";
import type { NotPromise } from "./scopes.ts";
import type { Shape } from "./shape.ts";
import { Tensor } from "./tensor.ts";
import { dtypeOf, type HostValues } from "./upload.ts";

/** What was done since the device was made. */
export interface Counters {
	readonly dispatches: number;
	readonly submits: number;
	readonly bindGroups: number;
	readonly pipelines: number;
}

/** The working parts of a device: for ops and for the library itself. */
export let runtimeOf: (device: Device) => Runtime;

/** A GPU with its memory, pending commands and scopes. Frozen: nobody listens in on what others upload through it. */
export class Device {
	readonly gpu: GPUDevice;
	readonly info: GPUAdapterInfo;
	readonly debug: Settled<DebugOptions>;
	/** Dawn's instance lives only as long as it is reachable. */
	readonly instance: GPU;
	readonly #runtime: Runtime;

	static {
		runtimeOf = (device) => device.#runtime;
		Object.freeze(Device.prototype);
	}

	constructor(instance: GPU, gpu: GPUDevice, info: GPUAdapterInfo, memoryBudget: number, debug: DebugOptions = {}) {
		this.instance = instance;
		this.gpu = gpu;
		this.info = info;
		this.debug = withDefaults<Settled<DebugOptions>>({ level: 0, nan: false, memory: false, log: (text) => console.error(text) }, debug);
		this.#runtime = new Runtime(this, gpu, memoryBudget, this.debug);
		Object.freeze(this);
		if (this.debug.level >= 1) {
			const names = [info.vendor, info.architecture, info.description].filter((s) => s !== "").join(", ");
			this.debug.log(`device: ${names}; budget ${Math.floor(memoryBudget)} bytes`);
		}
	}

	/** Whether the device offers a WebGPU feature, such as "shader-f16". */
	has(feature: GPUFeatureName): boolean {
		return this.gpu.features.has(feature);
	}

	/** Bytes and buffers in use. */
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

	/** Tensors that are alive, by the place of the program that made them. Needs debug level 1. */
	leaks(): Leak[] {
		return this.#runtime.leaks?.report() ?? [];
	}

	/**
	 * Copies host values to the device. dtype follows the array type unless given; a Uint8Array or Uint16Array with a
	 * dtype is taken as raw bytes. Plain numbers and Float32Arrays are rounded to f16 and bf16.
	 * @throws ShapeError when the sizes differ, ValueError for numbers that an integer type does not hold, PrivacyError
	 * inside a private program.
	 */
	fromHost(values: HostValues, shape: Shape, dtype: DType = dtypeOf(values)): Tensor {
		const runtime = this.#runtime;
		return runtime.scope(() => {
			const uploaded = runtime.upload("tensor", values, shape, dtype);
			return runtime.track(new Tensor(this, dtype, { storage: runtime.own(uploaded), shape: [...shape] }));
		});
	}

	/** Path of the module that runs now; names it in errors and reports. */
	get path(): string {
		return this.#runtime.path;
	}

	/** Runs `fn` as part of the module at `path`. */
	within<T>(path: string, fn: () => T): T {
		return this.#runtime.within(path, fn);
	}

	/** Takes a tensor out of every scope; the caller releases it with `dispose`. */
	keep<T extends Tensor>(tensor: T): T {
		return this.#runtime.keep(tensor);
	}

	/**
	 * Runs `fn` and releases every tensor made inside, except those it returns (directly, or in arrays, maps and
	 * plain objects), which pass to the enclosing scope.
	 */
	scope<T>(fn: () => T & NotPromise<T>): T {
		return this.#runtime.scope(fn);
	}

	/**
	 * Submits pending commands and waits until the GPU has done them, by reading one status word: a step that ends with
	 * it is known to be done.
	 * @throws DeviceError when the device was lost or reported an error; NumericError when a check found NaN or infinity.
	 */
	async flush(): Promise<void> {
		const runtime = this.#runtime;
		runtime.raise();
		const { notFinite, strayWrite } = await runtime.orLost(runtime.status.read(runtime.recorder));
		runtime.raise();
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
		this.#runtime.recorder.forgetBuffers();
		this.#runtime.pool.trim();
	}

	/** Times every kernel that `fn` records. @throws DeviceError when the device has no timestamp queries. */
	async profile(fn: () => unknown): Promise<Profile> {
		if (!this.has("timestamp-query")) throw new DeviceError("device/no-timestamps", "profile: this device has no timestamp queries");
		const { recorder, gpu } = this.#runtime;
		recorder.flush();
		const before = recorder.profiler;
		const profiler = new Profiler(gpu, () => this.path);
		recorder.profiler = profiler;
		try {
			await fn();
			recorder.flush();
			return new Profile(await this.#runtime.orLost(profiler.collect()));
		} finally {
			recorder.profiler = before;
			profiler.destroy();
		}
	}

	/** Prints what the debug level asks for, and gives the device up. */
	async close(): Promise<void> {
		const { recorder } = this.#runtime;
		if (recorder.profiler !== undefined) {
			recorder.flush();
			this.debug.log(new Profile(await recorder.profiler.collect()).table());
		}
		this.destroy();
	}

	/** Gives the device up at once. At debug level 1 prints the tensors that are still alive. */
	destroy(): void {
		const leaks = this.leaks();
		if (leaks.length > 0) this.debug.log(showLeaks(leaks));
		this.#runtime.destroy();
	}
}
