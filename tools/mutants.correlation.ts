import type { Mutant } from "./mutants.operations.ts";

const DP = "packages/dp/src";
const UNIT = ["tests/dp/correlation.test.ts"];
const ACCOUNT = ["tests/dp/binnedHistory.test.ts"];
const ENGINE = ["tests/dp/bins.test.ts"];

/** Faults of correlated noise, of what it is accounted as, and of the bins that it stands on. */
export const CORRELATION_MUTANTS: readonly Mutant[] = [
	{
		name: "correlated noise that is not scaled to columns of norm 1",
		file: `${DP}/correlation.ts`,
		from: "noise[i] = norm * normals[i];",
		to: "noise[i] = norm > 0 ? normals[i] : 0;",
		tests: UNIT,
		only: "covariance",
	},
	{
		name: "noise that takes back all of the noise before",
		file: `${DP}/correlation.ts`,
		from: "const c = this.#coefs[j + 1];",
		to: "const c = this.#coefs[j];",
		tests: UNIT,
		only: "covariance",
	},
	{
		name: "noise that goes on with that of a step which is not the one before",
		file: `${DP}/correlation.ts`,
		from: "if (!this.goesOnAt(step)) this.#last = [];",
		to: "",
		tests: UNIT,
		only: "begin anew",
	},
	{
		name: "coefficients below 0, of which the bound does not hold",
		file: `${DP}/correlation.ts`,
		from: 'typeof c === "number" && c >= 0 && c <=',
		to: 'typeof c === "number" && c <=',
		tests: ACCOUNT,
		only: "refuses coefficients",
	},
	{
		name: "bins that are accounted by what they do not share",
		file: `${DP}/accountant/bins.ts`,
		from: "...(shared > 0 ? [{",
		to: "...(shared < 0 ? [{",
		tests: ACCOUNT,
		only: "of two bins",
	},
	{
		name: "bins that are accounted by the least of them",
		file: `${DP}/accountant/bins.ts`,
		from: "if (i % near === 0) own = Math.max(own, value);",
		to: "if (i % near === 0) own = own === 0 ? value : Math.min(own, value);",
		tests: ACCOUNT,
		only: "Gram matrix",
	},
	{
		name: "bins whose shares of a cycle's end and beginning are left out",
		file: `${DP}/accountant/bins.ts`,
		from: "2 * ahead > p ? late : Math.min(late, early);",
		to: "early;",
		tests: ACCOUNT,
		only: "Gram matrix",
	},
	{
		name: "a run of bins that is accounted as independent noise",
		file: `${DP}/sampler.ts`,
		from: "binnedHistory({ ...mechanism, ...sampling,",
		to: "binnedHistory({ ...mechanism, strategyCoefs: [1],",
		tests: ACCOUNT,
		only: "weighs a schedule",
	},
	{
		name: "independent noise where the plan says correlated",
		file: `${DP}/stepNoise.ts`,
		from: "return drawOf(mechanism, this.#next(step, drawn(length, source)));",
		to: "return drawOf(mechanism, drawn(length, source));",
		tests: ENGINE,
		only: "adds C⁻¹z",
	},
	{
		name: "secure noise that is independent where the plan says correlated",
		file: `${DP}/stepNoise.ts`,
		from: "this.#next(step, normals ?? drawn(length, source))",
		to: "normals ?? drawn(length, source)",
		tests: UNIT,
		only: "secure",
	},
];
