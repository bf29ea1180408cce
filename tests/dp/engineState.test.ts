import {
	type EngineState,
	insecureNoiseForTests,
	PrivacyLedger,
	type PrivacyPlan,
	type PrivateState,
	planPrivacy,
	type Sampling,
	secureNoise,
} from "@hushgrad/dp";
import { beforeAll, describe, expect, test } from "vitest";
import { Allocation } from "../../packages/dp/src/allocation.ts";
import { allocationOf, checkLedger, checkState, countedSteps, factsOf, sealOf } from "../../packages/dp/src/engineState.ts";
import { memory } from "./memoryStore.ts";

const SETTINGS = { noiseMultiplier: 2, targetDelta: 1e-3, datasetSize: 100, expectedBatchSize: 25, steps: 10, maxGradNorm: 1 };
const planOf = (sampling?: Sampling): PrivacyPlan => planPrivacy({ ...SETTINGS, sampling });
const plan = planOf();

const stateOf = (p: PrivacyPlan, change: Partial<EngineState> = {}): EngineState => ({
	version: 1,
	run: "a",
	plan: factsOf(p),
	steps: 5,
	secure: true,
	excess: 0,
	key: { k0: 1, k1: 2 },
	...change,
});

/** Says what is wrong, where it was called, and what to do. */
const refused = (message: string) =>
	expect.objectContaining({
		name: "PrivacyError",
		code: "privacy/state",
		op: "PrivacyEngine.fromState",
		message: expect.stringContaining(message),
		hint: expect.stringMatching(/\w+ \w+/),
	});

describe("a saved state", () => {
	let state: EngineState;
	beforeAll(() => {
		state = stateOf(plan);
	});

	test("is taken as it was written, and read from a file", () => {
		expect(() => checkState(state, plan)).not.toThrow();
		expect(() => checkState(JSON.parse(JSON.stringify(state)), plan)).not.toThrow();
		for (const steps of [0, 10]) expect(() => checkState({ ...state, steps }, plan)).not.toThrow();
		for (const key of [
			{ k0: 0, k1: 0 },
			{ k0: 2 ** 32 - 1, k1: 2 ** 32 - 1 },
		]) {
			expect(() => checkState({ ...state, key }, plan)).not.toThrow();
		}
	});

	test.each([
		["version", [2, "1", undefined]],
		["run", [1, undefined]],
		["steps", [-1, 1.5, "5", undefined, Number.NaN, 2 ** 53]],
		["secure", [1, "true", undefined]],
		["excess", ["0", -1, Number.NaN, undefined]],
		["key", [undefined, {}, { k0: 1 }, { k1: 1 }, { k0: -1, k1: 0 }, { k0: 0, k1: 1.5 }, { k0: 2 ** 32, k1: 0 }, { k0: "1", k1: 1 }]],
	])("is none with such a %s", (name, values) => {
		for (const value of values) {
			expect(() => checkState({ ...state, [name]: value } as EngineState, plan)).toThrow(
				expect.objectContaining({
					name: "FormatError",
					code: "privacy/state-format",
					op: "PrivacyEngine.fromState",
					message: expect.stringContaining("this is no state of a PrivacyEngine"),
					hint: expect.stringContaining("engine.state()"),
				}),
			);
		}
	});

	test("is of one plan: no number of it may differ, and none be missing", () => {
		for (const [name, value] of Object.entries(factsOf(plan))) {
			if (value === undefined) continue;
			const other = typeof value === "number" ? value * 2 : { kind: "random-allocation" };
			for (const changed of [other, undefined]) {
				const facts = { ...factsOf(plan), [name]: changed };
				expect(() => checkState({ ...state, plan: facts }, plan), name).toThrow(refused(`is of another plan: ${name} was`));
			}
		}
		expect(() => checkState({ ...state, plan: undefined } as unknown as EngineState, plan)).toThrow(refused("is of another plan"));
		expect(() => checkState({ ...state, steps: 11 }, plan)).toThrow(refused("has 11 steps of 10"));
	});
});

