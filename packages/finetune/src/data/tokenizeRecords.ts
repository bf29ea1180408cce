import { type Example, learnedTokens, type PadOptions, type SentencePieceTokenizer } from "@hushgrad/models";
import { FormatError } from "@hushgrad/tensor";
import type { Records, TextRecord } from "./records.ts";
import { textForm } from "./textForm.ts";

/** Settings that say how records become tokens. */
export interface TokenSettings {
	/** How prompt and response become a text. */
	readonly template: string;
	/** Tokens of a record, at most. */
	readonly maxLength: number;
	/** Tokens of a response, its end among them, at most. */
	readonly maxResponse: number;
	/** What becomes of records with more. */
	readonly tooLong: "stop" | "drop" | "cut";
}

/** A record with its tokens. */
export interface TokenizedRecord {
	/** As it was read. */
	readonly record: TextRecord;
	/** Its tokens, no more than there is room for. */
	readonly example: Example;
}

/** A record with more tokens than there is room for. */
export interface TooLong {
	/** Where it stands, as of a record. */
	readonly place: number;
	/** Tokens that it has. */
	readonly tokens: number;
	/** Those of them that are learned. */
	readonly learned: number;
	/** What became of it. */
	readonly became: "dropped" | "cut";
}

/** Records as tokens. */
export interface TokenizedRecords {
	/** Those to train on. */
	readonly train: readonly TokenizedRecord[];
	/** Those kept for evaluation. */
	readonly heldOut: readonly TokenizedRecord[];
	/** The size that `padExample` brings all of them to. */
	readonly size: PadOptions;
	/** Those of both that were too long. */
	readonly tooLong: readonly TooLong[];
}

/** Records that a message names, at most. */
const NAMED = 20;

/**
 * Records as tokens of a fixed size. Each is treated by itself, so that what becomes of it says nothing of others.
 * @throws FormatError (`data/too-long`) that names all records without room, where `tooLong` is "stop"; as `textForm`.
 */
export function tokenizeRecords(tokenizer: SentencePieceTokenizer, records: Records, settings: TokenSettings): TokenizedRecords {
	const form = textForm(tokenizer, settings.template);
	const { maxLength: length, maxResponse: learned } = settings;
	const tooLong: TooLong[] = [];
	const tokenize = (record: TextRecord): TokenizedRecord[] => {
		const example = form.example(record);
		if (example.ids.length <= length && learnedTokens(example) <= learned) return [{ record, example }];
		// Of a prompt that leaves no room nothing would be learned.
		const isCut = settings.tooLong === "cut" && example.start < length;
		tooLong.push({ place: record.place, tokens: example.ids.length, learned: learnedTokens(example), became: isCut ? "cut" : "dropped" });
		return isCut
			? [{ record, example: { ids: example.ids.slice(0, Math.min(length, example.start + learned)), start: example.start } }]
			: [];
	};
	const train = records.train.flatMap(tokenize);
	const heldOut = records.heldOut.flatMap(tokenize);
	if (tooLong.length > 0 && settings.tooLong === "stop") throw tooLongError(tooLong, records, settings);
	if (train.length === 0)
		throw new FormatError("data/empty", "no record is left to train on", { hint: "raise --max-length, or see what the data holds" });
	return { train, heldOut, size: { length, learned, padId: tokenizer.padId }, tooLong };
}

function tooLongError(tooLong: readonly TooLong[], records: Records, { maxLength, maxResponse }: TokenSettings): FormatError {
	const sorted = [...tooLong].sort((a, b) => a.place - b.place);
	const named = sorted
		.slice(0, NAMED)
		.map((t) => `${records.placeName} ${t.place}: ${t.tokens} tokens, ${t.learned} of them in the response`);
	const more = tooLong.length > NAMED ? [`and ${tooLong.length - NAMED} more`] : [];
	const all = records.train.length + records.heldOut.length;
	const head = `${tooLong.length} of ${all} records ${tooLong.length === 1 ? "has" : "have"} more than ${maxLength} tokens, or more than ${maxResponse} in the response:`;
	return new FormatError("data/too-long", [head, ...named, ...more].join("\n  "), {
		hint: "raise --max-length and --max-response, or choose --too-long drop or --too-long cut",
	});
}
