import { describe, expect, it } from "vitest";
import { targetsOf } from "./calls.ts";
import { fuzz, type Report } from "./run.ts";

/** What no call may do. */
const wrongIn = ({ outcomes, hangs }: Report): string[] => [
	...hangs.map((h) => `hangs: ${h}`),
	...outcomes.flatMap((o) => {
		const what = `${o.key}: ${o.change}`;
		if (o.result === "raw") return [`${what}: ${o.error} in ${o.place}`];
		if (o.result === "refused" && !o.named) return [`${what} is refused without its name: ${o.error}`];
		if (o.fault !== undefined) return [`${what}: ${o.fault}`];
		return o.leaked !== 0 ? [`${what} leaks ${o.leaked} bytes`] : [];
	}),
];

describe("all that is exported", () => {
	it("can be called: the arguments that the wrong ones are made from are right ones", async () => {
		const targets = targetsOf();
		const { outcomes, hangs } = await fuzz(1, -targets.length, 0);
		expect(hangs).toEqual([]);
		expect(outcomes.length).toBe(targets.length);
		const refused = outcomes.filter((o) => o.result !== "accepted").map((o) => `${o.key}: ${o.error}`);
		expect(refused.length, refused.join("\n")).toBeLessThan(outcomes.length / 10);
	});

	it("answers a wrong argument with an error of its own, or a result: 600 calls", async () => {
		const report = await fuzz(1, 0, 600);
		expect(report.outcomes.length + report.hangs.length).toBe(600);
		expect(report.outcomes.filter((o) => o.result === "refused").length).toBeGreaterThan(200);
		expect(wrongIn(report)).toEqual([]);
	});
});
