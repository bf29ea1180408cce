import { readFile } from "node:fs/promises";
import { FormatError, ValueError } from "@hushgrad/tensor";
import { blaming, expects, instanceOf, isIterable, type Kind, named, oneOf, optional, optionsOf } from "@hushgrad/tensor/author";
import { SentencePieceProcessor } from "sentencepiece-js";
import { bytesToText, unfinishedBytes } from "./bytesToText.ts";
import { MODEL_HINT, PieceType, parseModel, type SentencePieceModel } from "./sentencepieceModel.ts";

/** Pieces that structure a conversation; what a user types must never become one of them. */
const TURN_MARKERS = ["<start_of_turn>", "<end_of_turn>"];

/** Between the first character of a marker and the rest. */
const INSIDE_MARKER = /(?<=<)(?=(?:start|end)_of_turn>)/;

/**
 * Inside text that goes to `encodeTemplate`, cuts a marker in two so that it is read as ordinary characters. A code
 * point that Unicode reserves for internal use.
 */
const CUT = "\ufdd0";

/** How ids become text. */
export interface DecodeOptions {
	/**
	 * Leave out control pieces and turn markers; true when left out. "control" leaves out control pieces alone: what SentencePiece
	 * itself decodes.
	 */
	readonly skipSpecialTokens?: boolean | "control" | undefined;
}

const DECODING = { skipSpecialTokens: optional(oneOf(true, false, "control")) } as const;

/**
 * SentencePiece, as Gemma uses it: encoding by the original's WebAssembly, the vocabulary and decoding by our own code. Kudo and
 * Richardson 2018.
 */
export class SentencePieceTokenizer {
	readonly #processor: SentencePieceProcessor;
	readonly #model: SentencePieceModel;
	readonly #ids: ReadonlyMap<string, number>;
	readonly #controls: readonly string[];

	private constructor(processor: SentencePieceProcessor, model: SentencePieceModel) {
		this.#processor = processor;
		this.#model = model;
		this.#ids = new Map(model.pieces.map((p, id) => [p.text, id]));
		this.#controls = model.pieces.filter((p) => p.type === PieceType.CONTROL).map((p) => p.text);
	}

	/**
	 * Reads a tokenizer.model.
	 * @throws FormatError when it is missing, empty or no SentencePiece model.
	 */
	static async fromFile(path: string): Promise<SentencePieceTokenizer> {
		expects("SentencePieceTokenizer.fromFile", { path }, { path: "text" });
		const bytes = await readFile(path).catch((cause) => {
			throw new FormatError("tokenizer/missing", "SentencePieceTokenizer.fromFile: the tokenizer file cannot be read", {
				path,
				hint: "the model's directory needs its tokenizer.model",
				cause,
			});
		});
		return blaming("SentencePieceTokenizer.fromFile", async () => {
			const model = parseModel(bytes, path);
			return new SentencePieceTokenizer(await loadProcessor(path), model);
		});
	}

	/** Number of pieces, V. */
	get vocabSize(): number {
		return this.#model.pieces.length;
	}

	/** Id of the token that begins a text; −1 when the model has none. */
	get bosId(): number {
		return this.#model.bosId;
	}

	/** Id of the token that ends a text; −1 when the model has none. */
	get eosId(): number {
		return this.#model.eosId;
	}

	/** Id that fills up short rows, never the end token; −1 when the model has none. */
	get padId(): number {
		return this.#model.padId;
	}

	/** Id of what the vocabulary has no piece for. */
	get unkId(): number {
		return this.#model.unkId;
	}

	/**
	 * The id of a piece, such as `<end_of_turn>`.
	 * @throws ValueError when the vocabulary has no such piece.
	 */
	idOf(piece: string): number {
		expects("SentencePieceTokenizer.idOf", { piece }, { piece: "text" });
		const id = this.#ids.get(piece);
		if (id === undefined) {
			throw new ValueError("tokenizer/piece", `SentencePieceTokenizer.idOf: the vocabulary has no piece ${JSON.stringify(piece)}`, {
				hint: "use the tokenizer.model of a Gemma",
			});
		}
		return id;
	}

	/**
	 * The piece of an id, as it stands in the vocabulary: ▁ is a space.
	 * @throws ValueError for an id outside the vocabulary.
	 */
	pieceOf(id: number): string {
		return this.#piece("SentencePieceTokenizer.pieceOf", id).text;
	}

	/** Text as ids, without begin or end token. Turn markers and control pieces in it are spelled out as characters. */
	encode(text: string): number[] {
		expects("SentencePieceTokenizer.encode", { text }, { text: "text" });
		return text.split(INSIDE_MARKER).flatMap((part) => this.encodeRaw(part));
	}

	/**
	 * Text as ids, exactly as SentencePiece encodes it: turn markers in it count. For text that is trusted; `encode` spells them out.
	 * An unpaired surrogate is read as U+FFFD.
	 */
	encodeRaw(text: string): number[] {
		expects("SentencePieceTokenizer.encodeRaw", { text }, { text: "text" });
		return text === "" ? [] : this.#processor.encodeIds(text.toWellFormed());
	}

