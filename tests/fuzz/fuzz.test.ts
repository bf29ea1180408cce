import { describe, expect, it } from "vitest";
import { targetsOf } from "./calls.ts";
import { fuzz, type Report } from "./run.ts";

/**
 * Files whose functions still answer some wrong arguments with an error of JavaScript's. A file that is mended is taken off; none
 * is added.
 */
const OWED = [
	"dp/src/accountant/calibrate.ts",
	"dp/src/accountant/events.ts",
	"dp/src/accountant/rdp.ts",
	"dp/src/accountant/sampledGaussian.ts",
	"dp/src/check.ts",
	"dp/src/clip.ts",
	"dp/src/engine.ts",
	"dp/src/evaluate.ts",
	"dp/src/noise.ts",
	"dp/src/plainTrainer.ts",
	"dp/src/plan.ts",
	"dp/src/records.ts",
	"dp/src/report.ts",
	"dp/src/sampling.ts",
	"dp/src/secureRandom.ts",
];

/** Packages whose errors all name what was called. */
const NAMED = ["@hushgrad/tensor"];

/** Calls that keep memory when they refuse what they are given; as above. */
const KEEP = /^PrivacyEngine\.step$/;

/** What no call may do. */
const wrongIn = ({ outcomes, hangs }: Report): string[] => [
	...hangs.map((h) => `hangs: ${h}`),
	...outcomes.flatMap((o) => {
		const what = `${o.key}: ${o.change}`;
		const file = o.place?.replace(/:\d+$/, "");
		if (o.result === "raw" && !OWED.includes(file ?? "")) return [`${what}: ${o.error} in ${o.place}`];
		if (o.result === "refused" && !o.named && NAMED.includes(o.entry)) return [`${what} is refused without its name: ${o.error}`];
		if (o.fault !== undefined) return [`${what}: ${o.fault}`];
		return o.leaked !== 0 && !(KEEP.test(o.key) && o.result !== "accepted") ? [`${what} leaks ${o.leaked} bytes`] : [];
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
