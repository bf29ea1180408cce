import {
	type EngineOptions,
	insecureNoiseForTests,
	type PlanOptions,
	type PlanSettings,
	PrivacyEngine,
	type PrivacyPlan,
	planPrivacy,
} from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import { type Device, key, linear, normalValues, square, sub, sum, type Tensor } from "@hushgrad/tensor";

/** What a test may set of an engine. */
export type Settings = Partial<EngineOptions & PlanSettings & { readonly steps: number; readonly targetEpsilon: number }>;

export const N = 40;
export const IN = 5;
export const OUT = 3;

/** Record i: x [IN], y [OUT]. */
const XS = normalValues(key(2), N * IN);
const YS = normalValues(key(3), N * OUT);
export const record = (i: number) => ({ x: XS.slice(i * IN, (i + 1) * IN), y: YS.slice(i * OUT, (i + 1) * OUT) });

/** A trained weight [OUT, IN]. */
export function weight(d: Device, name = "w"): Parameter {
	const w = new Parameter([OUT, IN]);
	w.name = name;
	w.assign(d.fromHost(normalValues(key(1), OUT * IN), w.shape));
	return w;
}

/** The loss of a record by a weight: |x W^T - y|^2. */
export const lossBy =
	(w: Parameter) =>
	({ x, y }: { readonly x: Tensor; readonly y: Tensor }): Tensor =>
		sum(square(sub(linear(x, w.value), y)));

const plans = new Map<string, PrivacyPlan>();

/** A plan, calibrated once for all tests of a file that ask for it. */
export function planOf(options: PlanOptions): PrivacyPlan {
	const { optimizer: _, noise: __, ledger: ___, model: ____, ...asked } = options as PlanOptions & Partial<EngineOptions>;
	const key = JSON.stringify(asked);
	const plan = plans.get(key) ?? planPrivacy(options);
	plans.set(key, plan);
	return plan;
}

/** Least squares on fixed records. */
export function problem(d: Device, options: Settings = {}) {
	const w = weight(d);
	const optimizer = new SGD([w], { lr: 0.1 });
	const all = {
		optimizer,
		datasetSize: N,
		expectedBatchSize: 10,
		physicalBatchSize: 4,
		targetEpsilon: 8,
		targetDelta: 1e-4,
		steps: 5,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(11),
		allowMeaninglessEpsilon: true,
		...options,
	};
	const engine = PrivacyEngine.follow(planOf(all), all);
	return { w, optimizer, engine, encode: record, loss: lossBy(w) };
}

/**
 * Which records a step drew, of the numbers that its encode() was called with, ascending. Where each record has a step of its own all are
 * encoded beforehand, in order, to tell who they are.
 */
export function drawnOf(seen: readonly number[], all: readonly number[]): number[] {
	const isAsked = all.length > 0 && all.every((r, i) => r === seen[i]);
	return [...new Set(isAsked ? seen.slice(all.length) : seen)].sort((a, b) => a - b);
}

/** What `act` leaves on the device beside what was there: must be nothing. */
export async function leftBehind(d: Device, act: () => Promise<unknown>): Promise<{ readonly bytes: number; readonly buffers: number }> {
	const before = d.memory();
	await act();
	const after = d.memory();
	return { bytes: after.liveBytes - before.liveBytes, buffers: after.liveBuffers - before.liveBuffers };
}

export const NOTHING = { bytes: 0, buffers: 0 };
