import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { planPrivacy } from "@hushgrad/dp";
import { fileLedger } from "@hushgrad/dp/files";
import { describe, expect, it } from "vitest";
import { main } from "../../packages/finetune/src/cli/main.ts";
import { displayWidth } from "../../packages/finetune/src/cli/width.ts";
import { readRecords } from "../../packages/finetune/src/data/readRecords.ts";
import { plan } from "../../packages/finetune/src/plan/command.ts";
import { roughNoise } from "../../packages/finetune/src/plan/privacy.ts";
import { useFolder } from "./folder.ts";
import { FakeTerminal } from "./terminal.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const MODEL = ["--model", join(root, "assets/tiny-vaultgemma")];
/** Short runs, so that calibration is quick. */
const SHORT = ["--steps", "2", "--sampling", "poisson"];

const { path: folder, file } = useFolder();
const rows = (count: number) => Array.from({ length: count }, (_, i) => `What is secret ${i}?,a thing of kind ${i}`);
const csv = (lines: readonly string[]) => `question,answer\n${lines.join("\n")}\n`;
const run = async (args: readonly string[], options = {}) => {
	const terminal = new FakeTerminal(options);
	const code = await main([plan], ["plan", ...MODEL, ...(args.includes("--no-private") ? [] : SHORT), ...args], terminal, "0");
	return { code, out: terminal.stdout, err: terminal.stderr };
};

