import { type AccountedHistory, calibrateNoise, epsilon, gaussianMu, getNoiseMultiplier, getSampleRate, getSteps } from "@hushgrad/dp";
import { describe, expect, it } from "vitest";

/* Steps that take every record, by the accountant in closed form: μ = √T/σ. */
const target = { targetEpsilon: 2, targetDelta: 1e-5, accountant: "gdp" } as const;
const wrong = (v: unknown): never => v as never;
/** Orders, and how many ε were asked for by them. */
function counted(orders: readonly number[]) {
	let reads = 0;
	const list = new Proxy([...orders], {
		get(own, name) {
			if (name === Symbol.iterator) reads++;
			return Reflect.get(own, name);
		},
	});
	const readsFor = (steps: number) => {
		const before = reads;
		epsilon([{ sampleRate: 1, noiseMultiplier: 1, steps }], { delta: 1e-5, accountant: "rdp", orders: list });
		return reads - before;
	};
	const each = readsFor(1);
	reads = 0;
	return { orders: list, asked: () => reads / each };
}
const valueError = (code: string, message: string, more: object = {}) =>
	expect.objectContaining({ name: "ValueError", code, message: expect.stringContaining(message), ...more });

describe("getNoiseMultiplier", () => {
	it.each(["gdp", "pld", undefined] as const)("is √T/μ, rounded up to 1e-6, by accountant %s", (accountant) => {
		for (const targetEpsilon of [0.01, 0.5, 2, 40]) {
			for (const steps of [1, 7, 1000, 2 ** 20]) {
				const exact = Math.sqrt(steps) / gaussianMu(targetEpsilon, 1e-5);
				const sigma = getNoiseMultiplier({ ...target, accountant, targetEpsilon, sampleRate: 1, steps });
				expect(sigma).toBeGreaterThanOrEqual(exact * (1 - 1e-12));
				expect(sigma - exact).toBeLessThan(1.0001e-6);
				expect(sigma * 1e6).toBeCloseTo(Math.round(sigma * 1e6), 3);
			}
		}
	});

	it("is 0.01 at least, where any noise is enough", () => {
		expect(getNoiseMultiplier({ ...target, targetEpsilon: 1e5, sampleRate: 1, steps: 1 })).toBe(0.01);
	});

	it("gives up where 2²⁰ is not enough, and not before", () => {
		const mu = gaussianMu(2, 1e-5);
		const most = Math.floor((2 ** 20 * mu) ** 2);
		expect(getNoiseMultiplier({ ...target, sampleRate: 1, steps: most })).toBeCloseTo(2 ** 20, 4);
		expect(() => getNoiseMultiplier({ ...target, sampleRate: 1, steps: most + 2 ** 24 })).toThrow(
			valueError("dp/calibration", "no noise multiplier up to 1048576 reaches epsilon 2", {
				hint: "raise targetEpsilon or targetDelta, or take fewer steps",
			}),
		);
	});

	it("asks for few histories, though it looks where to look by a coarse one", () => {
		for (const accountant of ["gdp", "pld"] as const) {
			let asked = 0;
			const sigma = calibrateNoise({ ...target, accountant }, (noiseMultiplier) => {
				asked++;
				return [{ sampleRate: 1, noiseMultiplier, steps: 1000 }];
			});
			expect(sigma).toBeCloseTo(Math.sqrt(1000) / gaussianMu(2, 1e-5), 5);
			expect(asked, accountant).toBeLessThan(40);
		}
	});

	it("computes few ε by PLD, for it has looked where they are by a coarse one, which has σ off the grid; by no other accountant", () => {
		const asked = (accountant: "gdp" | "pld" | undefined, steps: number) => {
			const isExact: boolean[] = [];
			calibrateNoise({ ...target, accountant }, (noiseMultiplier) => {
				isExact.push(Math.abs(noiseMultiplier * 1e6 - Math.round(noiseMultiplier * 1e6)) < 1e-6);
				return [{ sampleRate: 1, noiseMultiplier, steps }];
			});
			return { exact: isExact.length - 1 - isExact.lastIndexOf(false), coarse: isExact.filter((v) => !v).length };
		};
		for (const steps of [1000, 1777]) {
			for (const accountant of ["pld", undefined] as const) {
				expect(asked(accountant, steps).exact).toBeLessThanOrEqual(5);
				expect(asked(accountant, steps).coarse).toBeGreaterThan(2);
			}
			expect(asked("gdp", steps).coarse).toBe(0);
		}
	});

	it("is of the accountant, and the orders, that are named", () => {
		const orders = [4, 16];
		const options = { targetEpsilon: 2, targetDelta: 1e-5, sampleRate: 0.3, steps: 5, accountant: "rdp", orders } as const;
		const spent = (noiseMultiplier: number) =>
			epsilon([{ sampleRate: 0.3, noiseMultiplier, steps: 5 }], { delta: 1e-5, accountant: "rdp", orders });
		const sigma = getNoiseMultiplier(options);
		expect(spent(sigma)).toBeLessThanOrEqual(2);
		expect(spent(sigma - 1e-6)).toBeGreaterThan(2);
	});

	it("refuses what means nothing, by name", () => {
		const options = { ...target, sampleRate: 1, steps: 1 };
		for (const [name, bad, expected] of [
			["sampleRate", 0, "a probability in (0, 1]"],
			["sampleRate", 1.1, "a probability in (0, 1]"],
			["steps", 0, "an integer in 1.."],
			["targetEpsilon", 0, "a finite number above 0"],
		] as const) {
			expect(() => getNoiseMultiplier({ ...options, [name]: bad })).toThrow(valueError(`dp/${name}`, `${name} must be ${expected}`));
		}
		expect(() => getNoiseMultiplier({ ...options, targetDelta: 1 })).toThrow("delta must be");
		expect(() => getNoiseMultiplier(wrong(3))).toThrow("getNoiseMultiplier: options is 3, expected options in an object");
	});
});

