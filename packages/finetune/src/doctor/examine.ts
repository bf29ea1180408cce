import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { freemem, totalmem } from "node:os";
import { type AdapterName, listAdapters, type Plan, requestDevice } from "@hushgrad/tensor";
import { isSoftware } from "@hushgrad/tensor/author";
import { quietly } from "../cli/openDevice.ts";
import { findHubPlaces, type HubPlaces } from "../data/hubPlaces.ts";

/** Something that keeps Hushgrad from running or slows it down. */
export interface Finding {
	/** What it is. */
	readonly problem: string;
	/** A line to type, or what to do. */
	readonly fix: string;
	/** Whether nothing runs until it is mended. */
	readonly isFatal: boolean;
}

/** What a machine has for Hushgrad, and what it lacks. */
export interface MachineReport {
	/** Whether nothing fatal was found. */
	readonly ok: boolean;
	/** Version that runs, and the oldest that will do. */
	readonly node: { readonly version: string; readonly needed: string };
	/** Version of the npm package, which brings Dawn; null where it is not installed. */
	readonly webgpu: string | null;
	/** Operating system and architecture. */
	readonly system: string;
	/** Of the machine, not of the GPU. */
	readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
	/** The one that is taken when none is asked for. */
	readonly adapter: Adapter | null;
	/** Which kernels run on it: `Device.plan`. */
	readonly plan: Plan | null;
	/** All that `requestDevice({ adapter })` may open, by number. */
	readonly adapters: readonly Adapter[];
	/** For data sets of the Hugging Face Hub. */
	readonly hub: HubPlaces;
	/** The fatal ones first. */
	readonly findings: readonly Finding[];
}

/** A GPU, or a driver that computes on the processor, as WebGPU has it. */
export interface Adapter {
	/** Who made it. */
	readonly vendor: string;
	/** Its family. */
	readonly architecture: string;
	/** Its number at its vendor's. */
	readonly device: string;
	/** Its driver. */
	readonly description: string;
	/** The driver's name of it, and how it is reached. */
	readonly name: string;
	readonly backend: string;
	/** Whether the driver computes on the processor. */
	readonly isSoftware: boolean;
	/** Features of WebGPU that it has. */
	readonly features: readonly string[];
	/** Those that Dawn holds back until its toggles for unsafe and for NVIDIA's 16-bit features are set. */
	readonly heldBack: readonly string[];
	/** Sizes in bytes and counts, by WebGPU's names. */
	readonly limits: Readonly<Record<string, number>>;
	/** Invocations of a subgroup, least and most; null where there are none. */
	readonly subgroupSizes: readonly [number, number] | null;
	/** Sizes and types of the matrices that a subgroup multiplies in hardware. */
	readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
}

/** Matrices M × K and K × N that a subgroup multiplies in hardware. */
export interface SubgroupMatrixConfig {
	/** Type of the factors. */
	readonly componentType: string;
	/** Type of the product. */
	readonly resultComponentType: string;
	/** Rows of the product. */
	readonly M: number;
	/** Columns of the product. */
	readonly N: number;
	/** What is summed over. */
	readonly K: number;
}

const NODE_NEEDED = "20.19.0";
/** Toggles that show what the hardware has: matrices of subgroups, and 16 bits on NVIDIA, of which Dawn distrusts some drivers. */
const SHOW_ALL = "enable-dawn-features=allow_unsafe_apis,use_vulkan_memory_model,vulkan_enable_f16_on_nvidia";
const NO_ADAPTER =
	"WebGPU finds no adapter; in a clone of the repository the next line installs Mesa's by apt, or prints how where HUSHGRAD_NO_INSTALL=1 is set";
const LIMITS = [
	"maxBufferSize",
	"maxStorageBufferBindingSize",
	"maxStorageBuffersPerShaderStage",
	"maxComputeWorkgroupStorageSize",
	"maxComputeInvocationsPerWorkgroup",
	"maxComputeWorkgroupsPerDimension",
] as const;

function isOlder(version: string, needed: string): boolean {
	const [a, b] = [version, needed].map((v) => v.split(".").map(Number));
	const i = a.findIndex((n, k) => n !== b[k]);
	return i >= 0 && a[i] < b[i];
}

