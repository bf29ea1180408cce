import {
	Accountant,
	type AccountantName,
	type AccountedEvent,
	type AccountedHistory,
	appendEvent,
	approximateMu,
	delta,
	epsilon,
	gaussianDelta,
	gaussianEpsilon,
	pldDelta,
	pldEpsilon,
	prvEpsilon,
} from "@hushgrad/dp";
import { describe, expect, it } from "vitest";
import { checkEvent, isPoisson } from "../../packages/dp/src/accountant/events.ts";
import { exactMu } from "../../packages/dp/src/accountant/gdp.ts";
import { deltaFromRdp, privacySpent } from "../../packages/dp/src/accountant/rdp.ts";

const POISSON = { sampleRate: 0.25, noiseMultiplier: 2, steps: 3 };
const CAPPED = {
	sampling: "truncated-poisson",
	datasetSize: 100,
	sampleRate: 0.25,
	maxBatchSize: 30,
	noiseMultiplier: 2,
	steps: 3,
} as const;
const ALLOCATED = { sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 2, epochs: 3 } as const;
const wrong = (v: unknown): never => v as never;
const valueError = (code: string, message: string, more: object = {}) =>
	expect.objectContaining({ name: "ValueError", code, message: expect.stringContaining(message), ...more });

describe("checkEvent", () => {
	it("takes every event, also one without a rate, noise or steps", () => {
		for (const event of [POISSON, CAPPED]) {
			for (const change of [{}, { sampleRate: 0 }, { sampleRate: 1 }, { noiseMultiplier: 0 }, { steps: 0 }]) {
				expect(() => checkEvent({ ...event, ...change })).not.toThrow();
			}
		}
		expect(() => checkEvent({ ...POISSON, sampling: "poisson" })).not.toThrow();
		for (const change of [{}, { noiseMultiplier: 0 }, { epochs: 0 }, { stepsPerEpoch: 1 }]) checkEvent({ ...ALLOCATED, ...change });
		checkEvent({ ...CAPPED, datasetSize: 1, maxBatchSize: 1 });
	});

	it.each<[AccountedEvent, string, unknown, string]>([
		[POISSON, "sampleRate", 1.5, "a probability in [0, 1]"],
		[POISSON, "noiseMultiplier", -1, "a finite number, 0 or more"],
		[POISSON, "steps", -1, "an integer in 0.."],
		[POISSON, "sampling", "shuffle", '"poisson", "truncated-poisson" or "random-allocation"'],
		[POISSON, "sampling", null, '"poisson", "truncated-poisson" or "random-allocation"'],
		[CAPPED, "sampleRate", -1, "a probability in [0, 1]"],
		[CAPPED, "noiseMultiplier", Number.NaN, "a finite number, 0 or more"],
		[CAPPED, "steps", 0.5, "an integer in 0.."],
		[CAPPED, "datasetSize", 0, "an integer in 1.."],
		[CAPPED, "maxBatchSize", 0, "an integer in 1.."],
		[ALLOCATED, "noiseMultiplier", -1, "a finite number, 0 or more"],
		[ALLOCATED, "stepsPerEpoch", 0, "an integer in 1.."],
		[ALLOCATED, "epochs", -1, "an integer in 0.."],
	])("refuses %o with %s = %s", (event, name, value, expected) => {
		const broken = { ...event, [name]: value };
		const refused = valueError(`dp/${name}`, `${name} must be ${expected}`);
		expect(() => checkEvent(wrong(broken))).toThrow(refused);
		expect(() => appendEvent([], wrong(broken))).toThrow(refused);
	});

	it("refuses what is no event", () => {
		for (const none of [undefined, null, 3, "x"]) {
			expect(() => checkEvent(wrong(none))).toThrow(valueError("dp/event", "event must be an event of a privacy history, got "));
		}
	});
});