describe("a saved clipping norm", () => {
	test("is one that adaptive clipping can have come to, and none where it is not adaptive", () => {
		const adaptive = planPrivacy({ ...SETTINGS, clipping: { kind: "adaptive", minClipbound: 0.5, maxClipbound: 2 } });
		const of = (p: PrivacyPlan, maxGradNorm: unknown) => () => checkState(stateOf(p, { maxGradNorm } as Partial<EngineState>), p);
		for (const norm of [0.5, 1, 2]) expect(of(adaptive, norm)).not.toThrow();
		for (const none of [undefined, null, "1", Number.NaN, 0.49, 2.01]) {
			expect(of(adaptive, none)).toThrow(refused(`has a clipping norm of ${none}`));
		}
		expect(of(plan, undefined)).not.toThrow();
		expect(of(plan, 1)).toThrow(refused("has a clipping norm of 1"));
	});
});

describe("what a run knows that nobody else may", () => {
	const p = planOf({ kind: "random-allocation" });
	const secret = "ab".repeat(32);
	const own = { run: new Allocation(secret).name, steps: 5 };
	const secure = secureNoise();

	test("is the secret that the name of the run follows from", () => {
		for (const steps of [0, 5, p.steps]) expect(allocationOf(p, secure, { ...own, steps }, { secret })?.secret).toBe(secret);
		const foreign = refused("has a private part that is not of this run");
		for (const [plan, state, kept] of [
			[p, undefined, { secret }],
			[planOf({ kind: "poisson" }), own, { secret }],
			[p, { ...own, run: "b" }, { secret }],
			[p, own, { secret: "ac".repeat(32) }],
			[p, own, { secret: 3 }],
			[p, own, {}],
		] as const) {
			expect(() => allocationOf(plan, secure, state, kept as PrivateState)).toThrow(foreign);
		}
		for (const none of [null, 3]) {
			expect(() => allocationOf(p, secure, own, none as never)).toThrow(`PrivacyEngine: privateState is ${none}, expected options`);
		}
	});

	test("is what no run with secure noise can do without, until its last step", () => {
		for (const steps of [0, 5, p.steps - 1]) {
			expect(() => allocationOf(p, secure, { ...own, steps }, undefined)).toThrow(
				refused("has no private part, and which record is in which step was kept nowhere else"),
			);
		}
		expect(allocationOf(p, secure, { ...own, steps: p.steps }, undefined)).toBeDefined();
		expect(allocationOf(p, secure, undefined, undefined)?.secret).not.toBe(allocationOf(p, secure, undefined, undefined)?.secret);
		const seeded = () => allocationOf(p, insecureNoiseForTests(1), own, undefined)?.secret;
		expect(seeded()).toBe(seeded());
		for (const state of [undefined, own]) expect(allocationOf(planOf({ kind: "poisson" }), secure, state, undefined)).toBeUndefined();
	});

	test("tells the records that the state or the ledger has, which must agree", async () => {
		const ledger = await PrivacyLedger.open(memory());
		const use = { ledger, dataset: "d" };
		expect(sealOf(undefined, use)).toBeUndefined();
		expect([sealOf(stateOf(p), use), sealOf(stateOf(p, { records: "r" }), use)]).toEqual([undefined, "r"]);
		await ledger.begin(stateOf(p).run, "d", p, true, "s");
		expect([sealOf(stateOf(p), use), sealOf(stateOf(p, { records: "s" }), use)]).toEqual(["s", "s"]);
		expect(() => sealOf(stateOf(p, { records: "r" }), use)).toThrow(refused("is of other records than the ledger has"));
		expect(() => checkState(stateOf(p, { records: 3 as never }), p)).toThrow("this is no state of a PrivacyEngine");
	});
});

