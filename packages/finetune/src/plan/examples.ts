import { type SentencePieceTokenizer, TokenStream } from "@hushgrad/models";
import type { Printer } from "../cli/printer.ts";
import type { TokenizedRecord } from "../data/tokenizeRecords.ts";

/**
 * A record as the model sees it: each token of the prompt in faint, each learned one set off by itself; without colours the learned ones
 * stand in brackets. A line break is shown as ⏎, an unfinished character as nothing.
 */
export function tokensText(
	tokenizer: SentencePieceTokenizer,
	{ example }: TokenizedRecord,
	{ dim, learned }: Pick<Printer, "dim" | "learned">,
): string {
	const stream = new TokenStream(tokenizer, { skipSpecialTokens: false });
	const pieces = [...example.ids].map((id) => stream.push(id).replaceAll("\n", "⏎ "));
	const inWords = (text: string, paint: (word: string) => string): string => text.replaceAll(/\S+/g, (word) => paint(word));
	const prompt = inWords(pieces.slice(0, example.start).join(""), dim);
	return (
		prompt +
		pieces
			.slice(example.start)
			.map((piece) => inWords(piece, learned))
			.join("")
	);
}

/** Some of the records, spread evenly over all. */
export const spread = <T>(records: readonly T[], count: number): readonly T[] =>
	Array.from(
		{ length: Math.min(count, records.length) },
		(_, i) => records[Math.floor((i * records.length) / Math.min(count, records.length))],
	);
