import type { Storage } from "../storage.ts";
import { BufferUsage } from "./flags.ts";
import { reads, writes } from "./kernel.ts";
import type { PipelineCache } from "./pipelines.ts";
import type { PooledBuffer } from "./pool.ts";
import type { BufferGuard, Recorder } from "./recorder.ts";
import { noteStrayWrite, type Status } from "./status.ts";
import type { GPUBuffer, GPUDevice } from "./types.ts";

/** A quiet NaN that nothing computes. */
const POISON = 0x7fc0dead;
/** Bytes added behind every tensor. */
const BAND = 256;
const CHUNK = 2 ** 20;

const FILL = {
	key: "guard/fill",
	spec: {
		params: { n: "u32", first: "u32", mark: "u32" },
		buffers: { x: writes("u32") },
		workgroup: 64,
		body: "if (index < p.n) { x_set(p.first + index, p.mark); }",
	},
} as const;

const CHECK = {
	key: "guard/check",
	spec: {
		params: { n: "u32", first: "u32", mark: "u32", id: "u32" },
		buffers: { x: reads("u32"), status: writes("u32") },
		workgroup: 64,
		body: `if (index < p.n && x_at(p.first + index) != p.mark) { ${noteStrayWrite} }`,
	},
} as const;

/**
 * What stands behind a tensor: a finite number, another one in every buffer. With one for all, a thread that goes too far
 * would read it behind an operand and might write it unchanged behind the result.
 */
const markOf = ({ id }: PooledBuffer): number => 0x5e000000 + (Math.imul(id + 1, 0x9e3779b1) >>> 9);

/**
 * Test mode of the memory: every buffer is filled with a NaN before use, so that a read of what was never written
 * shows in the result, and the bytes behind a tensor are marked, and compared when it is released.
 */
export class MemoryGuard implements BufferGuard {
	readonly band = BAND;
	readonly #pattern: GPUBuffer;
	readonly #pipelines: PipelineCache;
	readonly #recorder: Recorder;
	readonly #status: Status;

	constructor(device: GPUDevice, pipelines: PipelineCache, recorder: Recorder, status: Status) {
		this.#pattern = device.createBuffer({ label: "poison", size: CHUNK, usage: BufferUsage.COPY_SRC | BufferUsage.COPY_DST });
		device.queue.writeBuffer(this.#pattern, 0, new Uint32Array(CHUNK / 4).fill(POISON));
		this.#pipelines = pipelines;
		this.#recorder = recorder;
		this.#status = status;
	}

	/** Fills a buffer that a storage gets: its bytes with NaN, what lies behind them with the buffer's mark. */
	fill(buffer: PooledBuffer, { bytes }: Storage): void {
		for (let at = 0; at < bytes; at += CHUNK) this.#recorder.fill(buffer, at, this.#pattern, Math.min(CHUNK, bytes - at));
		this.#overBand(FILL, buffer, bytes, []);
	}

	/** Compares what lies behind the bytes of a storage, which gives its buffer up. */
	check(buffer: PooledBuffer, { bytes, label }: Storage): void {
		const name = `a tensor of ${bytes} bytes${label === "" ? "" : ` in ${label}`}`;
		this.#overBand(CHECK, buffer, bytes, [this.#status.idOf(name)]);
	}

	#overBand(kernel: typeof FILL | typeof CHECK, buffer: PooledBuffer, bytes: number, rest: readonly number[]): void {
		const offset = Math.floor(bytes / 256) * 256;
		const first = Math.ceil((bytes - offset) / 4);
		const n = (buffer.bytes - offset) / 4 - first;
		const pipeline = this.#pipelines.get(kernel);
		const tail = { storage: { buffer }, offset, size: buffer.bytes - offset, base: 0 };
		const { storage } = this.#status;
		const bindings = kernel === FILL ? [tail] : [tail, { storage, offset: 0, size: storage.size, base: 0 }];
		this.#recorder.encode({ pipeline, bindings, params: [n, first, markOf(buffer), ...rest], grid: [Math.ceil(n / 64), 1, 1] });
	}

	destroy(): void {
		this.#pattern.destroy();
	}
}
