import { spawn } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCards, splitCards } from "../../examples/support/cards.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const CARDS = join(root, "assets/flashcards.json");
const MODEL = join(root, "assets/tiny-vaultgemma");

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "hushgrad-"));
});
afterAll(() => rm(folder, { recursive: true }));

interface Run {
	readonly code: number | null;
	readonly out: string;
	readonly err: string;
	readonly seconds: number;
}

function run(...flags: string[]): Promise<Run> {
	return new Promise((resolve) => {
		const started = performance.now();
		const child = spawn(process.execPath, ["--import", "tsx", "-C", "@hushgrad/source", "examples/medical-flashcards.ts", ...flags], {
			cwd: root,
		});
		const text = { out: "", err: "" };
		child.stdout.on("data", (d) => {
			text.out += d;
		});
		child.stderr.on("data", (d) => {
			text.err += d;
		});
		child.on("close", (code) => resolve({ code, ...text, seconds: (performance.now() - started) / 1000 }));
	});
}

const SHORT = ["--steps", "3", "--batch", "24", "--physical-batch", "8", "--warmup-steps", "1", "--max-new-tokens", "8"];
const loss = (out: string, when: string): number => Number(new RegExp(`^ *${when} +([0-9.]+) nats`, "m").exec(out)?.[1]);

describe("medical flashcards from end to end", () => {
	it("trains privately, saves, reloads, answers and states what it guarantees", async () => {
		const output = join(folder, "adapter");
		const { code, out, err } = await run(...SHORT, "--epsilon", "8", "--output", output);
		expect(err.replaceAll(/^Warning: maxDynamic.*\n/gm, "")).toBe("");
		expect(code).toBe(0);
		expect(out).toMatch(/trainable params: 52,992 \|\| all params: 692,640 /);
		expect(out.match(/ε [0-9.]+ of 8/g)?.length).toBe(3);
		expect(out).not.toMatch(/private loss/);
		expect(out).not.toMatch(/to train on/);
		expect(out).toMatch(/logits bit-identical/);
		expect(out).toMatch(/LoRA B moved {2}21 of 21/);
		expect(out).toMatch(/base weights {2}unchanged/);
		const spent = Number(/privacy: \(ε = ([0-9.]+), δ = 1e-5\)/.exec(out)?.[1]);
		expect(spent).toBeGreaterThan(7.9);
		expect(spent).toBeLessThanOrEqual(8);
		expect(Number.isFinite(loss(out, "before")) && Number.isFinite(loss(out, "after"))).toBe(true);
		expect((await readdir(output)).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
	});

	it("moves no other card when one is taken from the file", async () => {
		const cards = await readCards(CARDS);
		const { train, heldOut } = splitCards(cards, 0);
		expect(heldOut.length / cards.length).toBeGreaterThan(0.06);
		expect(heldOut.length / cards.length).toBeLessThan(0.14);
		for (const i of [0, 100, cards.length - 1]) {
			const without = splitCards(cards.toSpliced(i, 1), 0);
			expect(without.train).toEqual(train.filter((c) => c !== cards[i]));
			expect(without.heldOut).toEqual(heldOut.filter((c) => c !== cards[i]));
		}
		expect(splitCards(cards, 1).heldOut).not.toEqual(heldOut);
	});

	it("trains without privacy for comparison, says so, and learns", async () => {
		const { code, out } = await run(...SHORT, "--no-dp", "--output", join(folder, "plain"));
		expect(code).toBe(0);
		expect(out).toMatch(/None: this run was made with --no-dp/);
		expect(loss(out, "after")).toBeLessThan(loss(out, "before"));
	});

	it("explains every flag", async () => {
		const { code, out } = await run("--help");
		expect(code).toBe(0);
		for (const flag of ["model", "data", "epsilon", "delta", "steps", "no-dp", "max-length", "output"]) expect(out).toContain(`--${flag}`);
	});
});

describe("bad input ends at once with one typed error", () => {
	const withCard = async (name: string, change: (card: Record<string, unknown>) => void) => {
		const cards = JSON.parse(await readFile(CARDS, "utf8"));
		change(cards[7]);
		const path = join(folder, name);
		await writeFile(path, JSON.stringify(cards));
		return path;
	};
	const withModel = async (name: string, file: string, content: string | Uint8Array) => {
		const path = join(folder, name);
		await cp(MODEL, path, { recursive: true });
		await writeFile(join(path, file), content);
		return path;
	};
	const text = (file: string, content: string) => async () => {
		const path = join(folder, file);
		await writeFile(path, content);
		return path;
	};

	it.each<[string, string, () => Promise<string[]>]>([
		["an unknown flag", "cli/flag", async () => ["--epsilom", "8"]],
		["a stray word", "cli/flag", async () => ["now"]],
		["an epsilon below 0", "cli/value", async () => ["--epsilon=-1"]],
		["a text for a number", "cli/value", async () => ["--steps", "many"]],
		["a delta of 1/N or more", "privacy/delta", async () => ["--delta", "0.01"]],
		["a batch larger than the data", "dp/", async () => ["--batch", "100000"]],
		[
			"cards of one's own without a declared number",
			"cards/declared",
			async () => ["--data", await text("own.json", await readFile(CARDS, "utf8"))()],
		],
		["no cards", "cards/missing", async () => ["--data", "nowhere.json"]],
		["cards that are no JSON", "cards/json", async () => ["--data", await text("broken.json", "[{")()]],
		["a card without an answer", "cards/field", async () => ["--data", await withCard("empty.json", (c) => delete c.output)]],
		[
			"a card longer than the limit",
			"sft/too-long",
			async () => [
				...["--records", "400", "--data"],
				await withCard("long.json", (c) => Object.assign(c, { output: "word ".repeat(300) })),
			],
		],
		["no model", "FormatError", async () => ["--model", "nowhere"]],
		["an empty tokenizer", "tokenizer/empty", async () => ["--model", await withModel("no-tokenizer", "tokenizer.model", "")]],
		[
			"a tokenizer of garbage",
			"tokenizer/format",
			async () => ["--model", await withModel("bad-tokenizer", "tokenizer.model", "garbage ".repeat(100))],
		],
		["a broken config", "file/json", async () => ["--model", await withModel("bad-config", "config.json", "{")]],
		[
			"truncated weights",
			"safetensors/",
			async () => [
				"--model",
				await withModel("cut", "model.safetensors", (await readFile(join(MODEL, "model.safetensors"))).subarray(0, 5000)),
			],
		],
	])("%s", async (_, code, flags) => {
		const output = join(folder, "never");
		const result = await run(...(await flags()), "--output", output);
		const lines = result.err.split("\n").filter((l) => l !== "" && !l.startsWith("Warning: maxDynamic"));
		expect(lines[0]).toMatch(/^(Format|Value|Privacy)Error \[/);
		expect(lines[0]).toContain(code);
		expect(lines.some((l) => l.includes("Hint: "))).toBe(true);
		expect(lines.every((l) => !l.trim().startsWith("at "))).toBe(true);
		expect(result.code).not.toBe(0);
		// Within a second on an idle machine; here other tests run beside it.
		expect(result.seconds).toBeLessThan(5);
		expect(await readdir(folder)).not.toContain("never");
	});
});
