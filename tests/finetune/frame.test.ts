import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ValueError } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Command, ExitCode } from "../../packages/finetune/src/cli/command.ts";
import { main } from "../../packages/finetune/src/cli/main.ts";
import { printerOf } from "../../packages/finetune/src/cli/printer.ts";
import { wantsColor } from "../../packages/finetune/src/cli/processTerminal.ts";
import { displayWidth, shorten, wrap } from "../../packages/finetune/src/cli/width.ts";
import { wrapped } from "../../packages/finetune/src/cli/wrapped.ts";
import { FakeTerminal } from "./terminal.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const command = (name: string, prepare: Command["prepare"]): Command => ({
	name,
	summary: `does ${name}`,
	help: () => `help of ${name}\n`,
	prepare,
});
const COMMANDS = [
	command("train", async (args) => async () => (args.includes("--stop") ? ExitCode.interrupted : ExitCode.done)),
	command("refuse", async () => {
		throw new ValueError("cli/arguments", "--lr is wrong", { hint: "mend it" });
	}),
	command("fail", async () => async () => {
		throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC", path: "out/adapter" });
	}),
	command("bug", async () => async () => {
		throw new TypeError("x is undefined");
	}),
];
const run = async (...args: string[]) => {
	const terminal = new FakeTerminal();
	const code = await main(COMMANDS, args, terminal, "1.2.3");
	return { code, out: terminal.stdout, err: terminal.stderr };
};

describe("the frame", () => {
	it("finds the command and gives its exit code", async () => {
		expect(await run("train")).toEqual({ code: 0, out: "", err: "" });
		expect((await run("train", "--stop")).code).toBe(3);
		expect(await run("--version")).toEqual({ code: 0, out: "1.2.3\n", err: "" });
	});

	it("explains itself on stdout when asked, on stderr when nothing was said", async () => {
		expect((await run("--help")).out).toMatch(/train {7}does train\n {2}refuse {6}does refuse/);
		expect((await run("-h")).code).toBe(0);
		expect(await run()).toMatchObject({ code: 2, out: "" });
		for (const args of [
			["train", "--help"],
			["train", "--lr", "-h"],
			["help", "train"],
		]) {
			expect(await run(...args)).toEqual({ code: 0, out: "help of train\n", err: "" });
		}
	});

	it("offers the nearest command", async () => {
		expect(await run("trian")).toMatchObject({ code: 2, out: "", err: expect.stringContaining('no command "trian"; did you mean train?') });
		expect((await run("--lr", "1")).err).toContain("a command comes first, before --lr");
	});

	it("prints a refusal, a failure of the system and a bug as one message each, without a stack", async () => {
		expect(await run("refuse")).toEqual({ code: 2, out: "", err: "error: --lr is wrong\n  Hint: mend it\n  [cli/arguments]\n" });
		const full = await run("fail");
		expect(full.code).toBe(1);
		expect(full.err).toContain("the disk is full: out/adapter (ENOSPC)");
		const bug = await run("bug");
		expect(bug.code).toBe(1);
		expect(bug.err).toContain("this is a bug");
		expect(bug.err).not.toContain(" at ");
	});

	it("shows the stack of a bug when asked", async () => {
		process.env.HUSHGRAD_DEBUG = "1";
		try {
			expect((await run("bug")).err).toMatch(/TypeError: x is undefined\n +at /);
		} finally {
			delete process.env.HUSHGRAD_DEBUG;
		}
	});
});

describe("the terminal", () => {
	it("has colours by NO_COLOR, FORCE_COLOR and TERM", () => {
		expect(wantsColor(true, {})).toBe(true);
		expect(wantsColor(false, {})).toBe(false);
		expect(wantsColor(true, { NO_COLOR: "1" })).toBe(false);
		expect(wantsColor(true, { NO_COLOR: "" })).toBe(true);
		expect(wantsColor(true, { TERM: "dumb" })).toBe(false);
		expect(wantsColor(false, { FORCE_COLOR: "1", NO_COLOR: "1" })).toBe(true);
		expect(wantsColor(true, { FORCE_COLOR: "0" })).toBe(false);
	});

	it("survives a reader that goes away", async () => {
		const child = spawn(
			"bash",
			["-c", `set -o pipefail; "$0" --import tsx -C @hushgrad/source packages/finetune/src/bin.ts --help | true`, process.execPath],
			{ cwd: root },
		);
		let err = "";
		child.stderr.on("data", (d) => {
			err += d;
		});
		expect(await new Promise((resolve) => child.on("close", resolve))).toBe(0);
		expect(err).toBe("");
	});
});

