import {
	attackCounts,
	bandedSquareRoot,
	type EngineState,
	epsilon,
	insecureNoiseForTests,
	noiseFromRates,
	PrivacyEngine,
	PrivacyLedger,
	type PrivateState,
	refutes,
	research,
	type Sampling,
	type Study,
	secureNoise,
	type Transcript,
} from "@hushgrad/dp";
import { AdamW, SGD } from "@hushgrad/nn";
import { data } from "@hushgrad/tensor";
import { describe, expect, it, test } from "vitest";
import { historyAfter } from "../../packages/dp/src/sampler.ts";
import { useDevice } from "../support/device.ts";
import { auditedRun, planFor, scoresOf } from "./auditedRun.ts";
import { memory } from "./memoryStore.ts";
import { drawnOf, IN, lossBy, N, OUT, planOf, problem, record, weight } from "./problem.ts";
import { contribution, dot, strategy } from "./strategies.ts";

const device = useDevice();
const COEFS = bandedSquareRoot(3);
const SAMPLING: Sampling = { kind: "balls-in-bins", strategyCoefs: COEFS };
const STEPS = 8;
const PLAN = {
	datasetSize: N,
	expectedBatchSize: 10,
	targetEpsilon: 8,
	targetDelta: 1e-4,
	steps: STEPS,
	maxGradNorm: 1,
	sampling: SAMPLING,
};
const ALL = Array.from({ length: N }, (_, i) => i);

/** The transcripts of a whole run on so many of the records. */
async function transcripts(records: readonly number[], study: Study = {}, lr = 0.1): Promise<Transcript[]> {
	const seen: Transcript[] = [];
	const noise = research({ seed: 21, transcript: (t) => seen.push(t), ...study });
	const w = weight(device());
	const loss = lossBy(w);
	const engine = PrivacyEngine.follow(planOf(PLAN), { optimizer: new SGD([w], { lr }), noise });
	for (let step = 1; step <= STEPS; step++) await engine.stepOn(records, record, loss);
	return seen;
}

describe("a run of balls in bins with correlated noise", () => {
	it("takes each record once in each cycle, in the same step of all of them", async () => {
		const seen = await transcripts(ALL);
		for (const [i, { batch }] of seen.entries()) {
			expect([...batch]).toEqual([...seen[i % 4].batch]);
			expect(batch.length).toBeGreaterThan(0);
		}
		const cycle = seen.slice(0, 4).flatMap(({ batch }) => [...batch]);
		expect(cycle.sort((a, b) => a - b)).toEqual(ALL);
	});

	it("adds C⁻¹z: what each step adds follows from the normals of all, and is in whole steps of the grid", async () => {
		const seen = await transcripts(ALL);
		const { engine } = problem(device(), { sampling: SAMPLING, steps: STEPS });
		const sigma = engine.plan.noiseMultiplier;
		const length = IN * OUT + 1;
		const grid = 2 ** -22;
		const deviation = sigma * (1 + 2 ** -18 + (Math.sqrt(length - 1) * grid) / 2);
		const past: Float64Array[] = [];
		for (const [i, { noise }] of seen.entries()) {
			const w = new Float64Array(length);
			insecureNoiseForTests(21)
				.forStep(i + 1)
				.fillNormals(w);
			for (const [j, c] of COEFS.slice(1).entries()) if (i > j) for (const k of w.keys()) w[k] -= c * past[i - 1 - j][k];
			past.push(w);
			const norm = Math.hypot(...COEFS.slice(0, STEPS - i));
			for (const [k, v] of noise.entries()) {
				expect(Number.isInteger(v / grid)).toBe(true);
				expect(Math.abs(v - norm * w[k] * deviation)).toBeLessThan(0.51 * grid);
			}
		}
	});

	it("moves by one record in the steps of its bin alone, by no more than C, and all else stays bit for bit", async () => {
		const [whole, fewer] = [await transcripts(ALL, {}, 0), await transcripts(ALL.slice(0, -1), {}, 0)];
		const bin = whole.findIndex(({ batch }) => batch.includes(N - 1));
		for (const [i, { batch, noise, sum }] of fewer.entries()) {
			const before = whole[i];
			expect([...before.batch].filter((r) => r !== N - 1)).toEqual([...batch]);
			expect(noise).toEqual(before.noise);
			const moved = Math.hypot(...sum.map((v, k) => v - before.sum[k]));
			if (i % 4 !== bin) expect(moved).toBe(0);
			else expect(Math.abs(moved - 1)).toBeLessThan(1e-5);
		}
	});

	it("takes noise that is given as it is", async () => {
		const noise = (step: number, length: number): Float64Array => new Float64Array(length).fill(step);
		for (const t of await transcripts(ALL, { noise })) expect(t.noise.every((v) => v === t.step)).toBe(true);
	});

	it.each([1, 4, 7])("goes on bit for bit where its noise repeats: after step %i", async (stop) => {
		const begin = (noise = insecureNoiseForTests(3)) => {
			const w = weight(device());
			const optimizer = new AdamW([w], { lr: 0.05 });
			return { w, optimizer, engine: PrivacyEngine.follow(planOf(PLAN), { optimizer, noise }), loss: lossBy(w) };
		};
		const whole = begin();
		for (let i = 0; i < STEPS; i++) await whole.engine.step(record, whole.loss);
		const first = begin();
		for (let i = 0; i < stop; i++) await first.engine.step(record, first.loss);
		const saved = JSON.parse(JSON.stringify(first.engine.state())) as EngineState;
		const noise = insecureNoiseForTests(3);
		const engine = PrivacyEngine.fromState(saved, first.engine.plan, { optimizer: first.optimizer, noise });
		for (let i = stop; i < STEPS; i++) await engine.step(record, first.loss);
		expect(await data(first.w.value)).toEqual(await data(whole.w.value));
	});

	it("goes on after a step that failed, with the noise of a run in which it had not", async () => {
		const seen = await transcripts(ALL);
		const again: Transcript[] = [];
		const noise = research({ seed: 21, transcript: (t) => again.push(t) });
		const { engine, loss } = problem(device(), { sampling: SAMPLING, steps: STEPS, noise });
		for (let step = 1; step <= STEPS; step++) {
			const failing = (): never => {
				throw new Error("no such record");
			};
			if (step === 3) await expect(engine.step(failing, loss)).rejects.toThrow("no such record");
			else await engine.step(record, loss);
		}
		expect(again.map(({ step }) => step)).toEqual([1, 2, 4, 5, 6, 7, 8]);
		for (const t of again) expect(t.noise).toEqual(seen[t.step - 1].noise);
	});
});

