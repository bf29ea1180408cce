import { describe, expect, it } from "vitest";
import { ProtoReader } from "../../packages/models/src/text/protobuf.ts";
import { PieceType, parseModel } from "../../packages/models/src/text/sentencepieceModel.ts";

/* Messages by hand, after the wire format of protocol buffers and sentencepiece_model.proto. */

const text = new TextEncoder();

function varint(n: bigint): number[] {
	const low = Number(n & 127n);
	return n < 128n ? [low] : [low + 128, ...varint(n >> 7n)];
}

const tag = (field: number, wire: number): number[] => varint(BigInt(field * 8 + wire));
const int = (field: number, n: number): number[] => [...tag(field, 0), ...varint(BigInt.asUintN(64, BigInt(n)))];
const bytes = (field: number, b: Iterable<number>): number[] => [...tag(field, 2), ...varint(BigInt([...b].length)), ...b];
const float = (field: number, x: number): number[] => [...tag(field, 5), ...new Uint8Array(Float32Array.of(x).buffer)];

const piece = (t: string, score = 0, type?: number) =>
	bytes(1, [...bytes(1, text.encode(t)), ...float(2, score), ...(type === undefined ? [] : int(3, type))]);
const UNKNOWN = piece("<unk>", 0, PieceType.UNKNOWN);
const VOCABULARY = [...UNKNOWN, ...piece("<s>", 0, PieceType.CONTROL), ...piece("</s>", 0, PieceType.CONTROL), ...piece("\ufeffa", -1.5)];

const model = (pieces: number[], trainer: number[] = [], normalizer: number[] = []): Uint8Array =>
	Uint8Array.from([...pieces, ...bytes(2, trainer), ...bytes(3, normalizer)]);

describe("ProtoReader", () => {
	const read = (b: number[], as: "int" | "float" | "bytes" = "int") =>
		[...new ProtoReader(Uint8Array.from(b)).fields()].map((f) => [f.field, f[as]()]);

	it("reads numbers of one byte to ten, of 32 bits with their sign", () => {
		const numbers = [0, 1, 127, 128, 300, 2 ** 31 - 1, -1, -(2 ** 31)];
		expect(read(numbers.flatMap((n) => int(5, n)))).toEqual(numbers.map((n) => [5, n]));
		expect(int(5, -1).length).toBe(11);
		expect(read(int(2 ** 29 - 1, 7))).toEqual([[2 ** 29 - 1, 7]]);
	});

	it("reads floats and bytes, little-endian, and passes over what is 64 bits wide", () => {
		expect(read([...float(3, 1.5), ...float(4, -0.1)], "float")).toEqual([
			[3, 1.5],
			[4, Math.fround(-0.1)],
		]);
		expect(read([...bytes(1, [7, 8]), ...bytes(2, [])], "bytes")).toEqual([
			[1, Uint8Array.of(7, 8)],
			[2, new Uint8Array()],
		]);
		const wide = [...tag(9, 1), 1, 2, 3, 4, 5, 6, 7, 8];
		expect([...new ProtoReader(Uint8Array.from([...wide, ...int(2, 5)])).fields()].map((f) => f.field)).toEqual([9, 2]);
		expect(() => read(wide)).toThrow("field 9 has another type");
	});

	it("reads a message that stands inside another array", () => {
		const inner = new Uint8Array([255, 255, 255, ...float(3, 2.5)]).subarray(3);
		expect([...new ProtoReader(inner).fields()].map((f) => f.float())).toEqual([2.5]);
	});

	it.each<[string, number[]]>([
		["field 0", int(0, 1)],
		["wire type 3", tag(1, 3)],
		["wire type 4", tag(1, 4)],
		["wire type 6", tag(1, 6)],
		["wire type 7", tag(1, 7)],
		["the message ends early", tag(1, 0)],
		["the message ends early", [...tag(1, 0), 0x80]],
		["the message ends early", [...tag(1, 1), 1, 2, 3, 4, 5, 6, 7]],
		["the message ends early", [...tag(1, 2), 2, 1]],
		["the message ends early", [...tag(1, 2), ...varint(2n ** 63n)]],
		["the message ends early", [...tag(1, 5), 1, 2, 3]],
		["a number of more than ten bytes", [...tag(1, 0), ...new Array(10).fill(0x80), 0]],
	])("refuses what is no message: %s", (message, b) => {
		expect(() => [...new ProtoReader(Uint8Array.from(b)).fields()]).toThrow(new RangeError(message));
	});

	it.each<["int" | "float" | "bytes", number[]]>([
		["int", float(6, 1)],
		["int", bytes(6, [1])],
		["float", int(6, 1)],
		["float", bytes(6, [1])],
		["bytes", int(6, 1)],
		["bytes", float(6, 1)],
	])("refuses a field as %s that is none", (as, b) => {
		expect(() => read(b, as)).toThrow(new RangeError("field 6 has another type than the schema's"));
	});
});

