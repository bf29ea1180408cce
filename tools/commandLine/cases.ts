import { settingsCases } from "./settingsCases.ts";

/** A command line with something wrong in it. */
export interface Case {
	/** What is typed after `hushgrad`, in the folder of `makeFixtures`. */
	readonly args: readonly string[];
	/** What it has to end with. */
	readonly code: 1 | 2;
}

/** A case as it is typed. */
export const lineOf = ({ args }: Case): string => args.map((arg) => (/^[\w./=,:%+-]+$/.test(arg) ? arg : `'${arg}'`)).join(" ");

const refused = (...args: string[]): Case => ({ args, code: 2 });

const TRAIN = ["train", "--data", "cards.csv", "--model", "model", "--records", "54"];

/** Command lines with something wrong in them, of every command. */
export const cases: readonly Case[] = [
	refused(),
	refused("plna"),
	refused("--lr", "1"),
	refused("TRAIN"),
	refused("help", "trian"),
	...settingsCases("plan"),
	refused("plan", "--show-examples=yes"),
	...settingsCases("train"),
	refused("train", "--data", "three-broken.csv", "--model", "model", "--records", "30000"),
	...["full", "cards.csv", "cards.csv/inside"].map((output) => refused(...TRAIN, "--output", output)),
	...["empty", "changed.ledger", "cards.csv", "cards.csv/inside"].map((ledger) => refused(...TRAIN, "--ledger", ledger)),
	...["no-weights", "torn-weights", "garbage-weights"].map((model) => refused(...TRAIN.slice(0, 3), "--model", model, ...TRAIN.slice(5))),
	...["lost-adapter", "other-adapter", "torn-adapter", "odd-adapter"].flatMap((adapter) => [
		refused("chat", adapter),
		refused("generate", adapter, "--prompt", "Why?"),
		refused("merge", adapter, "--output", "merged"),
		refused("eval", adapter, "--public-eval", "cards.csv"),
	]),
	refused("eval", "other-adapter"),
	refused("chat", "model", "--adapter", "other-adapter"),
	refused("chat", "model", "--adapter", "empty"),
	refused("chat", "other-adapter", "--model", "no-tokenizer"),
	...["no-tokenizer", "garbage-tokenizer", "torn-config", "no-weights", "torn-weights"].map((model) => refused("chat", model)),
	refused("chat", "model", "--template", "{{ unclosed"),
	...["resume", "eval", "report", "chat", "generate", "merge", "adapters"].flatMap((name) => [
		refused(name, ...(name === "generate" ? ["--prompt", "Why?"] : name === "merge" ? ["--output", "merged"] : []), "absent", "two"),
		refused(name, "--modle", "model"),
	]),
	...["resume", "eval", "report", "chat"].flatMap((name) => [
		refused(name),
		refused(name, "absent"),
		refused(name, "empty"),
		refused(name, "cards.csv"),
	]),
	refused("generate", "model"),
	refused("generate", "model", "--prompt", ""),
	refused("generate", "empty", "--prompt", "Why?"),
	refused("generate", "model", "--prompt", "Why?", "--temperature", "-1"),
	refused("generate", "model", "--prompt", "Why?", "--top-p", "0"),
	refused("generate", "model", "--prompt", "Why?", "--max-new-tokens", "0"),
	refused("chat", "model", "--repetition-penalty", "0"),
	refused("merge", "model", "--output", "merged"),
	refused("merge", "model"),
	refused("merge", "model", "--output", "merged", "--dtype", "int8"),
	refused("eval", "model", "--data", "cards.csv", "--public-eval", "cards.csv"),
	refused("doctor", "now"),
	refused("doctor", "--jsn"),
	refused("doctor", "--json", "--json"),
	refused("doctor", "--config", "steps.yaml"),
];