describe("calibrateNoise", () => {
	it("is of any history that is a function of the noise", () => {
		const history = (sigma: number): AccountedHistory => [
			{ sampleRate: 1, noiseMultiplier: sigma, steps: 3 },
			{ sampleRate: 1, noiseMultiplier: 2 * sigma, steps: 4 },
		];
		const exact = Math.sqrt(3 + 1) / gaussianMu(2, 1e-5);
		expect(calibrateNoise(target, history) - exact).toBeGreaterThanOrEqual(-1e-12);
		expect(calibrateNoise(target, history) - exact).toBeLessThan(1.0001e-6);
	});

	it("evaluates what it returns, and nothing twice", () => {
		const seen: number[] = [];
		const sigma = calibrateNoise(target, (noiseMultiplier) => {
			seen.push(noiseMultiplier);
			return [{ sampleRate: 1, noiseMultiplier, steps: 9 }];
		});
		expect(seen).toContain(sigma);
		expect(new Set(seen).size).toBe(seen.length);
		expect(seen.length).toBeLessThan(25);
	});

	it("is the smallest where ε jumps, and refinement ends before it is there", () => {
		const last = 11.234567;
		const history = (noiseMultiplier: number): AccountedHistory => [
			{ sampleRate: 1, noiseMultiplier: noiseMultiplier < last ? 3 : 4, steps: 1 },
		];
		const limit = epsilon(history(last), { delta: 1e-5, accountant: "gdp" });
		expect(calibrateNoise({ ...target, targetEpsilon: limit * 1.001 }, history)).toBe(last);
	});

	it("refuses what is no target, and no history", () => {
		expect(() => calibrateNoise(wrong(3), () => [])).toThrow("calibrateNoise: target is 3, expected options in an object");
		expect(() => calibrateNoise(target, wrong(3))).toThrow("calibrateNoise: history is 3, expected a function");
	});
});

