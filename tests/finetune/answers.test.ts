import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resume, runFiles, train } from "@hushgrad/finetune";
import { fromPretrained, loadAdapter } from "@hushgrad/models";
import { type Device, data } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { commands } from "../../packages/finetune/src/cli/commands.ts";
import { main } from "../../packages/finetune/src/cli/main.ts";
import { wrap } from "../../packages/finetune/src/cli/width.ts";
import { chat } from "../../packages/finetune/src/generate/chatCommand.ts";
import { Conversation } from "../../packages/finetune/src/generate/conversation.ts";
import { findTuned, openTuned } from "../../packages/finetune/src/generate/tuned.ts";
import { useDevice } from "../support/device.ts";
import { relativeError } from "../support/goldens.ts";
import { FakeTerminal } from "./terminal.ts";
import { inFolder, settingsOf } from "./tinyRun.ts";

const device = useDevice();
let folder: string;
let run: string;
let finish: () => void;
let kept: Promise<unknown>;
beforeAll(async () => {
	let begun: (() => void) | undefined;
	const ready = new Promise<void>((resolve) => {
		begun = resolve;
	});
	const over = new Promise<void>((resolve) => {
		finish = resolve;
	});
	kept = inFolder(async (own) => {
		folder = own;
		const settings = await settingsOf(own, { steps: "2", "target-modules": undefined, lr: "0.05" });
		run = settings.output;
		await train(settings);
		begun?.();
		await over;
	});
	await Promise.race([ready, kept]);
});
afterAll(async () => {
	finish();
	await kept;
});

/** Runs a command line; gives exit code and what was written. */
const hushgrad = (...args: string[]) => hushgradAt(new FakeTerminal({ columns: 120 }), args);

async function hushgradAt(terminal: FakeTerminal, args: readonly string[]) {
	const code = await main(commands, args, terminal, "0");
	return { code, out: terminal.stdout, err: terminal.stderr };
}

const ASK = ["--prompt", "What does insulin do?", "--max-new-tokens", "6"];

describe("hushgrad generate", () => {
	it("writes an answer and nothing else to stdout, the same for the same seed", async () => {
		const first = await hushgrad("generate", run, ...ASK, "--seed", "3");
		expect(first).toMatchObject({ code: 0, out: expect.stringMatching(/^[^\n]+\n$/) });
		expect((await hushgrad("generate", join(run, "adapter"), ...ASK, "--seed", "3")).out).toBe(first.out);
		const greedy = await hushgrad("generate", run, ...ASK, "--temperature", "0");
		expect(greedy.out).toBe((await hushgrad("generate", run, ...ASK, "--temperature", "0", "--seed", "9")).out);
	});

	it("breaks lines for a person, and for nobody else", async () => {
		// The base's answer, which is long; what the run answers depends on its noise.
		const ask = ["generate", "assets/tiny-vaultgemma", "--prompt", "What does insulin do?", "--max-new-tokens", "40", "--temperature", "0"];
		const raw = (await hushgrad(...ask)).out;
		const { out } = await hushgradAt(new FakeTerminal({ outColumns: 40 }), ask);
		expect(Math.max(...raw.split("\n").map((line) => line.length))).toBeGreaterThan(40);
		expect(out).toBe(`${wrap(raw.trimEnd(), 40).join("\n")}\n`);
	});

	it("refuses what is no model, an empty prompt, numbers out of range, and a prompt without room for an answer", async () => {
		for (const [args, message] of [
			[[folder, ...ASK], /no run, no adapter and no model/],
			[[join(folder, "none"), ...ASK], /no run, no adapter and no model/],
			[[run, "--prompt", " "], /--prompt is empty/],
			[[run], /--prompt is missing/],
			[[run, ...ASK, "--temperature", "-1"], /--temperature is -1/],
			[[run, ...ASK, "--top-p", "0"], /--top-p is 0/],
			[[run, ...ASK, "--top-q", "0.5"], /--top-p/],
		] as const) {
			expect(await hushgrad("generate", ...args)).toMatchObject({ code: 2, out: "", err: expect.stringMatching(message) });
		}
		const long = await hushgrad("generate", run, "--prompt", "insulin ".repeat(2000));
		expect(long).toMatchObject({ code: 1, err: expect.stringMatching(/the prompt has \d+ tokens/) });
	});

	it("refuses an adapter for another base: by its hash, and by its shapes", async () => {
		const base = join(folder, "other-base");
		const { model } = JSON.parse(readFileSync(runFiles(run).settings, "utf8"));
		cpSync(model, base, { recursive: true });
		const weights = readFileSync(join(base, "model.safetensors"));
		weights[weights.length - 1] = (weights[weights.length - 1] ?? 0) ^ 1;
		writeFileSync(join(base, "model.safetensors"), weights);
		const other = await hushgrad("generate", run, ...ASK, "--model", base);
		expect(other).toMatchObject({ code: 1, out: "", err: expect.stringContaining("trained on another base") });
		const alone = join(folder, "alone");
		cpSync(join(run, "adapter"), alone, { recursive: true });
		const config = JSON.parse(readFileSync(join(alone, "adapter_config.json"), "utf8"));
		writeFileSync(join(alone, "adapter_config.json"), JSON.stringify({ ...config, r: 4 }));
		expect(await hushgrad("generate", alone, ...ASK)).toMatchObject({ code: 2, err: expect.stringContaining("the adapter") });
	});
});

