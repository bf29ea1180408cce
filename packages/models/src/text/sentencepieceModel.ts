import { FormatError } from "@hushgrad/tensor";
import { ProtoReader } from "./protobuf.ts";

/** What a piece stands for; the numbers of SentencePiece's ModelProto. */
export const PieceType = { NORMAL: 1, UNKNOWN: 2, CONTROL: 3, USER_DEFINED: 4, UNUSED: 5, BYTE: 6 } as const;

export interface Piece {
	readonly text: string;
	readonly score: number;
	readonly type: number;
}

/** The parts of a tokenizer.model that we need: the vocabulary and the special ids (-1 when the model has none). */
export interface SentencePieceModel {
	readonly pieces: readonly Piece[];
	readonly unkId: number;
	readonly bosId: number;
	readonly eosId: number;
	readonly padId: number;
	readonly addDummyPrefix: boolean;
}

/** What to do about a tokenizer file that cannot be used. */
export const MODEL_HINT = "use the tokenizer.model that belongs to the weights";

/**
 * Reads SentencePiece's ModelProto and checks it; sentencepiece-js itself loads a damaged file without complaint and
 * then encodes every text to nothing.
 * @throws FormatError
 */
export function parseModel(bytes: Uint8Array, path: string): SentencePieceModel {
	if (bytes.length === 0) throw new FormatError("tokenizer/empty", "the tokenizer file is empty", { path, hint: MODEL_HINT });
	let model: SentencePieceModel;
	try {
		model = readModel(bytes);
	} catch (cause) {
		throw new FormatError("tokenizer/format", "the file is no SentencePiece model, or it is damaged", { path, hint: MODEL_HINT, cause });
	}
	const fault = faultOf(model);
	if (fault !== undefined) throw new FormatError("tokenizer/vocabulary", fault, { path, hint: MODEL_HINT });
	return model;
}

function readModel(bytes: Uint8Array): SentencePieceModel {
	const pieces: Piece[] = [];
	let trainer: Uint8Array | undefined;
	let normalizer: Uint8Array | undefined;
	for (const { field, bytes: value } of new ProtoReader(bytes).fields()) {
		if (field === 1) pieces.push(readPiece(value()));
		else if (field === 2) trainer = value();
		else if (field === 3) normalizer = value();
	}
	if (trainer === undefined || normalizer === undefined) throw new RangeError("the file ends before its settings");
	// Defaults of the proto, then what the file says.
	const ids = { 40: 0, 41: 1, 42: 2, 43: -1 } as Record<number, number>;
	for (const { field, int } of new ProtoReader(trainer).fields()) if (field in ids) ids[field] = int();
	let addDummyPrefix = true;
	for (const { field, int } of new ProtoReader(normalizer).fields()) if (field === 3) addDummyPrefix = int() !== 0;
	return { pieces, unkId: ids[40], bosId: ids[41], eosId: ids[42], padId: ids[43], addDummyPrefix };
}

function readPiece(bytes: Uint8Array): Piece {
	let piece: Piece = { text: "", score: 0, type: PieceType.NORMAL };
	for (const { field, bytes: value, float, int } of new ProtoReader(bytes).fields()) {
		if (field === 1) piece = { ...piece, text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value()) };
		else if (field === 2) piece = { ...piece, score: float() };
		else if (field === 3) piece = { ...piece, type: int() };
	}
	return piece;
}

function faultOf({ pieces, unkId, bosId, eosId, padId }: SentencePieceModel): string | undefined {
	if (pieces.length === 0) return "the model has no vocabulary";
	if (pieces[unkId]?.type !== PieceType.UNKNOWN) return `piece ${unkId} should stand for unknown text`;
	for (const [name, id] of Object.entries({ bosId, eosId, padId })) {
		if (id >= pieces.length) return `${name} is ${id}, the vocabulary has ${pieces.length} pieces`;
	}
	const seen = new Set<string>();
	for (const { text, score } of pieces) {
		if (text === "") return "the vocabulary has an empty piece";
		if (seen.has(text)) return `the vocabulary has ${JSON.stringify(text)} twice`;
		if (!Number.isFinite(score)) return `the score of ${JSON.stringify(text)} is ${score}`;
		seen.add(text);
	}
	return undefined;
}
