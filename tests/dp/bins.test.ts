import {
	bandedSquareRoot,
	type EngineState,
	insecureNoiseForTests,
	PrivacyEngine,
	PrivacyLedger,
	type PrivateState,
	research,
	type Sampling,
	type Study,
	secureNoise,
	type Transcript,
} from "@hushgrad/dp";
import { AdamW, SGD } from "@hushgrad/nn";
import { data } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { memory } from "./memoryStore.ts";
import { IN, lossBy, N, OUT, planOf, problem, record, weight } from "./problem.ts";

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
			const own = new Set<number>();
			await engine.step((i) => {
				own.add(i);
				return record(i);
			}, first.loss);
			drawn.push([...own].sort((a, b) => a - b));
		};
		const resumed = async (state: EngineState, privateState?: PrivateState) => {
			const own = { optimizer: first.optimizer, noise: secureNoise(), ledger: await open(), privateState };
			return PrivacyEngine.fromState(state, first.engine.plan, own);
		};
		return { ...first, step, resumed, drawn, open };
	};

	it("goes on by what was kept: every record stays in its bin", async () => {
		const { engine, step, resumed, drawn } = await begin();
		const kept = JSON.parse(JSON.stringify(engine.privateState(N))) as PrivateState;
		for (let i = 0; i < 6; i++) await step(engine);
		const next = await resumed(engine.state(), kept);
		expect(next.steps).toBe(6);
		for (let i = 6; i < 8; i++) await step(next);
		expect(drawn.slice(4)).toEqual(drawn.slice(0, 4));
		expect(next.privateState(N)).toBeUndefined();
	});

	it("does not go on without it, by that of another run, or with records that changed", async () => {
		const { engine, step, resumed, loss } = await begin();
		expect((await resumed(engine.state())).steps).toBe(0);
		const early = engine.state();
		await step(engine);
		const [state, kept] = [engine.state(), engine.privateState(N) as PrivateState];
		for (const s of [state, early]) {
			await expect(resumed(s)).rejects.toMatchObject({
				...{ name: "PrivacyError", code: "privacy/state", op: "PrivacyEngine.fromState" },
				message: expect.stringContaining("has no private part, and which record is in which bin was kept nowhere else"),
				hint: "give what engine.privateState() gave, as `privateState`; or begin a new run",
			});
		}
		for (const change of [{ run: "other" }, { steps: [4] }, { steps: undefined }]) {
			await expect(resumed(state, { ...kept, ...change } as PrivateState)).rejects.toMatchObject({ code: "privacy/state" });
		}
		const changed = { code: "privacy/records-changed", hint: expect.stringContaining("each record stays in its bin") };
		const fewer = await resumed(state, { ...kept, steps: kept.steps.slice(1) });
		await expect(fewer.step(record, loss)).rejects.toMatchObject(changed);
		await expect(engine.stepOn(ALL, record, loss)).rejects.toMatchObject(changed);
	});

	it("refuses records in another order, in any later step: one of them would take part twice in a cycle", async () => {
		const { engine, loss } = problem(device(), { noise: secureNoise(), sampling: SAMPLING, steps: STEPS });
		for (let i = 0; i < 5; i++) await engine.stepOn(ALL, record, loss);
		for (const other of [ALL.toReversed(), ALL.slice(1), [...ALL, 0]]) {
			await expect(engine.stepOn(other, record, loss)).rejects.toMatchObject({ code: "privacy/records-changed" });
		}
	});

	it("is in the ledger with its coefficients, and spends there what its plan says", async () => {
		const { engine, step, open } = await begin();
		for (let i = 0; i < 3; i++) await step(engine);
		const { ledger } = await open();
		const [run] = ledger.runsOn("d");
		expect(run).toMatchObject({ sampling: SAMPLING, steps: STEPS, taken: 3 });
		const { epsilon } = await import("@hushgrad/dp");
		expect(epsilon(ledger.historyOf("d"), { delta: 1e-4 })).toBe(engine.getEpsilon());
		expect(engine.statement()).toContain("T = 3 of 8 planned");
	});
});
