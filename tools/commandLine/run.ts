import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, commands, main } from "@hushgrad/finetune";
import { type Case, cases } from "./cases.ts";
import { makeFixtures } from "./fixtures.ts";

/** What a command line was answered with. */
export interface Answer extends Case {
	/** What it ended with. */
	readonly ended: number;
	/** What stdout and stderr got. */
	readonly out: string;
	readonly err: string;
	/** Processor time that it took: what it would take on a machine with nothing else to do. */
	readonly seconds: number;
}

/** Wide enough that no message is broken. */
const COLUMNS = 100_000;

/** Runs every case in a folder of fixtures of its own, in this process; its working directory is that folder meanwhile. */
export async function answers(root: string): Promise<Answer[]> {
	const folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
	const home = process.cwd();
	await makeFixtures(root, folder);
	process.chdir(folder);
	try {
		const all: Answer[] = [];
		for (const one of cases) all.push(await answer(commands, one));
		return all;
	} finally {
		process.chdir(home);
		await rm(folder, { recursive: true });
	}
}

async function answer(known: readonly Command[], one: Case): Promise<Answer> {
	const text = { out: "", err: "" };
	const started = process.cpuUsage();
	const ended = await main(
		known,
		one.args,
		{
			out: (t) => {
				text.out += t;
			},
			err: (t) => {
				text.err += t;
			},
			columns: COLUMNS,
			outColumns: undefined,
			isInteractive: false,
			hasColor: false,
			interrupted: new AbortController().signal,
		},
		"0",
	);
	const { user, system } = process.cpuUsage(started);
	return { ...one, ...text, ended, seconds: (user + system) / 1e6 };
}
