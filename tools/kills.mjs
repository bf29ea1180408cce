/**
 * `npm run kills:run -- --kills 200 --lost 20 --full 5`: ends runs of fine-tuning at random moments so often, takes the GPU away and fills
 * the disk, and looks whether each goes on to its end, with nothing forgotten that was spent.
 */
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { readFlags } from "./flags.mjs";

const HELP = `npm run kills:run -- [flags]
  --kills 200   runs that are ended by SIGKILL, SIGTERM or SIGINT, at random moments
  --lost 20     runs whose GPU is taken away
  --full 5      runs whose disk is full`;
const number = /** @type {const} */ ({ type: "string" });
const { kills = "200", lost = "20", full = "5" } = readFlags(HELP, { kills: number, lost: number, full: number });
const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const args = ["run", "tests/finetune/kills.test.ts", "tests/finetune/losses.test.ts", "--testTimeout", "36000000"];
const env = { ...process.env, HUSHGRAD_KILLS: kills, HUSHGRAD_LOST: lost, HUSHGRAD_FULL: full };
process.exit(spawnSync(process.execPath, [vitest, ...args], { stdio: "inherit", env }).status ?? 1);
