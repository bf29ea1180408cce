import { listAdapters } from "@hushgrad/tensor";
import { create, globals } from "webgpu";

/** Only these compute on the processor; its threads need the core that asking again and again would take. */
const SOFTWARE = /llvmpipe|lavapipe|swiftshader/i;

/** A rival's GPU: the same Dawn, where a page would have it. */
export interface RivalGpu {
	readonly gpu: GPU;
	readonly adapter: string;
	readonly isSoftware: boolean;
	/** Waits for a queue the way this library waits: sleeping a moment in each turn, where the processor is the GPU. */
	done(queue: GPUQueue): Promise<void>;
}

/** Puts Dawn where libraries for pages look for it. `wanted` is a part of the adapter's name. */
export async function openGpu(wanted: string | undefined): Promise<RivalGpu> {
	const gpu = create(await flagsFor(wanted));
	Object.assign(globalThis, globals);
	if (globalThis.navigator === undefined) {
		Object.defineProperty(globalThis, "navigator", { value: { userAgent: `Node/${process.version}` }, configurable: true });
	}
	Object.defineProperty(globalThis.navigator, "gpu", { value: gpu, configurable: true });
	const found = await gpu.requestAdapter();
	if (found === null) throw new Error("WebGPU found no adapter");
	const { device, vendor, description } = found.info;
	const adapter = [device || vendor, description].filter((s) => s !== "").join(", ");
	const isSoftware = SOFTWARE.test(adapter);
	return { gpu, adapter, isSoftware, done: (queue) => (isSoftware ? napping(queue) : queue.onSubmittedWorkDone().then(() => {})) };
}

async function flagsFor(wanted: string | undefined): Promise<string[]> {
	if (wanted === undefined) return [];
	const all = await listAdapters();
	const one = all.find(({ name }) => name.toLowerCase().includes(wanted.toLowerCase()));
	if (one === undefined) throw new Error(`there is no adapter ${wanted}`);
	return [`backend=${one.backend}`, `adapter=${one.name}`];
}

const NAP_MS = 0.2;
const bed = new Int32Array(new SharedArrayBuffer(4));

async function napping(queue: GPUQueue): Promise<void> {
	let isWaiting = true;
	const turn = (): void => {
		if (!isWaiting) return;
		Atomics.wait(bed, 0, 0, NAP_MS);
		setImmediate(turn);
	};
	turn();
	try {
		await queue.onSubmittedWorkDone();
	} finally {
		isWaiting = false;
	}
}
