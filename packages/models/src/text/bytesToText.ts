const REPLACEMENT = "\ufffd";

/** Length of the UTF-8 sequence that a lead byte opens; 0 for a byte that opens none. */
function sequenceLength(lead: number): number {
	if (lead < 0x80) return 1;
	if (lead >= 0xc2 && lead < 0xe0) return 2;
	if (lead >= 0xe0 && lead < 0xf0) return 3;
	return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function tryDecode(bytes: readonly number[]): string | undefined {
	try {
		return decoder.decode(Uint8Array.from(bytes));
	} catch {
		return undefined;
	}
}

/** UTF-8 as SentencePiece decodes it: every byte that is part of no character becomes U+FFFD by itself. */
export function bytesToText(bytes: readonly number[]): string {
	let text = "";
	for (let i = 0; i < bytes.length; ) {
		const length = sequenceLength(bytes[i]);
		const character = length === 0 ? undefined : tryDecode(bytes.slice(i, i + length));
		text += character ?? REPLACEMENT;
		i += character === undefined ? 1 : length;
	}
	return text;
}

/** How many of the last bytes may be the beginning of a character that is not complete yet. */
export function unfinishedBytes(bytes: readonly number[]): number {
	for (let back = 1; back <= 3; back++) {
		const byte = bytes.at(-back) ?? 0;
		if ((byte & 0xc0) !== 0x80) return sequenceLength(byte) > back ? back : 0;
	}
	return 0;
}
