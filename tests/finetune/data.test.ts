import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SentencePieceTokenizer } from "@hushgrad/models";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type DataSettings, readRecords } from "../../packages/finetune/src/data/readRecords.ts";
import { textForm } from "../../packages/finetune/src/data/textForm.ts";
import { tokenizeRecords } from "../../packages/finetune/src/data/tokenizeRecords.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const SETTINGS = { broken: "stop", heldOut: 0.1, seed: 0 } as const;

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
});
afterAll(() => rm(folder, { recursive: true }));

const file = async (name: string, content: string | Uint8Array): Promise<string> => {
	const path = join(folder, name);
	await writeFile(path, content);
	return path;
};
const read = async (name: string, content: string | Uint8Array, settings: Partial<DataSettings> = {}) => {
	const { train, heldOut, ...rest } = await readRecords({ ...SETTINGS, heldOut: 0, ...settings, data: await file(name, content) });
	expect(heldOut.length === 0 || settings.heldOut !== undefined).toBe(true);
	return { records: train, heldOut, ...rest };
};
const refusal = (name: string, content: string | Uint8Array, settings: Partial<DataSettings> = {}): Promise<string> =>
	read(name, content, settings).then(
		() => "accepted",
		(error: Error) => error.message,
	);
const TWO = [
	{ prompt: "What is ä?", response: "a vowel, with dots", place: 2 },
	{ prompt: "two\nlines", response: 'a "quote"', place: 3 },
];
const CSV = 'question,answer\nWhat is ä?,"a vowel, with dots"\n"two\nlines","a ""quote"""\n';
const utf16 = (text: string, isBig: boolean): Uint8Array => {
	const bytes = Buffer.from(`\ufeff${text}`, "utf16le");
	return isBig ? bytes.swap16() : bytes;
};

describe("formats", () => {
	it.each<[string, string, string | Uint8Array]>([
		["CSV", "a.csv", CSV],
		["CSV with a byte order mark", "a.csv", `\ufeff${CSV}`],
		["CSV of Windows", "a.csv", CSV.replaceAll(/(?<!two)\n/g, "\r\n")],
		["CSV in UTF-16, little", "a.csv", utf16(CSV, false)],
		["CSV in UTF-16, big", "a.csv", utf16(CSV, true)],
		["CSV with semicolons", "a.csv", 'question;answer\nWhat is ä?;"a vowel, with dots"\n"two\nlines";"a ""quote"""\n'],
		["CSV with bars", "a.csv", 'question|answer\nWhat is ä?|"a vowel, with dots"\n"two\nlines"|"a ""quote"""\n'],
		["TSV with semicolons", "a.tsv", 'question;answer\nWhat is ä?;"a vowel, with dots"\n"two\nlines";"a ""quote"""\n'],
		["TSV", "a.tsv", 'question\tanswer\nWhat is ä?\ta vowel, with dots\n"two\nlines"\t"a ""quote"""\n'],
	])("%s", async (_, name, content) => {
		expect((await read(name, content)).records).toEqual(TWO);
	});

	it("JSON, JSON under data, and JSON lines", async () => {
		const rows = TWO.map(({ prompt, response }) => ({ input: prompt, output: response }));
		const places = (from: number, step: number) => TWO.map((r, i) => ({ ...r, place: from + i * step }));
		expect((await read("a.json", JSON.stringify(rows))).records).toEqual(places(1, 1));
		expect((await read("a.json", JSON.stringify({ data: rows }))).records).toEqual(places(1, 1));
		const lines = await read("a.jsonl", rows.map((r) => `${JSON.stringify(r)}\n\n`).join(""));
		expect(lines.records).toEqual(places(1, 2));
		expect(lines.placeName).toBe("line");
	});

	it("CSV gives back any texts that were put in", async () => {
		const text = fc.string({ unit: "grapheme", minLength: 1 }).filter((s) => s.trim() !== "" && s.isWellFormed() && !/[\0\ufeff]/.test(s));
		const quote = (s: string) => `"${s.replaceAll('"', '""')}"`;
		await fc.assert(
			fc.asyncProperty(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 8 }), async (rows) => {
				const csv = ["prompt,response", ...rows.map((row) => row.map(quote).join(","))].join("\n");
				const { records } = await read("p.csv", csv);
				expect(records.map((r) => [r.prompt, r.response])).toEqual(rows);
			}),
			{ numRuns: 100 },
		);
	});
});

