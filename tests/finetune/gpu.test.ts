import { join } from "node:path";
import { commands, main, train } from "@hushgrad/finetune";
import { expect, it } from "vitest";
import { FakeTerminal } from "./terminal.ts";
import { flagsOf, inFolder, settingsOf } from "./tinyRun.ts";

it("every command that opens a GPU opens the one that --gpu names, and says which there are where there is none of that name", async () => {
	await inFolder(async (folder) => {
		const interrupted = AbortSignal.abort();
		await train(await settingsOf(folder), { signal: interrupted });
		const run = join(folder, "run");
		const lines = [
			["train", ...flagsOf(folder, { output: join(folder, "other") })],
			["plan", ...flagsOf(folder), "--measure"],
			["resume", run],
			["eval", run, "--public-eval", join(folder, "cards.csv")],
			["audit", run],
			["chat", run],
			["generate", run, "--prompt", "Why?"],
			["merge", run, "--output", join(folder, "merged")],
		];
		for (const line of lines) {
			const terminal = new FakeTerminal();
			const code = await main(commands, [...line, "--gpu", "no such GPU"], terminal, "0");
			expect({ line: line[0], code }).toEqual({ line: line[0], code: 1 });
			expect(terminal.stderr).toMatch(/error: there is no adapter "no such GPU"\n +Hint: those there are: 0: /);
		}
	});
});
