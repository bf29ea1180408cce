import type { Row } from "./row.ts";

/** What a sample cost, one run on average, in milliseconds. */
export interface Cost {
	/** Time that passed, from the first call until the GPU had done all. */
	readonly wall: number;
	/** Processor time of the driver's threads: the work of a driver that computes on the processor. NaN where it cannot be told. */
	readonly gpu: number;
	/** Processor time of the main thread until it began to wait. NaN where it cannot be told. */
	readonly host: number;
	/** Runs in the sample. */
	readonly runs: number;
}

/** What is asked of a contender's process. */
export type Request =
	| { readonly ask: "describe" }
	| { readonly ask: "prepare"; readonly row: Row; readonly sampleMs: number }
	| { readonly ask: "sample" }
	| { readonly ask: "outputs" }
	| { readonly ask: "release" };

/** Who runs, and on what. */
export interface Description {
	readonly library: string;
	readonly version: string;
	readonly adapter: string;
	/** Whether the adapter computes on the processor. */
	readonly isSoftware: boolean;
}

/** A prepared row: its first run, which compiles, and calls of WebGPU in one more, where they are counted. */
export interface Ready {
	readonly cold: Cost;
	readonly counts?: Readonly<Record<string, number>> | undefined;
}

/** What comes back, by what was asked. */
export interface Replies {
	describe: Description;
	prepare: Ready | { readonly cannot: string };
	sample: Cost;
	outputs: readonly Float32Array[];
	release: null;
}

/** An answer: a value, or what went wrong. */
export type Reply = { readonly value: Replies[Request["ask"]] } | { readonly error: string };
