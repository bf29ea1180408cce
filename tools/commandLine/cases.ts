import { settingsCases } from "./settingsCases.ts";

/** A command line with something wrong in it. */
export interface Case {
	/** What is typed after `hushgrad`, in the folder of `makeFixtures`. */
	readonly args: readonly string[];
	/** What it has to end with. */
	readonly code: 1 | 2;
}

const refused = (...args: string[]): Case => ({ args, code: 2 });

/** Command lines with something wrong in them, of every command. */
export const cases: readonly Case[] = [
	refused(),
	refused("plna"),
	refused("--lr", "1"),
	refused("TRAIN"),
	refused("help", "trian"),
	...settingsCases("plan"),
	refused("plan", "--show-examples=yes"),
	refused("doctor", "now"),
	refused("doctor", "--jsn"),
	refused("doctor", "--json", "--json"),
	refused("doctor", "--config", "steps.yaml"),
];
