import {
	type CanaryScores,
	type GivenNoise,
	insecureNoiseForTests,
	PrivacyEngine,
	type PrivacyPlan,
	planPrivacy,
	plantCanaries,
	type Sampling,
	type Schedule,
	type StepCount,
	type TargetEpsilon,
} from "@hushgrad/dp";
import { Parameter } from "@hushgrad/nn";
import { type Device, data, mul, sum, type Tensor } from "@hushgrad/tensor";
import { Recording } from "../privacy/harness.ts";

/** Gradients of canaries are so many times the clipping norm. */
const EXCESS = 3;
/** Physical batches of a step that takes all included canaries: noise that each brings of its own shows. */
const PARTS = 4;

/** What the noisy steps of a run show of each canary, in multiples of what it moves a sum by: one row a step. */
export interface Traces {
	readonly included: readonly Float64Array[];
	readonly excluded: readonly Float64Array[];
}

/**
 * One run of the engine on canaries alone, as many as the plan has records, included by fair coins. Canary i has the gradient 3 C e_i, so
 * that they do not get into each other's way and one run holds as many independent attacks; what moves is the vector of coordinates.
 */
export async function auditedRun(device: Device, plan: PrivacyPlan, seed: number, noise = insecureNoiseForTests(seed)): Promise<Traces> {
	const canaries = Array.from({ length: plan.datasetSize }, (_, i) => i);
	const { included, excluded } = plantCanaries([], canaries, { seed: seed + 1000 });
	const w = new Parameter([canaries.length]);
	w.assign(device.fromHost(new Float32Array(canaries.length), w.shape));
	const optimizer = new Recording([w]);
	try {
		const physicalBatchSize = Math.ceil(plan.datasetSize / 2 / PARTS);
		const engine = PrivacyEngine.follow(plan, { optimizer, physicalBatchSize, noise });
		const encode = (canary: number) => {
			const x = new Float32Array(canaries.length);
			x[canary] = EXCESS * plan.maxGradNorm;
			return { x };
		};
		for (let step = 0; step < plan.steps; step++) {
			await engine.stepOn(included, encode, ({ x }: { readonly x: Tensor }) => sum(mul(x, w.value)));
		}
		const unit = plan.maxGradNorm / plan.expectedBatchSize;
		const steps: Float64Array[] = [];
		for (const given of optimizer.given) steps.push(Float64Array.from(await data(given), (v) => v / unit));
		const traceOf = (canary: number) => Float64Array.from(steps, (values) => values[canary]);
		return { included: included.map(traceOf), excluded: excluded.map(traceOf) };
	} finally {
		for (const given of optimizer.given) given.dispose();
		optimizer.vector.dispose();
	}
}

/** Scores by what a trace is worth. */
export const scoresOf = ({ included, excluded }: Traces, worth: (trace: Float64Array) => number): CanaryScores => ({
	included: included.map(worth),
	excluded: excluded.map(worth),
});

/** The best test where every canary is in every step. */
export const total = (trace: Float64Array): number => trace.reduce((sum, v) => sum + v, 0);

/** By how much steps differ: 0 where noise is one and the same in all of them. */
export const spread = (trace: Float64Array): number => Math.max(...trace) - Math.min(...trace);

const likelihoodRatio = (v: number, sigma: number): number => Math.exp((v - 0.5) / sigma ** 2);

/** The best test of Poisson sampling: the log likelihood ratio of a canary that is in each step with probability q. */
export const poissonRatio =
	({ sampleRate: q, noiseMultiplier }: PrivacyPlan) =>
	(trace: Float64Array): number =>
		trace.reduce((sum, v) => sum + Math.log1p(q * (likelihoodRatio(v, noiseMultiplier) - 1)), 0);

/** The best test of random allocation: that of a canary in one step of each epoch. */
export const allocationRatio =
	({ sampleRate, noiseMultiplier }: PrivacyPlan) =>
	(trace: Float64Array): number => {
		const epoch = Math.round(1 / sampleRate);
		let ratio = 0;
		for (let start = 0; start < trace.length; start += epoch) {
			const ratios = trace.slice(start, start + epoch).map((v) => likelihoodRatio(v, noiseMultiplier));
			ratio += Math.log(total(ratios) / epoch);
		}
		return ratio;
	};

/** What a plan for an audit is made from. */
type Level = (GivenNoise | TargetEpsilon) &
	StepCount & { readonly sampling?: Sampling; readonly noiseSchedule?: Schedule; readonly sampleRate?: number };

/** A plan for so many canaries, with C = 0.5 and δ = 1e-5. */
export const planFor = (canaries: number, { sampleRate = 1, ...level }: Level): PrivacyPlan =>
	planPrivacy({ ...level, targetDelta: 1e-5, datasetSize: canaries, expectedBatchSize: sampleRate * canaries, maxGradNorm: 0.5 });