	/** Cuts turn markers and control pieces in text that goes into a template, so that `encodeTemplate` spells them out. */
	protect(text: string): string {
		expects("SentencePieceTokenizer.protect", { text }, { text: "text" });
		return [...TURN_MARKERS, ...this.#controls].reduce((t, m) => t.replaceAll(m, m[0] + CUT + m.slice(1)), text.replaceAll(CUT, "\ufffd"));
	}

	/** A rendered chat template as ids: turn markers and control pieces such as `<bos>` count, unless `protect` cut them. */
	encodeTemplate(text: string): number[] {
		expects("SentencePieceTokenizer.encodeTemplate", { text }, { text: "text" });
		// Without control pieces the text is not split: an empty pattern would cut it into characters.
		const control = this.#controls.length === 0 ? CUT : new RegExp(`(${this.#controls.map(escapeRegExp).join("|")})`);
		return text
			.split(CUT)
			.flatMap((part) => part.split(control))
			.flatMap((part) => (this.#controls.includes(part) ? [this.idOf(part)] : this.encodeRaw(part)));
	}

	/**
	 * Ids as text. Bytes that form no UTF-8 character become U+FFFD, the unknown piece ⁇ between spaces.
	 * @throws ValueError for an id outside the vocabulary.
	 */
	decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
		return decoded(this, ids, options);
	}

	/**
	 * What one id adds to a text: characters, or a byte of one. `TokenStream` puts them together.
	 * @throws ValueError for an id outside the vocabulary.
	 */
	contribution(
		id: number,
		options: DecodeOptions,
	):
		| string
		| {
				/** One byte of UTF-8. */
				readonly byte: number;
		  } {
		const { skipSpecialTokens = true } = optionsOf("SentencePieceTokenizer.contribution", options, DECODING);
		const { text, type } = this.#piece("SentencePieceTokenizer", id);
		if (type === PieceType.BYTE) return { byte: Number.parseInt(text.slice(3, 5), 16) };
		if (type === PieceType.UNKNOWN) return " \u2047 ";
		if (type === PieceType.CONTROL) return skipSpecialTokens === false ? text : "";
		if (TURN_MARKERS.includes(text)) return skipSpecialTokens === true ? "" : text;
		return text.replaceAll("\u2581", " ");
	}

	/** Whether encoding puts a space before a text, which decoding takes off again. */
	get addsDummyPrefix(): boolean {
		return this.#model.addDummyPrefix;
	}

	#piece(op: string, id: number) {
		expects(op, { id }, { id: "whole" });
		const piece = this.#model.pieces[id];
		if (piece !== undefined) return piece;
		throw new ValueError("tokenizer/id", `${op}: token id ${id} is outside the vocabulary of ${this.vocabSize}`, { op });
	}
}

/** What is a tokenizer. */
export const TOKENIZER: Kind = instanceOf(SentencePieceTokenizer, "a SentencePieceTokenizer");
const IDS: Kind = [isIterable, "a list of token ids"];

/** Decodes token by token; text is given out as soon as it is final. All pieces together are what `decode` gives. */
export class TokenStream {
	readonly #tokenizer: SentencePieceTokenizer;
	readonly #options: DecodeOptions;
	#bytes: number[] = [];
	#atStart: boolean;

	/** For one text; options as of `decode`. */
	constructor(tokenizer: SentencePieceTokenizer, options: DecodeOptions = {}) {
		expects("TokenStream", { tokenizer }, { tokenizer: TOKENIZER });
		this.#tokenizer = tokenizer;
		this.#options = optionsOf("TokenStream", options, DECODING);
		this.#atStart = tokenizer.addsDummyPrefix;
	}

	/**
	 * The text that this id completes; "" while the bytes of a character are still coming.
	 * @throws ValueError for an id outside the vocabulary.
	 */
	push(id: number): string {
		const part = contribution(this.#tokenizer, id, this.#options);
		if (typeof part === "string") return this.flush() + this.#withoutPrefix(part, id);
		this.#bytes.push(part.byte);
		const wait = unfinishedBytes(this.#bytes);
		const ready = this.#bytes.splice(0, this.#bytes.length - wait);
		if (ready.length > 0) this.#atStart = false;
		return bytesToText(ready);
	}

	/** The rest, its unfinished bytes as U+FFFD. For the end of a text. */
	flush(): string {
		const text = bytesToText(this.#bytes);
		this.#bytes = [];
		if (text !== "") this.#atStart = false;
		return text;
	}

	/** Takes off the space that encoding put in front; only a piece of the vocabulary's own text can hold it. */
	#withoutPrefix(part: string, id: number): string {
		const prefixed = this.#atStart && id !== this.#tokenizer.unkId && part.startsWith(" ");
		if (part !== "") this.#atStart = false;
		return prefixed ? part.slice(1) : part;
	}
}

const contribution = named("TokenStream.push", (tokenizer: SentencePieceTokenizer, id: number, options: DecodeOptions) =>
	tokenizer.contribution(id, options),
);

const decoded = named(
	"SentencePieceTokenizer.decode",
	(tokenizer: SentencePieceTokenizer, ids: Iterable<number>, options: DecodeOptions) => {
		expects("SentencePieceTokenizer.decode", { ids }, { ids: IDS });
		const stream = new TokenStream(tokenizer, options);
		let text = "";
		for (const id of ids) text += stream.push(id);
		return text + stream.flush();
	},
);

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** The package adds listeners to `process` that rethrow what others would handle; they are taken off again. */
async function loadProcessor(path: string): Promise<SentencePieceProcessor> {
	const events = ["uncaughtException", "unhandledRejection"] as const;
	const before = events.map((e) => new Set<unknown>(process.listeners(e as "uncaughtException")));
	const processor = new SentencePieceProcessor();
	try {
		await processor.load(path);
	} finally {
		events.forEach((event, i) => {
			for (const listener of process.listeners(event as "uncaughtException")) {
				if (!before[i].has(listener)) process.removeListener(event, listener);
			}
		});
	}
	// A model that SentencePiece itself refused encodes every text to nothing.
	if (processor.encodeIds("a").length === 0) {
		throw new FormatError("tokenizer/refused", "SentencePiece refuses the tokenizer file", { path, hint: MODEL_HINT });
	}
	return processor;
}