describe("hushgrad plan", () => {
	it("shows settings and their sources, data, memory, noise, the curve, and the next command; writes nothing, shows no record", async () => {
		const data = await file("fine.csv", csv(rows(60)));
		const before = await readdir(folder());
		const { code, out, err } = await run(["--data", data, "--records", "54"]);
		expect({ code, err }).toEqual({ code: 0, err: "reading the data, planning the noise\n" });
		expect(out).toMatch(/lr +0.01 +by model size/);
		expect(out).toMatch(/records +54 +--records/);
		expect(out).toMatch(/records +\d\d to train on, \d+ held out; N = 54 is what becomes public/);
		expect(out).toMatch(/adapter +52,992 of them trained/);
		expect(out).toMatch(/together +\d+ MiB/);
		expect(out).toMatch(/noise +σ = \d\.\d{4}/);
		expect(out).toMatch(/step 1 +ε +\d\.\d{3} .*\n.*step 2 +ε +8\.000/);
		expect(out).toMatch(/ε 4\.00 +σ about [\d.]+: [\d.]+ times the noise/);
		expect(out).toContain("hushgrad train \\\n");
		expect(out).not.toContain("secret");
		expect(await readdir(folder())).toEqual(before);
	});

	it("prints five records as tokens only when asked", async () => {
		const data = await file("fine.csv", csv(rows(60)));
		const { out } = await run(["--data", data, "--records", "54", "--show-examples"]);
		expect(out.match(/row \d+ +<bos><start_of_turn>user⏎/g)?.length).toBe(5);
		expect(out).toContain("secret");
		expect(out).toMatch(/\[a\] \[[^\]]+\]/);
		const colored = await run(["--data", data, "--records", "54", "--show-examples"], { hasColor: true });
		expect(colored.out).toContain("\x1b[4;32ma\x1b[24;39m");
		expect(colored.out).not.toContain("[<end_of_turn>]");
	});

	it("names what is broken and too long by place, and ends as training would", async () => {
		const lines = rows(60);
		lines[3] = "What is secret?,";
		lines[10] = `What is secret?,${"secret ".repeat(90)}`;
		const data = await file("wrong.csv", csv(lines));
		const stopped = await run(["--data", data, "--records", "54"]);
		expect(stopped.code).toBe(2);
		expect(stopped.out).toMatch(/broken +1 at which training would stop:\n +row 5: answer is empty/);
		expect(stopped.out).toMatch(/too long +1 at which training would stop: row 12/);
		expect(stopped.err).toContain("training would stop at the records above");
		expect(stopped.out).toContain("Noise and ε are worked out once training would not stop");
		expect(stopped.out).not.toContain("σ");
		const dropped = await run(["--data", data, "--records", "54", "--broken", "drop", "--too-long", "cut"]);
		expect(dropped.code).toBe(0);
		expect(dropped.out).toMatch(/too long +1 cut: row 12/);
		expect(stopped.out + stopped.err + dropped.out).not.toContain("secret");
	});

	it("warns of what is legal and unwise", async () => {
		const lines = [...rows(58), "twice,the same", "twice,the same"];
		const data = await file("twice.csv", csv(lines));
		const flags = [
			"--epsilon",
			"12",
			"--delta",
			"5e-3",
			"--records",
			"100",
			"--schedule",
			"cosine",
			"--warmup-steps",
			"3",
			"--lr",
			"1",
			"--private-losses",
		];
		const { code, out } = await run(["--data", data, ...flags]);
		const flat = out.replaceAll(/\s+/g, " ");
		expect(code).toBe(0);
		for (const warning of [
			"ε = 12 is above 10",
			"δ = 0.005 is above 1/(10·N) = 0.001",
			"N = 100 is declared, which is more than the file has",
			"The warm-up of 3 steps is as long as the run of 2",
			"A learning rate of 1 is 100 times what suits",
			"1 record stands more than once in the data (rows 60 and 61)",
			"--private-losses shows losses",
		]) {
			expect(flat).toContain(warning);
		}
		expect((await run(["--data", data, "--no-private"])).out.replaceAll(/\s+/g, " ")).toContain("the adapter may give its records away");
	});

	it("adds up with earlier runs on the same records, by the ledger, and leaves the ledger as it is", async () => {
		const data = await file("again.csv", csv(rows(60)));
		const settings = { broken: "stop", heldOut: 0.1, seed: 0 } as const;
		const { fingerprint } = await readRecords({ ...settings, data });
		const earlier = planPrivacy({ targetEpsilon: 8, targetDelta: 1e-5, datasetSize: 54, expectedBatchSize: 14, maxGradNorm: 1, steps: 2 });
		const { ledger, close } = await fileLedger(`${data}.ledger`);
		await ledger.begin("one", fingerprint, earlier, true);
		for (const step of [1, 2]) await ledger.step("one", step);
		await close();
		const { out } = await run(["--data", data, "--records", "54"]);
		// Two runs of ε = 8 by one mechanism each: the accountant's sum for four such steps.
		const together = planPrivacy({
			noiseMultiplier: earlier.noiseMultiplier,
			targetDelta: 1e-5,
			datasetSize: 54,
			expectedBatchSize: 14,
			maxGradNorm: 1,
			steps: 4,
		});
		expect(out.replaceAll(/\s+/g, " ")).toContain(
			`There is an earlier run on the same records, by the ledger: all together ε = ${together.epsilon.toFixed(2)}`,
		);
		expect((await readdir(folder())).filter((name) => name.startsWith("again"))).toEqual(["again.csv", "again.csv.ledger"]);
	});

	it.each([60, 80, 120, 200])("no line is wider than %i columns", async (columns) => {
		const data = await file("wide.csv", csv([...rows(58), "心臓とは何ですか,血液を送る臓器です", "twice,the same"]));
		const { out } = await run(["--data", data, "--records", "54", "--show-examples", "--epsilon", "20"], { columns });
		for (const line of out.replaceAll(folder(), "/data").split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(columns);
	});
});

it("noise for another ε is that of calibration, within two parts in a hundred", () => {
	const common = { targetDelta: 1e-5, datasetSize: 1000, expectedBatchSize: 100, maxGradNorm: 1, steps: 20 };
	const at = (targetEpsilon: number) => planPrivacy({ ...common, targetEpsilon });
	for (const target of [4, 1, 0.2]) expect(roughNoise(at(8), target) / at(target).noiseMultiplier).toBeCloseTo(1, 1.7);
});
