import { FormatError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";
import { jsonFields, readJson } from "./files/json.ts";
import { endIds, readConfig } from "./gemma/config.ts";

/** What a model directory fixes for generation: the ids that end a text. */
export interface GenerationConfig {
	/** Ids that end a text; empty where the file names none. */
	readonly eosTokenIds: readonly number[];
}

/**
 * Reads eos_token_id of `directory`/generation_config.json; of config.json only where that file is missing.
 * @throws FormatError for a file that is damaged, or when both are missing.
 */
export const readGenerationConfig = named("readGenerationConfig", async (directory: string): Promise<GenerationConfig> => {
	expects("readGenerationConfig", { directory }, { directory: "text" });
	const file = await readJson("readGenerationConfig", directory, "generation_config.json").catch((error) => {
		if (error instanceof FormatError && error.code === "file/missing") return undefined;
		throw error;
	});
	if (file === undefined) return { eosTokenIds: endIds((await readConfig(directory)).eos_token_id) };
	return { eosTokenIds: endIds(jsonFields(file.value, file.path).tokenIds("eos_token_id", null)) };
});
