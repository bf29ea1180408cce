import { expect, it } from "vitest";
import { page } from "../../tools/kills/page.ts";
import type { EndedRow, RunRow } from "../../tools/kills/results.ts";

const ended = (by: string, during: string, noted = 2, drawn = 2): EndedRow => ({ kind: "ended", mode: "secure", by, during, noted, drawn });
const run = (changes: Partial<RunRow> = {}): RunRow => ({
	...{ kind: "run", mode: "secure", fault: "ended", times: 2, asItShould: true, noted: 6, drawn: 6, epsilon: 7.5, target: 8 },
	...changes,
});

it("counts ends by what the run was doing and what ended it", () => {
	const text = page([ended("SIGKILL", "saving"), ended("exit 3", "saving"), ended("SIGKILL", "step"), ended("SIGKILL", "saved"), run()]);
	expect(text).toContain("| writing a checkpoint | 1 | 1 | 2 |");
	expect(text).toContain("| a step, or between two | 2 | 0 | 2 |");
	expect(text).toContain("| **together** | 3 | 1 | 4 |");
	expect(text).not.toContain("loading");
	expect(text).toContain("2 of the 4 ends are of runs that were still going on");
});

it("tells of runs by what befell them, and of one that is not as it should be", () => {
	const lost = { fault: "GPU lost", mode: "research", times: 1 } as const;
	const text = page([run(lost), run({ ...lost, asItShould: false, epsilon: 7.75 }), run({ times: 3 })]);
	expect(text).toContain("| process ended | secure | 3 | 1 | 1 | 7.50000 of 8 |");
	expect(text).toContain("| GPU lost in a step | research | 2 | 2 | 1 | 7.75000 of 8 |");
});

it("tells of a ledger that is behind, and of ε above its target", () => {
	const text = page([ended("SIGKILL", "step", 2, 3), ended("SIGKILL", "step", 3, 2), run({ epsilon: 8.1 })]);
	expect(text).toContain("**fewer steps than were drawn 1 times**, as many\n1 times, one more 1 times");
	expect(text).toContain("above the target of the run 1 times");
});
