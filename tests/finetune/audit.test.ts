import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AuditResult, audit, runFiles, settingsText } from "@hushgrad/finetune";
import { describe, expect, it } from "vitest";
import { auditCommand } from "../../packages/finetune/src/audit/auditCommand.ts";
import { main } from "../../packages/finetune/src/cli/main.ts";
import { prepare } from "../../packages/finetune/src/run/prepare.ts";
import { FakeTerminal } from "./terminal.ts";
import { inFolder, settingsOf } from "./tinyRun.ts";

const audited = (folder: string, changes: Readonly<Record<string, string | undefined>>, options = {}) =>
	settingsOf(folder, changes).then(async (settings) => (await audit(await prepare(settings), { canaries: 40, ...options })) as AuditResult);

describe("an audit", () => {
	it("gives a bound below the ε of a private run, and no ε of one without privacy", () =>
		inFolder(async (folder) => {
			const { included, epsilon, epsilonLower, exposure } = await audited(folder, { epsilon: "1" });
			expect(included).toBeGreaterThan(8);
			expect(included).toBeLessThan(32);
			expect(epsilon).toBeGreaterThan(0.9);
			expect(epsilonLower).toBeLessThanOrEqual(epsilon ?? 0);
			// The mean of log2(n + 1) - log2(rank) over all ranks.
			const ranks = 40 - included + 1;
			const logs = Array.from({ length: ranks }, (_, i) => Math.log2(ranks) - Math.log2(i + 1));
			expect(exposure.byChance).toBeCloseTo(logs.reduce((a, b) => a + b, 0) / ranks, 12);
			expect(exposure.possible).toBeCloseTo(Math.log2(ranks), 12);
			expect(exposure.most).toBeLessThanOrEqual(exposure.possible);
			expect((await audited(folder, { "no-private": "" })).epsilon).toBeUndefined();
		}));

	it("tells nothing where it is interrupted", () =>
		inFolder(async (folder) => {
			const signal = AbortSignal.abort();
			expect(await audited(folder, {}, { signal })).toBeUndefined();
		}));
});

describe("hushgrad audit", () => {
	const run = async (...args: string[]) => {
		const terminal = new FakeTerminal({ columns: 100 });
		return { code: await main([auditCommand], ["audit", ...args], terminal, "0"), terminal };
	};

	it("keeps what it found beside the run, and touches the ledger only with the data", () =>
		inFolder(async (folder) => {
			const settings = await settingsOf(folder);
			mkdirSync(settings.output);
			const files = runFiles(settings.output);
			writeFileSync(files.settings, settingsText(settings));
			const { code, terminal } = await run(settings.output, "--canaries", "40");
			expect(terminal.stderr).not.toContain("error");
			expect(code).toBe(0);
			expect(terminal.stdout).toContain("40 canaries");
			expect(JSON.parse(readFileSync(files.audit, "utf8"))).toMatchObject({ canaries: 40, withData: false, steps: settings.steps });
			expect(existsSync(settings.ledger)).toBe(false);
			expect((await run(settings.output, "--canaries", "40", "--with-data")).code).toBe(0);
			expect(readFileSync(settings.ledger, "utf8").split("\n").length).toBeGreaterThan(settings.steps);
		}));

	it("refuses what is no run, and too few canaries", async () => {
		expect((await run("/nowhere")).code).toBe(2);
		expect((await run()).code).toBe(2);
		expect((await run("/nowhere", "--canaries", "3")).code).toBe(2);
	});
});
