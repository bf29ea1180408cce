import { type Device, data, logSoftmax, logsumexp, softmax, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

/* Rows so long that they are shared out in parts, whose totals are joined: of 4,096 values in plan cpu, of 8,192 in plan gpu. */

const PLANS = { cpu: useDevice({ plan: "cpu", debug: { memory: true } }), gpu: useDevice({ plan: "gpu", debug: { memory: true } }) };
const OPERATIONS: Readonly<Record<string, (x: Tensor) => Tensor>> = { softmax, logSoftmax, logsumexp: (x) => logsumexp(x, [-1]) };
/** Three parts in plan gpu, the last of them short: in fours, and not. */
const LENGTHS = [16_400, 17_001];

/** What a row gives, in float64. */
const REFERENCES: Readonly<Record<string, (row: readonly number[]) => number[]>> = {
	softmax: (row) => REFERENCES.logSoftmax(row).map(Math.exp),
	logSoftmax: (row) => {
		const total = logTotal(row);
		return row.map((v) => v - total);
	},
	logsumexp: (row) => [logTotal(row)],
};

function logTotal(row: readonly number[]): number {
	const top = row.reduce((a, b) => Math.max(a, b));
	return top + Math.log(row.reduce((s, v) => s + Math.exp(v - top), 0));
}

/** Values that differ from part to part: by 60, where most parts then count for next to nothing. */
const drawn = (seed: number, n: number, apart = 60): number[] => {
	const next = numbers(seed, 0);
	return Array.from({ length: n }, (_, i) => Math.fround(6 * next() - apart * (((i >> 12) + seed) % 3)));
};

async function run(device: Device, name: string, rows: readonly (readonly number[])[]): Promise<Float32Array> {
	const y = device.scope<Tensor>(() => OPERATIONS[name](device.fromHost(rows.flat(), [rows.length, rows[0].length])));
	const values = Float32Array.from((await data(y)) as Float32Array);
	y.dispose();
	return values;
}

describe.each(Object.entries(PLANS))("in plan %s", (_, device) => {
	describe.each(Object.keys(OPERATIONS))("%s", (name) => {
		it.each(LENGTHS)("of rows of %i values equals its float64 reference", async (n) => {
			const rows = [0, 1, 2].map((seed) => drawn(seed, n));
			const expected = Float64Array.from(rows.flatMap(REFERENCES[name]));
			expectWithin(await run(device(), name, rows), expected, { ulp: 16, abs: 1e-6, why: "exp and log within 4 ULP, twice" });
		});

		it.each(LENGTHS)("of a row of %i values has the same bits alone and among others", async (n) => {
			const rows = Array.from({ length: 12 }, (_, seed) => drawn(seed, n, 4));
			const among = await run(device(), name, rows);
			for (const [i, row] of rows.entries()) {
				const alone = await run(device(), name, [row]);
				expect(among.slice(i * alone.length, (i + 1) * alone.length)).toEqual(alone);
			}
		});
	});

	it("has what one part has of infinite values and NaN, wherever they lie", async () => {
		const [n, where] = [LENGTHS[0], 9000];
		const ends = [Number.POSITIVE_INFINITY, Number.NaN].map((v) => drawn(0, n).with(where, v));
		const nothing = new Array<number>(n).fill(Number.NEGATIVE_INFINITY);
		const rows = [...ends, nothing, nothing.with(where, -200)];
		expect(await run(device(), "logsumexp", rows)).toEqual(
			Float32Array.of(Number.POSITIVE_INFINITY, Number.NaN, Number.NEGATIVE_INFINITY, -200),
		);
		const y = await run(device(), "softmax", rows);
		expect([0, 1, 2, 3].map((r) => y[r * n + where])).toEqual([Number.NaN, Number.NaN, Number.NaN, 1]);
		expect(y[3 * n]).toBe(0);
	});
});
