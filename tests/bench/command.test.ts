import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { type Report, rateOf } from "../../bench/suite/report.ts";
import { ran } from "../../bench/suite/run.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hushgrad-bench-"));
afterAll(() => rmSync(folder, { recursive: true }));

function bench(...args: string[]) {
	const node = ["--import", "tsx", "-C", "@hushgrad/source", "bench/suite.ts", ...args];
	return spawnSync(process.execPath, node, { cwd: root, encoding: "utf8" });
}

describe("npm run bench", () => {
	it("measures some rows quickly, and writes samples, a page and a chart", () => {
		const [json, document] = ["bench.json", "bench.md"].map((name) => join(folder, name));
		const { status, stdout, stderr } = bench("--quick", "--filter", "^rmsNorm|^200 .* captured$", "--json", json, "--document", document);
		expect(stderr).toBe("");
		expect(status).toBe(0);
		expect(stdout).toMatch(/^rmsNorm 1024x1152 .* ms .* GB\/s/m);
		const report = JSON.parse(readFileSync(json, "utf8")) as Report;
		expect(report.rows.map((r) => r.row.work)).toEqual(["rmsNorm", "capturedAdds"]);
		expect(report.failures).toEqual([]);
		for (const { outcomes } of [...report.ceilings, ...report.rows]) {
			const own = ran(outcomes.hushgrad);
			expect(own?.samples.length).toBe(3);
			for (const { wall, host, runs } of own?.samples ?? []) {
				expect(wall).toBeGreaterThan(0);
				expect(host).not.toBeLessThan(0);
				expect(runs).toBeGreaterThan(0);
			}
			expect(own?.wall.p10).toBeLessThanOrEqual(own?.wall.p90 ?? 0);
		}
		const own = ran(report.rows[0].outcomes.hushgrad);
		const rate = own && rateOf(report.rows[0].row, own, report.ceilings, "wall");
		expect(rate).toMatchObject({ unit: "GB/s", fraction: expect.any(Number) });
		expect(readFileSync(document, "utf8")).toMatch(/^# Benchmarks$/m);
		expect(readFileSync(join(folder, "bench.svg"), "utf8")).toMatch(/^<svg /);
	});

	it.each([
		[["--filter", "no such row"], /^no row fits --filter no such row; these there are:\n {2}matmul 256\n/],
		[["--filter", "("], /^--filter: Invalid regular expression/],
		[["--rounds", "3"], /^Unknown option '--rounds'; npm run bench -- --help lists the flags$/m],
		[["--filter", "rmsNorm", "--base", "no-such-commit"], /^--base no-such-commit: there is no such commit$/m],
		[["--filter", "rmsNorm", "--adapter", "no such GPU"], /^hushgrad does not start: device\/adapter: .*there is no adapter "no such GPU"/],
	])("refuses %j in one line, with code 2", (args, text) => {
		const { status, stderr, stdout } = bench(...args);
		expect(stderr).toMatch(text);
		expect(status).toBe(2);
		expect(stdout).toBe("");
	});

	it("lists its rows, and its flags", () => {
		expect(bench("--list", "--filter", "growth").stdout).toMatch(/^growth +private step, T = 32$/m);
		expect(bench("--help").stdout).toContain("--peers");
	});
});
