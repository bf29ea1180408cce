import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { cases, lineOf } from "../../tools/commandLine/cases.ts";
import { type Answer, answers } from "../../tools/commandLine/run.ts";
import { readSeconds } from "../../tools/commandLine/seconds.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

let all: Answer[];
beforeAll(async () => {
	all = await answers(root);
});

describe("command lines with something wrong in them", () => {
	it("are at least 150, each once", () => {
		expect(new Set(cases.map(({ args }) => args.join(" "))).size).toBe(cases.length);
		expect(cases.length).toBeGreaterThanOrEqual(150);
	});

	it("have each a time in docs/command-line.md, within a second: npm run wrong-input", () => {
		const seconds = readSeconds(root);
		expect(Object.keys(seconds).sort()).toEqual(cases.map(lineOf).sort());
		expect(Object.entries(seconds).filter(([, s]) => !(s > 0 && s <= 1))).toEqual([]);
	});

	it.each(cases)("$args", ({ args, code }) => {
		const answer = all.find((a) => a.args === args);
		const said = `${answer?.out}${answer?.err}`;
		expect(answer?.ended, said).toBe(code);
		if (args.length > 0) expect(answer?.err).toMatch(/^error: \S/m);
		expect(said).not.toMatch(/\n\s+at |a fault of its own|\[object|undefined/);
		expect(said, "nothing of a record").not.toMatch(/confidential|warfarin|aspirin|Elm Street/i);
		expect(answer?.seconds).toBeLessThan(1);
	});

	it("are answered at once", () => {
		const seconds = all.map((a) => a.seconds).sort((a, b) => a - b);
		console.log(
			`${all.length} command lines, processor time: median ${seconds[seconds.length >> 1]} s, slowest ${seconds[seconds.length - 1]} s`,
		);
	});
});
