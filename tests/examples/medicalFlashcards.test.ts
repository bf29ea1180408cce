import { spawn } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

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
}

function run(...flags: string[]): Promise<Run> {
	return new Promise((resolve) => {
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
		child.on("close", (code) => resolve({ code, ...text }));
	});
}

const SHORT = ["--steps", "2", "--batch-size", "16", "--physical-batch-size", "8", "--held-out", "0.02", "--max-new-tokens", "8"];
const ownLedger = () => ["--ledger", join(folder, "ledger")];
/** The loss a token of the held-out cards, before and after. */
const losses = (out: string): number[] => (/loss per response token, nats +([0-9.]+) → ([0-9.]+)/.exec(out)?.slice(1) ?? []).map(Number);

describe("medical flashcards from end to end", () => {
	it("trains privately, evaluates, reloads, answers and states what it guarantees", async () => {
		const output = join(folder, "run");
		const { code, out, err } = await run(...SHORT, ...ownLedger(), "--epsilon", "8", "--output", output);
		// stderr is a socket here, from which Dawn's own warnings cannot be kept.
		expect(err.replaceAll(/^Warning: maxDynamic.*\n/gm, "")).not.toMatch(/warning|error/i);
		expect(code).toBe(0);
		expect(err.match(/step \d\/2 {2}ε [0-9.]+ of 8/g)?.length).toBeGreaterThanOrEqual(1);
		expect(out + err).not.toMatch(/ loss [0-9]|to train on/);
		expect(out).toMatch(/loss +of base and adapter, bit for bit the same/);
		expect(out).toMatch(/LoRA B moved +21 of 21/);
		expect(out.match(/^ {2}(before|after|card) {2}/gm)).toHaveLength(9);
		const spent = Number(/privacy: \(ε = ([0-9.]+), δ = 1e-5\)/.exec(out)?.[1]);
		expect(spent).toBeGreaterThan(7.9);
		expect(spent).toBeLessThanOrEqual(8);
		expect(losses(out).every(Number.isFinite)).toBe(true);
		expect(losses(out)).toHaveLength(2);
		expect(await readdir(output)).toEqual(expect.arrayContaining(["adapter", "report.html", "statement.txt", "metrics.jsonl"]));
	});

	it("trains without privacy for comparison, says so, and learns", async () => {
		const { code, out } = await run(...SHORT, "--no-private", "--output", join(folder, "plain"));
		expect(code).toBe(0);
		expect(out).toMatch(/NOT PRIVATE: this run was made without differential privacy/);
		const [before = 0, after = 0] = losses(out);
		expect(after).toBeLessThan(before);
	});

	it("explains every flag", async () => {
		const { code, out } = await run("--help");
		expect(code).toBe(0);
		for (const flag of ["model", "data", "epsilon", "delta", "steps", "no-private", "max-length", "output", "temperature"]) {
			expect(out).toContain(`--${flag}`);
		}
	});
});

describe("bad input ends at once with one message", () => {
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

	// `hushgrad train` has a table of its own of wrong input; these are of what the demo adds to it.
	it.each<[string, number, RegExp, () => Promise<string[]>]>([
		["an unknown flag", 2, /there is no flag --epsilom; did you mean --epsilon\?/, async () => ["--epsilom", "8"]],
		["a flag of before", 2, /there is no flag --batch\n/, async () => ["--batch", "100"]],
		["a stray word", 2, /"now" belongs to no flag/, async () => ["now"]],
		["a temperature below 0", 2, /--temperature is -1/, async () => ["--temperature", "-1"]],
		[
			"cards of one's own without a declared number",
			2,
			/--records is missing/,
			async () => ["--data", await withCard("own.json", () => {})],
		],
		[
			"a card without an answer",
			2,
			/record 8: output is absent/,
			async () => ["--records", "400", "--data", await withCard("empty.json", (c) => delete c.output)],
		],
		["no model", 2, /the folder of the model does not exist/, async () => ["--model", "nowhere"]],
		[
			"truncated weights",
			1,
			/safetensors\//,
			async () => [
				"--model",
				await withModel("cut", "model.safetensors", (await readFile(join(MODEL, "model.safetensors"))).subarray(0, 5000)),
			],
		],
	])("%s", async (_, code, message, flags) => {
		const result = await run(...(await flags()), ...ownLedger(), "--output", join(folder, "never"));
		expect(result.err).toMatch(/^error: /m);
		expect(result.err).toMatch(message);
		expect(result.err).not.toMatch(/^\s+at /m);
		expect(result.code).toBe(code);
		expect(await readdir(folder)).not.toContain("never");
	});
});
