/**
 * Questions and answers for the pre-training, made by rule from the prose in assets/pretraining. They teach what a turn is, where an
 * answer ends, and that it speaks of what was asked: no fact beyond the prose.
 */
import { foldIn, type Key, uniformValues } from "@hushgrad/tensor";

/** A question and its answer. */
export interface Turn {
	readonly prompt: string;
	readonly response: string;
}

/** Verbs that a sentence of the prose may turn on, as they follow a plural. */
const VERBS = `make carry hold keep give take lower raise block help protect cause cover connect join lie move turn change control supply
drain receive send bring contain produce release remove break filter store use need grow begin end lead show mean become come go live act
work fail affect increase reduce slow stop start open close form pass enter leave reach spread belong depend differ happen hurt bleed bend
fill empty swell shrink warm cool clean kill fight attack damage destroy harm heal repair treat cure prevent measure record see hear feel
learn teach ask tell lose gain save eat drink sleep run walk swim fly sit stand fall rise burn melt boil flow float sink shine reflect bind
attach stretch contract relax beat pump push pull squeeze support strengthen weaken follow provide require allow let include consist arise
result occur appear stay remain last find get put set cut look seem try want know think write read speak build pay sell buy die bear hide
divide multiply dissolve digest absorb explain describe study examine decide choose compare check touch press rub wash cook bake plant`
	.trim()
	.split(/\s+/);
const third = (verb: string): string =>
	/(s|sh|ch|x|z|o)$/.test(verb) ? `${verb}es` : /[^aeiou]y$/.test(verb) ? `${verb.slice(0, -1)}ies` : `${verb}s`;
const BASE = new Set(VERBS);
const BASE_OF = new Map(VERBS.map((v) => [third(v), v]));
const MODALS = new Set(["can", "must", "may", "should"]);

/** Words a sentence cannot begin with if it is to be understood by itself. */
const BOUND = new Set(
	`in on at when if after before with without for from by as because so but and then there here to not both other others another such this that
these those it they he she we you its their his her one while during since until although though instead some it's what which why how where who
whose first second third next finally also even only often sometimes usually later today i my our your`.split(/\s+/),
);

/** Sentences of a paragraph. */
export const sentencesOf = (paragraph: string): string[] => paragraph.match(/[^.?!]+[.?!]/g)?.map((s) => s.trim()) ?? [];

/** A sentence cut at its verb. */
interface Clause {
	readonly subject: string;
	readonly verb: string;
	readonly rest: string;
}

/** The first verb of a plain sentence, by its form and the number of the word before it. */
function clauseOf(text: string): Clause | undefined {
	const words = text.replace(/[.]$/, "").split(" ");
	for (let i = 1; i < Math.min(words.length - 1, 9); i++) {
		const [before = "", word = ""] = [words[i - 1], words[i]];
		if (/[,;:]$/.test(before) || ["that", "which", "who", "and", "or"].includes(word)) return undefined;
		const isPlural = /[^su]s$/.test(before) || ["people", "children", "bacteria", "women", "men"].includes(before);
		const isVerb = ["is", "are", "has", "have"].includes(word) || MODALS.has(word) || (isPlural ? BASE.has(word) : BASE_OF.has(word));
		if (isVerb) return { subject: words.slice(0, i).join(" "), verb: word, rest: words.slice(i + 1).join(" ") };
	}
	return undefined;
}

/** Auxiliary and verb, as a question has them: makes → does … make. */
function inverted({ verb }: Clause): { readonly auxiliary: string; readonly main: string } {
	if (verb === "is" || verb === "are" || MODALS.has(verb)) return { auxiliary: verb, main: "" };
	if (verb === "has") return { auxiliary: "does", main: "have" };
	const base = BASE_OF.get(verb);
	return base === undefined ? { auxiliary: "do", main: verb } : { auxiliary: "does", main: base };
}

