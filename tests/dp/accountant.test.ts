import { Accountant, appendEvent, delta, epsilon, type PrivacyHistory, pldEpsilon, privacySpent, prvEpsilon } from "@hushgrad/dp";
import { ValueError } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";

const HISTORY: PrivacyHistory = [{ sampleRate: 0.04, noiseMultiplier: 1.5, steps: 100 }];

describe("epsilon", () => {
	test("is by PLD unless told otherwise", () => {
		expect(epsilon(HISTORY, { delta: 1e-5 })).toBe(pldEpsilon(HISTORY, 1e-5).value);
		expect(epsilon(HISTORY, { delta: 1e-5, accountant: "rdp" })).toBe(privacySpent(HISTORY, { delta: 1e-5 }).epsilon);
		expect(epsilon(HISTORY, { delta: 1e-5, accountant: "prv" })).toBe(prvEpsilon(HISTORY, 1e-5).upper);
	});

	test("refuses a name that is no accountant's", () => {
		expect(() => epsilon(HISTORY, { delta: 1e-5, accountant: "zcdp" as never })).toThrow(/accountant must be "pld", "rdp", "prv" or "gdp"/);
		expect(() => delta(HISTORY, { epsilon: 1, accountant: "zcdp" as never })).toThrow(ValueError);
		expect(() => delta(HISTORY, { epsilon: 1, accountant: "prv" })).toThrow(ValueError);
		expect(() => new Accountant("zcdp" as never)).toThrow(ValueError);
	});
});

describe("Accountant", () => {
	test("joins equal steps and gives the ε of its history", () => {
		for (const mechanism of ["pld", "rdp", "prv"] as const) {
			const accountant = new Accountant(mechanism);
			for (let i = 0; i < 100; i++) accountant.step({ sampleRate: 0.04, noiseMultiplier: 1.5 });
			expect(accountant.history).toEqual(HISTORY);
			expect(accountant.getEpsilon(1e-5)).toBe(epsilon(HISTORY, { delta: 1e-5, accountant: mechanism }));
		}
	});

	test("holds every event, and goes on from its saved state", () => {
		const accountant = new Accountant();
		accountant.step({ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 1, epochs: 1 });
		accountant.step({ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 1, epochs: 2 });
		const capped = { sampling: "truncated-poisson", datasetSize: 100, sampleRate: 0.1, maxBatchSize: 30, noiseMultiplier: 1 } as const;
		accountant.step({ ...capped, steps: 2 });
		accountant.step({ ...capped, steps: 3 });
		accountant.step({ sampleRate: 0.1, noiseMultiplier: 1 });
		const resumed = Accountant.fromState(JSON.parse(JSON.stringify(accountant.state())));
		expect(resumed.history).toEqual(accountant.history);
		expect(resumed.history).toEqual([
			{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 1, epochs: 3 },
			{ ...capped, steps: 5 },
			{ sampleRate: 0.1, noiseMultiplier: 1, steps: 1 },
		]);
		expect(resumed.getEpsilon(1e-5)).toBe(accountant.getEpsilon(1e-5));
	});

	test("refuses steps and states that cannot be", () => {
		const accountant = new Accountant();
		expect(() => accountant.step({ sampleRate: 1.5, noiseMultiplier: 1 })).toThrow(ValueError);
		expect(() => accountant.step({ sampling: "shuffle", sampleRate: 0.5, noiseMultiplier: 1 } as never)).toThrow(/sampling must be/);
		expect(accountant.history).toEqual([]);
		const state = accountant.state();
		for (const bad of [null, {}, { ...state, version: 2 }, { ...state, mechanism: "x" }, { ...state, history: [{ sampleRate: 2 }] }]) {
			expect(() => Accountant.fromState(bad as never)).toThrow(ValueError);
		}
	});

	test("appendEvent keeps nothing but the event's own fields", () => {
		const event = { sampleRate: 0.1, noiseMultiplier: 1, steps: 1, maxGradNorm: 3 };
		expect(appendEvent([], event)).toEqual([{ sampleRate: 0.1, noiseMultiplier: 1, steps: 1 }]);
	});
});

test("wrong kinds of arguments are refused by the names of the function and the argument", () => {
	const calls: [string, () => unknown][] = [
		["epsilon: history", () => epsilon(undefined as never, { delta: 1e-5 })],
		["epsilon: options", () => epsilon(HISTORY, undefined as never)],
		["delta: options", () => delta(HISTORY, 1 as never)],
		["pldEpsilon: delta", () => pldEpsilon(HISTORY, "1e-5" as never)],
		["prvEpsilon: history", () => prvEpsilon({} as never, 1e-5)],
		["appendEvent: event", () => appendEvent([], null as never)],
		["event must be", () => pldEpsilon([null as never], 1e-5)],
		["Accountant.step: event", () => new Accountant().step(1 as never)],
	];
	for (const [message, call] of calls) {
		expect(call).toThrow(ValueError);
		expect(call).toThrow(message);
	}
});