/** One adapter as programs see it, and what it has beyond that. */
async function describe({ backend, name }: AdapterName): Promise<Adapter | undefined> {
	const { create } = await import("webgpu");
	const flags = [`backend=${backend}`, `adapter=${name}`];
	const found = await create(flags).requestAdapter();
	const all = await create([SHOW_ALL, ...flags]).requestAdapter();
	if (found === null) return undefined;
	const { features, info, limits } = found;
	const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = info;
	return {
		vendor,
		architecture,
		device,
		description,
		name,
		backend,
		isSoftware: isSoftware(info),
		features: [...features].sort(),
		heldBack: [...(all?.features ?? [])].filter((f) => !features.has(f)).sort(),
		limits: Object.fromEntries(LIMITS.map((name) => [name, limits[name]])),
		subgroupSizes: features.has("subgroups") ? [subgroupMinSize, subgroupMaxSize] : null,
		subgroupMatrixConfigs: matrixConfigs(all?.info ?? info),
	};
}

/** Dawn's experimental property of the adapter; other implementations have none. */
function matrixConfigs(info: GPUAdapterInfo): SubgroupMatrixConfig[] {
	const { subgroupMatrixConfigs: found = [] } = info as { readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
	return Array.from(found, ({ componentType, resultComponentType, M, N, K }) => ({ componentType, resultComponentType, M, N, K }));
}

/** The adapters there are, the one that is taken, and what keeps Hushgrad from using that. */
async function examineAdapters(): Promise<{ adapters: Adapter[]; taken: Adapter | null; plan: Plan | null; findings: Finding[] }> {
	const broken = (problem: string, fix: string): Finding => ({ problem, fix, isFatal: true });
	const firstLine = (error: Error): string => error.message.split("\n")[0];
	const names = await listAdapters().catch((error: Error) => error);
	if (names instanceof Error) return { adapters: [], taken: null, plan: null, findings: [broken(firstLine(names), "npm install webgpu")] };
	const described = await Promise.all(names.map(describe));
	const adapters = described.filter((a) => a !== undefined);
	if (adapters.length === 0) {
		const findings = [broken(NO_ADAPTER, "npm run driver, or sudo apt-get install mesa-vulkan-drivers")];
		return { adapters, taken: null, plan: null, findings };
	}
	const device = await requestDevice().catch((error: Error) => error);
	if (device instanceof Error)
		return { adapters, taken: null, plan: null, findings: [broken(firstLine(device), "update the driver of your GPU")] };
	const { info, plan } = device;
	device.destroy();
	const taken = adapters.find((a) => a.device === info.device && a.description === info.description) ?? adapters[0];
	return { adapters, taken, plan, findings: [] };
}

/**
 * What to do about a card of NVIDIA's that is no adapter: in containers its driver is there, and the libraries that it asks for are not.
 */
export const findingsOfCard = (hasCard: boolean, adapters: readonly Pick<Adapter, "isSoftware">[]): Finding[] =>
	!hasCard || adapters.some((a) => !a.isSoftware)
		? []
		: [
				{
					problem: "there is a GPU of NVIDIA's, and no Vulkan driver shows it",
					fix: "sudo apt-get install libvulkan1 libglx0 libegl1 libgl1 libgles2, and in a container let in the driver's graphics",
					isFatal: false,
				},
			];

/** Examines this machine: opens each of its adapters, and lets them go again. */
export const examineMachine = (): Promise<MachineReport> => quietly(examine);

async function examine(): Promise<MachineReport> {
	const node = process.versions.node;
	const { adapters, taken: adapter, plan, findings } = await examineAdapters();
	const hardware = adapters.find((a) => !a.isSoftware);
	if (isOlder(node, NODE_NEEDED)) {
		findings.unshift({
			problem: `Node ${node} is too old, ${NODE_NEEDED} is needed`,
			fix: "install Node 20.19 or newer from https://nodejs.org",
			isFatal: true,
		});
	}
	findings.push(...findingsOfCard(existsSync("/dev/nvidiactl"), adapters));
	if (adapter?.isSoftware) {
		findings.push({
			problem: "the adapter runs on the CPU: right, but slow",
			fix:
				hardware === undefined
					? "install the Vulkan driver of your GPU"
					: `--gpu ${JSON.stringify(hardware.name)}, or requestDevice({ adapter: ${JSON.stringify(hardware.name)} })`,
			isFatal: false,
		});
	}
	const release = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
	return {
		ok: !findings.some((f) => f.isFatal),
		node: { version: node, needed: NODE_NEEDED },
		webgpu: webgpuVersion(),
		system: `${/^PRETTY_NAME="?([^"\n]*)/m.exec(release)?.[1] ?? process.platform} (${process.arch})`,
		memory: { totalBytes: totalmem(), freeBytes: freemem() },
		adapter,
		plan,
		adapters,
		hub: await findHubPlaces(),
		findings,
	};
}

function webgpuVersion(): string | null {
	try {
		return (createRequire(import.meta.url)("webgpu/package.json") as { version: string }).version;
	} catch {
		return null;
	}
}