/** The questions that a sentence answers. `lower` undoes the capital of its first word. */
function questionsOf(sentence: string, lower: (text: string) => string): string[] {
	const condition = /^(When|If|After|Before|While) ([^,]+), /.exec(sentence);
	if (condition !== null) return [`What happens ${condition[1]?.toLowerCase()} ${condition[2]}?`];
	// A question that begins "What is the most common cause of" is half of many a card's already.
	if (/the most common/i.test(sentence)) return [];
	if (!sentence.endsWith(".") || BOUND.has(sentence.split(/[ ,]/)[0]?.toLowerCase() ?? "")) return [];
	const clause = clauseOf(sentence);
	if (clause === undefined) return [];
	const subject = lower(clause.subject);
	const { auxiliary, main } = inverted(clause);
	const because = /^(.*?),? because /.exec(clause.rest);
	const ask = (word: string, ...rest: string[]) => `${[word, auxiliary, subject, main, ...rest].filter((w) => w !== "").join(" ")}?`;
	const questions: string[] = [];
	if (because !== null) questions.push(ask("Why", because[1] ?? ""));
	const rest = clause.rest.split(/, (?:and|but|so|which|because)\b/)[0] ?? "";
	if (rest.split(" ").length <= 9) {
		questions.push(`What ${clause.verb} ${rest}?`);
		const noun = /^(?:the|an?|most|many|each|every|some) (?:[\w-]+ )+([\w-]+)$/.exec(subject)?.[1];
		if (noun !== undefined && !/ (?:of|in|on|with|for|from|to) /.test(subject)) questions.push(`Which ${noun} ${clause.verb} ${rest}?`);
	}
	const place = /^(\w+(?:ed|en|wn|de|nd|ld|pt)) (?:.* )?(in|by|with|from|at|on) /.exec(rest);
	if (auxiliary === "is" || auxiliary === "are") {
		if (/^(an?|the|one) /.test(rest) || auxiliary === "are") questions.push(ask("What"));
		if (place !== null) questions.push(ask(place[2] === "in" || place[2] === "at" || place[2] === "on" ? "Where" : "How", place[1] ?? ""));
	} else if (MODALS.has(clause.verb)) questions.push(`${ask("What").slice(0, -1)} do?`);
	else {
		questions.push(`What ${auxiliary} ${subject} do?`);
		questions.push(ask("What"));
		const how = /^(.+?) (?:by|with|through) /.exec(rest);
		if (how !== null) questions.push(ask("How", how[1] ?? ""));
	}
	return questions;
}

/** Questions with the sentences of prose that answer them. */
export function turnsOf(paragraphs: readonly string[]): Turn[] {
	const inside = new Set(paragraphs.join(" ").match(/(?<=[\w,] )[a-z][\w'-]*/g));
	const lower = (text: string): string => {
		const first = text.split(/[ ,]/)[0] ?? "";
		return inside.has(first.toLowerCase()) || first === "A" ? text.charAt(0).toLowerCase() + text.slice(1) : text;
	};
	return paragraphs.flatMap((paragraph) => {
		const sentences = sentencesOf(paragraph);
		return sentences.flatMap((sentence, i) => {
			const before = sentences[i - 1];
			const asked = before?.endsWith("?") ? [before] : [];
			return sentence.endsWith("?") ? [] : [...asked, ...questionsOf(sentence, lower)].map((prompt) => ({ prompt, response: sentence }));
		});
	});
}

const ECHOES = ["Repeat this", "Repeat this sentence", "Say this again", "Copy this text", "Write this once more"];

/**
 * Texts to be said again: sentences of the prose, and as many rows of its words in random order, which nothing but the prompt tells. An answer
 * about a rare word takes its letters from the question, and this is where a model learns to.
 */
export function echoTurns(count: number, paragraphs: readonly string[], k: Key): Turn[] {
	const sentences = paragraphs.flatMap(sentencesOf).filter((s) => s.length <= 140);
	const words = [...new Set(sentences.join(" ").match(/[A-Za-z-]{3,}/g))];
	return Array.from({ length: count }, (_, i) => {
		const draws = uniformValues(foldIn(k, i), 14);
		const pick = (list: readonly string[], at: number): string => list[Math.floor((draws[at] ?? 0) * list.length)] ?? "";
		const row = Array.from({ length: 4 + (i % 8) }, (_, at) => pick(words, at)).join(" ");
		const text = i % 2 === 0 ? pick(sentences, 12) : row;
		return { prompt: `${pick(ECHOES, 13)}\n\n${text}`, response: text };
	});
}

/** What may stand before a question; nothing most often. */
const INSTRUCTIONS = [
	"",
	"",
	"Answer the question",
	"Answer in one sentence",
	"Answer this question",
	"Answer truthfully",
	"Give a short and true answer",
	"Please answer",
];

/** Some turns with an instruction before the question, as people write them. */
export function instructed(turns: readonly Turn[], k: Key): Turn[] {
	const draws = uniformValues(k, turns.length);
	return turns.map(({ prompt, response }, i) => {
		const instruction = INSTRUCTIONS[Math.floor((draws[i] ?? 0) * INSTRUCTIONS.length)];
		return { prompt: instruction === "" ? prompt : `${instruction}\n\n${prompt}`, response };
	});
}
