import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeSafetensors } from "@hushgrad/nn";

/** Files of wrong and of right input, made in a folder; lines of command.ts name them by these names. */
export async function makeFixtures(root: string, folder: string): Promise<void> {
	const put = (name: string, content: string | Uint8Array): Promise<void> => writeFile(join(folder, name), content);
	const csv = (rows: readonly string[], header = "question,answer"): string => `${[header, ...rows].join("\n")}\n`;
	const rows = (count: number): string[] => Array.from({ length: count }, (_, i) => `What is number ${i}?,one more than ${i - 1}`);
	const changed = (count: number, changes: Readonly<Record<number, string>>): string[] => rows(count).map((row, i) => changes[i] ?? row);
	const long = `What is long?,${"very ".repeat(100)}`;

	await put("cards.csv", csv(rows(60)));
	await put("three-broken.csv", csv(changed(33_955, { 7: "confidential,", 20000: "confidential,a,b", 33954: " ,confidential" })));
	await put("broken.csv", csv(changed(60, { 7: "confidential,", 20: "confidential,a,b", 59: " ,confidential" })));
	await put("long.csv", csv(changed(60, { 3: long })));
	await put("no-answer.csv", csv(rows(5), "topic,reply"));
	await put(
		"no-header.csv",
		csv(
			["What did Mrs. Confidential of Elm Street get?,warfarin, five milligrams"],
			"Which drug is confidential to Mr. Confidential?,aspirin",
		),
	);
	await put("twice.csv", csv(["a,b,c"], "answer,question,answer"));
	await put("open-quote.csv", csv(['"confidential,b']));
	await put("stray-quote.csv", csv(['"pri"vate,b']));
	await put("latin1.csv", Buffer.from(csv(["fi\xe8vre,confidential"]), "latin1"));
	await put("utf16.csv", Buffer.from(csv(rows(3)), "utf16le"));
	await put("empty.csv", "");
	await put("blank.csv", "\n\n  \n");
	await put("header.csv", csv([]));
	await put("cut.json", '[{"question": "confidential",\n "answer": "b"},\n {"ques');
	await put("object.json", '{"question": "confidential"}');
	await put("texts.json", '["confidential"]');
	await put("nested.json", '[{"question": {"confidential": 1}, "answer": "b"}]');
	await put("lines.jsonl", '{"question":"a","answer":"b"}\n{confidential\n[1]\n');
	await put("torn.parquet", "PAR1 confidential PAR1");
	await put("sheet.xlsx", "PK");
	await put("noending", "question,answer\n");
	await mkdir(join(folder, "folder.csv"));

	await put("unknown.yaml", "epsilom: 8\n");
	await put("types.yaml", "rank: many\nprivate: 1\nlr: fast\ntarget-modules: q_proj\n");
	await put("list.yaml", "- 1\n- 2\n");
	await put("tabs.yaml", "lr:\n\t- 1\n");
	await put("twice.yaml", "lr: 1\nlr: 2\n");
	await put("torn.json", '{"lr": 1,\n"rank": ');
	await put("length.yaml", "steps: 3\nepochs: 2\n");
	await put("steps.yaml", "steps: 3\n");
	await put("camel.yaml", "maxLength: 80\n");
	await put("null.yaml", "lr:\n");
	await put("alias.yaml", "a: &a [x]\nb: [*a, *a]\n");

	const model = join(root, "assets/tiny-vaultgemma");
	const variant = async (name: string, files: Readonly<Record<string, string | Uint8Array | undefined>>): Promise<void> => {
		await cp(model, join(folder, name), { recursive: true, filter: (path) => !Object.hasOwn(files, path.slice(model.length + 1)) });
		for (const [file, content] of Object.entries(files)) if (content !== undefined) await put(join(name, file), content);
	};
	const config = JSON.parse(await readFile(join(model, "config.json"), "utf8")) as Record<string, unknown>;
	const configured = (changes: object): string => JSON.stringify({ ...config, ...changes });
	const weights = await readFile(join(model, "model.safetensors"));
	await variant("model", {});
	await variant("no-tokenizer", { "tokenizer.model": undefined });
	await variant("no-config", { "config.json": undefined });
	await variant("no-weights", { "model.safetensors": undefined });
	await variant("torn-weights", { "model.safetensors": weights.subarray(0, 5000) });
	await variant("garbage-weights", { "model.safetensors": "<html>not found</html>" });
	await variant("empty-tokenizer", { "tokenizer.model": "" });
	await variant("garbage-tokenizer", { "tokenizer.model": "garbage ".repeat(100) });
	await variant("torn-config", { "config.json": "{" });
	await variant("other-model", { "config.json": configured({ model_type: "llama" }) });
	await variant("odd-heads", { "config.json": configured({ num_key_value_heads: 3 }) });
	await variant("text-layers", { "config.json": configured({ num_hidden_layers: "three" }) });
	await mkdir(join(folder, "empty"));
	await mkdir(join(folder, "full"));
	await put("full/letter.txt", "mine");
	await put("changed.ledger", `${"0".repeat(64)} {"kind":"run"}\n`);

	/** An adapter that fits a base of that width, and names its base. */
	const adapter = async (name: string, base: string, width: number): Promise<void> => {
		await mkdir(join(folder, name));
		const lora = { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj"], base_model_name_or_path: base };
		await put(join(name, "adapter_config.json"), JSON.stringify(lora));
		const zeros = (...shape: [number, number]) => ({ dtype: "F32", shape, data: new Float32Array(shape[0] * shape[1]) }) as const;
		const keys = [0, 1, 2].map((layer) => `base_model.model.model.layers.${layer}.self_attn.q_proj`);
		const tensors = keys.flatMap((key) => [
			[`${key}.lora_A.weight`, zeros(2, width)] as const,
			[`${key}.lora_B.weight`, zeros(96, 2)] as const,
		]);
		await put(join(name, "adapter_model.safetensors"), Buffer.concat([...encodeSafetensors(new Map(tensors))]));
	};
	await adapter("other-adapter", "model", 64);
	await adapter("lost-adapter", "absent", 96);
	await adapter("torn-adapter", "model", 96);
	await put("torn-adapter/adapter_model.safetensors", "torn");
	await adapter("odd-adapter", "model", 96);
	await put("odd-adapter/adapter_config.json", '{"peft_type": "IA3"}');
}
