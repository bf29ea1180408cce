import { DeviceError } from "../errors.ts";
import { shown } from "../shown.ts";
import { isSoftware, type Plan } from "./plan.ts";
import type { AdapterName, GPU, GPUAdapterInfo } from "./types.ts";

const OLDEST = [20, 19];
/** Not a literal at its import: a bundler would take the module in and leave its native binaries behind. */
const DAWN = "webgpu";

/**
 * Toggles of Dawn. Timestamps to the nanosecond, since nobody else's pages run beside a program in Node. f16 on NVIDIA, which Dawn holds
 * back for faults of its drivers with matrices of f16 among uniforms: kernels here have f16 in storage alone, and compute in f32.
 *
 * Left as it is: robustness, so that no kernel reads or writes beyond a buffer.
 */
const FLAGS = ["disable-dawn-features=timestamp_quantization", "enable-dawn-features=vulkan_enable_f16_on_nvidia"];
/** For the plan "matrix" alone: Dawn counts matrices of subgroups among the unsafe, and needs Vulkan's memory model for them. */
const MATRIX_FLAGS = [FLAGS[0], `${FLAGS[1]},allow_unsafe_apis,use_vulkan_memory_model`];

type Create = typeof import("webgpu")["create"];

/**
 * The GPU entry point in Node, Deno and Bun: Dawn, from the npm package `webgpu`; with `adapter`, one that has that adapter alone.
 * Imports nothing by itself, so that it can say what is wrong where a bundler put it into a page.
 */
export async function requestGpu(adapter?: string | number, plan?: Plan): Promise<GPU> {
	const create = await load();
	const flags = plan === "matrix" ? MATRIX_FLAGS : FLAGS;
	if (adapter === undefined) return create(flags);
	const { backend, name } = choose(adapter, await namesBy(create));
	return create([...flags, `backend=${backend}`, `adapter=${name}`]);
}

/** The adapters that Dawn finds, in its order. */
export const adaptersFound = async (): Promise<AdapterName[]> => namesBy(await load());

async function load(): Promise<Create> {
	checkPlatform(globalThis.process?.versions?.node);
	const dawn: Promise<typeof import("webgpu")> = import(/* webpackIgnore: true */ /* @vite-ignore */ DAWN);
	const { create } = await dawn.catch((cause: Error & { code?: string }) => {
		throw unloadable(cause);
	});
	return create;
}

/** Dawn lists its adapters in one place: in the error about one that there is not. */
async function namesBy(create: Create): Promise<AdapterName[]> {
	const said = await Promise.resolve()
		.then(() => create(["adapter=\n"]).requestAdapter())
		.then(
			() => "",
			(error: Error) => error.message,
		);
	return [...said.matchAll(/backend: '([^']*)', name: '(.*)'$/gm)].map(([, backend, name]) => ({ backend, name }));
}

/** The adapter of a number, of a name, or of a part that one name has. */
export function choose(wanted: string | number, all: readonly AdapterName[]): AdapterName {
	const within = ({ name }: AdapterName): boolean => name.toLowerCase().includes(String(wanted).toLowerCase());
	const exact = all.filter(({ name }) => name === wanted);
	const found = typeof wanted === "number" ? all.slice(wanted, wanted + 1) : exact.length > 0 ? exact : all.filter(within);
	const [one] = found;
	// Dawn takes the first whose name contains the one it is given.
	if (found.length === 1 && one === all.find(({ backend, name }) => backend === one.backend && name.includes(one.name))) return one;
	const list = all.map(({ backend, name }, i) => `${i}: ${name} (${backend})`).join(", ");
	const what =
		found.length > 1 ? `${found.length} adapters fit` : one === undefined ? "there is no adapter" : "Dawn cannot tell apart adapter";
	throw new DeviceError("device/adapter", `requestDevice: ${what} ${shown(wanted)}`, {
		op: "requestDevice",
		hint: list === "" ? adapterHint : `those there are: ${list}`,
	});
}

function checkPlatform(node: string | undefined): void {
	if (node === undefined) {
		throw new DeviceError("device/wrong-entry", "the part of @hushgrad/tensor that is for Node was loaded into a page", {
			hint: "the bundler resolves packages under the condition `node`; build for browsers (webpack: target `web`; Vite: no `node` in `resolve.conditions`)",
		});
	}
	const [major, minor] = node.split(".").map(Number);
	if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
		throw new DeviceError("device/old-node", `Node ${node} is too old`, { hint: `Hushgrad needs Node ${OLDEST.join(".")} or newer` });
	}
}

function unloadable(cause: Error & { code?: string }): DeviceError {
	if (cause.code === "ERR_MODULE_NOT_FOUND") {
		return new DeviceError("device/no-webgpu", "the npm package `webgpu`, which brings Dawn, is not installed", {
			hint: "npm install webgpu",
			cause,
		});
	}
	const isDeno = process.versions.deno !== undefined;
	return new DeviceError("device/no-webgpu", `Dawn, of the npm package \`webgpu\`, could not be loaded: ${cause.message.split("\n")[0]}`, {
		hint: isDeno
			? "in Deno this takes the flags --allow-ffi --allow-read --allow-env --allow-sys"
			: "it has binaries for Linux (glibc), macOS and Windows, on x64 and arm64",
		cause,
	});
}

/** What to do where there is no adapter. */
export const adapterHint =
	"install a Vulkan, Metal or D3D12 driver; without a GPU Mesa's software driver will do (Debian, Ubuntu: apt-get install mesa-vulkan-drivers, version 23 or newer)";

/** A driver that computes on the processor takes the machine's own memory, and never reports that there is none left. */
export const defaultBudget = (info: GPUAdapterInfo): number =>
	isSoftware(info) ? 0.7 * process.getBuiltinModule("node:os").freemem() : Number.POSITIVE_INFINITY;

/**
 * How to wait for the GPU. Dawn asks the driver in every turn of the event loop, which keeps a core busy; a driver that computes on the
 * processor needs it, so that this thread sleeps a moment in each turn.
 */
export function waitingFor(info: GPUAdapterInfo): <T>(promise: Promise<T>) => Promise<T> {
	return isSoftware(info) ? new Naps().during : (promise) => promise;
}

/** Shortest and longest nap, in milliseconds, and the share of the time waited so far that is between: a turn takes processor time, too. */
const [SHORTEST, LONGEST, SHARE] = [0.2, 3, 1 / 50];

class Naps {
	readonly #bed = new Int32Array(new SharedArrayBuffer(4));
	#waiting = 0;
	#isTurning = false;
	#since = 0;

	/** Sleeps in each turn of the event loop until the promise is settled. */
	readonly during = async <T>(promise: Promise<T>): Promise<T> => {
		this.#waiting++;
		this.#since = performance.now();
		if (!this.#isTurning) this.#turn();
		try {
			return await promise;
		} finally {
			this.#waiting--;
			this.#since = performance.now();
		}
	};

	readonly #turn = (): void => {
		this.#isTurning = this.#waiting > 0;
		if (!this.#isTurning) return;
		const nap = SHARE * (performance.now() - this.#since);
		Atomics.wait(this.#bed, 0, 0, Math.min(LONGEST, Math.max(SHORTEST, nap)));
		setImmediate(this.#turn);
	};
}

/** HUSHGRAD_DEBUG, where the program may read its environment (Deno asks). */
export function environmentDebug(): string | undefined {
	try {
		return globalThis.process?.env.HUSHGRAD_DEBUG;
	} catch {
		return undefined;
	}
}