describe("the steps that a resumed run has counted", () => {
	test("are those of the state, of a source of the same kind", () => {
		expect(countedSteps(stateOf(plan), secureNoise(), undefined)).toBe(5);
		expect(countedSteps(stateOf(plan, { secure: false }), insecureNoiseForTests(1), undefined)).toBe(5);
		expect(() => countedSteps(stateOf(plan), insecureNoiseForTests(1), undefined)).toThrow(refused("is of a run with secure noise"));
		expect(() => countedSteps(stateOf(plan, { secure: false }), secureNoise(), undefined)).toThrow(
			refused("is of a run without secure noise"),
		);
	});

	/** A ledger in which run "a" has noted three steps, and what the state knew of it after two. */
	async function noted(p = plan, secure = true) {
		const ledger = await PrivacyLedger.open(memory());
		await ledger.begin("a", "cards", p, secure);
		await ledger.step("a", 1);
		await ledger.step("a", 2);
		const mark = { dataset: "cards", length: ledger.length, head: ledger.head };
		await ledger.step("a", 3);
		return { use: { ledger, dataset: "cards" }, mark };
	}

	test("are those of the ledger where it has more; of the state where the noise repeats", async () => {
		const { use, mark } = await noted();
		expect(countedSteps(stateOf(plan, { steps: 2, ledger: mark }), secureNoise(), use)).toBe(3);
		expect(countedSteps(stateOf(plan, { steps: 7, ledger: mark }), secureNoise(), use)).toBe(7);
		const study = await noted(plan, false);
		expect(countedSteps(stateOf(plan, { steps: 2, secure: false, ledger: study.mark }), insecureNoiseForTests(1), study.use)).toBe(2);
		const p = planOf({ kind: "random-allocation" });
		const epochs = await noted(p);
		expect(countedSteps(stateOf(p, { steps: 2, ledger: epochs.mark }), secureNoise(), epochs.use)).toBe(3);
	});

	test("are refused without the ledger, of another data set, of a run that is not in it, and where it was cut off", async () => {
		const { use, mark } = await noted();
		const state = stateOf(plan, { steps: 2, ledger: mark });
		const go = (s: EngineState, u: typeof use | undefined) => () => countedSteps(s, secureNoise(), u);
		expect(go(state, undefined)).toThrow(refused("was noted in a ledger, and there is none now"));
		expect(go(state, { ...use, dataset: "letters" })).toThrow(refused("is of the data set cards, now it is letters"));
		expect(go({ ...state, run: "b" }, use)).toThrow(refused("knows entries that the ledger does not hold"));
		expect(go({ ...state, ledger: { ...mark, head: use.ledger.head } }, use)).toThrow(refused("knows entries"));
		expect(go({ ...state, ledger: { ...mark, length: 99 } }, use)).toThrow(refused("knows entries"));
	});

	test("are refused where the ledger has the run otherwise than an edited state says", async () => {
		const quiet = planPrivacy({ ...SETTINGS, noiseMultiplier: 4 });
		const weak = await noted(plan, true);
		const study = await noted(plan, false);
		const go = (s: EngineState, u: typeof weak.use) => () => countedSteps(s, secureNoise(), u);
		for (const mark of [weak.mark, undefined]) {
			const changed = stateOf(quiet, { steps: 2, ...(mark && { ledger: mark }) });
			expect(go(changed, weak.use)).toThrow(refused("is of another run than the ledger has: noiseMultiplier was 2, now it is 4"));
		}
		const claimed = stateOf(plan, { steps: 2, ledger: study.mark });
		expect(go(claimed, study.use)).toThrow(refused("is of another run than the ledger has: secure was false, now it is true"));
		const renamed = stateOf(plan, { steps: 2, ledger: { ...weak.mark, dataset: "letters" } });
		expect(go(renamed, { ...weak.use, dataset: "letters" })).toThrow(
			refused('is of another run than the ledger has: dataset was "cards", now it is "letters"'),
		);
		for (const [name, other] of [
			["sampling", planOf({ kind: "random-allocation" })],
			["datasetSize", planPrivacy({ ...SETTINGS, datasetSize: 200, expectedBatchSize: 50 })],
			["sampleRate", planPrivacy({ ...SETTINGS, expectedBatchSize: 5 })],
			["noiseSchedule", planPrivacy({ ...SETTINGS, noiseSchedule: { kind: "listed", factors: [1, 2] } })],
			["steps", planPrivacy({ ...SETTINGS, steps: 11 })],
			["unit", planPrivacy({ ...SETTINGS, unit: { name: "user", maxRecords: 2 } })],
		] as const) {
			expect(go(stateOf(other, { steps: 2, ledger: weak.mark }), weak.use)).toThrow(
				refused(`is of another run than the ledger has: ${name} was `),
			);
		}
	});
});

describe("a ledger for an engine", () => {
	test("is a PrivacyLedger, with a name for the data set", async () => {
		const ledger = await PrivacyLedger.open(memory());
		expect(checkLedger({ ledger, dataset: "cards" })).toBeUndefined();
		for (const none of [undefined, {}, { ...ledger }]) {
			expect(() => checkLedger({ ledger: none as PrivacyLedger, dataset: "cards" })).toThrow(
				/^PrivacyEngine: ledger is .*, expected a PrivacyLedger, as fileLedger\(\) gives/,
			);
		}
		expect(() => checkLedger({ ledger, dataset: 3 as unknown as string })).toThrow("PrivacyEngine: dataset is 3, expected a string");
	});
});
