import type { EvaluationPart } from "../evaluation/evaluate.ts";

/** What a run tells while it goes on. All of it is public but `private`. */
export type RunEvent = Begun | Checking | Loading | Compiling | Stepped | Evaluating | Saved<"saving"> | Saved<"saved"> | Warned;

/** The data is being read and the noise planned, or the GPU opened. */
export interface Begun {
	/** Which event it is. */
	readonly kind: "preparing" | "opening";
}

/** A checkpoint is being written, or was. */
export interface Saved<Kind extends "saving" | "saved"> {
	/** Which event it is. */
	readonly kind: Kind;
	/** The step that the run goes on from. */
	readonly step: number;
}

/** The base model is being compared with what it was, or hashed for the first time. */
export interface Checking {
	/** Which event it is. */
	readonly kind: "checking";
	/** Bytes read. */
	readonly done: number;
	/** Bytes of the base. */
	readonly total: number;
}

/** The base model is on its way to the GPU, and quantised where that is asked for. */
export interface Loading {
	/** Which event it is. */
	readonly kind: "loading";
	/** Numbers loaded. */
	readonly done: number;
	/** Numbers of the model. */
	readonly total: number;
	/** Whether linear layers are quantised on the way. */
	readonly isQuantizing: boolean;
}

/** The first step on this device was begun: it makes its kernels on the way. */
export interface Compiling {
	/** Which event it is. */
	readonly kind: "compiling";
	/** Its number. */
	readonly step: number;
}

/** A step was taken. */
export interface Stepped {
	/** Which event it is. */
	readonly kind: "step";
	/** Its number, from 1. */
	readonly step: number;
	/** Steps of the whole run. */
	readonly steps: number;
	/** ε spent so far; undefined without privacy. */
	readonly epsilon?: number | undefined;
	/** ε that the run may spend; undefined without privacy. */
	readonly targetEpsilon?: number | undefined;
	/** Its learning rate. */
	readonly lr: number;
	/** Seconds that it took. */
	readonly seconds: number;
	/** Tokens of a step of mean size, padding included, over these seconds. */
	readonly tokensPerSecond: number;
	/** The most bytes of GPU memory so far. */
	readonly peakBytes: number;
	/** What ε does not cover; only where it was asked for. */
	readonly private?: StepMeasures | undefined;
}

/** What was computed from the records of a step without noise. */
export interface StepMeasures {
	/** Mean loss of the records; undefined where there was none. */
	readonly loss?: number | undefined;
	/** Share of the records whose gradient was clipped. */
	readonly clipped?: number | undefined;
	/** Records of the step. */
	readonly records?: number | undefined;
}

/** Held-out records are evaluated. */
export interface Evaluating {
	/** Which event it is. */
	readonly kind: "evaluating";
	/** Whether training is still to come. */
	readonly when: "before" | "after";
	/** What is being measured. */
	readonly part: EvaluationPart;
	/** How much of it is done. */
	readonly done: number;
	/** Of how much. */
	readonly total: number;
}

/** Something that the user should know; the run goes on. */
export interface Warned {
	/** Which event it is. */
	readonly kind: "warning";
	/** What it is. */
	readonly message: string;
}
