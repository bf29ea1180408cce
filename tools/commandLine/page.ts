import { commands } from "@hushgrad/finetune";
import { type Answer, answers } from "./run.ts";

export const PAGE = "docs/command-line.md";

const WIDTH = 110;

/** docs/command-line.md: what every command says of itself, and how wrong input is answered. */
export async function page(root: string): Promise<string> {
	const all = await answers(root);
	const sections = commands.map(({ name, help }) => `## ${name}\n\n<pre>\n${escaped(help(WIDTH).trimEnd())}\n</pre>`);
	return [
		"# The command line",
		"What every command of [`hushgrad`](../packages/finetune/README.md) says of itself, and how wrong input is answered. Written by\n`npm run pages`.",
		...sections,
		"## Wrong input",
		`${all.length} command lines with something wrong in them, typed where a few files lie: \`cards.csv\` is fine, the others are what their names say.
Each ends with the exit code beside it, within a second and before a GPU is opened, with one message and without a stack. Nothing of a
record is printed. A test types all of them; another types some as processes of their own, in places that are read-only, locked or full.
What is left of a run that is ended in its middle stands in [resume.md](resume.md).`,
		table(all),
		"",
	].join("\n\n");
}

function table(all: readonly Answer[]): string {
	const rows = all.map(
		({ args, ended, err, out }) => `| \`${cell(lineOf(args))}\` | ${ended} | ${cell(messageOf(err === "" ? out : err))} |`,
	);
	return ["| hushgrad … | ends with | and says |", "| --- | --- | --- |", ...rows].join("\n").replace(/\n$/, "");
}

const lineOf = (args: readonly string[]): string => args.map((arg) => (/^[\w./=,:%+-]+$/.test(arg) ? arg : `'${arg}'`)).join(" ");

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
