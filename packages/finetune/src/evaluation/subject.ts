import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fromPretrained, loadAdapter, readConfig, SentencePieceTokenizer, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { type Device, FormatError } from "@hushgrad/tensor";
import type { DataSettings } from "../data/readRecords.ts";
import { readRecords } from "../data/readRecords.ts";
import type { TextRecord } from "../data/records.ts";
import { type TextForm, textForm } from "../data/textForm.ts";
import { type TokenizedRecord, tokenizeRecords } from "../data/tokenizeRecords.ts";
import { runFiles } from "../run/runFolder.ts";
import { readSettingsFrom, type Settings } from "../settings/settings.ts";

/** Settings that an evaluation needs; a run has them, an adapter by itself is given them by flags. */
export type SubjectSettings = Pick<Settings, "model" | "quantization" | "template" | "maxLength" | "physicalBatchSize"> & DataSettings;

/** An adapter that is to be evaluated. */
export interface Subject {
	/** How it was trained, and on what. */
	readonly settings: SubjectSettings;
	/** Its folder. */
	readonly adapter: string;
	/** The run that it comes from; undefined for an adapter by itself. */
	readonly run: string | undefined;
}

const isFile = (path: string): Promise<boolean> =>
	stat(path).then(
		(s) => s.isFile(),
		() => false,
	);

/** What flags may say of an adapter that lies in no run. */
export type SubjectFlags = Partial<Pick<SubjectSettings, "data" | "model" | "prompt" | "response" | "template">>;

/**
 * The adapter in a folder: of a run, or by itself, whose adapter_config.json names the base unless a flag does.
 * @throws FormatError for a folder that is neither, and for an adapter without data.
 */
export async function findSubject(folder: string, flags: SubjectFlags): Promise<Subject> {
	const files = runFiles(folder);
	if (await isFile(files.settings)) {
		const settings = await readSettingsFrom(files.settings);
		if (!(await isFile(join(files.adapter, CONFIG)))) {
			throw new FormatError("run/no-adapter", "this run has no adapter yet", {
				path: folder,
				hint: `hushgrad resume ${folder} goes on with it`,
			});
		}
		return { settings: { ...settings, ...flags }, adapter: files.adapter, run: folder };
	}
	if (!(await isFile(join(folder, CONFIG)))) {
		throw new FormatError("run/folder", "this is the folder of no run and of no adapter", {
			path: folder,
			hint: "name a folder that hushgrad train made, or one with adapter_config.json",
		});
	}
	const { data } = flags;
	if (data === undefined) {
		throw new FormatError("data/missing", "an adapter by itself does not know its data", {
			path: folder,
			hint: "name it with --data or --public-eval",
		});
	}
	const model = flags.model ?? (await baseOf(folder));
	const { max_position_embeddings: maxLength } = await readConfig(model);
	const settings = {
		template: "plain",
		quantization: "nf4",
		broken: "stop",
		heldOut: 0,
		seed: 0,
		physicalBatchSize: 8,
		maxLength,
	} as const;
	return { settings: { ...settings, ...flags, data, model }, adapter: folder, run: undefined };
}

const CONFIG = "adapter_config.json";

async function baseOf(folder: string): Promise<string> {
	const path = join(folder, CONFIG);
	const config: unknown = JSON.parse(await readFile(path, "utf8").catch(() => "{}"));
	const name = typeof config === "object" && config !== null ? Reflect.get(config, "base_model_name_or_path") : undefined;
	if (typeof name === "string" && name !== "") return name;
	throw new FormatError("adapter/base", "the adapter does not name its base", { path, hint: "name its folder with --model" });
}

/** What is evaluated, as tokens, and how texts become tokens. */
export interface SubjectRecords {
	/** Cuts text into tokens. */
	readonly tokenizer: SentencePieceTokenizer;
	/** How prompts and responses become tokens. */
	readonly form: TextForm;
	/** What is evaluated. */
	readonly records: readonly TokenizedRecord[];
	/** Records that are too long for the model, and left out. */
	readonly dropped: number;
}

/** Which records are evaluated: those that a run held out, or all of a file. */
export type Evaluated = "held-out" | "all";

/** Reads the records that are evaluated; takes no GPU. Errors as of `readRecords`. */
export async function readSubjectRecords(settings: SubjectSettings, which: Evaluated): Promise<SubjectRecords> {
	const tokenizer = await SentencePieceTokenizer.fromFile(join(settings.model, "tokenizer.model"));
	const read = await readRecords(settings);
	const texts: readonly TextRecord[] = which === "all" ? [...read.train, ...read.heldOut].sort((a, b) => a.place - b.place) : read.heldOut;
	if (texts.length === 0) {
		throw new FormatError("data/empty", "no record is held out", {
			path: settings.data,
			hint: "name records to evaluate with --data or --public-eval",
		});
	}
	const { maxLength } = settings;
	const tokenized = tokenizeRecords(
		tokenizer,
		{ ...read, train: texts, heldOut: [] },
		{ ...settings, maxLength, maxResponse: maxLength, tooLong: "drop" },
	);
	return { tokenizer, form: textForm(tokenizer, settings.template), records: tokenized.train, dropped: tokenized.tooLong.length };
}

/** Loads the base of an adapter, without it. */
export const loadBase = (device: Device, { model, quantization }: SubjectSettings): Promise<VaultGemmaForCausalLM> =>
	fromPretrained(model, { device, quantization: quantization === "nf4" ? "nf4" : undefined });

/** Puts the adapter on the base. Errors as of `loadAdapter`. */
export const putOn = (model: VaultGemmaForCausalLM, { adapter }: Subject, device: Device) => loadAdapter(model, adapter, device);