describe("width", () => {
	// Python's unicodedata.east_asian_width and the terminals that follow it.
	it.each([
		["abc", 3],
		["日本語", 6],
		["ｶﾅ", 2],
		["Ａ", 2],
		["e\u0301", 1],
		["한글", 4],
		["👩‍⚕️", 2],
		["ε = 8 ▁", 7],
		["\u200b", 0],
		["\x1b[1mab\x1b[22m", 2],
	])("%j takes %i", (text, width) => {
		expect(displayWidth(text)).toBe(width);
	});

	it("no line of a wrapped text is wider, and no character is lost", () => {
		const word = fc.string({ unit: fc.constantFrom("a", "é", "日", "👩‍⚕️", "-"), minLength: 1, maxLength: 30 });
		fc.assert(
			fc.property(fc.array(word, { maxLength: 30 }), fc.integer({ min: 2, max: 100 }), (words, columns) => {
				const lines = wrap(words.join(" "), columns);
				for (const line of lines) expect(displayWidth(line)).toBeLessThanOrEqual(columns);
				expect(lines.join("").replaceAll(" ", "")).toBe(words.join(""));
				expect(displayWidth(shorten(words.join(" "), columns))).toBeLessThanOrEqual(columns);
			}),
		);
	});

	/** What is shown of a text that comes in such pieces, and what is shown of it before its end. */
	async function shown(columns: number, ...pieces: string[]) {
		const parts: string[] = [];
		const coming = (async function* () {
			yield* pieces;
		})();
		for await (const part of wrapped(coming, columns)) parts.push(part);
		return { text: parts.join(""), parts };
	}

	it("a text that comes in pieces has the lines of the whole text, however it is cut", async () => {
		const word = fc.string({ unit: fc.constantFrom("a", "é", ".", "n\u0303"), minLength: 1, maxLength: 30 });
		const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 });
		await fc.assert(
			fc.asyncProperty(fc.array(word, { maxLength: 30 }), cuts, fc.integer({ min: 2, max: 100 }), async (words, lengths, columns) => {
				const left = Array.from(new Intl.Segmenter().segment(words.join(" ")), ({ segment }) => segment);
				const pieces: string[] = [];
				for (let i = 0; left.length > 0; i++) pieces.push(left.splice(0, lengths[i % lengths.length]).join(""));
				const { text } = await shown(columns, ...pieces);
				const lines = wrap(words.join(" "), columns).map((line) => line.trimEnd());
				expect(text.split("\n")).toEqual(lines);
			}),
		);
	});

	it("a word comes when it is whole, a script without spaces character by character", async () => {
		expect((await shown(10, "The he", "art pu", "mps", " blood.")).parts).toEqual(["The", " heart", "\npumps", "\nblood."]);
		expect((await shown(10, "心脏", "将血液", "泵入全身")).parts).toEqual(["心脏", "将血液", "\n泵入全身"]);
		expect((await shown(3, "日本👩‍⚕️a日")).text).toBe("日\n本\n👩‍⚕️\na日");
		expect((await shown(10, "- a\n  - b\n\n", "\tcode and more")).text).toBe("- a\n  - b\n\n    code\nand more");
	});

	it("a text cannot move the cursor or change the colours", async () => {
		expect((await shown(40, "one\r\ntwo\rthree \x1b[2J\x07four")).text).toBe("one\ntwothree [2Jfour");
	});

	it("what stands beside an equals sign stays there, and what goes on hangs where it is asked to", () => {
		expect(wrap("  sampling  one of 3 steps (N = 54, L = 16)", 31)).toEqual(["  sampling  one of 3 steps", "            (N = 54, L = 16)"]);
		expect(wrap("clipped to C = 1, divided", 14)).toEqual(["clipped to", "C = 1, divided"]);
		expect(wrap("error of many words\n  Hint: do this and that", 20, 2)).toEqual([
			"error of many words",
			"  Hint: do this and",
			"    that",
		]);
	});

	it.each([60, 80, 120, 200])("fields of %i columns hang below their value", (columns) => {
		const terminal = new FakeTerminal({ columns });
		const print = printerOf(terminal);
		print.heading("Privacy");
		print.heading("What is asked? ".repeat(20).trim());
		print.field("guarantee", "ε = 8 at δ = 1e-5 ".repeat(20).trim());
		print.warning("long ".repeat(80).trim());
		const lines = terminal.stdout.trimEnd().split("\n");
		expect(lines.every((line) => displayWidth(line) <= columns)).toBe(true);
		expect(lines[1]).toBe("Privacy");
		const field = lines.findIndex((line) => line.includes("guarantee"));
		expect(lines[field]).toMatch(/^ {2}guarantee {7}ε/);
		expect(lines[field + 1]).toMatch(/^ {18}\S/);
	});

	it("marks learned tokens without colours, too", () => {
		expect(printerOf(new FakeTerminal()).learned("heart")).toBe("[heart]");
		expect(printerOf(new FakeTerminal({ hasColor: true })).learned("heart")).toBe("\x1b[4;32mheart\x1b[24;39m");
	});
});
