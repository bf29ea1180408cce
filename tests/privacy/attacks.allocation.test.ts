import {
	type EngineState,
	insecureNoiseForTests,
	PrivacyEngine,
	PrivacyLedger,
	type PrivateState,
	type Sampling,
	secureNoise,
} from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { memory } from "../dp/memoryStore.ts";
import { drawnOf, N, problem, record } from "../dp/problem.ts";
import { useDevice } from "../support/device.ts";

/* Random allocation and bins hold only while each record has one step of an epoch, or one bin: attacks on that, by what a script hands over. */

const device = useDevice();

/** Steps of an epoch. */
const LENGTH = 4;
const ALL: readonly number[] = Array.from({ length: N }, (_, i) => i);

const SAMPLINGS: readonly Sampling[] = [{ kind: "random-allocation" }, { kind: "balls-in-bins", strategyCoefs: [1, 0.5] }];

/** A run that is noted in a ledger, and how it is resumed. */
async function begin(sampling: Sampling, steps = 2 * LENGTH) {
	const store = memory();
	const open = async () => ({ ledger: await PrivacyLedger.open(store), dataset: "d" });
	const first = problem(device(), { noise: secureNoise(), sampling, steps, ledger: await open() });
	const resumed = async (state: EngineState, privateState?: PrivateState) =>
		PrivacyEngine.fromState(JSON.parse(JSON.stringify(state)) as EngineState, first.engine.plan, {
			optimizer: first.optimizer,
			noise: secureNoise(),
			ledger: await open(),
			privateState: privateState && JSON.parse(JSON.stringify(privateState)),
		});
	/** Takes a step on a list of record numbers, and says which of them it drew; `encode` may hand over others. */
	const step = async (engine: PrivacyEngine, list: readonly number[], encode: (i: number) => ReturnType<typeof record> = record) => {
		const seen: number[] = [];
		const told = (i: number) => {
			seen.push(i);
			return encode(i);
		};
		await engine.stepOn(list, told, first.loss);
		return drawnOf(seen, list);
	};
	return { engine: first.engine, loss: first.loss, resumed, step };
}

const CHANGED = { name: "PrivacyError", code: "privacy/records-changed" };

describe.each(SAMPLINGS)("$kind", (sampling) => {
	it("a list in another order, after a resume or in any step, draws no record twice in an epoch", async () => {
		const { engine, resumed, step } = await begin(sampling);
		const drawn = [await step(engine, ALL), await step(engine, ALL.toReversed())];
		const next = await resumed(engine.state(), engine.privateState());
		drawn.push(await step(next, ALL.toReversed()), await step(next, [...ALL.slice(20), ...ALL.slice(0, 20)]));
		expect(drawn.flat().sort((a, b) => a - b)).toEqual(ALL);
		if (sampling.kind === "balls-in-bins") {
			for (let i = 0; i < LENGTH; i++) expect(await step(next, ALL.toReversed())).toEqual(drawn[i]);
		}
	});

	it("other records are refused before anything is drawn or counted: exchanged, changed, one more, one fewer, one twice", async () => {
		const { engine, resumed, step, loss } = await begin(sampling);
		await step(engine, ALL);
		const next = await resumed(engine.state(), engine.privateState());
		for (const one of [engine, next]) {
			for (const other of [ALL.with(3, 99), ALL.slice(1), [...ALL, 99], [...ALL, 3], ALL.with(3, 4)]) {
				const encode = (i: number) => (i === 99 ? { x: record(0).x, y: record(1).y } : record(i));
				await expect(one.stepOn(other, encode, loss), String(other)).rejects.toMatchObject(CHANGED);
			}
			expect(one.steps).toBe(1);
		}
	});

	it("a record with a number that grows from step to step is another one each time: refused", async () => {
		const { engine, loss } = await begin(sampling);
		let round = 0;
		const salted = (i: number) => ({ ...record(i), round });
		await engine.stepOn([...ALL], salted, loss);
		round++;
		// The same objects: it shows once one of them is drawn.
		await expect(engine.stepOn([...ALL], salted, loss)).rejects.toMatchObject(CHANGED);
		// Other objects: at once.
		await expect(engine.stepOn(ALL.toReversed(), salted, loss)).rejects.toMatchObject(CHANGED);
		expect(engine.steps).toBe(2);
	});

	it("numbers that stand for other records from one step to the next are refused where one is drawn, and told apart in the step after", async () => {
		const { engine, loss } = await begin(sampling);
		const drawn = new Set<number>();
		const reversed = (i: number) => record(N - 1 - i);
		await engine.step(record, loss);
		await expect(engine.step(reversed, loss)).rejects.toMatchObject(CHANGED);
		let calls = 0;
		await engine.step((i) => {
			if (calls++ >= N) drawn.add(i);
			return reversed(i);
		}, loss);
		expect(drawn.size).toBeLessThan(N);
		expect(engine.steps).toBe(3);
	});

	it("equal records have steps of their own, and none of them is drawn twice", async () => {
		const { engine, loss } = await begin(sampling);
		const counts: number[] = [];
		for (let i = 0; i < LENGTH; i++) {
			const report = await engine.stepOn(ALL, () => ({ ...record(0) }), loss);
			counts.push(report.private.reveal().records);
		}
		expect(counts.reduce((a, b) => a + b)).toBe(N);
		expect(Math.max(...counts)).toBeLessThan(N);
	});

	it("goes on by its own secret alone: none, another run's, a made-up one and an edited name are refused", async () => {
		const { engine, resumed, step } = await begin(sampling);
		const other = await begin(sampling);
		const early = engine.state();
		const kept = engine.privateState() as PrivateState;
		await step(engine, ALL);
		const refused = { name: "PrivacyError", code: "privacy/state" };
		for (const state of [early, engine.state()]) {
			for (const bad of [undefined, other.engine.privateState(), { secret: "0".repeat(64) }, { secret: 3 } as never, {} as never]) {
				await expect(resumed(state, bad)).rejects.toMatchObject(refused);
			}
			expect((await resumed(state, kept)).steps).toBe(1);
		}
		await expect(resumed({ ...engine.state(), run: other.engine.state().run }, other.engine.privateState())).rejects.toMatchObject(refused);
		await expect(resumed({ ...engine.state(), records: "0".repeat(64) }, kept)).rejects.toMatchObject(refused);
	});

	it("a state from before the first step is held to the records that the ledger has the run begin with", async () => {
		const { engine, resumed, step } = await begin(sampling);
		const [state, kept] = [engine.state(), engine.privateState()];
		await step(engine, ALL);
		expect(state.records).toBeUndefined();
		const next = await resumed(state, kept);
		await expect(step(next, ALL.slice(1))).rejects.toMatchObject(CHANGED);
		await step(next, ALL.toReversed());
		expect(next.state().records).toBe(engine.state().records);
	});

	it("says nothing of the records in public: two runs on the same ones have nothing in common", async () => {
		const [one, other] = [await begin(sampling), await begin(sampling)];
		for (const { engine, step } of [one, other]) await step(engine, ALL);
		expect(one.engine.state().records).toMatch(/^[0-9a-f]{64}$/);
		expect(one.engine.state().records).not.toBe(other.engine.state().records);
		expect(JSON.stringify(one.engine.state())).not.toContain(one.engine.privateState()?.secret);
		const seeded = problem(device(), { noise: insecureNoiseForTests(1), sampling, steps: 2 * LENGTH });
		await seeded.engine.step(seeded.encode, seeded.loss);
		expect(seeded.engine.state().records).toBeUndefined();
	});
});