describe("a private run of balls in bins", () => {
	const begin = async () => {
		const store = memory();
		const open = async () => ({ ledger: await PrivacyLedger.open(store), dataset: "d" });
		const first = problem(device(), { noise: secureNoise(), sampling: SAMPLING, steps: STEPS, ledger: await open() });
		const drawn: number[][] = [];
		const step = async (engine: PrivacyEngine) => {
			const seen: number[] = [];
			await engine.step((i) => {
				seen.push(i);
				return record(i);
			}, first.loss);
			drawn.push(drawnOf(seen, ALL));
		};
		const resumed = async (state: EngineState, privateState?: PrivateState) => {
			const own = { optimizer: first.optimizer, noise: secureNoise(), ledger: await open(), privateState };
			return PrivacyEngine.fromState(state, first.engine.plan, own);
		};
		return { ...first, step, resumed, drawn, open };
	};

	it("goes on by what was kept: every record stays in its bin", async () => {
		const { engine, step, resumed, drawn } = await begin();
		const kept = JSON.parse(JSON.stringify(engine.privateState())) as PrivateState;
		for (let i = 0; i < 6; i++) await step(engine);
		const next = await resumed(engine.state(), kept);
		expect(next.steps).toBe(6);
		for (let i = 6; i < 8; i++) await step(next);
		expect(drawn.slice(4)).toEqual(drawn.slice(0, 4));
		expect(next.privateState()).toBeUndefined();
	});

	it("does not go on without it, by that of another run, or with records that changed", async () => {
		const { engine, step, resumed, loss } = await begin();
		const early = engine.state();
		await step(engine);
		const [state, kept] = [engine.state(), engine.privateState() as PrivateState];
		for (const s of [state, early]) {
			await expect(resumed(s)).rejects.toMatchObject({
				...{ name: "PrivacyError", code: "privacy/state", op: "PrivacyEngine.fromState" },
				message: expect.stringContaining("has no private part, and which record is in which step was kept nowhere else"),
				hint: "give what engine.privateState() gave, as `privateState`; or begin a new run",
			});
		}
		for (const secret of ["other", undefined, kept.secret.toUpperCase()]) {
			await expect(resumed(state, { secret } as PrivateState)).rejects.toMatchObject({ code: "privacy/state" });
		}
		const next = await resumed(state, kept);
		await expect(next.stepOn(ALL.slice(1), record, loss)).rejects.toMatchObject({
			code: "privacy/records-changed",
			hint: expect.stringContaining("or one bin"),
		});
	});

	it("is in the ledger with its coefficients, and spends there what its plan says", async () => {
		const { engine, step, open } = await begin();
		for (let i = 0; i < 3; i++) await step(engine);
		const { ledger } = await open();
		const [run] = ledger.runsOn("d");
		expect(run).toMatchObject({ sampling: SAMPLING, steps: STEPS, taken: 3 });
		expect(epsilon(ledger.historyOf("d"), { delta: 1e-4 })).toBe(engine.getEpsilon());
		expect(engine.statement()).toContain("T = 3 of 8 planned");
	});
});

test("audited in one run, by the best test there is, bins leak no more than is claimed, and the audit sees half of it", async () => {
	const confidence = { significance: 0.01 };
	const [coefs, steps] = [bandedSquareRoot(4), 16];
	const sampling: Sampling = { kind: "balls-in-bins", strategyCoefs: coefs };
	const plan = planFor(1000, { noiseMultiplier: 1.2, steps, sampleRate: 0.25, sampling });
	const m = strategy(coefs, steps);
	const bins = [0, 1, 2, 3].map((bin) => contribution(m, 4, bin));
	// What is released times C is what the bin adds, with independent noise.
	const worth = (trace: Float64Array): number => {
		const seen = m.map((row) => dot(row, [...trace]));
		const logs = bins.map((own) => (dot(own, seen) - dot(own, own) / 2) / plan.noiseMultiplier ** 2);
		return Math.log(logs.reduce((sum, l) => sum + Math.exp(l), 0) / 4);
	};
	const counts = attackCounts(scoresOf(await auditedRun(device(), plan, 2), worth));
	const historyOf = (noiseMultiplier: number) => historyAfter({ ...plan, noiseMultiplier }, steps);
	expect(refutes(historyOf(plan.noiseMultiplier), counts, confidence)).toBe(false);
	const found = epsilon(historyOf(noiseFromRates(historyOf, counts, confidence)), { delta: 1e-5 });
	expect(found).toBeLessThanOrEqual(plan.epsilon);
	expect(found).toBeGreaterThanOrEqual(0.5 * plan.epsilon);
	// Half of the noise, or noise that is accounted as if it were independent, does not pass.
	expect(refutes(historyOf(2 * plan.noiseMultiplier), counts, confidence)).toBe(true);
	expect(refutes([{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 1.2, epochs: 4 }], counts, confidence)).toBe(true);
});
