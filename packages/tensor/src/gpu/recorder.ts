import { DeviceError } from "../errors.ts";
import type { Storage } from "../storage.ts";
import { writeParams } from "./binding.ts";
import type { Binding, Copy, Dispatch, Placed } from "./commands.ts";
import { BufferUsage } from "./flags.ts";
import { MAX_PARAM_BYTES } from "./kernel.ts";
import type { BufferPool, PooledBuffer } from "./pool.ts";
import type { Profiler } from "./profiler.ts";
import type { ReplayList } from "./replay.ts";
import type { GPUBindGroup, GPUBuffer, GPUCommandEncoder, GPUComputePassEncoder, GPUDevice } from "./types.ts";
import { type Skipped, withoutUnread } from "./unread.ts";

/** What is recorded until the next submit. */
type Command = Dispatch | Copy;

/** What a debug mode does with buffers when they come into use and go out of it. */
export interface BufferGuard {
	fill(buffer: PooledBuffer, storage: Storage): void;
	check(buffer: PooledBuffer, storage: Storage): void;
}

/** What makes one dispatch of several, of commands that are about to be submitted. */
interface Fusing {
	fuse(commands: readonly (Command | Skipped)[], first: number): readonly (Command | Skipped | undefined)[];
}

/** Kernels in one submit: the GPU runs them while the next are encoded. */
const CHUNK = 256;
/** Commands, at least, that are worth a submit before anybody waits for them. */
const WORTH_A_SUBMIT = 64;
const RING_SLOTS = 2048;
const MAX_BIND_GROUPS = 16384;

const bufferOf = ({ storage }: Binding<Placed>): PooledBuffer => storage.buffer as PooledBuffer;

/** Which buffers a dispatch binds, as a key. */
export function bindingKey({ pipeline, bindings }: Dispatch<Placed>): string {
	let key = pipeline.layoutKey;
	for (const b of bindings) key += `|${bufferOf(b).id}:${b.offset}:${b.size}`;
	return key;
}

export function createBindGroup(device: GPUDevice, { pipeline, bindings }: Dispatch<Placed>, params: GPUBuffer): GPUBindGroup {
	return device.createBindGroup({
		layout: pipeline.layout,
		entries: [
			{ binding: 0, resource: { buffer: params, size: MAX_PARAM_BYTES } },
			...bindings.map((b, i) => ({ binding: i + 1, resource: { buffer: bufferOf(b).gpu, offset: b.offset, size: b.size } })),
		],
	});
}

/** The error of a step that is captured or rehearsed, and moves data between host and device. */
function transferred(kind: "upload" | "read"): DeviceError {
	return kind === "upload"
		? new DeviceError("capture/upload", "capture: host data was uploaded inside the step, where it would be frozen", {
				hint: "make the tensor before the capture and refresh it with write(x, values) before each replay",
			})
		: new DeviceError("capture/read", "capture: a tensor is read inside a step that is recorded without being run", {
				hint: "return it from the step, and read it afterwards",
			});
}

const unreal = ({ bytes, label }: Storage): DeviceError =>
	new DeviceError("capture/unreal", `a tensor of ${bytes} bytes${label === "" ? "" : ` in ${label}`} was recorded without being computed`, {
		hint: "it was kept from a step that was only compared with its capture; return it from the step instead",
	});

/**
 * Keeps commands until `flush`, which gives them buffers and hands them to the GPU. Who owns what is known then: a storage that
 * was released in the meantime has a buffer from the first command that uses it to the last, and another storage has it after
 * that. Parameters go to a ring of uniform slots that is uploaded just before the submit; bind groups are cached by the buffers
 * they name.
 */
export class Recorder {
	/** Times kernels while set. */
	profiler: Profiler | undefined;
	/** Makes fewer kernels of those recorded while set. */
	fusion: Fusing | undefined;
	/** Watches buffers while set. */
	guard: BufferGuard | undefined;
	readonly #device: GPUDevice;
	readonly #pool: BufferPool;
	readonly #ring: GPUBuffer;
	readonly #slots = new ArrayBuffer(RING_SLOTS * MAX_PARAM_BYTES);
	readonly #words = new DataView(this.#slots);
	readonly #groups = new Map<string, GPUBindGroup>();
	#commands: Command[] = [];
	/** Number of the first command of those. */
	#first = 0;
	#listener: ((dispatch: Dispatch<Placed>) => void) | undefined;
	/** What is recorded, while a step is captured or rehearsed. */
	#recorded: Dispatch[] | undefined;
	#isRehearsing = false;
	#encoder: GPUCommandEncoder | undefined;
	#pass: GPUComputePassEncoder | undefined;
	#used = 0;
	#dispatches = 0;
	#bindGroupsCreated = 0;
	#submits = 0;
	#copies = 0;

