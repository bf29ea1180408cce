import type { Plan } from "../gpu/plan.ts";
import { wgsl } from "../gpu/wgsl.ts";

/** Invocations that keep a large device busy; a device that computes on the processor wants fewer, with more to do. */
const BUSY = 16384;

/**
 * How many rows of so many columns are begun at once, each column by an invocation, which goes on with the row that many further: at most
 * `most` of them one after the other, and fewer where the device would idle. So an invocation stays in its column, and divides once to
 * find it.
 */
export const rowsAtOnce = (rows: number, columns: number, most = 4): number =>
	Math.min(rows, Math.max(Math.ceil(BUSY / columns), Math.ceil(rows / most)));

/** Invocations of a workgroup that goes through a run of numbers. */
export const RUN = 64;

type RunParam = "n" | "turns" | "near" | "apart";

/** Numbers of a kernel that goes through others in runs. */
export const RUN_PARAMS: Readonly<Record<RunParam, "u32">> = { n: "u32", turns: "u32", near: "u32", apart: "u32" };

/** WGSL that does this for every number, or vector, `at` < p.n: one workgroup those of a run, which lie side by side. */
export const inRuns = (body: string): string => wgsl`let begin = (index - lane) * p.turns + lane * p.near;
let end = min(p.n, begin + p.turns * p.apart);
for (var at = begin; at < end; at += p.apart) { ${body} }`;

/** A dispatch that goes through numbers in runs. */
export interface InRuns {
	/** The kernel's numbers, in the order of `RUN_PARAMS`. */
	readonly params: Readonly<Record<RunParam, number>>;
	/** How many there are to be, whole workgroups. */
	readonly invocations: number;
}

/**
 * How n numbers, or vectors, are gone through in runs, at most `most` by an invocation. A GPU takes those of a workgroup that lie side by side
 * at once; a processor takes an invocation's one after the other, so that they lie side by side: it then reads memory in its order.
 */
export function runsOf(plan: Plan, n: number, most = 4): InRuns {
	const turns = Math.min(most, Math.max(1, Math.ceil(n / BUSY)));
	const [near, apart] = plan === "cpu" ? [turns, 1] : [1, RUN];
	return { params: { n, turns, near, apart }, invocations: Math.ceil(n / (RUN * turns)) * RUN };
}
