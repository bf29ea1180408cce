/**
 * `npm run doctor` (or `-- --json`): what this machine has for Hushgrad, each of its adapters, what is missing, and the line that mends
 * it.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { freemem, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { type AdapterName, listAdapters, type Plan, requestDevice } from "@hushgrad/tensor";

/** Something that keeps Hushgrad from running or slows it down. */
interface Finding {
	readonly problem: string;
	readonly fix: string;
	readonly isFatal: boolean;
}

export interface Report {
	readonly ok: boolean;
	readonly node: { readonly version: string; readonly needed: string };
	/** Version of the npm package. */
	readonly webgpu: string | null;
	readonly system: string;
	readonly memory: { readonly totalBytes: number; readonly freeBytes: number };
	/** The one that is taken when none is asked for. */
	readonly adapter: Adapter | null;
	/** Which kernels run on it: `Device.plan`. */
	readonly plan: Plan | null;
	/** All that `requestDevice({ adapter })` may open, by number. */
	readonly adapters: readonly Adapter[];
	readonly findings: readonly Finding[];
}

interface Adapter {
	readonly vendor: string;
	readonly architecture: string;
	readonly device: string;
	readonly description: string;
	/** The driver's name of it, and how it is reached. */
	readonly name: string;
	readonly backend: string;
	readonly isSoftware: boolean;
	readonly features: readonly string[];
	/** Those that Dawn holds back until its toggles for unsafe and for NVIDIA's 16-bit features are set. */
	readonly heldBack: readonly string[];
	readonly limits: Readonly<Record<string, number>>;
	readonly subgroupSizes: readonly [number, number] | null;
	/** Sizes and types of the matrices that a subgroup multiplies in hardware. */
	readonly subgroupMatrixConfigs: readonly SubgroupMatrixConfig[];
}

interface SubgroupMatrixConfig {
	readonly componentType: string;
	readonly resultComponentType: string;
	readonly M: number;
	readonly N: number;
	readonly K: number;
}

const NODE_NEEDED = "20.19.0";
/** Toggles that show what the hardware has: matrices of subgroups, and 16 bits on NVIDIA, of which Dawn distrusts some drivers. */
const SHOW_ALL = "enable-dawn-features=allow_unsafe_apis,use_vulkan_memory_model,vulkan_enable_f16_on_nvidia";
const NO_ADAPTER =
	"WebGPU finds no adapter; on Debian and Ubuntu the next line installs Mesa's by apt, or prints how where HUSHGRAD_NO_INSTALL=1 is set";
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
		isSoftware: /llvmpipe|swiftshader|lavapipe|software/i.test(`${vendor} ${architecture} ${device} ${description}`),
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
	if (names instanceof Error) return { adapters: [], taken: null, plan: null, findings: [broken(firstLine(names), "npm ci")] };
	const described = await Promise.all(names.map(describe));
	const adapters = described.filter((a) => a !== undefined);
	if (adapters.length === 0) return { adapters, taken: null, plan: null, findings: [broken(NO_ADAPTER, "npm run driver")] };
	const device = await requestDevice().catch((error: Error) => error);
	if (device instanceof Error)
		return { adapters, taken: null, plan: null, findings: [broken(firstLine(device), "update the driver of your GPU")] };
	const { info, plan } = device;
	device.destroy();
	const taken = adapters.find((a) => a.device === info.device && a.description === info.description) ?? adapters[0];
	return { adapters, taken, plan, findings: [] };
}

async function examine(): Promise<Report> {
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
	if (adapter?.isSoftware) {
		findings.push({
			problem: "the adapter runs on the CPU: right, but slow",
			fix:
				hardware === undefined ? "install the Vulkan driver of your GPU" : `requestDevice({ adapter: ${JSON.stringify(hardware.name)} })`,
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

function bytes(n: number): string {
	return n >= 2 ** 30
		? `${(n / 2 ** 30).toFixed(1)} GiB`
		: n >= 2 ** 20
			? `${Math.round(n / 2 ** 20)} MiB`
			: `${Math.round(n / 2 ** 10)} KiB`;
}

const row = (name: string, value: string): string => `  ${name.padEnd(12)}${value}`;

function showAdapter(adapter: Adapter, number: number): string[] {
	const { limits, subgroupSizes, features, heldBack, subgroupMatrixConfigs: matrices } = adapter;
	const has = (name: string): string => `${name} ${features.includes(name) ? "yes" : "no"}`;
	const missing = heldBack.length === 0 ? "" : `; behind toggles of Dawn: ${heldBack.join(", ")}`;
	return [
		row(`adapter ${number}`, adapter.name),
		row("vendor", [adapter.vendor, adapter.architecture].filter((s) => s !== "").join(", ")),
		row("driver", adapter.description),
		row("backend", `${adapter.backend}, ${adapter.isSoftware ? "software on the CPU" : "hardware"}`),
		row("features", `${["shader-f16", "subgroups", "timestamp-query"].map(has).join(", ")}${missing}`),
		row("subgroups", subgroupSizes === null ? "none" : `of ${[...new Set(subgroupSizes)].join(" to ")} invocations`),
		row(
			"matrices",
			matrices.length === 0
				? "none in hardware"
				: matrices.map((c) => `${c.M}x${c.N}x${c.K} ${c.componentType} to ${c.resultComponentType}`).join(", "),
		),
		row("limits", `${bytes(limits.maxStorageBufferBindingSize)} a binding, ${bytes(limits.maxBufferSize)} a buffer`),
		row("", `${bytes(limits.maxComputeWorkgroupStorageSize)} and ${limits.maxComputeInvocationsPerWorkgroup} invocations a workgroup`),
	];
}

function show({ ok, node, webgpu, system, memory, adapter, plan, adapters, findings }: Report): string {
	const lines = [
		row("Node", `${node.version} (${node.needed} or newer)`),
		row("system", system),
		row("memory", `${bytes(memory.freeBytes)} free of ${bytes(memory.totalBytes)}`),
		row("webgpu", webgpu === null ? "not installed" : `${webgpu} (Dawn)`),
		...(adapters.length === 0 ? [row("adapter", "none")] : adapters.flatMap(showAdapter)),
	];
	if (plan !== null) lines.push(row("kernels", `plan ${plan}`));
	const other = adapters.find((a) => a !== adapter);
	if (adapter !== null && other !== undefined) {
		const choice = `requestDevice({ adapter: ${JSON.stringify(other.name)} })`;
		lines.push("", `Adapter ${adapters.indexOf(adapter)} is taken; another one by ${choice}, or by its number.`);
	}
	for (const { problem, fix, isFatal } of findings)
		lines.push("", `${isFatal ? "Missing" : "Note"}: ${problem}`, `  ${isFatal ? "Mend it with" : "Better"}: ${fix}`);
	lines.push("", ok ? "Ready." : "Not ready.");
	return lines.join("\n");
}

const { values } = parseArgs({ options: { json: { type: "boolean" } } });
const report = await examine();
console.log(values.json ? JSON.stringify(report, null, 2) : show(report));
process.exit(report.ok ? 0 : 1);
