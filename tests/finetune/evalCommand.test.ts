import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type EvaluationPair, runFiles, type Settings, settingsText } from "@hushgrad/finetune";
import { fromPretrained, saveAdapter } from "@hushgrad/models";
import { applyLora, loraConfig } from "@hushgrad/nn";
import { key, normalValues } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../packages/finetune/src/cli/main.ts";
import { evalCommand } from "../../packages/finetune/src/evaluation/evalCommand.ts";
import { settingsSchema } from "../../packages/finetune/src/settings/schema.ts";
import { useDevice } from "../support/device.ts";
import { FakeTerminal } from "./terminal.ts";

const MODEL = fileURLToPath(new URL("../../assets/tiny-vaultgemma", import.meta.url));
const CARDS = JSON.parse(readFileSync(new URL("../../assets/flashcards.json", import.meta.url), "utf8")) as object[];
const device = useDevice();

let folder: string;
const at = (name: string): string => join(folder, name);

/** The folder of a run on 20 cards, whose adapter is random. */
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "eval-"));
	writeFileSync(at("cards.json"), JSON.stringify(CARDS.slice(0, 20)));
	writeFileSync(at("public.json"), JSON.stringify(CARDS.slice(20, 26)));
	const derived = {
		records: 18,
		delta: 1e-5,
		maxLength: 80,
		maxResponse: 64,
		steps: 2,
		batchSize: 9,
		physicalBatchSize: 8,
		lr: 0.01,
		saveEvery: 1,
	};
	const given = { data: at("cards.json"), model: MODEL, output: folder, ledger: at("ledger"), heldOut: 0.5, template: "gemma", ...derived };
	const files = runFiles(folder);
	writeFileSync(files.settings, settingsText(settingsSchema.parse(given) as Settings));
	const model = await fromPretrained(MODEL, { device: device() });
	const config = loraConfig({ r: 8, lora_alpha: 16, target_modules: ["q_proj"], base_model_name_or_path: MODEL });
	let seed = 0;
	for (const { lora_B } of applyLora(model, config, { device: device(), key: key(0) }).values()) {
		const values = Float32Array.from(normalValues(key(seed++), lora_B.weight.shape[0] * 8), (v) => 0.3 * v);
		lora_B.weight.assign(device().fromHost(values, lora_B.weight.shape));
	}
	await saveAdapter(model, files.adapter, config);
	model.dispose();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function evaluated(...args: string[]) {
	const terminal = new FakeTerminal({ columns: 100 });
	const code = await main([evalCommand], ["eval", ...args], terminal, "0");
	return { code, terminal, pair: () => JSON.parse(readFileSync(runFiles(folder).evaluation, "utf8")) as EvaluationPair };
}

describe("hushgrad eval", () => {
	it("measures a run before and after on what it held out, covered by nothing, and shows no record", async () => {
		const { code, terminal, pair } = await evaluated(folder, "--max-new-tokens", "6");
		expect(terminal.stderr.replaceAll(/^(before: |after: |opening |loading ).*\n/gm, "")).toBe("");
		expect(code).toBe(0);
		const { before, after } = pair();
		expect(after).toMatchObject({ covered: false, isPublic: false });
		expect(after?.records).toBeGreaterThan(3);
		expect(after?.records).toBeLessThan(17);
		expect(after?.lossPerToken).not.toBe(before?.lossPerToken);
		expect(terminal.stdout).toContain("Not covered by ε");
		for (const card of CARDS.slice(0, 20) as { output: string }[]) expect(terminal.stdout).not.toContain(card.output.slice(0, 30));
	});

	it("measures on public records, all of them, and shows answers", async () => {
		const { code, terminal, pair } = await evaluated(
			folder,
			"--public-eval",
			at("public.json"),
			"--max-new-tokens",
			"6",
			"--examples",
			"1",
		);
		expect(code).toBe(0);
		expect(pair().after).toMatchObject({ covered: true, isPublic: true, records: 6 });
		expect(pair().after?.examples?.length).toBe(1);
		expect(terminal.stdout).toContain("Measured on public records");
	});

	it("measures an adapter by itself, on data that is named, and leaves the run as it was", async () => {
		const { adapter, evaluation } = runFiles(folder);
		const was = readFileSync(evaluation, "utf8");
		const { code, terminal } = await evaluated(adapter, "--data", at("public.json"), "--template", "gemma", "--max-new-tokens", "4");
		expect(terminal.stderr).not.toContain("error");
		expect(code).toBe(0);
		expect(readFileSync(evaluation, "utf8")).toBe(was);
	});

	it.each<[string, () => string[], RegExp]>([
		["no folder", () => [], /RUN is missing/],
		["a folder that is none", () => ["/nowhere"], /no run, no adapter and no model/],
		["a folder of a base", () => [MODEL], /there is no run and no adapter in this folder/],
		["an adapter without data", () => [runFiles(folder).adapter], /--data or --public-eval/],
		["two files", () => [folder, "--data", "a.csv", "--public-eval", "b.csv"], /expected one of them/],
		["data that is not there", () => [folder, "--data", at("none.csv")], /does not exist/],
		["an unknown flag", () => [folder, "--example", "3"], /--examples/],
		["no number", () => [folder, "--examples", "few"], /examples/],
		["a base that is not there", () => [folder, "--model", at("none")], /none/],
	])("refuses %s", async (_, args, message) => {
		const { code, terminal } = await evaluated(...args());
		expect(terminal.stderr).toMatch(message);
		expect(terminal.stderr).not.toContain("fault of its own");
		expect(code).toBe(2);
	});
});