describe("appendEvent", () => {
	it("joins an event to one of its kind with the same numbers, and to no other", () => {
		for (const [event, key] of [
			[POISSON, "steps"],
			[CAPPED, "steps"],
			[ALLOCATED, "epochs"],
		] as const) {
			expect(appendEvent([POISSON, event], { ...event, [key]: 4 } as AccountedEvent).at(-1)).toEqual({ ...event, [key]: 7 });
			for (const name of Object.keys(event).filter((n) => n !== "sampling" && n !== key)) {
				const other = { ...event, [name]: (event as unknown as Record<string, number>)[name] / 2 } as AccountedEvent;
				expect(appendEvent([event], other)).toEqual([event, other]);
			}
		}
		expect(appendEvent([POISSON], CAPPED)).toEqual([POISSON, CAPPED]);
		expect(appendEvent([CAPPED], POISSON)).toEqual([CAPPED, POISSON]);
	});

	it("keeps the event's own fields, and changes nothing that it was given", () => {
		const before: AccountedHistory = Object.freeze([Object.freeze({ ...POISSON })]);
		expect(appendEvent(before, { ...POISSON, sampling: "poisson", more: 1 } as AccountedEvent)).toEqual([{ ...POISSON, steps: 6 }]);
		expect(appendEvent([], { ...CAPPED, more: 1 } as AccountedEvent)).toEqual([CAPPED]);
		expect(appendEvent([], { ...ALLOCATED, more: 1 } as AccountedEvent)).toEqual([ALLOCATED]);
		expect(before).toEqual([POISSON]);
	});

	it("refuses arguments of the wrong kind", () => {
		expect(() => appendEvent(wrong(3), POISSON)).toThrow("appendEvent: history is 3, expected a list");
		expect(() => appendEvent([], wrong(3))).toThrow("appendEvent: event is 3, expected options in an object");
	});

	it("isPoisson tells Poisson sampling without a cap", () => {
		expect([POISSON, { ...POISSON, sampling: "poisson" as const }, CAPPED, ALLOCATED].map(isPoisson)).toEqual([true, true, false, false]);
	});
});

describe("epsilon and delta", () => {
	const full = [{ sampleRate: 1, noiseMultiplier: 4, steps: 4 }];
	const orders = [2, 8, 32];

	it("are of the accountant named, and by PLD when none is", () => {
		expect(epsilon([POISSON], { delta: 1e-5 })).toBe(pldEpsilon([POISSON], 1e-5).value);
		expect(epsilon([POISSON], { delta: 1e-5, accountant: "rdp", orders })).toBe(privacySpent([POISSON], { delta: 1e-5, orders }).epsilon);
		expect(epsilon([POISSON], { delta: 1e-5, accountant: "prv" })).toBe(prvEpsilon([POISSON], 1e-5).upper);
		expect(epsilon(full, { delta: 1e-5, accountant: "gdp" })).toBe(gaussianEpsilon(0.5, 1e-5));
		expect(delta([POISSON], { epsilon: 1 })).toBe(pldDelta([POISSON], 1).value);
		expect(delta([POISSON], { epsilon: 1, accountant: "rdp", orders })).toBe(deltaFromRdp([POISSON], 1, orders).delta);
		expect(delta(full, { epsilon: 1, accountant: "gdp" })).toBe(gaussianDelta(0.5, 1));
	});

	it("are nothing without steps, and everything without noise", () => {
		const bare = [{ sampleRate: 1, noiseMultiplier: 0, steps: 1 }];
		for (const accountant of ["pld", "rdp", "prv", "gdp"] as const) {
			expect(epsilon([], { delta: 1e-5, accountant })).toBe(0);
			expect(epsilon(bare, { delta: 1e-5, accountant })).toBe(Number.POSITIVE_INFINITY);
		}
		for (const accountant of ["pld", "rdp", "gdp"] as const) {
			expect(delta([], { epsilon: 1, accountant })).toBe(0);
			expect(delta(bare, { epsilon: 1, accountant })).toBe(1);
		}
	});

	it("refuse an event that the accountant does not cover", () => {
		for (const event of [CAPPED, ALLOCATED]) {
			for (const accountant of ["rdp", "prv", "gdp"] as const) {
				const refused = valueError("dp/accountant", `the ${accountant} accountant covers Poisson sampling alone`, {
					hint: 'use accountant "pld"',
				});
				expect(() => epsilon([POISSON, event], { delta: 1e-5, accountant })).toThrow(refused);
				if (accountant !== "prv") expect(() => delta([event], { epsilon: 1, accountant })).toThrow(refused);
			}
		}
	});

	it("refuse a name that is no accountant's, and arguments of the wrong kind", () => {
		const names = 'accountant must be "pld", "rdp", "prv" or "gdp", got "zcdp"';
		const zcdp = "zcdp" as AccountantName;
		expect(() => epsilon([], { delta: 1e-5, accountant: zcdp })).toThrow(valueError("dp/accountant", names));
		expect(() => delta([], { epsilon: 1, accountant: zcdp })).toThrow(valueError("dp/accountant", names));
		expect(() => delta([], { epsilon: 1, accountant: "prv" })).toThrow('accountant must be "pld", "rdp" or "gdp" for delta, got "prv"');
		expect(() => epsilon(wrong(3), { delta: 1e-5 })).toThrow("epsilon: history is 3, expected a list");
		expect(() => epsilon([], wrong(3))).toThrow("epsilon: options is 3, expected options in an object");
		expect(() => delta(wrong(3), { epsilon: 1 })).toThrow("delta: history is 3, expected a list");
		expect(() => delta([], wrong(3))).toThrow("delta: options is 3, expected options in an object");
	});
});

