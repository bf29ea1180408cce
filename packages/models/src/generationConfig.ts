import { jsonFields, readJson } from "./files/json.ts";
import { endIds } from "./gemma/config.ts";

/** What generation_config.json fixes for a model: the ids that end a text. */
export interface GenerationConfig {
	readonly eosTokenIds: readonly number[];
}

/** Reads `directory`/generation_config.json. @throws FormatError */
export async function readGenerationConfig(directory: string): Promise<GenerationConfig> {
	const { value, path } = await readJson(directory, "generation_config.json");
	const fields = jsonFields(value, path);
	return { eosTokenIds: endIds(fields.tokenIds("eos_token_id", null)) };
}