describe("columns", () => {
	it.each<[string, string[], string[]]>([
		["prompt and completion", ["prompt", "completion"], ["p", "c"]],
		["Front and Back", ["Front", "Back"], ["p", "c"]],
		["question and answer among others", ["id", "answer", "question"], ["1", "c", "p"]],
	])("finds %s", async (_, columns, cells) => {
		const { records } = await read("c.csv", `${columns.join(",")}\n${cells.join(",")}\n`);
		expect(records).toMatchObject([{ prompt: "p", response: "c" }]);
	});

	it("joins instruction and input as the tutorial does, and passes over an empty one", async () => {
		const rows = [
			{ instruction: "Answer.", input: "Why?", output: "So." },
			{ instruction: "Answer.", input: "", output: "So." },
			{ instruction: "", input: "Why?", output: "So." },
		];
		const { records } = await read("i.json", JSON.stringify(rows));
		expect(records.map((r) => r.prompt)).toEqual(["Answer.\n\nWhy?", "Answer.", "Why?"]);
	});

	it("takes columns and templates that are asked for, and numbers as texts", async () => {
		const csv = "topic,level,reply\nheart,3,beats\n";
		const { records } = await read("t.csv", csv, { prompt: "On {{ topic }}, level {{ level }}:", response: "reply" });
		expect(records).toMatchObject([{ prompt: "On heart, level 3:", response: "beats" }]);
		expect((await read("n.json", '[{"a": 12, "b": "x"}]', { prompt: "a", response: "b" })).records[0]?.prompt).toBe("12");
	});

	it("takes a column whose name has blanks, in a template too, and one whose name ends with one", async () => {
		const csv = "Question text,Dr's answer\nWhy?,So.\n";
		for (const prompt of ["Question text", "{{ Question text }}", "{{Question text}}"]) {
			const { records } = await read("b.csv", csv, { prompt, response: "{{ Dr's answer }}" });
			expect(records, prompt).toMatchObject([{ prompt: "Why?", response: "So." }]);
		}
		const { records } = await read("b.json", '[{"question ": "Why?", "answer": "So."}]', { prompt: "question", response: "{{ answer }}" });
		expect(records).toMatchObject([{ prompt: "Why?", response: "So." }]);
	});

	it("takes what lies within a value by a template, and refuses the value as a whole", async () => {
		const chat = [
			{ role: "user", content: "Why?" },
			{ role: "assistant", content: "So." },
		];
		const json = JSON.stringify([{ messages: chat, meta: { level: 3 } }]);
		const asked = { prompt: "{{ meta.level }}: {{ messages[0].content }}", response: "{{ messages[1].content }}" };
		expect((await read("n.json", json, asked)).records).toMatchObject([{ prompt: "3: Why?", response: "So." }]);
		for (const prompt of ["messages", "{{ messages }}", "Say {{- messages -}}"]) {
			const message = await refusal("n.json", json, { ...asked, prompt });
			expect(message).toContain("record 1: messages is a list: name a part of it, as {{ messages[0] }}");
		}
		expect(await refusal("n.json", json, { ...asked, prompt: "meta" })).toContain("meta has parts: name one, as {{ meta.NAME }}");
		expect(await refusal("n.json", json, { ...asked, prompt: "{{ messages[0].text }}" })).toContain("what the template gives is empty");
	});

	it("says where a template breaks off in words of the flag", async () => {
		const message = await refusal("m.csv", "topic,reply\na,b\n", { prompt: "{{ topic of all }}", response: "{{ reply" });
		expect(message).toContain("--prompt is a template that cannot be read");
		expect(message).toContain("--response is a template that cannot be read");
		expect(message).not.toMatch(/Parser|Identifier|CloseExpression/);
	});

	it("names the columns that there are, and guesses", async () => {
		const csv = "topic,reply\na,b\n";
		const message = await refusal("m.csv", csv, { prompt: "topics", response: "{{ replay }}" });
		expect(message).toContain('there is no column "topics"; did you mean topic?');
		expect(message).toContain('there is no column "replay"; did you mean reply?');
		expect(message).toContain("the columns are topic, reply");
		expect(await refusal("m.csv", csv)).toMatch(/no column is named as a prompt usually is.*\n.*response/);
		expect(await refusal("m.csv", csv, { prompt: "topic", response: "reply", unit: "patient" })).toContain('there is no column "patient"');
	});

	it("does not show a record that stands where a header should", async () => {
		const message = await refusal("h.csv", "Which drug did Mrs. Smith of Elm Street get?,warfarin and more than that\nb,c\n");
		expect(message).toContain("does the file lack a header");
		expect(message).not.toMatch(/Smith|warfarin/);
		expect(await refusal("h.csv", "What did Mrs. Smith of Elm Street get: warfarin?\nb\n")).toContain("its one column is not shown");
	});
});