describe("the mu of a history", () => {
	it("adds up in squares where every record is in every step, √Σ T/σ²", () => {
		const history = [
			{ sampleRate: 1, noiseMultiplier: 2, steps: 3 },
			{ sampleRate: 1, noiseMultiplier: 0.5, steps: 2 },
		];
		expect(exactMu(history)).toBe(Math.sqrt(3 / 4 + 8));
		const nothing = { sampleRate: 0, noiseMultiplier: 0, steps: 5 };
		expect(exactMu([nothing, ...history, { sampleRate: 0.5, noiseMultiplier: 0, steps: 0 }])).toBe(Math.sqrt(3 / 4 + 8));
		expect(exactMu([])).toBe(0);
		expect(() => exactMu([{ ...POISSON, sampleRate: 0.5 }])).toThrow(
			valueError("dp/gdp", "the gdp accountant covers sampleRate 1 alone, got 0.5", {
				hint: 'use accountant "pld"; approximateMu gives the central limit, which may lie below the truth',
			}),
		);
		expect(() => exactMu([{ ...POISSON, steps: -1 }])).toThrow("steps must be");
	});

	it("has the central limit √Σ T q² (e^(1/σ²) − 1)", () => {
		const rest = [
			{ sampleRate: 0, noiseMultiplier: 0, steps: 4 },
			{ sampleRate: 1, noiseMultiplier: 0, steps: 0 },
		];
		const limit = Math.sqrt(3 * 0.25 ** 2 * Math.expm1(1 / 4) + 2 * Math.expm1(1));
		expect(approximateMu([POISSON, { sampleRate: 1, noiseMultiplier: 1, steps: 2 }, ...rest])).toBeCloseTo(limit, 14);
		expect(approximateMu(rest)).toBe(0);
		expect(() => approximateMu(wrong(3))).toThrow("approximateMu: history is 3, expected a list");
		expect(() => approximateMu([{ ...POISSON, sampleRate: 2 }])).toThrow("sampleRate must be");
	});
});

describe("Accountant", () => {
	it("counts a step of Poisson sampling as one, and an event for what it is", () => {
		const accountant = new Accountant("gdp");
		accountant.step({ sampleRate: 1, noiseMultiplier: 2 });
		accountant.step({ sampleRate: 1, noiseMultiplier: 2, steps: 3 });
		expect(accountant.history).toEqual([{ sampleRate: 1, noiseMultiplier: 2, steps: 4 }]);
		expect(accountant.getEpsilon(1e-5)).toBe(gaussianEpsilon(1, 1e-5));
		const before = accountant.history;
		accountant.step(ALLOCATED);
		expect([before.length, accountant.history.length]).toEqual([1, 2]);
		expect(accountant.state()).toEqual({ mechanism: "gdp", version: 1, history: accountant.history });
		expect(new Accountant().mechanism).toBe("pld");
	});

	it("goes on from its own state, and from nothing else", () => {
		const state = { mechanism: "rdp", version: 1, history: [POISSON] } as const;
		expect(Accountant.fromState(state).state()).toEqual(state);
		for (const bad of [undefined, null, {}, { ...state, version: 2 }, { ...state, history: { 0: POISSON } }]) {
			expect(() => Accountant.fromState(wrong(bad))).toThrow(valueError("dp/state", "state must be the state of an accountant, version 1"));
		}
		expect(() => Accountant.fromState(wrong({ ...state, history: [{ sampleRate: 2 }] }))).toThrow("noiseMultiplier must be");
		expect(() => new Accountant(wrong("zcdp"))).toThrow('accountant must be "pld", "rdp", "prv" or "gdp", got "zcdp"');
		for (const name of ["pld", "rdp", "prv", "gdp"] as const) expect(new Accountant(name).mechanism).toBe(name);
		expect(() => new Accountant().step(wrong(3))).toThrow("Accountant.step: event is 3, expected options in an object");
	});
});
