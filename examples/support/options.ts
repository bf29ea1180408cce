import { parseArgs } from "node:util";
import { ValueError } from "@hushgrad/tensor";

/** Every flag: its value when left out, what it must be, and what it does. */
const FLAGS = {
	model: { default: "assets/tiny-vaultgemma", kind: "text", help: "directory with config.json, model.safetensors and tokenizer.model" },
	data: { default: "assets/flashcards.json", kind: "text", help: "cards: a JSON list of {instruction, input, output}" },
	records: { default: "0", kind: "whole", help: "number N of cards to train on, made public; 400 for those of this repository" },
	output: { default: "out/medical-adapter", kind: "text", help: "directory for the trained adapter (peft's format)" },
	epsilon: { default: "8", kind: "positive", help: "privacy budget of the whole run" },
	delta: { default: "1e-5", kind: "positive", help: "probability that the guarantee may fail; below 1 / number of cards" },
	steps: { default: "16", kind: "count", help: "training steps" },
	batch: { default: "100", kind: "count", help: "mean number of cards in a step" },
	sampling: {
		default: "random-allocation",
		kind: ["random-allocation", "poisson"],
		help: "how a step's cards are drawn: each once in every epoch, in a step of its own, or each step anew",
	},
	"physical-batch": { default: "16", kind: "count", help: "cards on the GPU at a time; changes memory, not privacy" },
	"max-grad-norm": { default: "1", kind: "positive", help: "clipping norm of one card's gradient" },
	lr: { default: "1e-2", kind: "positive", help: "learning rate of AdamW, the highest" },
	beta1: { default: "0", kind: "fraction", help: "momentum of AdamW; with none the noise of all steps weighs alike" },
	schedule: { default: "constant", kind: ["constant", "cosine"], help: "of the learning rate" },
	"warmup-steps": { default: "2", kind: "whole", help: "steps of linear warm-up before a cosine" },
	"weight-decay": { default: "0", kind: "notNegative", help: "decoupled weight decay" },
	rank: { default: "8", kind: "count", help: "rank r of LoRA" },
	alpha: { default: "16", kind: "positive", help: "LoRA's alpha; the update is scaled by alpha / r" },
	dropout: { default: "0.05", kind: "fraction", help: "dropout before LoRA" },
	"max-length": { default: "80", kind: "count", help: "tokens a card may have, question and answer together" },
	"max-answer": { default: "64", kind: "count", help: "tokens that the answer may have of them" },
	"max-new-tokens": { default: "32", kind: "count", help: "length of a generated answer" },
	"min-new-tokens": { default: "4", kind: "whole", help: "tokens of an answer before it may end" },
	temperature: { default: "0.7", kind: "notNegative", help: "of sampling; 0 always takes the likeliest token" },
	"top-p": { default: "0.9", kind: "fraction1", help: "sample from the likeliest tokens that hold this much probability" },
	"repetition-penalty": { default: "1.2", kind: "positive", help: "divides the logits of tokens already seen" },
	seed: { default: "0", kind: "whole", help: "of the split, LoRA's start and the answers; never of the privacy noise" },
} as const;

/** Flags that have no value. */
const SWITCHES = ["no-dp", "private-losses", "gradient-checkpointing", "help"];

const KINDS = {
	positive: { expected: "a number above 0", holds: (n) => n > 0 && Number.isFinite(n) },
	notNegative: { expected: "a number, 0 or more", holds: (n) => n >= 0 && Number.isFinite(n) },
	count: { expected: "a whole number, 1 or more", holds: (n) => Number.isSafeInteger(n) && n >= 1 },
	whole: { expected: "a whole number, 0 or more", holds: (n) => Number.isSafeInteger(n) && n >= 0 },
	fraction: { expected: "a number from 0 to below 1", holds: (n) => n >= 0 && n < 1 },
	fraction1: { expected: "a number above 0, at most 1", holds: (n) => n > 0 && n <= 1 },
} satisfies Record<string, { readonly expected: string; readonly holds: (n: number) => boolean }>;