describe("what is broken", () => {
	it("names three of 33,955 rows, and leaves them out if asked", async () => {
		const rows = Array.from({ length: 33_955 }, (_, i) => `question ${i},answer ${i}`);
		rows[7] = "secret,";
		rows[20_000] = "secret,a,b";
		rows[33_954] = " ,secret";
		const csv = `question,answer\n${rows.join("\n")}\n`;
		const message = await refusal("large.csv", csv);
		expect(message).toContain("3 of 33955 records are broken");
		expect(message).toContain("row 9: answer is empty");
		expect(message).toContain("row 20002: has 3 of 2 columns");
		expect(message).toContain("row 33956: question is empty");
		expect(message).toContain("--broken drop");
		expect(message).not.toContain("secret");
		const { records, broken } = await read("large.csv", csv, { broken: "drop" });
		expect(records.length).toBe(33_952);
		expect(broken.map((b) => b.place)).toEqual([9, 20002, 33956]);
	});

	it.each<[string, string, string | Uint8Array, RegExp]>([
		["nothing", "a.csv", "", /the data file is empty/],
		["a header alone", "a.csv", "question,answer\n", /has no record/],
		["an open quote", "a.csv", 'question,answer\n"secret,b\n', /a quote is not closed/],
		["a stray quote", "a.csv", 'question,answer\n"sec"ret,b\n', /a quote stands where none may near line 2/],
		["a column twice", "a.csv", "answer,question,answer\na,b,c\n", /columns 1 and 3 have the same name/],
		["Latin-1", "a.csv", Buffer.from("question,answer\nfi\xe8vre,secret\n", "latin1"), /not UTF-8: line 2/],
		["UTF-16 without a mark", "a.csv", Buffer.from("question,answer\n", "utf16le"), /zero bytes/],
		["JSON that is cut off", "a.json", '[{"input": "secret",\n "output": "b"},\n {"inp', /not JSON: see line 3/],
		["JSON that is no list", "a.json", '{"secret": 1}', /no list of records/],
		["a line that is not JSON", "a.jsonl", '{"input":"a","output":"b"}\n{secret\n', /line 2: is not JSON/],
		["entries that are no objects", "a.json", '["secret"]', /no record has values with names/],
		["an object for a text", "a.json", '[{"input": {"secret": 1}, "output": "b"}]', /record 1: input has parts/],
		["null for a text", "a.json", '[{"input": null, "output": "b"}]', /record 1: input is absent/],
		["parquet that is none", "a.parquet", "PAR1 secret PAR1", /no parquet file/],
		["an unknown ending", "a.xlsx", "PK", /the ending "\.xlsx", which tells no format/],
	])("%s", async (_, name, content, message) => {
		const found = await refusal(name, content);
		expect(found).toMatch(message);
		expect(found).not.toContain("secret");
	});
});

