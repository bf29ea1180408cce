import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { readCards } from "../../examples/support/cards.ts";

const assets = (path: string) => fileURLToPath(new URL(`../../assets/${path}`, import.meta.url));
const words = (text: string): string[] => text.toLowerCase().replaceAll(/\W+/g, " ").trim().split(" ");

/** Every run of so many words. */
function runs(text: string, length: number): Set<string> {
	const w = words(text);
	return new Set(Array.from({ length: Math.max(0, w.length - length + 1) }, (_, i) => w.slice(i, i + length).join(" ")));
}

it("there are at least 400 cards, each question once", async () => {
	const cards = await readCards(assets("flashcards.json"));
	expect(cards.length).toBeGreaterThanOrEqual(400);
	expect(new Set(cards.map((c) => c.input)).size).toBe(cards.length);
});

it("the pre-training texts hold no card: no seven words of one in a row", async () => {
	const cards = await readCards(assets("flashcards.json"));
	const texts = readdirSync(assets("pretraining")).map((name) => readFileSync(assets(`pretraining/${name}`), "utf8"));
	const known = runs(texts.join("\n"), 7);
	const leaked = cards.filter((c) => [...runs(c.input, 7), ...runs(c.output, 7)].some((r) => known.has(r)));
	expect(leaked).toEqual([]);
});
