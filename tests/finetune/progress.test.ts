import { describe, expect, it } from "vitest";
import type { RunEvent, Stepped } from "../../packages/finetune/src/run/events.ts";
import { Progress } from "../../packages/finetune/src/run/progress.ts";
import { clock, factsOf, type ProgressView, progressLine } from "../../packages/finetune/src/run/progressView.ts";
import { FakeTerminal } from "./terminal.ts";

const stepped: Stepped = {
	kind: "step",
	step: 12,
	steps: 226,
	epsilon: 3.21401,
	targetEpsilon: 8,
	lr: 0.01,
	seconds: 2,
	tokensPerSecond: 1234.4,
	peakBytes: 1.24e9,
	private: { loss: 2.34567, clipped: 0.871, records: 100 },
};
const step: ProgressView = { what: "step", done: 12, total: 226, facts: factsOf(stepped), elapsed: 24_000, left: 430_000 };
const loading: ProgressView = { what: "loading the base in 4 bits", done: 43, total: 100, facts: [], elapsed: 12_000, left: 15_900 };

describe("the line of a run", () => {
	it("is this at 60, 80 and 120 columns", () => {
		expect([60, 80, 120].map((columns) => progressLine(step, columns))).toEqual([
			"step  12/226  ε 3.215 of 8  loss 2.3457  0:24 < 7:10",
			"step  12/226  ε 3.215 of 8  loss 2.3457  1234 tokens/s  0:24 < 7:10",
			"█░░░░░░░░░░░░░░░░░░░░░░░  step  12/226  ε 3.215 of 8  loss 2.3457  1234 tokens/s  clipped 87 %  1.2 GB  0:24 < 7:10",
		]);
		expect([60, 80, 120].map((columns) => progressLine(loading, columns))).toEqual([
			"█████░░░░░░░  loading the base in 4 bits 43 %  0:12 < 0:16",
			"██████████░░░░░░░░░░░░░░  loading the base in 4 bits 43 %  0:12 < 0:16",
			"██████████░░░░░░░░░░░░░░  loading the base in 4 bits 43 %  0:12 < 0:16",
		]);
	});

	it("never takes more columns than there are, down to where only its beginning fits", () => {
		for (const view of [step, loading, { what: "first step, compiling its kernels", facts: [], elapsed: 3_700_000 }]) {
			for (let columns = 5; columns <= 200; columns++) expect(progressLine(view, columns).length).toBeLessThanOrEqual(columns);
		}
	});

	it("never rounds ε down, and shows no loss that was not asked for", () => {
		expect(factsOf({ ...stepped, private: undefined, epsilon: 2.0000001 })).toEqual(["ε 2.001 of 8", "1234 tokens/s", "1.2 GB"]);
		expect(factsOf({ ...stepped, private: undefined, epsilon: undefined, tokensPerSecond: 3.27, peakBytes: 3e7 })).toEqual([
			"3.3 tokens/s",
			"30 MB",
		]);
	});

	it("has clocks of minutes, and of hours", () => {
		expect([0, 59_499, 60_000, 3_599_000, 3_600_000, 90_061_000].map(clock)).toEqual([
			"0:00",
			"0:59",
			"1:00",
			"59:59",
			"1:00:00",
			"25:01:01",
		]);
	});
});

describe("a log of a run", () => {
	it("has a line for each thing that begins, for a step every five seconds at most, for the last one, and for warnings", () => {
		const terminal = new FakeTerminal({ columns: 80 });
		let now = 0;
		const progress = new Progress(terminal, () => now);
		const at = (seconds: number, event: RunEvent): void => {
			now = 1000 * seconds;
			progress.tell(event);
		};
		at(0, { kind: "checking", done: 1, total: 100 });
		at(0.1, { kind: "checking", done: 100, total: 100 });
		at(1, { kind: "opening" });
		at(1.5, { kind: "loading", done: 10, total: 100, isQuantizing: true });
		at(3, { kind: "loading", done: 20, total: 100, isQuantizing: true });
		at(7, { kind: "loading", done: 55, total: 100, isQuantizing: true });
		at(9, { kind: "compiling", step: 1 });
		const own = { ...stepped, private: undefined, steps: 6 };
		for (let i = 1; i <= 6; i++) at(10 + 2 * i, { ...own, step: i, epsilon: i });
		at(23, { kind: "warning", message: "the GPU was lost" });
		at(24, { kind: "evaluating", when: "after", done: 0, total: 5 });
		expect(terminal.stderr.split("\n")).toEqual([
			"hashing the base",
			"opening the GPU",
			"loading the base in 4 bits",
			"█████████████░░░░░░░░░░░  loading the base in 4 bits 55 %  0:06 < 0:06",
			"first step, compiling its kernels",
			"██░░░░░░░░░░  step 1/6  ε 1.000 of 8  1234 tokens/s  1.2 GB  0:02 < 0:10",
			"████████░░░░  step 4/6  ε 4.000 of 8  1234 tokens/s  1.2 GB  0:08 < 0:04",
			"████████████  step 6/6  ε 6.000 of 8  1234 tokens/s  1.2 GB  0:12 < 0:00",
			"warning: the GPU was lost",
			"evaluating after training",
			"",
		]);
		expect(terminal.stdout).toBe("");
		expect(Math.max(...terminal.stderr.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
	});
});
