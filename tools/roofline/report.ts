import type { Ceilings, Present } from "./ceilings.ts";
import type { Recording } from "./dryDevice.ts";
import { type Figures, graphicsProcessor, otherwise } from "./predict.ts";
import { type Costed, type Row, rowsBy } from "./step.ts";

/** Microseconds that the host takes to record a dispatch where nothing is captured: what `npm run bench:step` shows, about. */
const HOST = 16;
const SHOWN = 24;
const WORST = 5;

/** A program that was recorded, with its costs. */
export interface Predicted {
	readonly title: string;
	readonly recording: Recording;
	readonly all: readonly Costed[];
	/** Layers of the model, and the dispatches of a step with one layer less. */
	readonly layers: number;
	readonly oneLayerLess: number;
}

/** What a step took, and what was predicted. */
export interface Comparison {
	readonly name: string;
	readonly dispatches: number;
	readonly predicted: number;
	readonly measured: number;
}

export const digits = (v: number, n: number): string => v.toLocaleString("en-US", { minimumFractionDigits: n, maximumFractionDigits: n });
/** A table in Markdown; numbers to the right but in the first column. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
	[head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
const total = (rows: readonly Row[], of: (r: Row) => number): number => rows.reduce((n, r) => n + of(r), 0);

/** Kernels by the time they take, in Markdown. */
function kernels(rows: readonly Row[], milliseconds: number): string {
	const shown = rows
		.slice(0, SHOWN)
		.map((r) => [
			`\`${r.kernel}\``,
			digits(r.calls, 0),
			digits(r.flops / 1e9, 1),
			digits(r.read / 1e6, 0),
			digits(r.written / 1e6, 0),
			digits(r.workgroups / r.calls, 0),
			`${digits(100 * r.busy, 0)} %`,
			digits(r.milliseconds, 2),
			`${digits((100 * r.milliseconds) / milliseconds, 1)} %`,
			`${digits((100 * r.ideal) / r.milliseconds, 0)} %`,
			r.bound,
		]);
	const rest = rows.slice(SHOWN);
	if (rest.length > 0) {
		const ms = total(rest, (r) => r.milliseconds);
		const cells = [total(rest, (r) => r.calls), total(rest, (r) => r.flops) / 1e9, total(rest, (r) => r.read) / 1e6];
		shown.push([
			`${rest.length} others`,
			...cells.map((v) => digits(v, 0)),
			digits(total(rest, (r) => r.written) / 1e6, 0),
			"",
			"",
			digits(ms, 2),
			`${digits((100 * ms) / milliseconds, 1)} %`,
			`${digits((100 * total(rest, (r) => r.ideal)) / ms, 0)} %`,
			"",
		]);
	}
	const head = [
		"kernel",
		"calls",
		"GFLOP",
		"MB read",
		"MB written",
		"groups a call",
		"units busy",
		"ms",
		"of all",
		"of roofline",
		"bound by",
	];
	return table(head, shown);
}

/** One recorded program on one machine, in Markdown. */
export function section(figures: Figures, { title, recording, all, layers, oneLayerLess }: Predicted): string {
	const byKernel = rowsBy(all, (c) => c.work.kernel);
	const byShape = rowsBy(all, (c) => `${c.work.kernel} ${c.shape}`);
	const milliseconds = total(byKernel, (r) => r.milliseconds);
	const { dispatches, submits, copied, uploaded } = recording;
	const lost = (r: Row): number => r.milliseconds - r.ideal;
	const worst = [...byShape].sort((a, b) => lost(b) - lost(a)).slice(0, WORST);
	const empty = byShape.filter((r) => r.busy < 0.5 && r.milliseconds > 0.01 * milliseconds);
	const changed = otherwise(figures).map(([change, other]) => {
		const { predict } = graphicsProcessor(other);
		return `${change} ${digits(
			all.reduce((ms, c) => ms + predict(c.work).milliseconds, 0),
			1,
		)}`;
	});
	const names = (rows: readonly Row[], of: (r: Row) => string): string =>
		rows.map((r) => `- \`${r.kernel}\` (${r.shape}; ${r.calls} calls): ${of(r)}`).join("\n");
	return `### ${title}

**${digits(milliseconds, 1)} ms** predicted; ${digits(
		total(byKernel, (r) => r.ideal),
		1,
	)} ms would do at the public peaks, for the same
dispatches. ${digits(total(byKernel, (r) => r.flops) / 1e12, 3)} TFLOP, ${digits(total(byKernel, (r) => r.read + r.written) / 1e9, 1)} GB. ${digits(dispatches.length, 0)} dispatches in
${submits} submits, ${digits(dispatches.length - oneLayerLess, 0)} a layer (${layers} layers); ${digits(uploaded / 1e6, 1)} MB sent, ${digits(copied / 1e6, 1)} MB copied. To record them
takes the host about ${digits((HOST * dispatches.length) / 1000, 0)} ms where nothing is captured.

With what is assumed otherwise, in ms: ${changed.join(", ")}.

${kernels(byKernel, milliseconds)}

What holds it back most, by milliseconds above the roofline:

${names(worst, (r) => `${digits(lost(r), 1)} ms of ${digits(r.milliseconds, 1)}, bound by ${r.bound}`)}

Above 1 % of the time with more than half of the units empty:

${empty.length === 0 ? "none." : names(empty, (r) => `${digits(r.milliseconds, 2)} ms, ${digits(100 * r.busy, 0)} % of the units busy`)}
`;
}

/** The figures that predictions rest on. */
export function sources({ name, units, floatLanes, clock, memory, launch, sources: from }: Figures): string {
	const peak = (2 * units * floatLanes * clock) / 1000;
	return `## ${name}

${digits(peak, 1)} TFLOP/s in f32, ${digits(memory, 0)} GB/s, ${units} units, ${launch} µs a dispatch.

${from.map((s) => `- ${s}`).join("\n")}
`;
}

/** What the present device can do, and how near predictions come. */
export function comparison({ adapter, isProcessorTime }: Present, found: Ceilings, compared: readonly Comparison[]): string {
	const { gflops, gigabytes, dispatch, costs, probes } = found;
	const ratios = compared.map((c) => c.predicted / c.measured);
	const worst = ratios.length === 0 ? 0 : Math.max(...ratios.map((r) => Math.abs(r - 1)));
	const time = isProcessorTime ? "processor time of the driver" : "time";
	return `## The present device

${adapter.name}. In ${time}: ${digits(gflops, 1)} GFLOP/s of multiply-adds, ${digits(gigabytes, 1)} GB/s of a copy, ${digits(dispatch, 1)} µs a dispatch.
Costs in ns, found from ${probes.length} small kernels of which none is the library's: ${Object.entries(costs)
		.map(([kind, ns]) => `${kind} ${Number(ns.toPrecision(3))}`)
		.join(", ")}.

${table(
	["step", "dispatches", "predicted ms", "measured ms", "ratio"],
	compared.map((c) => [
		c.name,
		digits(c.dispatches, 0),
		digits(c.predicted, 1),
		digits(c.measured, 1),
		digits(c.predicted / c.measured, 2),
	]),
)}

The largest error is ${digits(100 * worst, 0)} %.
`;
}
