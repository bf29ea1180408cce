import { type Encode, GaussianMechanism, type HostRecord, insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { Module, ModuleBuffer, Parameter, ParameterVector } from "@hushgrad/nn";
import { type Device, type DropoutKey, data, HushgradError, mul, sum, type Tensor } from "@hushgrad/tensor";
import { expect } from "vitest";
import type { Settings as EngineSettings } from "../dp/problem.ts";
import { numbers } from "../support/cases.ts";

/** Features of a record, and coordinates of the weight that a loss trains. */
export const D = 4;
/** Records of the larger data set. */
export const N = 8;
/** Rows of a physical batch. */
export const ROWS = 4;
/** Clipping norm. */
const C = 1;

/** A model with a trained weight, a frozen one and a buffer: the loss of a record x is w x. */
export class Lab extends Module {
	readonly w = new Parameter([D]);
	readonly frozen = new Parameter([D], { trainable: false });
	readonly table = new ModuleBuffer();

	forward(x: Tensor): Tensor {
		return sum(mul(x, this.w.value));
	}
}

/** An optimiser that moves nothing and keeps what it is given: the noisy mean of each step. */
export class Recording {
	readonly lr = 0;
	readonly vector: ParameterVector;
	readonly given: Tensor[] = [];

	constructor(parameters: readonly Parameter[]) {
		this.vector = new ParameterVector(parameters, "Recording");
	}

	step(gradient: Tensor): void {
		this.given.push(gradient.device.keep(gradient));
	}
}

/** What an attack has to work with: all that a training script has. */
export interface Scene {
	readonly device: Device;
	readonly model: Lab;
	/** The private records. */
	readonly records: readonly Float32Array[];
	readonly optimizer: Recording;
	/** All records as one tensor [records, D], uploaded by the script itself. */
	readonly raw: () => Tensor;
}

/** The record and the loss as a user writes them, of any form. */
// biome-ignore lint/suspicious/noExplicitAny: records of any form
export type AnyLoss = (record: any, dropout?: DropoutKey) => Tensor;

/** What an attack hands to the engine. */
export interface Program {
	/** `{ x }` when left out, x the record. */
	readonly encode?: Encode<HostRecord>;
	readonly loss: AnyLoss;
	readonly options?: EngineSettings;
	/** In place of the steps. */
	readonly run?: (engine: PrivacyEngine, encode: Encode<HostRecord>, loss: AnyLoss) => Promise<unknown>;
}

export type Attack = (scene: Scene) => Program;

export interface Settings {
	/** Number of the record that the other data set lacks. */
	readonly removed?: number;
	readonly steps?: number;
}

/** D numbers in (-scale, scale). */
const vector = (seed: number, scale: number): Float32Array => {
	const next = numbers(seed, 3);
	return Float32Array.from({ length: D }, () => scale * (2 * next() - 1));
};

/** Records of ordinary size, and one that stands out: the one to be removed. */
const dataset = (removed: number): Float32Array[] => Array.from({ length: N }, (_, i) => vector(i + 1, i === removed ? 50 : 0.8));

/** The sums of clipped gradients of each step, in units of C and up to the noise, of a run on these records. */
async function run(device: Device, attack: Attack, records: readonly Float32Array[], steps: number): Promise<Float64Array[]> {
	const model = new Lab();
	model.w.assign(device.fromHost(vector(100, 1), [D]));
	model.frozen.assign(device.fromHost(vector(101, 1), [D]));
	model.table.assign(device.fromHost(vector(102, 1), [D]));
	const optimizer = new Recording([model.w]);
	const raw = (): Tensor =>
		device.fromHost(
			records.flatMap((r) => [...r]),
			[records.length, D],
		);
	try {
		const { encode = (i) => ({ x: records[i] }), loss, options, run: own } = attack({ device, model, records, optimizer, raw });
		const noise = insecureNoiseForTests(7);
		const engine = PrivacyEngine.makePrivateWithEpsilon({
			optimizer,
			model,
			datasetSize: records.length,
			expectedBatchSize: records.length,
			physicalBatchSize: ROWS,
			targetEpsilon: 1e5,
			targetDelta: 1e-3,
			steps,
			maxGradNorm: C,
			noise,
			...options,
		});
		if (own !== undefined) await own(engine, encode, loss);
		for (let s = 0; s < steps && own === undefined; s++) {
			await engine.step(encode, loss);
		}
		const sums = [];
		for (const mean of optimizer.given) sums.push(Float64Array.from(await data(mean), (v) => (v * records.length) / C));
		return sums;
	} finally {
		for (const mean of optimizer.given) mean.dispose();
		optimizer.vector.dispose();
		model.dispose();
	}
}

/** What came of an attack: how far one record moved a sum at most, in units of C, or the error that refused it. */
export type Outcome = { readonly sensitivity: number } | { readonly refused: string };

/**
 * Runs an attack on a data set and on the same without one record, both with every record in every step and with the same
 * noise, and compares the sums of clipped gradients step by step. What the language refuses, writing to a frozen object,
 * is "frozen".
 */
export async function attempt(device: Device, attack: Attack, { removed = 0, steps = 1 }: Settings = {}): Promise<Outcome> {
	const all = dataset(removed);
	try {
		const a = await run(device, attack, all, steps);
		const b = await run(device, attack, all.toSpliced(removed, 1), steps);
		expect(a.length).toBe(b.length);
		return { sensitivity: Math.max(...a.map((sum, s) => Math.hypot(...sum.map((v, i) => v - b[s][i])))) };
	} catch (error) {
		if (error instanceof HushgradError) return { refused: error.code };
		if (error instanceof TypeError && /read only|not extensible|only a getter|Cannot redefine/.test(error.message))
			return { refused: "frozen" };
		throw error;
	}
}

/** What one record may move a sum by, in units of C: C and what rounding adds to it, which the noise is made for. */
const { sensitivity: MOST } = new GaussianMechanism({ length: D, maxGradNorm: C, noiseMultiplier: 1, expectedBatchSize: 1 });

/** Expects that the removed record moves the sum, by no more than the mechanism says. */
export async function expectBounded(device: Device, attack: Attack, settings: Settings = {}): Promise<void> {
	const outcome = await attempt(device, attack, settings);
	expect(outcome).toHaveProperty("sensitivity");
	const { sensitivity } = outcome as { readonly sensitivity: number };
	expect(sensitivity).toBeLessThanOrEqual(MOST / C);
	expect(sensitivity).toBeGreaterThan(0.5);
}

/** Expects that the program is refused with this code, before the sum reaches the optimiser. */
export async function expectRefused(device: Device, attack: Attack, code: string, settings: Settings = {}): Promise<void> {
	expect(await attempt(device, attack, settings)).toEqual({ refused: code });
}
