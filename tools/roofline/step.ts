import { type Dispatch, DryDevice, type Recording } from "./dryDevice.ts";
import type { Machine, Prediction } from "./predict.ts";
import { decoding, type Subject, training } from "./subject.ts";
import { type Work, Workings } from "./work.ts";

/** The dispatches of a training step on a machine that is not there: the second, because the first also checks itself. */
export async function recordStep(machine: Pick<Machine, "adapter">, subject: Subject): Promise<Recording> {
	const dry = new DryDevice(machine.adapter);
	const step = training(dry.device, subject, "blank")();
	await step();
	dry.take();
	await step();
	return dry.take();
}

/** The dispatches of reading one token more. */
export async function recordToken(machine: Pick<Machine, "adapter">, config: Subject["config"], context: number): Promise<Recording> {
	const dry = new DryDevice(machine.adapter);
	const step = await decoding(dry.device, config, context, "blank");
	dry.take();
	await step();
	return dry.take();
}

/** One dispatch: what it does, on what shape, and how long that takes. */
export interface Costed {
	readonly work: Work;
	readonly shape: string;
	readonly prediction: Prediction;
}

/** Dispatches with their costs, in order. */
export function costed(machine: Machine, dispatches: readonly Dispatch[]): Costed[] {
	const workings = new Workings(machine.width);
	return dispatches.map((d) => {
		const work = workings.of(d);
		return { work, shape: workings.shapeOf(d), prediction: machine.predict(work) };
	});
}

/** All dispatches of one kernel, or of one kernel on one shape. */
export interface Row {
	readonly kernel: string;
	readonly shape: string;
	readonly calls: number;
	readonly flops: number;
	readonly read: number;
	readonly written: number;
	readonly workgroups: number;
	readonly milliseconds: number;
	/** What the roofline alone allows. */
	readonly ideal: number;
	/** Share of the units with a workgroup, on average over the time. */
	readonly busy: number;
	/** What bounds most of the time. */
	readonly bound: string;
}

/** Dispatches that have a key in common, the longest first. */
export function rowsBy(all: readonly Costed[], key: (c: Costed) => string): Row[] {
	const groups = new Map<string, Costed[]>();
	for (const c of all) groups.set(key(c), [...(groups.get(key(c)) ?? []), c]);
	return [...groups.values()].map(rowOf).sort((a, b) => b.milliseconds - a.milliseconds);
}

function rowOf(all: readonly Costed[]): Row {
	const sum = (of: (c: Costed) => number): number => all.reduce((n, c) => n + of(c), 0);
	const milliseconds = sum((c) => c.prediction.milliseconds);
	const bounds = new Map<string, number>();
	for (const { prediction: p } of all) bounds.set(p.bound, (bounds.get(p.bound) ?? 0) + p.milliseconds);
	const shapes = new Set(all.map((c) => c.shape));
	return {
		kernel: all[0].work.kernel,
		shape: shapes.size === 1 ? all[0].shape : "several",
		calls: all.length,
		flops: sum((c) => c.work.flops),
		read: sum((c) => c.work.read),
		written: sum((c) => c.work.written),
		workgroups: sum((c) => c.work.workgroups),
		milliseconds,
		ideal: sum((c) => c.prediction.ideal),
		busy: sum((c) => c.prediction.busy * c.prediction.milliseconds) / milliseconds,
		bound: [...bounds].reduce((a, b) => (b[1] > a[1] ? b : a))[0],
	};
}
