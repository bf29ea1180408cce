/** Punctuation of ASCII, as Python's string.punctuation. */
const PUNCTUATION = /[!-/:-@[-`{-~]/g;
/** Articles between word borders, which Python's \b sees between letters of any script. */
const ARTICLES = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/**
 * An answer as SQuAD compares it: in lower case, without punctuation and articles, its words parted by one space. Source: the evaluation
 * script of SQuAD 1.1, Rajpurkar et al. 2016.
 */
export const normalizeAnswer = (text: string): string => wordsOf(text).join(" ");

const wordsOf = (text: string): string[] =>
	text
		.toLowerCase()
		.replaceAll(PUNCTUATION, "")
		.replaceAll(ARTICLES, " ")
		.split(/\s+/u)
		.filter((word) => word !== "");

/** 1 where two answers are the same when normalised, else 0. */
export const exactMatch = (answer: string, expected: string): number => (normalizeAnswer(answer) === normalizeAnswer(expected) ? 1 : 0);

/**
 * F1 of the words of an answer: 2 P R/(P + R), where P is the share of its words that the expected answer has, each as often as it has it,
 * and R the share of the expected ones that are there. 0 where no word is shared. Source: as of `normalizeAnswer`.
 */
export function tokenF1(answer: string, expected: string): number {
	const [given, wanted] = [wordsOf(answer), wordsOf(expected)];
	const left = new Map<string, number>();
	for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
	let shared = 0;
	for (const word of given) {
		const count = left.get(word) ?? 0;
		if (count === 0) continue;
		shared++;
		left.set(word, count - 1);
	}
	if (shared === 0) return 0;
	const [precision, recall] = [shared / given.length, shared / wanted.length];
	return (2 * precision * recall) / (precision + recall);
}
