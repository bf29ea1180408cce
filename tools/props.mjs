/** `npm run test:props -- --runs 2000 [--seed N]`: the property tests of all operations, with as many random cases. */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

function main() {
	const { values } = parseArgs({ options: { runs: { type: "string", default: "2000" }, seed: { type: "string" } } });
	const env = { ...process.env, HUSHGRAD_PROPERTY_RUNS: values.runs };
	for (const [name, value] of Object.entries(values)) {
		if (!/^\d+$/.test(value ?? "") || (name === "runs" && Number(value) < 1))
			throw new Error(`--${name} is ${value}, expected a whole number`);
	}
	if (values.seed !== undefined) Object.assign(env, { HUSHGRAD_PROPERTY_SEED: values.seed });
	const files = ["primitives", "linearOps", "derivedRows", "functions", "longAxes"].map((name) => `tests/tensor/${name}`);
	const args = ["vitest", "run", "--testTimeout", "3600000", ...files];
	return spawnSync("npx", args, { env, stdio: "inherit" }).status ?? 1;
}

try {
	process.exit(main());
} catch (error) {
	console.error(/** @type {Error} */ (error).message);
	process.exit(1);
}
