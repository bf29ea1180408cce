import { FormatError } from "@hushgrad/tensor";
import { jsonFields, readJson } from "./files/json.ts";
import { endIds, readConfig } from "./gemma/config.ts";

/** What a model's directory fixes for generation: the ids that end a text. */
export interface GenerationConfig {
	readonly eosTokenIds: readonly number[];
}

/** Reads `directory`/generation_config.json; where there is none, config.json's eos_token_id. @throws FormatError */
export async function readGenerationConfig(directory: string): Promise<GenerationConfig> {
	const file = await readJson(directory, "generation_config.json").catch((error) => {
		if (error instanceof FormatError && error.code === "file/missing") return undefined;
		throw error;
	});
	if (file === undefined) return { eosTokenIds: endIds((await readConfig(directory)).eos_token_id) };
	return { eosTokenIds: endIds(jsonFields(file.value, file.path).tokenIds("eos_token_id", null)) };
}
