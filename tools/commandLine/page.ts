import { commands } from "@hushgrad/finetune";
import { lineOf } from "./cases.ts";
import { type Answer, answers } from "./run.ts";
import { readSeconds } from "./seconds.ts";

export const PAGE = "docs/command-line.md";

const WIDTH = 110;

/** docs/command-line.md: what every command says of itself, and how wrong input is answered. */
export async function page(root: string): Promise<string> {
	const all = await answers(root);
	const seconds = readSeconds(root);
	const sorted = Object.values(seconds).toSorted((a, b) => a - b);
	const median = sorted[sorted.length >> 1];
	const sections = commands.map(({ name, help }) => `## ${name}\n\n<pre>\n${escaped(help(WIDTH).trimEnd())}\n</pre>`);
	return [
		"# The command line",
		"What every command of [`hushgrad`](../packages/finetune/README.md) says of itself, and how wrong input is answered. Written by\n`npm run pages`.",
		...sections,
		"## Wrong input",
		`${all.length} command lines with something wrong in them, typed where a few files lie: \`cards.csv\` is fine, the others are what their names say.
Each ends with the exit code beside it, within a second and before a GPU is opened, with one message and without a stack. Nothing of a
record is printed. A test types all of them; another types some as processes of their own, in places that are read-only, locked or full.
The time is what the processor worked from the line to its message, once Node has started; \`npm run wrong-input\` measures it. Half of the lines
take ${ms(median)} ms or less, the longest ${ms(sorted.at(-1))}.
What is left of a run that is ended in its middle stands in [resume.md](resume.md).`,
		table(all, seconds),
		"",
	].join("\n\n");
}

const ms = (seconds: number | undefined): string => (seconds === undefined ? "not measured" : (1000 * seconds).toFixed(0));

function table(all: readonly Answer[], seconds: Readonly<Record<string, number>>): string {
	const rows = all.map((one) => {
		const said = messageOf(one.err === "" ? one.out : one.err);
		return `| \`${cell(lineOf(one))}\` | ${one.ended} | ${ms(seconds[lineOf(one)])} | ${cell(said)} |`;
	});
	return ["| hushgrad … | ends with | after ms | and says |", "| --- | --- | --: | --- |", ...rows].join("\n");
}

/** A message on one line: what it says, without its code and without the list of commands. */
function messageOf(err: string): string {
	const lines = err.split("\n").map((line) => line.trim());
	const end = lines.findIndex((line) => /^\[[\w-]+\/[\w-]+\]$/.test(line));
	return (end < 0 ? lines : lines.slice(0, end))
		.filter((line) => line !== "")
		.slice(0, 12)
		.join(" ");
}

const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll("`", "'");
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
