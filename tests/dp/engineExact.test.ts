import {
	groupByUnit,
	insecureNoiseForTests,
	PrivacyEngine,
	PrivacyLedger,
	planPrivacy,
	research,
	secureNoise,
	type Transcript,
} from "@hushgrad/dp";
import { data, key } from "@hushgrad/tensor";
import { describe, expect, it, vi } from "vitest";
import { StepNoise } from "../../packages/dp/src/stepNoise.ts";
import { useDevice } from "../support/device.ts";
import { memoryStore } from "./memoryStore.ts";
import { leftBehind, N, NOTHING, problem, record } from "./problem.ts";

const device = useDevice();
const wrong = (v: unknown): never => v as never;
const settings = { datasetSize: N, expectedBatchSize: 10, steps: 5, maxGradNorm: 1, targetDelta: 1e-4 };

describe("what an engine refuses", () => {
	it("is told by the name of the function that was called", async () => {
		const { engine, optimizer, encode, loss } = problem(device());
		const { plan } = engine;
		const state = engine.state();
		const follow = (options: object) => PrivacyEngine.follow(plan, { optimizer, ...options });
		const calls: readonly (readonly [string, string, () => unknown])[] = [
			["follow", "", () => PrivacyEngine.follow(wrong({ ...plan }), { optimizer })],
			["follow", "options is 3, expected options in an object", () => PrivacyEngine.follow(plan, wrong(3))],
			["follow", "optimizer", () => follow({ optimizer: 3 })],
			["follow", "", () => follow({ noise: {} })],
			["follow", "physicalBatchSize must be an integer", () => follow({ physicalBatchSize: 0 })],
			["follow", "selfCheckEvery must be an integer", () => follow({ selfCheckEvery: 0.5 })],
			["makePrivate", "options is 3, expected options in an object", () => PrivacyEngine.makePrivate(wrong(3))],
			["makePrivate", "delta", () => PrivacyEngine.makePrivate({ ...settings, optimizer, noiseMultiplier: 1, targetDelta: 2 })],
			["makePrivateWithEpsilon", "options is 3, expected options in an object", () => PrivacyEngine.makePrivateWithEpsilon(wrong(3))],
			[
				"makePrivateWithEpsilon",
				"steps",
				() => PrivacyEngine.makePrivateWithEpsilon({ ...settings, optimizer, targetEpsilon: 8, steps: 0 }),
			],
			["fromState", "", () => PrivacyEngine.fromState(state, wrong({ ...plan }), { optimizer })],
			["fromState", "options is 3, expected options in an object", () => PrivacyEngine.fromState(state, plan, wrong(3))],
			["fromState", "", () => PrivacyEngine.fromState(wrong({}), plan, { optimizer })],
			["fromState", "", () => PrivacyEngine.fromState({ ...state, steps: 1 }, plan, { optimizer, noise: wrong({}) })],
			["getEpsilon", "delta must be", () => engine.getEpsilon(2)],
			["step", "encode is 3, expected a function", () => engine.step(wrong(3), loss)],
			["step", "loss is 3, expected a function", () => engine.step(encode, wrong(3))],
			["stepOn", "records is 3, expected a list", () => engine.stepOn(wrong(3), encode, loss)],
			["stepOn", "encode is 3, expected a function", () => engine.stepOn([1], wrong(3), loss)],
			["stepOn", "loss is 3, expected a function", () => engine.stepOn([1], encode, wrong(3))],
			["stepOnUnits", "encode is 3, expected a function", () => engine.stepOnUnits(wrong({}), wrong(3), loss)],
			["stepOnUnits", "loss is 3, expected a function", () => engine.stepOnUnits(wrong({}), encode, wrong(3))],
			["stepOnUnits", "", () => engine.stepOnUnits(wrong({}), encode, loss)],
		];
		for (const [name, message, call] of calls) {
			const error = await (async () => call())().catch((e: Error) => e);
			expect(error, message).toMatchObject({ op: `PrivacyEngine.${name}`, message: expect.stringContaining(`PrivacyEngine.${name}: `) });
			expect((error as Error).message).toContain(message);
		}
		expect(engine.steps).toBe(0);
		const none = expect.objectContaining({ code: "privacy/plan" });
		expect(() => PrivacyEngine.fromState(state, wrong({ ...plan }), { optimizer })).toThrow(none);
		const unknown = expect.objectContaining({ code: "privacy/state-format", op: "PrivacyEngine.fromState" });
		expect(() => PrivacyEngine.fromState(wrong({}), plan, { optimizer })).toThrow(unknown);
	});

	it("is a step of records by themselves where the plan protects units, and one past the plan", async () => {
		const unit = { name: "patient", maxRecords: 2 };
		const ofUnits = problem(device(), { unit });
		const single = { code: "privacy/unit", message: expect.stringContaining("PrivacyEngine.step") };
		await expect(ofUnits.engine.step(ofUnits.encode, ofUnits.loss)).rejects.toMatchObject(single);
		await expect(ofUnits.engine.stepOn([1], ofUnits.encode, ofUnits.loss)).rejects.toMatchObject(single);
		expect(ofUnits.engine.steps).toBe(0);
		const { engine, encode, loss } = problem(device(), { steps: 1 });
		await engine.step(encode, loss);
		await expect(engine.step(encode, loss)).rejects.toMatchObject({
			...{ name: "PrivacyError", code: "privacy/plan-spent", op: "PrivacyEngine.step" },
			message: expect.stringContaining(`all 1 planned steps were taken (epsilon ${engine.getEpsilon().toFixed(4)})`),
			hint: "plan more steps from the start; a longer run needs more noise in every step",
		});
		expect(engine.steps).toBe(1);
	});

	it("is an ε that says nothing, but of a run that claims none, or where it is insisted on", () => {
		const { optimizer } = problem(device());
		const make = (more: object) => () => PrivacyEngine.makePrivate({ ...settings, optimizer, noiseMultiplier: 0.05, ...more });
		expect(make({})).toThrow(expect.objectContaining({ op: "PrivacyEngine.makePrivate" }));
		expect(make({ noise: secureNoise() })).toThrow(expect.objectContaining({ op: "PrivacyEngine.makePrivate" }));
		expect(make({ noise: secureNoise(), allowMeaninglessEpsilon: true })).not.toThrow();
		expect(make({ noise: insecureNoiseForTests(1) })).not.toThrow();
	});
});

