import { expect, it, test } from "vitest";
import { logNormalDensity, millsRatio, normalCdf, normalQuantile } from "../../packages/dp/src/accountant/normal.ts";
import goldens from "../goldens/gaussian.json" with { type: "json" };

test.each(goldens.normal)("Φ($x) and its Mills' ratio are those of 60-digit arithmetic", ({ x, cdf, mills }) => {
	expect(Math.abs(normalCdf(x) - cdf)).toBeLessThanOrEqual(1e-15 * (1 + x * x) * cdf);
	expect(Math.abs(millsRatio(x) / mills - 1)).toBeLessThan(1e-15 * (4 + (x < 0 ? x * x : 0)));
});

test.each(goldens.quantile)("Φ⁻¹($p) is that of 60-digit arithmetic", ({ p, x }) => {
	// Above ½ it is that of 1 − p, which is rounded.
	const rounding = p > 0.5 ? 2 ** -53 / Math.exp(logNormalDensity(x)) : 0;
	expect(Math.abs(normalQuantile(p) - x)).toBeLessThanOrEqual(2e-15 * Math.max(1, Math.abs(x)) + rounding);
});

it("is infinite at the ends", () => {
	expect([normalQuantile(0), normalQuantile(1)]).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]);
});
