import { join } from "node:path";
import { readConfig, SentencePieceTokenizer } from "@hushgrad/models";
import { FormatError } from "@hushgrad/tensor";
import { type DataSettings, readRecords } from "../data/readRecords.ts";
import { type TokenizedRecord, tokenizeRecords } from "../data/tokenizeRecords.ts";
import { checkTuned, findTuned, type Tuned } from "../generate/tuned.ts";
import { runFiles } from "../run/runFolder.ts";
import { readSettingsFrom } from "../settings/settings.ts";

/** An adapter that is evaluated, and the records that it is evaluated on. */
export interface Subject {
	/** Base and adapter. */
	readonly tuned: Tuned;
	/** The run that the adapter comes from; undefined for an adapter by itself. */
	readonly run: string | undefined;
	/** The records, as tokens. */
	readonly records: readonly TokenizedRecord[];
	/** Records that are too long for the model, and left out. */
	readonly dropped: number;
	/** Records on the GPU at a time. */
	readonly physicalBatchSize: number;
}

/** What flags may say. */
export interface SubjectFlags {
	/** File whose records are evaluated, all of them; those that the run held out when left out. */
	readonly data?: string | undefined;
	/** Columns or templates. */
	readonly prompt?: string | undefined;
	/** Columns or templates. */
	readonly response?: string | undefined;
	/** How prompts and responses become texts. */
	readonly template?: string | undefined;
	/** Folder of the base. */
	readonly model?: string | undefined;
}

/**
 * Finds what is evaluated on what, without a GPU: `folder` is that of a run, or of an adapter, which knows no data.
 * @throws FormatError for another folder, and for records that cannot be read; RunError for a run without an adapter.
 */
export async function findSubject(folder: string, flags: SubjectFlags): Promise<Subject> {
	const tuned = await findTuned(folder, { model: flags.model, template: flags.template });
	if (tuned.adapter === undefined) {
		throw new FormatError("run/folder", "there is no run and no adapter in this folder", {
			path: folder,
			hint: "name a folder that hushgrad train made, or one with adapter_config.json",
		});
	}
	const run = tuned.adapter === folder ? undefined : folder;
	const settings = run === undefined ? undefined : await readSettingsFrom(runFiles(run).settings);
	const data = flags.data ?? settings?.data;
	if (data === undefined) {
		throw new FormatError("data/missing", "an adapter by itself does not know its data", {
			path: folder,
			hint: "name it with --data or --public-eval",
		});
	}
	const defaults = { broken: "stop", heldOut: 0, seed: 0 } as const;
	// Columns that the settings of the run name are those of its own file.
	const columns = flags.data === undefined ? {} : { prompt: undefined, response: undefined, unit: undefined };
	const { prompt, response } = flags;
	const named = Object.fromEntries(Object.entries({ prompt, response }).filter(([, value]) => value !== undefined));
	const reading: DataSettings = { ...defaults, ...settings, ...columns, ...named, data };
	const read = await readRecords(reading);
	const texts = flags.data === undefined ? read.heldOut : [...read.train, ...read.heldOut].sort((a, b) => a.place - b.place);
	if (texts.length === 0) {
		throw new FormatError("data/empty", "no record is held out", { path: data, hint: "name records with --data or --public-eval" });
	}
	await checkTuned(tuned);
	const { max_position_embeddings: longest } = await readConfig(tuned.base);
	const tokenizer = await SentencePieceTokenizer.fromFile(join(tuned.base, "tokenizer.model"));
	const room = { template: tuned.template, maxLength: longest, maxResponse: longest, tooLong: "drop" } as const;
	const { train, tooLong } = tokenizeRecords(tokenizer, { ...read, train: texts, heldOut: [] }, room);
	return { tuned, run, records: train, dropped: tooLong.length, physicalBatchSize: settings?.physicalBatchSize ?? 8 };
}