describe("what an engine tells", () => {
	it("is one line, with what is spent rounded up", async () => {
		const { engine, encode, loss } = problem(device(), { noise: secureNoise() });
		expect(String(engine)).toBe("PrivacyEngine(step 0 of 5, ε = 0 of 8 at δ = 1e-4)");
		await engine.step(encode, loss);
		const spent = Math.ceil(engine.getEpsilon() * 1e4) / 1e4;
		expect(String(engine)).toBe(`PrivacyEngine(step 1 of 5, ε = ${spent} of 8 at δ = 1e-4)`);
		const given = planPrivacy({ ...settings, noiseMultiplier: 3 });
		const study = PrivacyEngine.follow(given, { optimizer: problem(device()).optimizer, noise: insecureNoiseForTests(1) });
		expect(String(study)).toBe(`PrivacyEngine(step 0 of 5, ε = 0 of ${given.epsilon} at δ = 1e-4, NOT PRIVATE: noise from a seed)`);
		expect(Reflect.get(study, Symbol.for("nodejs.util.inspect.custom")).call(study)).toBe(String(study));
	});

	it("is the state of a run, and what is kept beside it while steps are left", async () => {
		const { engine, encode, loss } = problem(device(), { sampling: { kind: "random-allocation" }, steps: 4, noise: secureNoise() });
		const { run, ...rest } = engine.state();
		expect(run).toMatch(/^[0-9a-f]{32}$/);
		expect(rest).toEqual({
			...rest,
			version: 1,
			steps: 0,
			secure: true,
			excess: 0,
			key: key(0),
			records: undefined,
			maxGradNorm: undefined,
		});
		expect("ledger" in rest).toBe(false);
		for (let step = 1; step <= 4; step++) {
			expect(engine.privateState()?.secret).toMatch(/^[0-9a-f]{64}$/);
			await engine.step(encode, loss);
			expect(engine.state()).toMatchObject({ run, steps: step, records: expect.stringMatching(/^[0-9a-f]{64}$/) });
		}
		expect(engine.privateState()).toBeUndefined();
		const repeats = problem(device(), { sampling: { kind: "random-allocation" }, steps: 4 });
		await repeats.engine.step(repeats.encode, repeats.loss);
		expect(repeats.engine.state().records).toBeUndefined();
		expect(repeats.engine.state().run).toMatch(/^[0-9a-f]{8}-/);
	});

	it("is its own, and nobody else's to change", () => {
		const { engine } = problem(device());
		expect(Object.isFrozen(PrivacyEngine.prototype) && Object.isFrozen(engine)).toBe(true);
	});
});