	constructor(device: GPUDevice, pool: BufferPool) {
		this.#device = device;
		this.#pool = pool;
		this.#ring = device.createBuffer({
			label: "parameters",
			size: this.#slots.byteLength,
			usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
		});
	}

	/** Dispatches recorded since the device was made; those that became one when they were submitted are one. */
	get dispatches(): number {
		return this.#dispatches;
	}

	/** Bind groups created since the device was made. */
	get bindGroupsCreated(): number {
		return this.#bindGroupsCreated;
	}

	/** Submits since the device was made. */
	get submits(): number {
		return this.#submits;
	}

	/** Copies to be read since the device was made. */
	get copies(): number {
		return this.#copies;
	}

	/** Whether `listen` or `rehearse` runs. */
	get isListening(): boolean {
		return this.#recorded !== undefined;
	}

	/** Whether `rehearse` runs: what is recorded will not be run, and needs no memory. */
	get isRehearsing(): boolean {
		return this.#isRehearsing;
	}

	dispatch(dispatch: Dispatch): void {
		this.#recorded?.push(dispatch);
		if (this.#isRehearsing) return;
		if (this.#commands.length >= RING_SLOTS) this.flush();
		for (const { storage } of dispatch.bindings) {
			storage.lastUse = this.#first + this.#commands.length;
			storage.uses++;
		}
		this.#commands.push(dispatch);
		this.#dispatches++;
	}

	/** @throws DeviceError in `rehearse`: there will be no values. */
	checkReadable(): void {
		if (this.#isRehearsing) throw transferred("read");
	}

	/** Copies bytes to a buffer, in order with the kernels. */
	copy(from: Storage, offset: number, to: GPUBuffer, bytes: number): void {
		this.#copies++;
		from.lastUse = this.#first + this.#commands.length;
		from.uses++;
		this.#commands.push({ from, offset, to, bytes });
	}

	/** Writes host bytes into a storage, after every command recorded so far that uses it. */
	upload(to: Storage, data: ArrayBufferView): void {
		if (this.#recorded !== undefined) throw transferred("upload");
		if (this.#isPending(to)) this.flush();
		const { gpu } = this.#bind(to);
		this.#submit();
		this.#device.queue.writeBuffer(gpu, 0, data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
	}

	/** Takes the buffer of a storage that nobody owns any more, at once or after the last command that uses it. */
	release(storage: Storage): void {
		if (!this.#isPending(storage)) this.#unbind(storage);
	}

	/** Submits what was recorded where it is worth it: the GPU runs it while the program goes on. */
	start(): void {
		if (this.#commands.length >= WORTH_A_SUBMIT) this.flush();
	}

	/** Submits what was recorded, and the kernels of a list behind it. Does not wait. */
	replay(list: ReplayList): void {
		this.#encodeAll();
		const chunks = Math.max(1, Math.round(list.length / CHUNK));
		for (let i = 0; i < chunks; i++) {
			const [first, end] = [i, i + 1].map((k) => Math.round((k * list.length) / chunks));
			if (end > first) list.encode(this.#openPass(), first, end);
			this.#submit();
		}
		this.#dispatches += list.length;
	}

	/** Submits what was recorded. Does not wait. */
	flush(): void {
		this.#encodeAll();
		this.#submit();
	}

	#encodeAll(): void {
		// What is timed or watched is all that was asked for.
		const run = this.profiler === undefined && this.guard === undefined ? withoutUnread(this.#commands) : this.#commands;
		const commands = this.fusion?.fuse(run, this.#first) ?? run;
		this.#commands = [];
		for (const command of commands) {
			const number = this.#first++;
			if (command === undefined) this.#dispatches--;
			else if ("skipped" in command) {
				this.#dispatches--;
				for (const { storage } of command.skipped) this.#passed(storage, number);
			} else if ("pipeline" in command) {
				for (const { storage } of command.bindings) this.#bind(storage);
				if (this.#used >= CHUNK) this.#submit();
				this.encode(command);
				for (const { storage } of command.bindings) this.#passed(storage, number);
			} else {
				const { gpu } = this.#bind(command.from);
				this.#endPass();
				this.#begin().copyBufferToBuffer(gpu, command.offset, command.to, 0, command.bytes);
				this.#passed(command.from, number);
			}
		}
	}

	/** Encodes a kernel behind those that have buffers, ahead of those that wait for theirs. */
	encode(dispatch: Dispatch<Placed>): void {
		const { zeroed, bindings } = dispatch;
		if (zeroed === undefined || this.profiler !== undefined) this.#run(dispatch);
		else {
			this.#endPass();
			this.#begin().clearBuffer(bufferOf(bindings[0]).gpu, zeroed.offset, zeroed.bytes);
		}
		this.#listener?.(dispatch);
	}

	#run(dispatch: Dispatch<Placed>): void {
		const { pipeline, grid, work } = dispatch;
		if (this.#used === RING_SLOTS) this.#submit();
		const slot = this.#used++ * MAX_PARAM_BYTES;
		writeParams(this.#words, slot, dispatch);
		if (this.profiler !== undefined) this.#endPass();
		const timestampWrites = this.profiler?.next(pipeline.key, work ?? {});
		const pass = this.#openPass(timestampWrites);
		pass.setPipeline(pipeline.gpu);
		pass.setBindGroup(0, this.#group(dispatch), [slot]);
		pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
	}

	/** Overwrites part of a buffer with a pattern, at the same place. */
	fill(to: PooledBuffer, at: number, pattern: GPUBuffer, bytes: number): void {
		this.#endPass();
		this.#begin().copyBufferToBuffer(pattern, 0, to.gpu, at, bytes);
	}

	/** Runs `fn`, submits what it recorded, and returns that, and its kernels with the buffers that they got. */
	listen<T>(fn: () => T): { readonly result: T; readonly recorded: readonly Dispatch[]; readonly encoded: readonly Dispatch<Placed>[] } {
		const recorded: Dispatch[] = [];
		const encoded: Dispatch<Placed>[] = [];
		this.#recorded = recorded;
		this.#listener = (d) => {
			const bindings = d.bindings.map((b) => ({ ...b, storage: { buffer: b.storage.buffer } }));
			encoded.push({ ...d, bindings });
		};
		try {
			return { result: fn(), recorded, encoded };
		} finally {
			this.flush();
			this.#listener = undefined;
			this.#recorded = undefined;
		}
	}

	/** Runs `fn` and returns what it recorded, which is not run. */
	rehearse<T>(fn: () => T): { readonly result: T; readonly recorded: readonly Dispatch[] } {
		const recorded: Dispatch[] = [];
		this.#recorded = recorded;
		this.#isRehearsing = true;
		try {
			return { result: fn(), recorded };
		} finally {
			this.#isRehearsing = false;
			this.#recorded = undefined;
		}
	}

	forgetBuffers(): void {
		this.#groups.clear();
	}

	destroy(): void {
		this.#groups.clear();
		this.#ring.destroy();
	}

	/** Whether a command waits that uses a storage. */
	#isPending({ lastUse }: Storage): boolean {
		return lastUse >= this.#first;
	}

	/** The buffer of a storage, a new one where it has none. */
	#bind(storage: Storage): PooledBuffer {
		if (storage.buffer === undefined) {
			if (!storage.isReal) throw unreal(storage);
			storage.buffer = this.#pool.take(storage.size);
			this.guard?.fill(storage.buffer, storage);
		}
		return storage.buffer;
	}

	#unbind(storage: Storage): void {
		const { buffer } = storage;
		if (buffer === undefined) return;
		storage.buffer = undefined;
		this.guard?.check(buffer, storage);
		this.#pool.give(buffer);
	}

	/** A storage after command `number`, which used it. */
	#passed(storage: Storage, number: number): void {
		if (storage.lastUse === number && !storage.isOwned) this.#unbind(storage);
	}

	#begin(): GPUCommandEncoder {
		this.#encoder ??= this.#device.createCommandEncoder();
		return this.#encoder;
	}

	#openPass(timestampWrites?: GPUComputePassTimestampWrites): GPUComputePassEncoder {
		this.#pass ??= this.#begin().beginComputePass(timestampWrites && { timestampWrites });
		return this.#pass;
	}

	#endPass(): void {
		this.#pass?.end();
		this.#pass = undefined;
	}

	#submit(): void {
		if (this.#encoder === undefined) return;
		this.#endPass();
		this.profiler?.resolve(this.#encoder);
		if (this.#used > 0) {
			this.#device.queue.writeBuffer(this.#ring, 0, this.#slots, 0, this.#used * MAX_PARAM_BYTES);
		}
		this.#device.queue.submit([this.#encoder.finish()]);
		this.#submits++;
		this.#encoder = undefined;
		this.#used = 0;
		if (this.#groups.size > MAX_BIND_GROUPS) this.#groups.clear();
	}

	#group(dispatch: Dispatch<Placed>): GPUBindGroup {
		const key = bindingKey(dispatch);
		let group = this.#groups.get(key);
		if (group === undefined) {
			group = createBindGroup(this.#device, dispatch, this.#ring);
			this.#bindGroupsCreated++;
			this.#groups.set(key, group);
		}
		return group;
	}
}
