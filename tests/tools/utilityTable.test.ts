import { expect, it } from "vitest";
import { difference, estimate, type UtilityRun, utilityTable } from "../../bench/support/utilityTable.ts";

const run = (variant: string, seed: number, after: number, epsilon: number | null = 3): UtilityRun => ({
	...{ variant, epsilon, seed, trained: 10, before: 5, after, norms: [], seconds: 1 },
	...(epsilon !== null && { plan: { sigma: 1.5, q: 0.25, steps: 16, L: 100, C: 1, sampling: "poisson" } }),
});

it("estimates a mean and its standard error, s/√n with n − 1 under the root of s", () => {
	// 1, 2, 3, 4: s² = 5/3, s/√4 = √(5/12)
	expect(estimate([1, 2, 3, 4])).toEqual({ mean: 2.5, error: Math.sqrt(5 / 12), n: 4 });
});

it("pairs runs by seed, and leaves out seeds that one side lacks", () => {
	const baseline = [run("poisson", 0, 4), run("poisson", 1, 5), run("poisson", 7, 9)];
	const { mean, error, n } = difference([run("ffa", 1, 4.5), run("ffa", 0, 3.8), run("ffa", 2, 1)], baseline);
	expect(n).toBe(2);
	expect(mean).toBeCloseTo(-0.35, 12); // −0.5 and −0.2
	expect(error).toBeCloseTo(0.15, 12); // half of their distance
});

it("prints the best first, and marks what is two standard errors away", () => {
	const runs = [0, 1, 2].flatMap((seed) => [
		run("poisson", seed, 4 + seed),
		run("near", seed, 4 + seed + [0.3, -0.4, 0][seed]),
		run("better", seed, 3 + seed + 0.01 * seed),
		run("none", seed, 2, null),
	]);
	const lines = utilityTable(runs).split("\n");
	expect(lines.map((l) => l.split(" | ")[1])).toEqual(["variant", " --- ".trim(), "`better`", "`near`", "`poisson`", "`none`"]);
	expect(lines[2]).toContain("**-0.9900 ± 0.0058**");
	expect(lines[3]).not.toContain("**");
	expect(lines[4]).toContain("baseline");
	expect(lines[5]).toMatch(/^\| none \| `none` \|/);
});
