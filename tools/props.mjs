/** `npm run test:props -- --runs 2000 [--seed N]`: the property tests of all operations, with as many random cases. */
import { spawnSync } from "node:child_process";
import { readFlags, whole } from "./flags.mjs";

function main() {
	const help = `npm run test:props -- [flags]
  --runs 2000   random cases of each operation
  --seed N      that they follow from; another one each time when left out`;
	const values = readFlags(help, { runs: { type: "string", default: "2000" }, seed: { type: "string" } });
	whole("runs", values.runs);
	if (values.seed !== undefined) whole("seed", values.seed, 0);
	const env = { ...process.env, HUSHGRAD_PROPERTY_RUNS: values.runs };
	if (values.seed !== undefined) Object.assign(env, { HUSHGRAD_PROPERTY_SEED: values.seed });
	const files = ["primitives", "linearOps", "derivedRows", "functions", "longAxes"].map((name) => `tests/tensor/${name}`);
	const args = ["vitest", "run", "--testTimeout", "3600000", ...files];
	return spawnSync("npx", args, { env, stdio: "inherit" }).status ?? 1;
}

process.exit(main());
