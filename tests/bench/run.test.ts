import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it, vi } from "vitest";
import { chart } from "../../bench/suite/chart.ts";
import { Contender } from "../../bench/suite/contender.ts";
import { environment } from "../../bench/suite/environment.ts";
import { page } from "../../bench/suite/page.ts";
import { faultOf, install } from "../../bench/suite/peers.ts";
import { reportOf, versusBest } from "../../bench/suite/report.ts";
import { normal, type Row } from "../../bench/suite/row.ts";
import { ROWS } from "../../bench/suite/rows.ts";
import { differenceOf, type Outcome, ran, runRows } from "../../bench/suite/run.ts";
import { exponent, quantile } from "../../bench/suite/statistics.ts";
import { line } from "../../bench/suite/table.ts";

const script = fileURLToPath(new URL("./fakeContender.ts", import.meta.url));
const contenders = ["ours", "other"].map((name) => new Contender({ name, script, args: [name] }));
afterAll(() => {
	for (const c of contenders) c.stop();
});
const settings = { rounds: 4, sampleMs: 1, rowMs: 1000 };
const rowOf = (work: string): Row => ({ name: work, family: "kernels", work, inputs: { x: normal(8) }, attrs: {}, tolerance: 1e-6 });
const reasonOf = (o: Outcome | undefined): string => (o === undefined || o.status === "ran" ? "" : o.reason);

describe("a run", () => {
	it("goes on after a contender that lost its device, died, differs or has no program, and says which", async () => {
		const rows = ["loses", "double", "dies", "rough", "own", "double"].map(rowOf);
		const told: string[] = [];
		const results = await runRows(rows, contenders, settings, ({ row }) => told.push(row.name));
		expect(told).toEqual(rows.map((r) => r.name));
		const [loses, double, dies, rough, own, again] = results.map(({ outcomes }) => outcomes);
		for (const outcomes of [loses, double, dies, rough, own, again]) expect(ran(outcomes.ours)?.samples.length).toBe(4);
		expect(reasonOf(loses.other)).toBe("device/lost: the device was lost");
		expect(reasonOf(dies.other)).toMatch(/^the process ended \(code 3\)/);
		expect(reasonOf(rough.other)).toMatch(/^its outputs differ by 0\.05\d* of the largest, tolerated 0\.000001$/);
		expect(own.other).toEqual({ status: "cannot", reason: "it has no such thing" });
		for (const outcomes of [double, again]) expect(ran(outcomes.other)?.difference).toBe(0);

		const libraries = {
			ours: { library: "ours", version: "1", adapter: "none", isSoftware: false },
			other: { library: "Other", version: "1", adapter: "none", isSoftware: false },
		};
		const report = reportOf({ environment: environment(), settings, libraries, ceilings: [], rows: results, faults: ["third: not there"] });
		expect(report.failures).toEqual([
			"third: not there",
			"loses, other: device/lost: the device was lost",
			expect.stringContaining("dies, other: the process ended"),
			expect.stringContaining("rough, other: its outputs differ"),
		]);
		const text = page(report, "docs/benchmarks.svg");
		expect(text).toContain("![wall time](benchmarks.svg)");
		expect(text).toContain("- other: it has no such thing (own)");
		expect(chart(report).match(/<rect class="(ahead|behind)"/g)).toHaveLength(2);
		expect(line(results[1], [], libraries)).toMatch(/^double .* ms .*\n {2}other .*x wall$/s);
	});
});

describe("a sample", () => {
	it("is as many runs as fill its time, however slow the first were", async () => {
		const [{ outcomes }] = await runRows([rowOf("settles")], contenders, { ...settings, sampleMs: 25 }, () => {});
		for (const name of ["ours", "other"]) for (const { runs } of ran(outcomes[name])?.samples ?? []) expect(runs).toBeGreaterThan(2);
	});
});

describe("rivals", () => {
	it.each([{}, { npm_config_loglevel: "silent", npm_config_dry_run: "true", NPM_CONFIG_JSON: "true" }])(
		"that cannot be installed are told, and leave the others alone, whatever npm is set to: %o",
		(env) => {
			for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
			const root = mkdtempSync(join(tmpdir(), "hushgrad-peers-"));
			try {
				const missing = { name: "missing", script: "jax.ts", packages: { missing: "file:./nowhere" } };
				const broken = { name: "broken", script: "jax.ts", packages: { broken: "file:./nowhere.tgz" } };
				const empty = { name: "empty", script: "tfjs.ts", packages: {} };
				const { peers, failed } = install([missing, broken, empty], root);
				expect(peers.map((p) => p.name)).toEqual(["empty"]);
				expect(failed).toEqual([
					"missing cannot be installed: npm left missing file:./nowhere out",
					expect.stringMatching(/^broken cannot be installed: npm error/),
				]);
			} finally {
				vi.unstubAllEnvs();
				rmSync(root, { recursive: true });
			}
		},
	);

	it("whose npm says nothing are told by how it ended", () => {
		const silent = { status: null, signal: null, stdout: "", stderr: "\n" };
		expect(faultOf({ ...silent, status: 3 })).toBe("npm ended with code 3 and said nothing");
		expect(faultOf({ ...silent, signal: "SIGKILL" })).toBe("npm was ended by SIGKILL and said nothing");
		expect(faultOf({ ...silent, stdout: null, stderr: null, error: new Error("spawnSync npm ENOENT") })).toBe(
			"npm did not begin: spawnSync npm ENOENT",
		);
		expect(faultOf({ ...silent, status: 1, stdout: "npm error 404" })).toBe("npm error 404");
		expect(faultOf({ ...silent, status: 1, stderr: "npm warn old\nnpm error code E404\n" })).toBe("npm error code E404");
	});
});

describe("what is told", () => {
	it("names every row once", () => {
		const names = ROWS.map((r) => r.name);
		expect(new Set(names).size).toBe(names.length);
	});

	it("has quantiles between the samples", () => {
		expect([0, 0.1, 0.5, 1].map((q) => quantile([3, 1, 2, 5, 4], q))).toEqual([1, 1.4, 3, 5]);
		expect(quantile([], 0.5)).toBeNaN();
	});

	it("fits the exponent of growth", () => {
		expect(exponent([1, 2, 4, 8].map((x) => [x, 3 * x ** 1.5]))).toBeCloseTo(1.5, 12);
	});

	it("compares outputs by their largest number, and knows NaN for a difference", () => {
		expect(differenceOf([Float32Array.of(1, -4)], [Float32Array.of(1.5, -4)])).toBe(0.125);
		expect(differenceOf([Float32Array.of(1, 2)], [Float32Array.of(Number.NaN, 2)])).toBeNaN();
		expect(() => differenceOf([Float32Array.of(1)], [Float32Array.of(1, 2)])).toThrow("2 elements, expected 1");
	});

	it("holds this library against the best of the others", () => {
		const cost = (ms: number) => ({ median: ms, p10: ms, p90: ms });
		const of = (ms: number): Outcome => {
			const sample = { wall: ms, gpu: ms, host: ms, runs: 1 };
			return { status: "ran", cold: sample, samples: [sample], wall: cost(ms), gpu: cost(2 * ms), host: cost(ms) };
		};
		expect(versusBest({ ours: of(2), a: of(3), b: of(1), c: { status: "cannot", reason: "" } }, "gpu")).toEqual({ name: "b", ratio: 0.5 });
		expect(versusBest({ ours: of(2) }, "wall")).toBeUndefined();
	});
});
