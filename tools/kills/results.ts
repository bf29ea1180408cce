import { appendFileSync } from "node:fs";

/** How a process may be ended. */
export const SIGNALS = ["SIGKILL", "SIGTERM", "SIGINT"] as const;
export type Signal = (typeof SIGNALS)[number];

/** Whether the noise of a run is that of the platform, or follows from a seed so that a run that goes on can be compared with one that was whole. */
export type Mode = "secure" | "research";

/** A process of a run that was ended, and what was there right after it. */
export interface EndedRow {
	readonly kind: "ended";
	readonly mode: Mode;
	/** What ended it: a signal, or the exit code that it answered a signal with. */
	readonly by: string;
	/** The last that it told before. */
	readonly during: string;
	/** Steps that the ledger has. */
	readonly noted: number;
	/** Steps whose noise was drawn, as seen from outside of the library. */
	readonly drawn: number;
}

/** What befell a run that came to its end all the same. */
export type Fault = "ended" | "GPU lost" | "disk full (tmpfs)" | "disk full (pretended)";

/** A run that came to its end. */
export interface RunRow {
	readonly kind: "run";
	readonly mode: Mode;
	readonly fault: Fault;
	/** How often that was. */
	readonly times: number;
	/** Whether it is what it has to be: in research the adapter, the optimiser and the metrics of the whole run, bit for bit; else each step taken by one process. */
	readonly asItShould: boolean;
	/** Steps that the ledger has. */
	readonly noted: number;
	/** Steps whose noise was drawn. */
	readonly drawn: number;
	/** ε by all that the ledger has, and what the run may spend. */
	readonly epsilon: number;
	readonly target: number;
}

/** What is kept of one. */
export type Row = EndedRow | RunRow;

/** Keeps what was seen, one line of JSON, in the file that HUSHGRAD_KILLS_RESULTS names; nowhere when it names none. */
export function keep(row: Row): void {
	const path = process.env.HUSHGRAD_KILLS_RESULTS;
	if (path !== undefined) appendFileSync(path, `${JSON.stringify(row)}\n`);
}
