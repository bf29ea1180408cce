import type { RunEvent, Stepped } from "./events.ts";

/** What a run is doing, for one line. */
export interface ProgressView {
	/** What, in a few words. */
	readonly what: string;
	/** Parts done; undefined where nobody can tell. */
	readonly done?: number | undefined;
	/** All parts. */
	readonly total?: number | undefined;
	/** What else there is to know, the most important first. */
	readonly facts: readonly string[];
	/** Milliseconds that it has gone on. */
	readonly elapsed: number;
	/** Milliseconds that are left, by the pace so far; undefined where nobody can tell. */
	readonly left?: number | undefined;
}

/** The line of a view, of at most so many columns: first the bar goes, then facts from the last, then the clock. */
export function progressLine(view: ProgressView, columns: number): string {
	const clocks = view.left === undefined ? clock(view.elapsed) : `${clock(view.elapsed)} < ${clock(view.left)}`;
	const fits = (text: string): boolean => text.length <= columns;
	for (let facts = view.facts.length; facts >= 0; facts--) {
		const shown = view.facts.slice(0, facts);
		for (const width of facts === view.facts.length ? [24, 12, 0] : [0]) {
			const line = [head(view, width), ...shown, clocks].join("  ");
			if (fits(line)) return line;
		}
	}
	const short = head(view, 0);
	return fits(short) ? short : `${short.slice(0, columns - 1)}…`;
}

function head({ what, done, total }: ProgressView, width: number): string {
	if (done === undefined || total === undefined || total === 0) return what;
	const isCount = what === "step";
	const text = isCount
		? `${what} ${String(done).padStart(String(total).length)}/${total}`
		: `${what} ${Math.floor((100 * done) / total)} %`;
	const filled = Math.round((width * done) / total);
	return width === 0 ? text : `${"█".repeat(filled)}${"░".repeat(width - filled)}  ${text}`;
}

/** Minutes and seconds, or hours and minutes. */
export function clock(milliseconds: number): string {
	const seconds = Math.round(milliseconds / 1000);
	const two = (n: number): string => String(Math.floor(n)).padStart(2, "0");
	return seconds < 3600
		? `${Math.floor(seconds / 60)}:${two(seconds % 60)}`
		: `${Math.floor(seconds / 3600)}:${two((seconds % 3600) / 60)}:${two(seconds % 60)}`;
}

/** What an event says of a step, the most important first; one precision for one number. */
export function factsOf({ epsilon, targetEpsilon, tokensPerSecond, peakBytes, private: measures }: Stepped): string[] {
	const { loss, clipped } = measures ?? {};
	return [
		...(epsilon === undefined ? [] : [`ε ${(Math.ceil(epsilon * 1e3) / 1e3).toFixed(3)} of ${targetEpsilon}`]),
		...(loss === undefined ? [] : [`loss ${loss.toFixed(4)}`]),
		`${tokensPerSecond < 100 ? tokensPerSecond.toPrecision(2) : Math.round(tokensPerSecond)} tokens/s`,
		...(clipped === undefined ? [] : [`clipped ${Math.round(100 * clipped)} %`]),
		bytes(peakBytes),
	];
}

function bytes(count: number): string {
	return count < 1e9 ? `${Math.max(1, Math.round(count / 1e6))} MB` : `${(count / 1e9).toFixed(1)} GB`;
}

/** What is done in the course of an event: a name that stays the same as long as it is the same work. */
export function workOf(event: Exclude<RunEvent, { readonly kind: "warning" }>): Pick<ProgressView, "what" | "done" | "total"> {
	switch (event.kind) {
		case "checking":
			return { what: "hashing the base", done: event.done, total: event.total };
		case "loading":
			return { what: event.isQuantizing ? "loading the base in 4 bits" : "loading the base", done: event.done, total: event.total };
		case "opening":
			return { what: "opening the GPU" };
		case "compiling":
			return { what: "first step, compiling its kernels" };
		case "evaluating":
			return { what: `evaluating ${event.when} training`, done: event.done, total: event.total };
		case "saving":
			return { what: `saving step ${event.step}` };
		case "step":
			return { what: "step", done: event.step, total: event.steps };
	}
}
