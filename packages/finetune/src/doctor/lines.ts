import type { Printer } from "../cli/printer.ts";
import type { Adapter, MachineReport } from "./examine.ts";

function bytes(n: number): string {
	return n >= 2 ** 30
		? `${(n / 2 ** 30).toFixed(1)} GiB`
		: n >= 2 ** 20
			? `${Math.round(n / 2 ** 20)} MiB`
			: `${Math.round(n / 2 ** 10)} KiB`;
}

function showAdapter({ field }: Printer, adapter: Adapter, number: number): void {
	const { limits, subgroupSizes, features, heldBack, subgroupMatrixConfigs: matrices } = adapter;
	const has = (name: string): string => `${name} ${features.includes(name) ? "yes" : "no"}`;
	const missing = heldBack.length === 0 ? "" : `; behind toggles of Dawn: ${heldBack.join(", ")}`;
	field(`adapter ${number}`, adapter.name);
	field("vendor", [adapter.vendor, adapter.architecture].filter((s) => s !== "").join(", "));
	field("driver", adapter.description);
	field("backend", `${adapter.backend}, ${adapter.isSoftware ? "software on the CPU" : "hardware"}`);
	field("features", `${["shader-f16", "subgroups", "timestamp-query"].map(has).join(", ")}${missing}`);
	field("subgroups", subgroupSizes === null ? "none" : `of ${[...new Set(subgroupSizes)].join(" to ")} invocations`);
	const shapes = matrices.map((c) => `${c.M}x${c.N}x${c.K} ${c.componentType} to ${c.resultComponentType}`);
	field("matrices", shapes.length === 0 ? "none in hardware" : shapes.join(", "));
	field("limits", `${bytes(limits.maxStorageBufferBindingSize)} a binding, ${bytes(limits.maxBufferSize)} a buffer`);
	field("", `${bytes(limits.maxComputeWorkgroupStorageSize)} and ${limits.maxComputeInvocationsPerWorkgroup} invocations a workgroup`);
}

/** Prints a report. */
export function showMachine(
	print: Printer,
	{ ok, node, webgpu, system, memory, adapter, plan, adapters, hub, findings }: MachineReport,
): void {
	const { field, line, heading, warn, bad, good } = print;
	field("Node", `${node.version} (${node.needed} or newer)`);
	field("system", system);
	field("memory", `${bytes(memory.freeBytes)} free of ${bytes(memory.totalBytes)}`);
	field("webgpu", webgpu === null ? "not installed" : `${webgpu} (Dawn)`);
	if (adapters.length === 0) field("adapter", "none");
	for (const [number, one] of adapters.entries()) showAdapter(print, one, number);
	if (plan !== null) field("kernels", `plan ${plan}`);
	const other = adapters.find((a) => a !== adapter);
	if (adapter !== null && other !== undefined) {
		line(`Adapter ${adapters.indexOf(adapter)} is taken; another one by --gpu ${JSON.stringify(other.name)}, or by its number.`);
	}
	field(
		"hub cache",
		`${hub.cache}: ${hub.dataSets === 1 ? "1 data set" : `${hub.dataSets} data sets`}${hub.isOffline ? "; HF_HUB_OFFLINE is set, nothing is downloaded" : ""}`,
	);
	field(
		"hub token",
		hub.tokenFrom === null ? "none: public data sets alone can be downloaded; HF_TOKEN sets one" : `from ${hub.tokenFrom}`,
	);
	for (const { problem, fix, isFatal } of findings) {
		line("");
		line(`${isFatal ? bad("Missing:") : warn("Note:")} ${problem}`);
		line(`${isFatal ? "Mend it with" : "Better"}: ${fix}`);
	}
	heading(ok ? good("Ready.") : bad("Not ready."));
}