describe("getSteps", () => {
	it("is ⌊(μ σ)²⌋, and 0 where one step is too many", () => {
		for (const noiseMultiplier of [0.5, 0.7, 3, 20.5, 1000]) {
			const exact = (gaussianMu(2, 1e-5) * noiseMultiplier) ** 2;
			expect(getSteps({ ...target, sampleRate: 1, noiseMultiplier })).toBe(Math.floor(exact));
		}
		expect(getSteps({ ...target, sampleRate: 1, noiseMultiplier: 1.0000001 / gaussianMu(2, 1e-5) })).toBe(1);
		expect(getSteps({ ...target, sampleRate: 1, noiseMultiplier: 0.9999999 / gaussianMu(2, 1e-5) })).toBe(0);
	});

	it("takes what spends just the target, and asks for few ε", () => {
		const plan = { sampleRate: 1, noiseMultiplier: 20.5 };
		const spent = (steps: number) => epsilon([{ ...plan, steps }], { delta: 1e-5, accountant: "gdp" });
		for (const steps of [1, 2, 37, 1000]) expect(getSteps({ ...target, ...plan, targetEpsilon: spent(steps) })).toBe(steps);
		const { orders, asked } = counted([2, 4, 8, 16]);
		getSteps({ ...plan, targetEpsilon: 2, targetDelta: 1e-5, accountant: "rdp", orders });
		expect(asked()).toBeLessThan(30);
	});

	it("is 2³⁰ at most", () => {
		expect(getSteps({ ...target, sampleRate: 1, noiseMultiplier: 2 ** 20 })).toBe(2 ** 30);
	});

	it("refuses what means nothing, by name", () => {
		const options = { ...target, sampleRate: 1, noiseMultiplier: 1 };
		for (const sampleRate of [0, 1.1]) {
			expect(() => getSteps({ ...options, sampleRate })).toThrow(valueError("dp/sampleRate", "sampleRate must be a probability in (0, 1]"));
		}
		expect(() => getSteps({ ...options, noiseMultiplier: 0 })).toThrow("noiseMultiplier must be a finite number above 0");
		expect(() => getSteps({ ...options, targetEpsilon: 0 })).toThrow("targetEpsilon must be");
		expect(() => getSteps({ ...options, targetDelta: 0 })).toThrow("delta must be");
		expect(() => getSteps(wrong(3))).toThrow("getSteps: options is 3, expected options in an object");
	});
});

describe("getSampleRate", () => {
	const rdp = { targetEpsilon: 2, targetDelta: 1e-5, accountant: "rdp", orders: [2, 4, 8, 16] } as const;
	const spent = (sampleRate: number, noiseMultiplier: number, steps: number) =>
		epsilon([{ sampleRate, noiseMultiplier, steps }], { delta: 1e-5, accountant: "rdp", orders: rdp.orders });

	it("is the highest that meets the target, to 1e-6", () => {
		for (const [noiseMultiplier, steps] of [
			[1, 100],
			[2, 5],
			[0.6, 1],
			[5, 3000],
		]) {
			const rate = getSampleRate({ ...rdp, noiseMultiplier, steps });
			expect(spent(rate, noiseMultiplier, steps)).toBeLessThanOrEqual(2);
			expect(spent(rate * (1 + 1e-6), noiseMultiplier, steps)).toBeGreaterThan(2);
		}
	});

	it("is 1 where every record may be in every step, and 0 where none may", () => {
		expect(getSampleRate({ ...target, noiseMultiplier: 1.0000001 / gaussianMu(2, 1e-5), steps: 1 })).toBe(1);
		expect(getSampleRate({ ...rdp, noiseMultiplier: 0, steps: 1 })).toBe(0);
	});

	it("is 1 where that spends just the target, and asks for few ε", () => {
		const spentAll = epsilon([{ sampleRate: 1, noiseMultiplier: 3, steps: 7 }], { delta: 1e-5, accountant: "gdp" });
		expect(getSampleRate({ ...target, targetEpsilon: spentAll, noiseMultiplier: 3, steps: 7 })).toBe(1);
		const { orders, asked } = counted(rdp.orders);
		const rate = getSampleRate({ ...rdp, orders, noiseMultiplier: 1, steps: 100 });
		expect(asked()).toBeLessThan(30);
		expect(spent(rate * (1 + 1e-6), 1, 100)).toBeGreaterThan(2);
	});

	it("refuses what means nothing, by name", () => {
		expect(() => getSampleRate({ ...rdp, noiseMultiplier: -1, steps: 1 })).toThrow("noiseMultiplier must be a finite number, 0 or more");
		expect(() => getSampleRate({ ...rdp, noiseMultiplier: 1, steps: 0 })).toThrow("steps must be an integer in 1..");
		expect(() => getSampleRate({ ...rdp, targetEpsilon: 0, noiseMultiplier: 1, steps: 1 })).toThrow("targetEpsilon must be");
		expect(() => getSampleRate(wrong(3))).toThrow("getSampleRate: options is 3, expected options in an object");
	});
});
