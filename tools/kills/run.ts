/**
 * `npm run kills:run -- --kills 200 --lost 20 --full 5`: ends runs of fine-tuning at random moments so often, takes the GPU away and fills
 * the disk, looks whether each goes on to its end with nothing forgotten that was spent, and writes docs/resume.md from what it saw.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFlags, refuse, whole } from "../flags.mjs";
import { page } from "./page.ts";
import { type Row, SIGNALS } from "./results.ts";

const HELP = `npm run kills:run -- [flags]
  --kills 200   runs that are ended by SIGKILL, SIGTERM or SIGINT, at random moments
  --signal S    ends them by this one of the three alone
  --lost 20     runs whose GPU is taken away
  --full 5      runs whose disk is full
  --more        adds to what bench/results/kills.jsonl has
  --page        only writes docs/resume.md again, from bench/results/kills.jsonl`;
const number = { type: "string" } as const;
const flags = readFlags(HELP, {
	kills: number,
	signal: { type: "string" },
	lost: number,
	full: number,
	more: { type: "boolean" },
	page: { type: "boolean" },
});
const { kills = "200", lost = "20", full = "5" } = flags;
for (const [name, value] of Object.entries({ kills, lost, full })) whole(name, value, 0);
const { signal } = flags;
if (signal !== undefined && !SIGNALS.some((s) => s === signal)) {
	refuse(`--signal is ${JSON.stringify(signal)}, expected one of ${SIGNALS.join(", ")}`);
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const results = join(root, "bench/results/kills.jsonl");
if (!flags.page) {
	const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
	const args = ["run", "tests/finetune/kills.test.ts", "tests/finetune/losses.test.ts", "--testTimeout", "36000000"];
	const counts = { HUSHGRAD_KILLS: kills, HUSHGRAD_LOST: lost, HUSHGRAD_FULL: full, ...(signal && { HUSHGRAD_KILL_SIGNAL: signal }) };
	if (!flags.more) rmSync(results, { force: true });
	const env = { ...process.env, ...counts, HUSHGRAD_KILLS_RESULTS: results };
	process.exitCode = spawnSync(process.execPath, [vitest, ...args], { stdio: "inherit", env, cwd: root }).status ?? 1;
}
const lines = readFileSync(results, "utf8").split("\n").slice(0, -1);
writeFileSync(join(root, "docs/resume.md"), page(lines.map((line) => JSON.parse(line) as Row)));
console.log("docs/resume.md is written");
