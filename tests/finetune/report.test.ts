import { appendFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { truePositiveRate } from "@hushgrad/dp";
import { runFiles, writeReport } from "@hushgrad/finetune";
import { describe, expect, it } from "vitest";
import { main } from "../../packages/finetune/src/cli/main.ts";
import { reportCommand } from "../../packages/finetune/src/report/reportCommand.ts";
import { EVIL, type FixtureOptions, withRun } from "./runFixture.ts";
import { FakeTerminal } from "./terminal.ts";

const pageOf = (options: FixtureOptions) => withRun(options, async (folder) => readFileSync(await writeReport(folder), "utf8"));
const textOf = (page: string) =>
	page
		.replaceAll(/<style>.*?<\/style>/gs, "")
		.replaceAll(/<[^>]*>/g, " ")
		.replaceAll(/\s+/g, " ");

describe("a report", () => {
	it("shows a finished run, and loads and runs nothing", async () => {
		const page = await pageOf({});
		for (const text of ["ε spent 8 ", "δ 1e-5", "16 of 16", "tiny-vaultgemma", "llvmpipe", "Exposure", "not counted"]) {
			expect(textOf(page)).toContain(text);
		}
		expect(page).not.toMatch(/https?:|<script|<link|<img|<iframe|url\(|@import|<[^>]+ on\w+=/i);
		expect(page.match(/<svg role="img" aria-label="[^"]+"/g)?.length).toBe(3);
		expect(page.match(/<h1/g)?.length).toBe(1);
	});

	it("escapes every text", async () => {
		const page = await pageOf({ data: `${EVIL}.csv` });
		expect(page).not.toContain("<script>");
		expect(page).not.toContain("<img");
		expect(page).not.toContain("\u202e");
		expect(page).toContain("&lt;script&gt;");
	});

	it("gives the rates of the accountant, which bound every attack", async () => {
		const page = textOf(await pageOf({}));
		const history = [{ sampling: "random-allocation", stepsPerEpoch: 4, noiseMultiplier: 0.82968, epochs: 4 }] as const;
		const rate = 100 * truePositiveRate(history, 0.01);
		expect(page).toContain(`1.0 % ${(Math.ceil(rate * 10) / 10).toFixed(1)} %`);
	});

	it("names no folder of the user, whose names may be private", async () => {
		const page = await pageOf({ data: "/home/dr-smith/patients/cards.csv" });
		expect(page).not.toContain("dr-smith");
		expect(page).not.toContain(tmpdir());
		expect(page).toContain("cards.csv");
	});

	it("shows what there is of a run that goes on, and what was not covered as such", async () => {
		const page = textOf(await pageOf({ stepsTaken: 5, isPublic: false }));
		expect(page).toContain("5 of 16 steps are taken");
		expect(page).toContain("the numbers are left out here");
		expect(page).not.toContain("4.8123");
		const asked = await withRun({ isPublic: false }, async (folder) =>
			readFileSync(await writeReport(folder, { withPrivateResults: true }), "utf8"),
		);
		expect(asked).toContain("Not covered by ε");
		expect(asked).toContain("4.8123");
		expect(textOf(await pageOf({ isBare: true }))).toContain("no step yet");
	});

	it("says of a run without privacy that it guarantees nothing", async () => {
		const page = textOf(await pageOf({ isPrivate: false }));
		expect(page).toContain("None. This run was made without differential privacy");
		expect(page).toContain("loss, nats");
	});

	it("does not hide an audit that found more than is guaranteed", async () => {
		expect(textOf(await pageOf({ epsilonLower: 9 }))).toContain("The attack found more than is guaranteed");
	});
});

describe("hushgrad report", () => {
	const run = async (...args: string[]) => {
		const terminal = new FakeTerminal();
		const code = await main([reportCommand], ["report", ...args], terminal, "0");
		return { code, terminal };
	};

	it("names the page", () =>
		withRun({}, async (folder) => {
			const { code, terminal } = await run(folder);
			expect(code).toBe(0);
			expect(terminal.stdout.replaceAll(/\s+/g, "")).toContain("report.html");
		}));

	it("refuses what is no run, and files that are damaged, by name", () =>
		withRun({}, async (folder) => {
			expect((await run()).code).toBe(2);
			expect((await run("/nowhere")).terminal.stderr).toContain("there is no run in this folder");
			const { metrics, evaluation, settings } = runFiles(folder);
			appendFileSync(metrics, "{half\n");
			expect(await run(folder)).toMatchObject({ code: 2, terminal: { stderr: expect.stringMatching(/not JSON[\s\S]*metrics\.jsonl/) } });
			writeFileSync(metrics, "");
			writeFileSync(evaluation, '{"after": {"records": "many"}}');
			expect((await run(folder)).terminal.stderr).toContain("after.records is not what a run writes");
			rmSync(evaluation);
			expect((await run(folder)).code).toBe(0);
			writeFileSync(settings, "{}");
			expect((await run(folder)).code).toBe(2);
		}));
});