describe("hushgrad chat", () => {
	const settings = { maxNewTokens: 5, temperature: 0, topP: 1, repetitionPenalty: 1, seed: 0 };
	async function talk(d: Device, lines: readonly string[], isAsked = false) {
		const answerer = await openTuned(d, await findTuned(run), () => {});
		const conversation = new Conversation(answerer, settings);
		const terminal = new FakeTerminal();
		await chat(
			conversation,
			(async function* () {
				yield* lines;
			})(),
			terminal,
			isAsked,
		);
		answerer.model.dispose();
		return { conversation, out: terminal.stdout, err: terminal.stderr };
	}

	it("answers line after line, remembers, forgets when told so, and ends", async () => {
		const { conversation, out, err } = await talk(device(), ["What is the heart?", "", "/nothing", "What else?", "/quit", "not read"]);
		expect(out.split("\n").length).toBe(3);
		expect(err).toMatch(/^there is no \/nothing/);
		expect(conversation.messages.map(({ role }) => role)).toEqual(["user", "assistant", "user", "assistant"]);
		const forgotten = await talk(device(), ["What is the heart?", "/reset", "What is the heart?"]);
		const [first, second] = forgotten.out.split("\n");
		expect(second).toBe(first);
		expect(forgotten.conversation.messages.length).toBe(2);
	});

	it("asks a person, and nobody else", async () => {
		expect((await talk(device(), ["/quit"], true)).err).toBe("/reset forgets what was said, /quit ends\n> ");
		expect((await talk(device(), ["/quit"])).err).toBe("");
	});

	it("leaves the oldest out where there is no room, and goes on after a prompt that is too long", async () => {
		const long = "insulin is a hormone of the pancreas ".repeat(8);
		const { conversation, err } = await talk(device(), [...Array<string>(12).fill(long), "word ".repeat(3000), "What is the heart?"]);
		expect(err).toMatch(/^error: the prompt has \d+ tokens/);
		expect(conversation.messages.at(-2)?.content).toBe("What is the heart?");
		expect(conversation.messages.length).toBeLessThan(24);
	});
});

describe("hushgrad merge", () => {
	it("writes a model by itself that gives the logits of base and adapter", async () => {
		const output = join(folder, "merged");
		expect(await hushgrad("merge", run, "--output", output, "--dtype", "f32")).toMatchObject({ code: 0 });
		expect(readdirSync(output).sort()).toEqual(["config.json", "generation_config.json", "model.safetensors", "tokenizer.model"]);
		const { model: base } = JSON.parse(readFileSync(runFiles(run).settings, "utf8"));
		const apart = await fromPretrained(base, { device: device() });
		await loadAdapter(apart, join(run, "adapter"), device());
		const merged = await fromPretrained(output, { device: device() });
		const ids = device().fromHost(Int32Array.of(2, 17, 41, 99), [4]);
		const [expected, own] = [await data(apart.call(ids)), await data(merged.call(ids))];
		// Sums in another order.
		expect(relativeError([...own], [...expected])).toBeLessThan(1e-5);
		expect((await hushgrad("generate", output, ...ASK)).code).toBe(0);
		expect(await hushgrad("merge", run, "--output", output)).toMatchObject({ code: 2, err: expect.stringContaining("not empty") });
		expect(await hushgrad("merge", output, "--output", join(folder, "x"))).toMatchObject({
			code: 2,
			err: expect.stringContaining("no adapter"),
		});
	});
});

describe("hushgrad adapters", () => {
	it("lists runs and adapters with base, rank and what they spent, and steps over what is neither", async () => {
		const below = join(folder, "list", "a");
		mkdirSync(below, { recursive: true });
		writeFileSync(join(below, "settings.json"), "{}");
		cpSync(join(run, "adapter"), join(folder, "list", "b"), { recursive: true });
		const { code, out } = await hushgrad("adapters", folder);
		expect(code).toBe(0);
		expect(out).toMatch(/run\n {2}base .*tiny-vaultgemma\n {2}rank {12}8\n {2}steps {11}2 of 2\n {2}ε {15}\d\.\d{3}\n/);
		expect(out).toMatch(/list\/b\n {2}base .*\n {2}rank {12}8\n {2}ε {15}not known\n/);
		expect(out).not.toContain("list/a");
		expect(await hushgrad("adapters", join(folder, "nowhere"))).toMatchObject({ code: 2, err: expect.stringContaining("no such folder") });
	});
});

describe("hushgrad train and resume", () => {
	it("say what is being done, what was guaranteed and what comes next", async () => {
		const output = join(folder, "second");
		const { code, out, err } = await hushgrad(
			"train",
			"--config",
			runFiles(run).settings,
			"--output",
			output,
			"--steps",
			"1",
			"--save-every",
			"1",
		);
		expect(code).toBe(0);
		expect(out).toContain(`hushgrad chat ${output}`);
		expect(out).toMatch(/Differential privacy: \(ε = /);
		expect(out).toMatch(/1 on the same records, by the ledger/);
		expect(err).toMatch(/step 1\/1 {2}ε \d\.\d{3} of 8/);
		expect(err).not.toMatch(/loss/);
		await expect(resume(output)).resolves.toMatchObject({ isFinished: true });
		expect(await hushgrad("train", "--config", runFiles(run).settings)).toMatchObject({
			code: 2,
			err: expect.stringContaining("hushgrad resume"),
		});
		expect(await hushgrad("resume", join(folder, "nothing"))).toMatchObject({ code: 2 });
		expect(existsSync(join(folder, "nothing"))).toBe(false);
	});
});
