import { readFileSync } from "node:fs";
import type { Device } from "@hushgrad/tensor";

/** What is counted, by the names that a report gives it. */
export const COUNTED = {
	submits: "queue.submit",
	mapAsyncs: "mapAsync",
	buffersCreated: "buffers created",
	bytesCreated: "bytes of buffers created",
	stagingBuffers: "... of them for reading back (MAP_READ)",
	dispatches: "dispatches",
	computePasses: "compute passes",
	bufferCopies: "copyBufferToBuffer",
	writeBuffers: "queue.writeBuffer",
	bytesWritten: "bytes in writeBuffer",
	bindGroupsCreated: "bind groups created",
} as const;
export type Counts = Record<keyof typeof COUNTED, number>;

/** Calls into WebGPU since the start; it stands between the library and Dawn, at some nanoseconds a call. */
export class Counters {
	/** `mainThreadMs` at the first mapAsync since this was last cleared. */
	firstMap: number | undefined;
	readonly #undo: (() => void)[] = [];
	readonly #counts = Object.fromEntries(Object.keys(COUNTED).map((k) => [k, 0])) as Counts;

	constructor(device: Device) {
		const { gpu } = device;
		const probe = gpu.createBuffer({ size: 4, usage: 0x8 });
		const ofBuffers = Object.getPrototypeOf(probe);
		const encoder = gpu.createCommandEncoder();
		const ofEncoders = Object.getPrototypeOf(encoder);
		const pass = encoder.beginComputePass();
		const ofPasses = Object.getPrototypeOf(pass);
		pass.end();
		encoder.finish();
		probe.destroy();
		this.#wrap(gpu.queue, "submit", "submits");
		this.#wrap(ofBuffers, "mapAsync", "mapAsyncs", () => {
			this.firstMap ??= mainThreadMs();
		});
		this.#wrap(gpu, "createBuffer", "buffersCreated", ([{ usage, size }]) => {
			if ((usage & 0x1) !== 0) this.#counts.stagingBuffers++;
			this.#counts.bytesCreated += size;
		});
		this.#wrap(ofEncoders, "beginComputePass", "computePasses");
		this.#wrap(ofPasses, "dispatchWorkgroups", "dispatches");
		this.#wrap(ofEncoders, "copyBufferToBuffer", "bufferCopies");
		this.#wrap(gpu.queue, "writeBuffer", "writeBuffers", ([, , values, , size]) => {
			// A size is in bytes here: the library hands over ArrayBuffers. Typed arrays come whole.
			this.#counts.bytesWritten += size ?? values.byteLength;
		});
		this.#wrap(gpu, "createBindGroup", "bindGroupsCreated");
	}

	/** Counts from `before` to now. */
	since(before: Counts): Counts {
		const now = this.now();
		return Object.fromEntries(Object.entries(now).map(([k, v]) => [k, v - before[k as keyof Counts]])) as Counts;
	}

	now(): Counts {
		return { ...this.#counts };
	}

	/** Counts no more. */
	stop(): void {
		for (const undo of this.#undo.splice(0).reverse()) undo();
	}

	// biome-ignore lint/suspicious/noExplicitAny: arguments of any method of WebGPU
	#wrap(object: any, method: string, count: keyof Counts, look?: (args: any[]) => void): void {
		const counts = this.#counts;
		const original = object[method];
		const isOwn = Object.hasOwn(object, method);
		object[method] = function (...args: unknown[]) {
			counts[count]++;
			look?.(args);
			return original.apply(this, args);
		};
		this.#undo.push(() => {
			if (isOwn) object[method] = original;
			else delete object[method];
		});
	}
}

/**
 * CPU milliseconds of the main thread (Linux): what JavaScript and Dawn's calls take, without the software GPU's threads.
 * While a mapAsync is pending, npm `webgpu` polls the GPU from setImmediate, and waiting costs CPU time too: hence the
 * time up to the first mapAsync of a step, which is all work of the host.
 */
export function mainThreadMs(): number {
	try {
		return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
	} catch {
		return Number.NaN;
	}
}
