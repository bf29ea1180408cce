import { parseArgs } from "node:util";
import type { Row } from "./row.ts";
import { ROWS } from "./rows.ts";
import type { Settings } from "./run.ts";
import { UsageError } from "./usage.ts";

export interface Options {
	readonly rows: readonly Row[];
	readonly settings: Settings;
	readonly peers: boolean;
	/** Checkout to compare with. */
	readonly base?: string | undefined;
	readonly adapter?: string | undefined;
	/** Where samples are written. */
	readonly json?: string | undefined;
	/** Where the page is written, and the chart beside it. */
	readonly document?: string | undefined;
}

export const HELP = `npm run bench -- [flags]

  --filter RE      rows whose name or family fits the regular expression; all when left out
  --list           names of the rows
  --quick          fewer and shorter samples: a first look, not a measurement
  --peers          beside jax-js, TensorFlow.js and ONNX Runtime, which are installed in out/bench-peers
  --base REF       beside another commit of this repository, checked out in out/bench-base
  --adapter NAME   the GPU, by a part of its name; npm run doctor lists them
  --json FILE      writes all samples
  --document FILE  writes a page in Markdown, and a chart beside it
`;

const FLAGS = {
	filter: { type: "string" },
	list: { type: "boolean", default: false },
	quick: { type: "boolean", default: false },
	peers: { type: "boolean", default: false },
	base: { type: "string" },
	adapter: { type: "string" },
	json: { type: "string" },
	document: { type: "string" },
	help: { type: "boolean", short: "h", default: false },
} as const;

const SETTINGS: Settings = { rounds: 8, sampleMs: 60, rowMs: 8000 };
const QUICK: Settings = { rounds: 3, sampleMs: 15, rowMs: 2000 };

/** What the arguments ask for; a text to print instead for --help and --list. @throws UsageError */
export function readOptions(args: readonly string[]): Options | string {
	const { filter, list, quick, help, ...others } = flagsOf(args);
	if (help) return HELP;
	const pattern = patternOf(filter);
	const rows = ROWS.filter(({ name, family }) => pattern.test(name) || pattern.test(family));
	if (rows.length === 0) {
		throw new UsageError(`no row fits --filter ${filter}; these there are:\n${ROWS.map((r) => `  ${r.name}`).join("\n")}`);
	}
	if (list) return rows.map(({ family, name }) => `${family.padEnd(12)}${name}\n`).join("");
	return { rows, settings: quick ? QUICK : SETTINGS, ...others };
}

function flagsOf(args: readonly string[]) {
	try {
		return parseArgs({ args: [...args], options: FLAGS }).values;
	} catch (error) {
		throw new UsageError(`${(error as Error).message.split(". ")[0]}; npm run bench -- --help lists the flags`);
	}
}

function patternOf(filter = ""): RegExp {
	try {
		return new RegExp(filter, "i");
	} catch (error) {
		throw new UsageError(`--filter: ${(error as Error).message}`);
	}
}