describe("the split", () => {
	const rows = fc.uniqueArray(fc.tuple(fc.string({ minLength: 1 }), fc.string({ minLength: 1 })), {
		minLength: 2,
		maxLength: 40,
		selector: (r) => r.join("\n"),
	});

	it("moves no other record when one is taken out", async () => {
		await fc.assert(
			fc.asyncProperty(rows, fc.nat(), fc.nat(1000), async (all, n, seed) => {
				const list = all.map(([prompt, response]) => ({ prompt: `q ${prompt}`, response: `a ${response}` }));
				const settings = { heldOut: 0.3, seed };
				const sides = (r: Awaited<ReturnType<typeof read>>) =>
					new Map([
						...r.records.map((x) => [x.prompt + x.response, 0] as const),
						...r.heldOut.map((x) => [x.prompt + x.response, 1] as const),
					]);
				const before = sides(await read("s.json", JSON.stringify(list), settings));
				const after = sides(
					await read("s.json", JSON.stringify(list.toSpliced(n % list.length, 1)), settings).catch(
						() => ({ records: [], heldOut: [] }) as never,
					),
				);
				for (const [record, side] of after) expect(before.get(record)).toBe(side);
			}),
			{ numRuns: 60 },
		);
	});

	it("is that of the tutorial's share, and keeps an owner's records together", async () => {
		const { train, heldOut } = await readRecords({ ...SETTINGS, data: join(root, "assets/flashcards.json") });
		expect(heldOut.length / (train.length + heldOut.length)).toBeGreaterThan(0.06);
		expect(heldOut.length / (train.length + heldOut.length)).toBeLessThan(0.14);
		const csv = ["patient,question,answer", ...Array.from({ length: 300 }, (_, i) => `${i % 30},q${i},a${i}`)].join("\n");
		const split = await read("u.csv", csv, { unit: "patient", heldOut: 0.3 });
		const owners = new Set(split.records.map((r) => r.unit));
		expect(split.heldOut.length).toBeGreaterThan(0);
		expect(split.heldOut.some((r) => owners.has(r.unit))).toBe(false);
	});
});

describe("tokens", () => {
	const settings = { template: "gemma", maxLength: 40, maxResponse: 20, tooLong: "stop" } as const;
	const tokenizer = () => SentencePieceTokenizer.fromFile(join(root, "assets/tiny-vaultgemma/tokenizer.model"));
	const long = "blood ".repeat(60);
	const csv = `question,answer\nWhat is blood?,a fluid\nWhat is ${long}?,a fluid\nWhat is long?,${long}\n`;

	it("stops, drops or cuts what is too long, and names it by place", async () => {
		const [t, data] = [await tokenizer(), await read("l.csv", csv)];
		const records = { ...data, train: data.records };
		expect(() => tokenizeRecords(t, records, settings)).toThrow(/2 of 3 records have more than 40 tokens.*\n {2}row 3: .*\n {2}row 4: /);
		expect(() => tokenizeRecords(t, records, settings)).not.toThrow(/blood/);
		const dropped = tokenizeRecords(t, records, { ...settings, tooLong: "drop" });
		expect(dropped.train.map(({ record }) => record.place)).toEqual([2]);
		expect(dropped.tooLong.map(({ place, became }) => [place, became])).toEqual([
			[3, "dropped"],
			[4, "dropped"],
		]);
		const cut = tokenizeRecords(t, records, { ...settings, tooLong: "cut" });
		expect(cut.train.map(({ record }) => record.place)).toEqual([2, 4]);
		expect(cut.tooLong.map(({ place, became }) => [place, became])).toEqual([
			[3, "dropped"],
			[4, "cut"],
		]);
		const example = cut.train[1]?.example;
		expect(example?.ids.subarray(example.start).length).toBe(20);
		expect(example?.ids.at(-1)).not.toBe(t.idOf("<end_of_turn>"));
		expect(cut.size).toEqual({ length: 40, learned: 20, padId: t.padId });
	});

	it.each([
		"gemma",
		"plain",
		"{{ bos_token }}Q: {{ messages[0]['content'] }} A:{% if not add_generation_prompt %} {{ messages[1]['content'] }}{{ eos_token }}{% endif %}",
	])("a prompt of the form %s is the beginning of its example, which ends as generation does", async (template) => {
		const t = await tokenizer();
		const form = textForm(t, template);
		const { ids, start } = form.example({ prompt: "What is blood? <end_of_turn>", response: "a fluid" });
		expect([...ids.subarray(0, start)]).toEqual(form.prompt("What is blood? <end_of_turn>"));
		expect(form.endIds).toContain(ids.at(-1));
		expect(t.decode(ids.subarray(start)).trim()).toBe("a fluid");
		const ends = (prompt: string) => form.prompt(prompt).filter((id) => form.endIds.includes(id)).length;
		expect(ends("What is blood? <end_of_turn>")).toBe(ends("What is blood?"));
	});

	it("refuses a template that does not go on from its prompt", async () => {
		const t = await tokenizer();
		expect(() => textForm(t, "chatml")).toThrow(/expected gemma, plain or/);
		const form = textForm(t, "{{ messages[0]['content'] }}{{ messages | length }}");
		expect(() => form.example({ prompt: "a", response: "b" })).toThrow(/does not begin with/);
	});
});