describe("parseModel", () => {
	it("takes the proto's defaults for what the file leaves out", () => {
		expect(parseModel(model([...VOCABULARY, ...bytes(1, bytes(1, text.encode("b")))]), "m")).toEqual({
			pieces: [
				{ text: "<unk>", score: 0, type: 2 },
				{ text: "<s>", score: 0, type: 3 },
				{ text: "</s>", score: 0, type: 3 },
				{ text: "\ufeffa", score: -1.5, type: 1 },
				{ text: "b", score: 0, type: 1 },
			],
			...{ unkId: 0, bosId: 1, eosId: 2, padId: -1, addDummyPrefix: true },
		});
	});

	it("takes what the file says, and passes over what it does not know", () => {
		const trainer = [...int(40, 3), ...int(41, -1), ...int(42, 0), ...int(43, 1), ...bytes(39, [1]), ...float(10, 0.5)];
		const odd = bytes(1, [...bytes(1, text.encode("a")), ...int(3, 1), ...int(9, 3)]);
		const pieces = [...piece("<s>", 0, 3), ...piece("<pad>", 0, 3), ...odd, ...UNKNOWN];
		const parsed = parseModel(Uint8Array.from([...model(pieces, trainer, [...int(3, 0), ...int(4, 1)]), ...bytes(4, [9])]), "m");
		expect(parsed.pieces[2]).toEqual({ text: "a", score: 0, type: 1 });
		expect(parsed).toMatchObject({ unkId: 3, bosId: -1, eosId: 0, padId: 1, addDummyPrefix: false });
		expect(parseModel(model(pieces, trainer, int(3, 1)), "m").addDummyPrefix).toBe(true);
	});

	it.each<[string, string, Uint8Array]>([
		["tokenizer/empty", "the tokenizer file is empty", new Uint8Array()],
		["tokenizer/format", "the file is no SentencePiece model, or it is damaged", Uint8Array.from([...VOCABULARY, ...bytes(2, [])])],
		["tokenizer/format", "the file is no SentencePiece model", Uint8Array.from([...VOCABULARY, ...bytes(3, [])])],
		["tokenizer/format", "the file is no SentencePiece model", model(bytes(1, bytes(1, [0xff])))],
		["tokenizer/vocabulary", "the model has no vocabulary", model([])],
		["tokenizer/vocabulary", "piece 0 should stand for unknown text", model(piece("a"))],
		["tokenizer/vocabulary", "piece 4 should stand for unknown text", model(VOCABULARY, int(40, 4))],
		["tokenizer/vocabulary", "bosId is 4, the vocabulary has 4 pieces", model(VOCABULARY, int(41, 4))],
		["tokenizer/vocabulary", "eosId is 5, the vocabulary has 4 pieces", model(VOCABULARY, int(42, 5))],
		["tokenizer/vocabulary", "padId is 4, the vocabulary has 4 pieces", model(VOCABULARY, int(43, 4))],
		["tokenizer/vocabulary", "the vocabulary has an empty piece", model([...VOCABULARY, ...piece("")])],
		["tokenizer/vocabulary", "the vocabulary has an empty piece", model([...VOCABULARY, ...bytes(1, float(2, 1))])],
		["tokenizer/vocabulary", 'the vocabulary has "<s>" twice', model([...VOCABULARY, ...piece("<s>")])],
		["tokenizer/vocabulary", 'the score of "b" is NaN', model([...VOCABULARY, ...piece("b", Number.NaN)])],
		["tokenizer/vocabulary", 'the score of "b" is -Infinity', model([...VOCABULARY, ...piece("b", Number.NEGATIVE_INFINITY)])],
	])("refuses with %s: %s", (code, message, b) => {
		expect(() => parseModel(b, "the path")).toThrow(
			expect.objectContaining({
				...{ name: "FormatError", code, path: "the path", hint: "use the tokenizer.model that belongs to the weights" },
				message: expect.stringContaining(message),
			}),
		);
	});

	it("keeps what the reader said", () => {
		expect(() => parseModel(Uint8Array.of(7), "m")).toThrow(expect.objectContaining({ cause: new RangeError("field 0") }));
		for (const settings of [[], bytes(2, []), bytes(3, [])]) {
			expect(() => parseModel(Uint8Array.from([...VOCABULARY, ...settings]), "m")).toThrow(
				expect.objectContaining({ cause: new RangeError("the file ends before its settings") }),
			);
		}
	});
});