describe("a step", () => {
	it("leaves nothing on the device but the optimiser's, with a transcript and checks as well, taken or thrown", async () => {
		const seen: Transcript[] = [];
		const { engine, encode, loss } = problem(device(), {
			...{ steps: 9, selfCheckEvery: 1 },
			noise: research({ seed: 3, transcript: (t) => seen.push(t) }),
		});
		for (let i = 0; i < 2; i++) await engine.step(encode, loss);
		expect(await leftBehind(device(), async () => void (await engine.step(encode, loss)))).toEqual(NOTHING);
		expect(seen.map(({ step }) => step)).toEqual([1, 2, 3]);
		const fail = () => {
			throw new Error("not found");
		};
		const before = device().memory().liveBytes;
		await expect(engine.step(fail, loss)).rejects.toThrow("not found");
		expect(device().memory().liveBytes).toBeLessThanOrEqual(before);
		expect(engine.steps).toBe(4);
	});

	it("asks for its noise by its number, and says which is the last", async () => {
		const begin = vi.spyOn(StepNoise.prototype, "begin");
		const { engine, encode, loss } = problem(device(), { steps: 3 });
		for (let step = 0; step < 3; step++) await engine.step(encode, loss);
		expect(begin.mock.calls.map(([, , when]) => when)).toEqual([
			{ step: 1, isLast: false },
			{ step: 2, isLast: false },
			{ step: 3, isLast: true },
		]);
		begin.mockRestore();
	});

	it("has rows as many as a sum holds, where more are asked for", async () => {
		const { engine, encode, loss, w } = problem(device(), { physicalBatchSize: 2000 });
		const other = problem(device());
		await engine.step(encode, loss);
		await other.engine.step(other.encode, other.loss);
		expect(await data(w.value)).toEqual(await data(other.w.value));
	});

	it("is on the records as they were when it was called", async () => {
		const { engine, loss, w } = problem(device());
		const other = problem(device());
		const list = Array.from({ length: N }, (_, i) => i);
		const taken = engine.stepOn(list, record, loss);
		list.fill(0);
		await taken;
		await other.engine.step(other.encode, other.loss);
		expect(await data(w.value)).toEqual(await data(other.w.value));
	});

	it("may be of batches that a study names, of units as well, each told with what was drawn", async () => {
		const seen: Transcript[] = [];
		const noise = research({
			batches: (step) => [step, 7],
			noise: (_, length) => new Float64Array(length),
			transcript: (t) => seen.push(t),
		});
		const { engine, encode, loss } = problem(device(), { noise, sampling: { kind: "random-allocation" }, steps: 4 });
		await engine.step(encode, loss);
		await engine.stepOn(
			Array.from({ length: N }, (_, i) => i),
			encode,
			loss,
		);
		expect(seen.map(({ batch }) => [...batch])).toEqual([
			[1, 7],
			[2, 7],
		]);
		const unit = { name: "patient", maxRecords: 2 };
		const ofUnits = problem(device(), { unit });
		const units = groupByUnit(
			Array.from({ length: N }, (_, i) => i),
			(i) => i,
			unit,
		);
		const alone = problem(device());
		await ofUnits.engine.stepOnUnits(units, ofUnits.encode, ofUnits.loss);
		await alone.engine.step(alone.encode, alone.loss);
		const [a, b] = [await data(ofUnits.w.value), await data(alone.w.value)];
		a.forEach((v, i) => {
			expect(v).toBeCloseTo(b[i], 5);
		});
	});

	it('replays a loss as "checked" says, and holds nothing for it after the last one', async () => {
		const callsOf = async (more: object) => {
			const { engine, encode, loss } = problem(device(), { steps: 4, expectedBatchSize: N, ...more });
			const calls: number[] = [];
			for (let step = 0; step < 4; step++) {
				let count = 0;
				calls.push(count);
				await engine.step(encode, (own) => {
					count++;
					return loss(own);
				});
				calls[step] = count;
			}
			return calls;
		};
		const checked = await callsOf({});
		expect(checked).toEqual(await callsOf({ replay: "checked" }));
		expect(checked.slice(1)).toEqual([1, 1, 1]);
		expect(await callsOf({ replay: "unchecked" })).not.toEqual(checked);
		const { engine, encode, loss } = problem(device(), { steps: 4, expectedBatchSize: N });
		await engine.step(encode, loss);
		await engine.step(encode, loss);
		const during = device().memory().liveBytes;
		await engine.step(encode, loss);
		expect(device().memory().liveBytes).toBe(during);
		await engine.step(encode, loss);
		expect(device().memory().liveBytes).toBeLessThan(during);
	});

	it("looks for records that move others in every step, where that is asked for, and under every other loss or encode()", async () => {
		const late = (from: number) => {
			let [count, before] = [0, 0];
			return (i: number) => {
				const own = record(i);
				const shift = count++ >= from ? before : 0;
				before = own.x[0];
				return { ...own, x: own.x.map((v) => v + shift) };
			};
		};
		const mixes = { code: "privacy/records-mix", message: expect.stringContaining("gradient by w") };
		const { engine, encode, loss } = problem(device(), { expectedBatchSize: N });
		await engine.step(encode, loss);
		await expect(engine.step(late(0), loss)).rejects.toMatchObject(mixes);
		const often = problem(device(), { expectedBatchSize: N, selfCheckEvery: 1 });
		// The first step asks for all records once and for a batch of four twice more.
		const own = late(N + 8);
		await often.engine.step(own, often.loss);
		await expect(often.engine.step(own, often.loss)).rejects.toMatchObject(mixes);
		const once = problem(device(), { expectedBatchSize: N });
		const other = late(N + 8);
		await once.engine.step(other, once.loss);
		await once.engine.step(other, once.loss);
	});

	it("correlates its noise with that of the steps before, and asks who the records are but where a study names them", async () => {
		const noiseOf = async (strategyCoefs: readonly number[]) => {
			const seen: Transcript[] = [];
			const plan = planPrivacy({ ...settings, steps: 4, noiseMultiplier: 3, sampling: { kind: "balls-in-bins", strategyCoefs } });
			const { optimizer, encode, loss } = problem(device());
			const engine = PrivacyEngine.follow(plan, { optimizer, noise: research({ seed: 5, transcript: (t) => seen.push(t) }) });
			for (let step = 0; step < 3; step++) await engine.step(encode, loss);
			return seen.map((t) => t.noise);
		};
		const [plain, banded] = [await noiseOf([1]), await noiseOf([1, 0.5])];
		// w₁ = z₁, w₂ = z₂ − w₁/2, w₃ = z₃ − w₂/2, times the norm of a column, √1.25 before the last step.
		const grid = 2 ** -22;
		plain[0].forEach((z1, i) => {
			const w2 = plain[1][i] - z1 / 2;
			const w3 = plain[2][i] - w2 / 2;
			[z1, w2, w3].forEach((w, step) => {
				expect(Math.abs(banded[step][i] - Math.sqrt(1.25) * w)).toBeLessThan(4 * grid);
			});
		});
		const asked: number[] = [];
		const noise = research({ batches: () => [3, 4] });
		const { engine, loss } = problem(device(), { noise, sampling: { kind: "random-allocation" }, steps: 4, selfCheckEvery: 100 });
		await engine.step((i) => {
			asked.push(i);
			return record(i);
		}, loss);
		expect(new Set(asked)).toEqual(new Set([3, 4]));
	});

	it("is in the ledger, from the first one on, which is none but a ledger", async () => {
		const use = { ledger: await PrivacyLedger.open(memoryStore().store), dataset: "cards" };
		const { engine, encode, loss, optimizer } = problem(device(), { ledger: use });
		expect("ledger" in engine.state()).toBe(false);
		await engine.step(encode, loss);
		expect(engine.state().ledger).toEqual({ dataset: "cards", length: use.ledger.length, head: use.ledger.head });
		for (const ledger of [
			{ ledger: {}, dataset: "cards" },
			{ ledger: use.ledger, dataset: 3 },
		]) {
			expect(() => PrivacyEngine.follow(engine.plan, { optimizer, ledger: wrong(ledger) })).toThrow(
				expect.objectContaining({ op: "PrivacyEngine.follow" }),
			);
		}
	});
});
