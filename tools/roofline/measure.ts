import type { KernelEvent } from "@hushgrad/tensor";
import { mainThreadMs } from "../../bench/support/counters.ts";
import type { Present } from "./ceilings.ts";
import { medianOf } from "./clock.ts";
import type { Machine } from "./predict.ts";
import { digits, table } from "./report.ts";
import { type Costed, costed, recordStep, recordToken } from "./step.ts";
import { decoding, type Subject, training } from "./subject.ts";

const WARM_UP = 3;
const SHOWN = 30;

/** Dispatches of one kernel, or of one kernel on one shape, in milliseconds of all; NaN where nothing was predicted. */
interface Beside {
	readonly calls: number;
	readonly measured: number;
	readonly predicted: number;
}

/** A program on the present device. */
export interface Measured {
	readonly title: string;
	/** Milliseconds of the first run, which compiles and checks itself. */
	readonly first: number;
	/** Milliseconds of later runs, one after the other, and of this thread in them. */
	readonly walls: readonly number[];
	readonly hosts: readonly number[];
	readonly peakBytes: number;
	/** Whether the milliseconds of kernels are of a processor's cores, as predictions for a driver that computes there are, or pass. */
	readonly isProcessorTime: boolean;
	/** By name, and by name and shape. */
	readonly kernels: Readonly<Record<string, Beside>>;
	readonly shapes: Readonly<Record<string, Beside>>;
}

interface Program {
	readonly title: string;
	/** What is timed as a whole. */
	readonly run: () => Promise<unknown>;
	/** Gives the same with nothing replayed, so that each kernel can be timed; `run` may be of no use from then on. */
	readonly unreplayed: () => () => Promise<unknown>;
	readonly predicted: readonly Costed[];
}

/** A training step and a token on the present device, beside what `machine` makes of the same dispatches. */
export async function measure(present: Present, machine: Machine, subject: Subject, rounds: number): Promise<Measured[]> {
	const { device, adapter } = present;
	const { config, length, batch, plain } = subject;
	const same = { adapter: { ...adapter, name: "" } };
	const found: Measured[] = [];
	const starts = training(device, subject, "random");
	const step = {
		title: `A ${plain ? "plain" : "private"} step, B = ${batch}, T = ${length}`,
		run: starts(),
		unreplayed: () => starts("off"),
		predicted: costed(machine, (await recordStep(same, subject)).dispatches),
	};
	found.push(await measured(present, step, rounds));
	const run = await decoding(device, config, length, "random");
	const predicted = costed(machine, (await recordToken(same, config, length)).dispatches);
	found.push(await measured(present, { title: `A token after ${length} others`, run, unreplayed: () => run, predicted }, 4 * rounds));
	return found;
}

async function measured(present: Present, { title, run, unreplayed, predicted }: Program, rounds: number): Promise<Measured> {
	const { device, isProcessorTime } = present;
	const walls: number[] = [];
	const hosts: number[] = [];
	for (let i = -WARM_UP; i < rounds; i++) {
		const [host, wall] = [mainThreadMs(), performance.now()];
		await run();
		walls.push(performance.now() - wall);
		hosts.push(mainThreadMs() - host);
	}
	const { peakBytes } = device.memory();
	const recorded = unreplayed();
	for (let i = 0; i < WARM_UP; i++) await recorded();
	const { events } = await device.profile(recorded);
	const factor = isProcessorTime ? (await processorMs(present, recorded, rounds)) / passedMs(events) : 1;
	return {
		title,
		first: walls[0],
		walls: walls.slice(WARM_UP),
		hosts: hosts.slice(WARM_UP),
		peakBytes,
		isProcessorTime,
		...beside(events, predicted, factor),
	};
}

const passedMs = (events: readonly KernelEvent[]): number => events.reduce((sum, e) => sum + e.duration, 0) / 1e6;

/** Milliseconds that a run keeps the cores busy that a driver computes on. */
async function processorMs({ time }: Present, run: () => Promise<unknown>, rounds: number): Promise<number> {
	const times: number[] = [];
	for (let i = 0; i < rounds; i++) times.push(await time(run));
	return medianOf(times);
}

/**
 * Kernels as they were timed, times a factor, beside the predictions for the same dispatches: by shape only where both are the same,
 * in order.
 */
function beside(events: readonly KernelEvent[], predicted: readonly Costed[], factor: number): Pick<Measured, "kernels" | "shapes"> {
	const kernels: Record<string, Beside> = {};
	const shapes: Record<string, Beside> = {};
	const isSame = events.length === predicted.length && events.every(({ kernel }, i) => kernel === predicted[i].work.kernel);
	for (const [i, { kernel, duration }] of events.entries()) {
		const found = { calls: 1, measured: (factor * duration) / 1e6, predicted: 0 };
		add(kernels, kernel, found);
		if (isSame) add(shapes, `${kernel} ${predicted[i].shape}`, { ...found, predicted: predicted[i].prediction.milliseconds });
	}
	for (const { work, prediction } of predicted) add(kernels, work.kernel, { calls: 0, measured: 0, predicted: prediction.milliseconds });
	return { kernels, shapes };
}

function add(to: Record<string, Beside>, name: string, more: Beside): void {
	const { calls, measured, predicted } = to[name] ?? { calls: 0, measured: 0, predicted: 0 };
	to[name] = { calls: calls + more.calls, measured: measured + more.measured, predicted: predicted + more.predicted };
}

/** What was measured, in Markdown. */
export function measuredSection({ title, first, walls, hosts, peakBytes, isProcessorTime, kernels, shapes }: Measured): string {
	const all = Object.values(kernels);
	const sum = (of: (b: Beside) => number): number => all.reduce((n, b) => n + of(b), 0);
	const rows = (of: Readonly<Record<string, Beside>>): string =>
		table(
			["kernel", "calls", "ms", "predicted", "predicted / measured"],
			Object.entries(of)
				.sort(([, a], [, b]) => b.measured - a.measured)
				.slice(0, SHOWN)
				.map(([name, b]) => [
					`\`${name}\``,
					digits(b.calls, 0),
					digits(b.measured, 2),
					digits(b.predicted, 2),
					digits(b.predicted / b.measured, 2),
				]),
		);
	return `### ${title}

${digits(medianOf(walls), 1)} ms, of which this thread is busy for ${digits(medianOf(hosts), 1)}; the first run ${digits(first, 0)} ms. ${digits(
		sum((b) => b.calls),
		0,
	)} kernels
take ${digits(
		sum((b) => b.measured),
		1,
	)} ms${isProcessorTime ? " of processor time" : ""} by themselves, predicted were ${digits(
		sum((b) => b.predicted),
		1,
	)}. At most ${digits(peakBytes / 1e9, 2)} GB.

${rows(kernels)}

${Object.keys(shapes).length === 0 ? "" : rows(shapes)}
`;
}