type Flags = typeof FLAGS;
/** What a kind of value is read as: text, one of a list of words, or a number. */
type Read<K> = K extends "text" ? string : K extends readonly (infer Word)[] ? Word : number;

export type Options = { readonly [F in keyof Flags]: Read<Flags[F]["kind"]> } & {
	readonly dp: boolean;
	/** Print what epsilon does not cover, too. */
	readonly privateLosses: boolean;
	/** Less memory, more time. */
	readonly gradientCheckpointing: boolean;
};

export function helpText(): string {
	const lines = Object.entries(FLAGS).map(([name, f]) => `  --${name.padEnd(24)}${f.help} (${f.default})`);
	return [
		"Privately fine-tunes a VaultGemma on medical flashcards: NF4 base, LoRA, differential privacy.",
		"",
		"  npm run demo -- [flags]",
		"",
		...lines,
		`  --${"no-dp".padEnd(24)}train without clipping and noise, for comparison: no privacy at all`,
		`  --${"private-losses".padEnd(24)}print the loss of the private cards of each step, which epsilon does not cover`,
		`  --${"gradient-checkpointing".padEnd(24)}compute each layer again for its gradient: less memory, more time, the same result`,
		`  --${"help".padEnd(24)}this text`,
	].join("\n");
}

/** Reads the command line; undefined when help was asked for. @throws ValueError naming the flag and what it must be. */
export function readOptions(args: readonly string[]): Options | undefined {
	const options = Object.fromEntries(
		Object.entries(FLAGS).map(([name, f]) => [name, { type: "string" as const, default: f.default as string }]),
	);
	let values: { readonly [flag: string]: unknown; readonly help?: unknown };
	try {
		({ values } = parseArgs({
			args: [...args],
			options: { ...options, ...Object.fromEntries(SWITCHES.map((name) => [name, { type: "boolean" as const }])) },
			strict: true,
		}));
	} catch (cause) {
		const message = (cause as Error).message.split(/\.\s/)[0];
		throw new ValueError("cli/flag", `${message}${nearest(args)}`, { hint: "npm run demo -- --help lists every flag", cause });
	}
	if (values.help === true) return undefined;
	const read = Object.entries(FLAGS).map(([name, { kind }]) => [name, readValue(name, kind, String(values[name]))]);
	return {
		...Object.fromEntries(read),
		dp: values["no-dp"] !== true,
		privateLosses: values["private-losses"] === true,
		gradientCheckpointing: values["gradient-checkpointing"] === true,
	} as Options;
}

function readValue(name: string, kind: Flags[keyof Flags]["kind"], text: string): string | number {
	if (kind === "text") return text;
	const isWord = typeof kind !== "string";
	const value = isWord ? text : text.trim() === "" ? Number.NaN : Number(text);
	const isFit = typeof value === "number" ? KINDS[kind as keyof typeof KINDS].holds(value) : (kind as readonly string[]).includes(value);
	if (isFit) return value;
	const expected = isWord ? kind.join(" or ") : KINDS[kind].expected;
	throw new ValueError("cli/value", `--${name} is ${JSON.stringify(text)}, expected ${expected}`, {
		hint: "npm run demo -- --help explains each flag",
	});
}

/** A guess at what a mistyped flag was meant to be. */
function nearest(args: readonly string[]): string {
	const known = [...Object.keys(FLAGS), ...SWITCHES];
	const wrong = args.map((a) => /^--([^=]+)/.exec(a)?.[1]).find((a) => a !== undefined && !known.includes(a));
	if (wrong === undefined) return "";
	const guess = known.find((k) => isNear(k, wrong));
	return guess === undefined ? "" : `; did you mean --${guess}?`;
}

/** Whether so many letters put in, left out or exchanged turn one word into the other. */
function isNear(a: string, b: string, changes = 2): boolean {
	if (a === b) return true;
	const [restA, restB] = [a.slice(1), b.slice(1)];
	if (a[0] === b[0]) return isNear(restA, restB, changes);
	return changes > 0 && [isNear(restA, b, changes - 1), isNear(a, restB, changes - 1), isNear(restA, restB, changes - 1)].includes(true);
}
