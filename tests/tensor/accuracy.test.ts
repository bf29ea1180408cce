import { data, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { MEASURED, ROWS, rowError, SUMS, sumError, worstOf } from "../../tools/accuracy.measured.ts";
import { useDevice } from "../support/device.ts";

/* `npm run accuracy` measures the same at a million points, and writes docs/accuracy.md. */

const device = useDevice();
const INF = Number.POSITIVE_INFINITY;

describe.each(MEASURED.map((f) => [f.name, f] as const))("%s", (_, f) => {
	it("is as near to its value as stated, for operands of every size", async () => {
		const worst = await worstOf(device(), f, 20_000);
		expect(worst.wrong).toBeUndefined();
		expect(worst.ulp, `at ${worst.at}`).toBeLessThanOrEqual(f.ulp ?? 4);
		expect(worst.abs, `at ${worst.absAt}`).toBeLessThanOrEqual(f.abs ?? 2 ** -126);
	});

	it("gives of infinity, NaN, zeros and the ends of its domain what IEEE 754 gives", async () => {
		const ends = f.draw === undefined ? [INF, -INF, Number.NaN, 0, 1, -1, 2, -2, 2 ** 127, -(2 ** 127)] : [INF, -INF, Number.NaN, 0, 1, -2];
		const operands = f.draw === undefined ? [ends] : [ends.flatMap((v) => ends.map(() => v)), ends.flatMap(() => ends)];
		const y = device().scope<Tensor>(() => f.run(...operands.map((v) => device().fromHost(v, [v.length]))));
		const values = await data(y);
		operands[0].forEach((_, i) => {
			const given = operands.map((v) => v[i]);
			const wanted = Math.fround(f.ref(...given));
			if (Number.isFinite(wanted))
				expect(Math.abs(values[i] - wanted), `of ${given}`).toBeLessThanOrEqual(1e-6 * Math.abs(wanted) + 2 ** -126);
			else expect(values[i], `of ${given}`).toBe(wanted);
		});
	});
});

describe.each(ROWS.map((r) => [r.name, r] as const))("%s", (_, r) => {
	it.each([
		[768, 0],
		[65_536, 0],
		[4096, 3],
	])("of a row of %i numbers around %i is as near to its value as stated", async (size, centre) => {
		// The mean, of 3, is rounded.
		const bound = r.name === "layerNorm" && centre > 0 ? 1e-6 : (r.bound ?? 2e-7);
		expect(await rowError(device(), r, size, centre)).toBeLessThanOrEqual(bound);
	});
});

describe.each(SUMS.map((s) => [s.name, s] as const))("%s", (_, s) => {
	it.each(["equal", "random"] as const)("of a million %s terms is off by 2e-7 of it at most", async (terms) => {
		// The variance of equal terms is what rounding left.
		if (s.name === "variance" && terms === "equal") return;
		expect(await sumError(device(), s, 1_000_000, terms)).toBeLessThanOrEqual(2e-7);
	});
});
