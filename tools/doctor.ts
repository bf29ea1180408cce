/** `npm run doctor` (or `-- --json`): what this machine has for Hushgrad, what is missing, and the line that mends it. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { freemem, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { requestDevice } from "@hushgrad/tensor";

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
	readonly adapter: Adapter | null;
	readonly findings: readonly Finding[];
}

interface Adapter {
	readonly vendor: string;
	readonly architecture: string;
	readonly device: string;
	readonly description: string;
	/** The one Dawn takes on this platform; WebGPU does not tell. */
	readonly backend: string;
	readonly isSoftware: boolean;
	readonly features: readonly string[];
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
const BACKENDS: Readonly<Partial<Record<NodeJS.Platform, string>>> = { linux: "Vulkan", darwin: "Metal", win32: "D3D12" };
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

function describe({ features, info, limits }: GPUAdapter): Adapter {
	const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize } = info;
	return {
		vendor,
		architecture,
		device,
		description,
		backend: BACKENDS[process.platform] ?? "unknown",
		isSoftware: /llvmpipe|swiftshader|lavapipe|software/i.test(`${vendor} ${architecture} ${device} ${description}`),
		features: [...features].sort(),
		limits: Object.fromEntries(LIMITS.map((name) => [name, limits[name]])),
		subgroupSizes: features.has("subgroups") ? [subgroupMinSize, subgroupMaxSize] : null,
		subgroupMatrixConfigs: matrixConfigs(info),
	};
}

/** Dawn's experimental property of the adapter; other implementations have none. */
function matrixConfigs(info: GPUAdapterInfo): SubgroupMatrixConfig[] {
	const { subgroupMatrixConfigs: found = [] } = info as { readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig> };
	return Array.from(found, ({ componentType, resultComponentType, M, N, K }) => ({ componentType, resultComponentType, M, N, K }));
}

/** The adapter as it is, and what keeps Hushgrad from using it. */
async function examineAdapter(): Promise<{ adapter: Adapter | null; findings: Finding[] }> {
	const broken = (problem: string, fix: string): Finding => ({ problem, fix, isFatal: true });
	const gpu = await import("webgpu").then(({ create }) => create([])).catch((error: Error) => error);
	if (gpu instanceof Error) {
		return { adapter: null, findings: [broken(`webgpu does not load: ${gpu.message.split("\n")[0]}`, "npm ci")] };
	}
	const found = await gpu.requestAdapter();
	if (found === null) return { adapter: null, findings: [broken(NO_ADAPTER, "npm run driver")] };
	const adapter = describe(found);
	const problem = await requestDevice().then(
		(device) => device.destroy(),
		(error: Error) => error.message.split("\n")[0],
	);
	return { adapter, findings: problem === undefined ? [] : [broken(problem, "update the driver of your GPU")] };
}

async function examine(): Promise<Report> {
	const node = process.versions.node;
	const { adapter, findings } = await examineAdapter();
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
			fix: "install the Vulkan driver of your GPU",
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

function show({ ok, node, webgpu, system, memory, adapter, findings }: Report): string {
	const row = (name: string, value: string): string => `  ${name.padEnd(12)}${value}`;
	const lines = [
		row("Node", `${node.version} (${node.needed} or newer)`),
		row("system", system),
		row("memory", `${bytes(memory.freeBytes)} free of ${bytes(memory.totalBytes)}`),
		row("webgpu", webgpu === null ? "not installed" : `${webgpu} (Dawn)`),
	];
	if (adapter === null) lines.push(row("adapter", "none"));
	else {
		const { limits, subgroupSizes, features } = adapter;
		const has = (name: string): string => `${name} ${features.includes(name) ? "yes" : "no"}`;
		lines.push(
			row("adapter", [adapter.vendor, adapter.architecture, adapter.device].filter((s) => s !== "").join(", ")),
			row("driver", adapter.description),
			row("backend", `${adapter.backend}, ${adapter.isSoftware ? "software on the CPU" : "hardware"}`),
			row("features", ["shader-f16", "subgroups", "timestamp-query"].map(has).join(", ")),
			row("subgroups", subgroupSizes === null ? "none" : `of ${[...new Set(subgroupSizes)].join(" to ")} invocations`),
			row(
				"matrices",
				adapter.subgroupMatrixConfigs.length === 0
					? "none in hardware"
					: adapter.subgroupMatrixConfigs.map((c) => `${c.M}x${c.N}x${c.K} ${c.componentType} to ${c.resultComponentType}`).join(", "),
			),
			row("limits", `${bytes(limits.maxStorageBufferBindingSize)} a binding, ${bytes(limits.maxBufferSize)} a buffer`),
			row("", `${bytes(limits.maxComputeWorkgroupStorageSize)} and ${limits.maxComputeInvocationsPerWorkgroup} invocations a workgroup`),
		);
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
