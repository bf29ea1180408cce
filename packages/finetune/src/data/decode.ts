import { FormatError } from "@hushgrad/tensor";

const HINT = "save the file as UTF-8 (in a spreadsheet: CSV UTF-8)";

/**
 * The text of a file: UTF-8, or UTF-16 with a byte order mark. Byte order marks are taken off.
 * @throws FormatError for another encoding, and for a file with no text.
 */
export function decodeText(bytes: Uint8Array, path: string): string {
	const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? "utf-16le" : bytes[0] === 0xfe && bytes[1] === 0xff ? "utf-16be" : "utf-8";
	const text = tryDecode(encoding, bytes);
	if (text === undefined) {
		const where = encoding === "utf-8" ? `: line ${firstBadLine(bytes)} has bytes that are none` : "";
		throw new FormatError("data/encoding", `the data is not ${encoding.toUpperCase()}${where}`, { path, hint: HINT });
	}
	if (text.includes("\0")) {
		throw new FormatError("data/encoding", "the data holds zero bytes: UTF-16 without a byte order mark, or no text at all", {
			path,
			hint: HINT,
		});
	}
	if (text.trim() === "") throw new FormatError("data/empty", "the data file is empty", { path, hint: "it has no record" });
	return text;
}

function tryDecode(encoding: string, bytes: Uint8Array): string | undefined {
	try {
		return new TextDecoder(encoding, { fatal: true }).decode(bytes);
	} catch {
		return undefined;
	}
}

/** The first line that is not UTF-8. */
function firstBadLine(bytes: Uint8Array): number {
	let start = 0;
	for (let line = 1; ; line++) {
		const end = bytes.indexOf(10, start);
		if (end < 0 || tryDecode("utf-8", bytes.subarray(start, end)) === undefined) return line;
		start = end + 1;
	}
}
