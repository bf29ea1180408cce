import { describe, expect, it } from "vitest";
import { bytesToText, unfinishedBytes } from "../../packages/models/src/text/bytesToText.ts";

/** Every byte at an end of a range of the table of well-formed sequences, Unicode 3.9, D92. */
const BYTES = [0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff];
const after = (starts: readonly number[][], bytes: readonly number[]) => starts.flatMap((s) => bytes.map((b) => [...s, b]));
const pairs = after(
	BYTES.map((b) => [b]),
	BYTES,
);
const sequences = [[], ...BYTES.map((b) => [b]), ...pairs, ...after(pairs, BYTES)];
for (const lead of [0xf0, 0xf4, 0xf5]) sequences.push(...after(after(after([[lead]], BYTES), BYTES), [0x7f, 0x80, 0xbf, 0xc0]));

const CODE_POINTS = [0, 0x7f, 0x80, 0x7ff, 0x800, 0xfeff, 0xffff, 0x10000, 0x10ffff].map((c) => String.fromCodePoint(c));

/** The code point that exactly these bytes encode, if they do. */
function character(bytes: readonly number[]): string | undefined {
	const bits = [0x7f, 0x1f, 0x0f, 0x07][bytes.length - 1];
	const point = bytes.reduce((value, b, i) => (i === 0 ? b & bits : value * 64 + (b & 63)), 0);
	if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return undefined;
	const text = String.fromCodePoint(point);
	const encoded = [...new TextEncoder().encode(text)];
	return encoded.length === bytes.length && encoded.every((b, i) => b === bytes[i]) ? text : undefined;
}

function reference(bytes: readonly number[]): string {
	if (bytes.length === 0) return "";
	for (const length of [1, 2, 3, 4].slice(0, bytes.length)) {
		const found = character(bytes.slice(0, length));
		if (found !== undefined) return found + reference(bytes.slice(length));
	}
	return `\ufffd${reference(bytes.slice(1))}`;
}

describe("bytesToText", () => {
	it("reads every well-formed sequence, and each byte of any other as U+FFFD", () => {
		for (const s of sequences) {
			const text = bytesToText(s);
			if (text !== reference(s)) expect(text, s.join(" ")).toBe(reference(s));
		}
	});

	it("gives every character back, alone and in a row", () => {
		for (const c of [...CODE_POINTS, CODE_POINTS.join("")]) expect(bytesToText([...new TextEncoder().encode(c)])).toBe(c);
	});
});

describe("unfinishedBytes", () => {
	it("counts the bytes of a character that is not complete", () => {
		for (const c of CODE_POINTS) {
			const bytes = [...new TextEncoder().encode(c)];
			for (let n = 0; n <= bytes.length; n++) {
				const expected = n === bytes.length ? 0 : n;
				expect(unfinishedBytes(bytes.slice(0, n))).toBe(expected);
				expect(unfinishedBytes([0xe2, 0x82, 0xac, ...bytes.slice(0, n)])).toBe(expected);
			}
		}
	});

	it("waits for nothing behind bytes that open no character", () => {
		for (const s of [[0xc1], [0xf5], [0xff], [0x80], [0x41, 0x80], [0x80, 0x80, 0x80, 0x80], [0xf0, 0x80, 0x80, 0x80, 0x80]])
			expect(unfinishedBytes(s)).toBe(0);
		expect(unfinishedBytes([0xf4, 0x80, 0x80])).toBe(3);
	});
});
