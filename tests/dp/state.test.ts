import { type EngineState, insecureNoiseForTests, PrivacyEngine, PrivacyLedger, type PrivateState, secureNoise } from "@hushgrad/dp";
import { AdamW } from "@hushgrad/nn";
import { type Device, data } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { memory } from "./memoryStore.ts";
import { drawnOf, lossBy, N, problem, record, weight } from "./problem.ts";

const device = useDevice();
const PLAN = { datasetSize: N, expectedBatchSize: 10, targetEpsilon: 8, targetDelta: 1e-4, steps: 6, maxGradNorm: 1 };

/** A run with AdamW, whose state is not trivial. */
function begin(d: Device) {
	const w = weight(d);
	const optimizer = new AdamW([w], { lr: 0.05 });
	const engine = PrivacyEngine.makePrivateWithEpsilon({ ...PLAN, optimizer, physicalBatchSize: 4, noise: insecureNoiseForTests(3) });
	return { w, optimizer, engine, loss: lossBy(w) };
}

describe("a run that is saved and goes on", () => {
	it.each([1, 3, 5])("is the uninterrupted one, bit for bit, where the noise repeats: after step %i", async (stop) => {
		const whole = begin(device());
		for (let i = 0; i < 6; i++) await whole.engine.step(record, whole.loss);
		const first = begin(device());
		for (let i = 0; i < stop; i++) await first.engine.step(record, first.loss);
		const saved = JSON.parse(JSON.stringify(first.engine.state())) as EngineState;
		const { steps, tensors } = first.optimizer.state();
		const values = await data(first.w.value);

		const w = weight(device());
		w.assign(device().fromHost(values, w.shape));
		const optimizer = new AdamW([w], { lr: 0.05 });
		optimizer.loadState({ steps, tensors });
		const engine = PrivacyEngine.fromState(saved, first.engine.plan, { optimizer, physicalBatchSize: 3, noise: insecureNoiseForTests(3) });
		expect([engine.steps, engine.getEpsilon()]).toEqual([stop, first.engine.getEpsilon()]);
		for (let i = stop; i < 6; i++) await engine.step(record, lossBy(w));
		expect(await data(w.value)).toEqual(await data(whole.w.value));
		expect(engine.getEpsilon()).toBe(whole.engine.getEpsilon());
		await expect(engine.step(record, lossBy(w))).rejects.toMatchObject({ code: "privacy/plan-spent" });
	});

	it("goes on with its watch for divergence, which sees the noisy count of each report and nothing else", async () => {
		const { engine, optimizer, loss } = problem(device(), { expectedBatchSize: N, steps: 6 });
		const bad = (i: number) => (i <= N / 2 ? { ...record(i), x: record(i).x.map(() => Number.NaN) } : record(i));
		// 21 of 40; one-sided CUSUM over half of a batch (Page 1954).
		let excess = 0;
		for (let i = 0; i < 4; i++) {
			const { notFinite } = await engine.step(bad, loss);
			expect(Number.isInteger(notFinite)).toBe(false);
			excess = Math.max(0, excess + notFinite - N / 2);
			expect(engine.state().excess).toBe(excess);
		}
		expect(excess).toBeGreaterThan(0);
		const saved = JSON.parse(JSON.stringify(engine.state())) as EngineState;
		const resumed = PrivacyEngine.fromState(saved, engine.plan, { optimizer, noise: insecureNoiseForTests(11) });
		expect(resumed.state()).toEqual(engine.state());
	});

	it("keeps its steps spent where the ledger has more of them than the state", async () => {
		const store = memory();
		const noise = secureNoise();
		const first = problem(device(), { noise, ledger: { ledger: await PrivacyLedger.open(store), dataset: "d" } });
		await first.engine.step(first.encode, first.loss);
		const state = first.engine.state();
		await first.engine.step(first.encode, first.loss);
		await first.engine.step(first.encode, first.loss);
		const ledger = { ledger: await PrivacyLedger.open(store), dataset: "d" };
		const engine = PrivacyEngine.fromState(state, first.engine.plan, { optimizer: first.optimizer, noise, ledger });
		expect([engine.steps, engine.getEpsilon()]).toEqual([3, first.engine.getEpsilon()]);
		for (let i = 3; i < 5; i++) await engine.step(first.encode, first.loss);
		await expect(engine.step(first.encode, first.loss)).rejects.toMatchObject({ code: "privacy/plan-spent" });
	});

	it("keeps the first step spent where the state was written before it", async () => {
		for (const [noise, steps] of [
			[secureNoise(), 1],
			[insecureNoiseForTests(5), 0],
		] as const) {
			const store = memory();
			const first = problem(device(), { noise, ledger: { ledger: await PrivacyLedger.open(store), dataset: "d" } });
			const state = first.engine.state();
			await first.engine.step(first.encode, first.loss);
			const ledger = { ledger: await PrivacyLedger.open(store), dataset: "d" };
			const engine = PrivacyEngine.fromState(state, first.engine.plan, { optimizer: first.optimizer, noise, ledger });
			expect(engine.steps).toBe(steps);
			await engine.step(first.encode, first.loss);
			expect(ledger.ledger.runsOn("d").map((r) => r.taken)).toEqual([steps + 1]);
		}
	});

	it("goes on with no other plan, no other noise, no other ledger, and from nothing that is no state", async () => {
		const store = memory();
		const ledger = { ledger: await PrivacyLedger.open(store), dataset: "d" };
		const { engine, optimizer, encode, loss } = problem(device(), { noise: secureNoise(), ledger });
		await engine.step(encode, loss);
		const state = engine.state();
		const { plan } = engine;
		const go = (s: unknown, options: object = {}, p = plan) =>
			PrivacyEngine.fromState(s as EngineState, p, { optimizer, noise: secureNoise(), ledger, ...options });
		expect(go(state).steps).toBe(1);
		const refused = (code: string) => expect.objectContaining({ code, op: "PrivacyEngine.fromState" });
		for (const change of [{ targetEpsilon: 7 }, { steps: 9 }, { expectedBatchSize: 11 }, { maxGradNorm: 2 }]) {
			expect(() => go(state, {}, problem(device(), change).engine.plan)).toThrow(refused("privacy/state"));
		}
		expect(() => go({ ...state, plan: { ...state.plan, noiseMultiplier: 0.01 } })).toThrow(refused("privacy/state"));
		expect(() => go({ ...state, steps: 99 })).toThrow(refused("privacy/state"));
		expect(() => go(state, { noise: insecureNoiseForTests(1) })).toThrow(refused("privacy/state"));
		expect(() => go(state, { ledger: undefined })).toThrow(refused("privacy/state"));
		expect(() => go(state, { ledger: { ...ledger, dataset: "e" } })).toThrow(refused("privacy/state"));
		const text = await store.read();
		const cut = await PrivacyLedger.open({ read: async () => `${text.split("\n")[0]}\n`, append: async () => {} });
		expect(() => go(state, { ledger: { ledger: cut, dataset: "d" } })).toThrow(refused("privacy/state"));
		for (const none of [undefined, null, 3, {}, { ...state, version: 2 }, { ...state, steps: -1 }, { ...state, excess: "0" }]) {
			expect(() => go(none)).toThrow(refused("privacy/state-format"));
		}
	});

	describe("in an epoch of random allocation", () => {
		/** A run of two epochs of four steps, and the records that each step draws. */
		const begin = async () => {
			const store = memory();
			const open = async () => ({ ledger: await PrivacyLedger.open(store), dataset: "d" });
			const options = { noise: secureNoise(), sampling: { kind: "random-allocation" as const }, steps: 8 };
			const first = problem(device(), { ...options, ledger: await open() });
			const drawn: number[][] = [];
			const step = async (engine: PrivacyEngine) => {
				const seen: number[] = [];
				await engine.step((i) => {
					seen.push(i);
					return record(i);
				}, first.loss);
				drawn.push(drawnOf(seen, all));
			};
			const resumed = async (state: EngineState, privateState?: PrivateState) =>
				PrivacyEngine.fromState(state, first.engine.plan, {
					optimizer: first.optimizer,
					noise: secureNoise(),
					ledger: await open(),
					privateState,
				});
			return { engine: first.engine, step, resumed, drawn };
		};
		const all = Array.from({ length: N }, (_, i) => i);

		it("goes on where it was: each record enters one step of it", async () => {
			const { engine, step, resumed, drawn } = await begin();
			for (let i = 0; i < 2; i++) await step(engine);
			const kept = JSON.parse(JSON.stringify(engine.privateState())) as PrivateState;
			const next = await resumed(engine.state(), kept);
			expect(next.steps).toBe(2);
			for (let i = 0; i < 2; i++) await step(next);
			expect(drawn.flat().sort((a, b) => a - b)).toEqual(all);
			await step(next);
			expect(next.privateState()).toEqual(kept);
			for (let i = 5; i < 8; i++) await step(next);
			expect(next.privateState()).toBeUndefined();
			expect((await resumed(next.state())).steps).toBe(8);
		});

		it("goes on also where the epoch had not begun: before the first step, and between two epochs", async () => {
			for (const before of [0, 4]) {
				const { engine, step, resumed, drawn } = await begin();
				for (let i = 0; i < before; i++) await step(engine);
				const [state, kept] = [engine.state(), engine.privateState()];
				await step(engine);
				const next = await resumed(state, kept);
				expect(next.steps).toBe(before + 1);
				for (let i = 1; i < 4; i++) await step(next);
				const own = drawn.slice(before).flat();
				expect(own.sort((a, b) => a - b)).toEqual(all);
			}
		});

		it("has nothing to keep of noise that repeats, and of other sampling", async () => {
			expect(problem(device(), { sampling: { kind: "random-allocation" }, steps: 8 }).engine.privateState()).toBeUndefined();
			expect(problem(device(), { noise: secureNoise() }).engine.privateState()).toBeUndefined();
		});

		it("leaves out the steps that the ledger has besides, in whichever epoch", async () => {
			const { engine, step, resumed, drawn } = await begin();
			await step(engine);
			const [state, kept] = [engine.state(), engine.privateState()];
			await step(engine);
			expect((await resumed(state, kept)).steps).toBe(2);
			for (let i = 2; i < 5; i++) await step(engine);
			const next = await resumed(state, kept);
			expect(next.steps).toBe(5);
			for (let i = 5; i < 8; i++) await step(next);
			expect(
				drawn
					.slice(4)
					.flat()
					.sort((a, b) => a - b),
			).toEqual(all);
		});

		it("takes the private state of this run and no other, and does not go on without", async () => {
			const { engine, step, resumed } = await begin();
			await step(engine);
			const [state, kept] = [engine.state(), engine.privateState() as PrivateState];
			const refused = { code: "privacy/state", message: expect.stringContaining("private part") };
			for (const secret of ["", undefined, 3, kept.secret.slice(1), kept.secret.replace(/./, (c) => (c === "0" ? "1" : "0"))]) {
				await expect(resumed(state, { secret } as PrivateState)).rejects.toMatchObject(refused);
			}
			await expect(resumed(state)).rejects.toMatchObject(refused);
			const own = { optimizer: problem(device()).optimizer, privateState: kept };
			expect(() => PrivacyEngine.follow(engine.plan, own)).toThrow(expect.objectContaining(refused));
		});
	});
});
