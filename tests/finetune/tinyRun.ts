import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSettings, type Settings } from "@hushgrad/finetune";

const asset = (name: string): string => fileURLToPath(new URL(`../../assets/${name}`, import.meta.url));

/** Steps of a tiny run: two epochs of random allocation, of three steps each. */
export const STEPS = 6;

/** A table of questions and answers, as a spreadsheet saves it. */
export function writeCards(folder: string, rows: number): string {
	const cards = JSON.parse(readFileSync(asset("flashcards.json"), "utf8")) as { readonly input: string; readonly output: string }[];
	const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
	const lines = cards.slice(0, rows).map(({ input, output }) => `${quoted(input)},${quoted(output)}`);
	const path = join(folder, "cards.csv");
	writeFileSync(path, ["question,answer", ...lines, ""].join("\n"));
	return path;
}

/** The flags of a run that is as short as can be: the shipped model, few and short records, one projection trained. */
export const flagsOf = (folder: string, changes: Readonly<Record<string, string | undefined>> = {}): string[] =>
	Object.entries({
		data: join(folder, "cards.csv"),
		model: asset("tiny-vaultgemma"),
		output: join(folder, "run"),
		records: "12",
		steps: String(STEPS),
		"batch-size": "4",
		"physical-batch-size": "4",
		"max-length": "48",
		"too-long": "cut",
		"target-modules": "q_proj",
		"save-every": "2",
		...changes,
	}).flatMap(([name, value]) => (value === undefined ? [] : value === "" ? [`--${name}`] : [`--${name}`, value]));

/** Its settings. */
export async function settingsOf(folder: string, changes: Readonly<Record<string, string | undefined>> = {}): Promise<Settings> {
	return (await readSettings(flagsOf(folder, changes))).settings;
}

/** Works in a folder of its own, with some cards in it. */
export async function inFolder<T>(act: (folder: string) => Promise<T>, rows = 14): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "run-"));
	try {
		writeCards(folder, rows);
		return await act(folder);
	} finally {
		rmSync(folder, { recursive: true });
	}
}
