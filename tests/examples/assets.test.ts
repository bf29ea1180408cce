import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { key } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { echoTurns, instructed, turnsOf } from "../../assets/turns.ts";

const assets = (path: string) => fileURLToPath(new URL(`../../assets/${path}`, import.meta.url));
const cards = JSON.parse(readFileSync(assets("flashcards.json"), "utf8")) as { readonly input: string; readonly output: string }[];
const words = (text: string): string[] => text.toLowerCase().replaceAll(/\W+/g, " ").trim().split(" ");

/** Every run of so many words. */
function runs(text: string, length: number): Set<string> {
	const w = words(text);
	return new Set(Array.from({ length: Math.max(0, w.length - length + 1) }, (_, i) => w.slice(i, i + length).join(" ")));
}

const prose = readdirSync(assets("pretraining")).map((name) => readFileSync(assets(`pretraining/${name}`), "utf8"));
const paragraphs = prose.flatMap((text) => text.split(/\n\s*\n/)).map((p) => p.trim());
const turns = [...instructed(turnsOf(paragraphs), key(0)), ...echoTurns(4 * paragraphs.length, paragraphs, key(1))];

it("there are at least 400 cards, each question once", () => {
	expect(cards.length).toBeGreaterThanOrEqual(400);
	expect(new Set(cards.map((c) => c.input)).size).toBe(cards.length);
});

it("the pre-training texts hold no card: no seven words of one in a row", () => {
	const known = runs(prose.join("\n"), 7);
	for (const { prompt, response } of turns) for (const text of [prompt, response]) for (const run of runs(text, 7)) known.add(run);
	const leaked = cards.filter((c) => [...runs(c.input, 7), ...runs(c.output, 7)].some((r) => known.has(r)));
	expect(leaked).toEqual([]);
});

it("the turns made from them ask no question of a card, however short", () => {
	const asked = new Set(turns.map(({ prompt }) => words(prompt).join(" ")));
	const leaked = cards.filter((c) => asked.has(words(c.input).join(" ")));
	expect(leaked).toEqual([]);
});

it("turns are sentences of the prose with questions that they answer", () => {
	expect(turns.length).toBeGreaterThan(8000);
	const whole = prose.join("\n");
	const made = turnsOf(paragraphs);
	for (const { prompt, response } of made) {
		expect(prompt).toMatch(/^[A-Z].*\?$/s);
		expect(whole).toContain(response);
	}
	const of = (paragraph: string) => turnsOf([paragraph, "a tendon is here, and the liver, too"]).map(({ prompt }) => prompt);
	expect(of("A tendon is a band that joins muscle to bone.")).toContain("What is a tendon?");
	expect(of("The liver makes bile.")).toEqual(expect.arrayContaining(["What makes bile?", "What does the liver make?"]));
	expect(of("It makes bile.")).toEqual([]);
	expect(of("When the cornea is scratched, the eye hurts.")).toEqual(["What happens when the cornea is scratched?"]);
});
