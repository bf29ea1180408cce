import { type JsonFields, jsonFields, readJson } from "../files/json.ts";

export type LayerType = "full_attention" | "sliding_attention";

/** Shape of a VaultGemma; names as in its config.json. */
export interface VaultGemmaConfig {
	readonly vocab_size: number;
	readonly hidden_size: number;
	readonly intermediate_size: number;
	readonly num_hidden_layers: number;
	readonly num_attention_heads: number;
	/** Each serves num_attention_heads / num_key_value_heads heads. */
	readonly num_key_value_heads: number;
	readonly head_dim: number;
	/** Attention scores are multiplied by its power -1/2. */
	readonly query_pre_attn_scalar: number;
	/** s -> cap tanh(s / cap) on attention scores; none when null. */
	readonly attn_logit_softcapping: number | null;
	/** The same on the output logits. */
	readonly final_logit_softcapping: number | null;
	readonly layer_types: readonly LayerType[];
	/** Tokens a sliding layer sees, the current one included. */
	readonly sliding_window: number | null;
	readonly rms_norm_eps: number;
	readonly rope_theta: number;
	readonly max_position_embeddings: number;
	readonly pad_token_id: number | null;
	readonly bos_token_id: number | null;
	readonly eos_token_id: number | readonly number[] | null;
}

/** Reads `directory`/config.json. @throws FormatError */
export async function readConfig(directory: string): Promise<VaultGemmaConfig> {
	const { value, path } = await readJson(directory, "config.json");
	return parseConfig(value, path);
}

/**
 * Checks a config.json of transformers 4.x or 5.x. A key that is absent takes the class default of transformers'
 * VaultGemmaConfig; one that is null stays null.
 * @throws FormatError for another architecture, a field of the wrong type, or a feature that is not supported.
 */
export function parseConfig(value: unknown, path = "config.json"): VaultGemmaConfig {
	const fields = jsonFields(value, path);
	fields.only("model_type", ["vaultgemma"], "only VaultGemma checkpoints can be loaded");
	fields.only("hidden_activation", ["gelu_pytorch_tanh", undefined], "only the tanh form of GELU is built");
	fields.only("attention_bias", [false, undefined], "attention without bias is built");
	fields.only("tie_word_embeddings", [true, undefined], "the head of this family is its embedding");
	fields.only("attention_dropout", [0, undefined], "set it to 0");

	const layers = fields.size("num_hidden_layers", 26);
	const config: VaultGemmaConfig = {
		vocab_size: fields.size("vocab_size", 256000),
		hidden_size: fields.size("hidden_size", 2304),
		intermediate_size: fields.size("intermediate_size", 9216),
		num_hidden_layers: layers,
		num_attention_heads: fields.size("num_attention_heads", 8),
		num_key_value_heads: fields.size("num_key_value_heads", 4),
		head_dim: fields.size("head_dim", 256),
		query_pre_attn_scalar: fields.positive("query_pre_attn_scalar", 256),
		attn_logit_softcapping: fields.nullable("attn_logit_softcapping", 50),
		final_logit_softcapping: fields.nullable("final_logit_softcapping", 30),
		layer_types: layerTypes(fields, layers),
		sliding_window: fields.nullable("sliding_window", 4096),
		rms_norm_eps: fields.positive("rms_norm_eps", 1e-6),
		rope_theta: ropeTheta(fields),
		max_position_embeddings: fields.size("max_position_embeddings", 8192),
		pad_token_id: fields.tokenId("pad_token_id", 0),
		bos_token_id: fields.tokenId("bos_token_id", 2),
		eos_token_id: fields.tokenIds("eos_token_id", 1),
	};
	checkTogether(config, fields);
	return config;
}

function layerTypes(fields: JsonFields, layers: number): readonly LayerType[] {
	const types =
		fields.value("layer_types") ?? Array.from({ length: layers }, (_, i) => (i % 2 === 0 ? "sliding_attention" : "full_attention"));
	const isKnown = (t: unknown): t is LayerType => t === "full_attention" || t === "sliding_attention";
	if (!Array.isArray(types) || types.length !== layers || !types.every(isKnown)) {
		throw fields.error("layer_types", `one of "full_attention" and "sliding_attention" for each of ${layers} layers`);
	}
	return types;
}

/** 5.x nests it in rope_parameters, 4.x has rope_theta beside rope_scaling. */
function ropeTheta(fields: JsonFields): number {
	const nested = fields.value("rope_parameters");
	const rope = nested === undefined || nested === null ? fields : jsonFields(nested, `${fields.path}: rope_parameters`);
	rope.only("rope_type", ["default", undefined, null], "scaled rotary positions are not built");
	fields.only("rope_scaling", [null, undefined], "scaled rotary positions are not built");
	return rope.positive("rope_theta", 10000);
}

function checkTogether(config: VaultGemmaConfig, fields: JsonFields): void {
	if (config.num_attention_heads % config.num_key_value_heads !== 0) {
		throw fields.error("num_key_value_heads", `a divisor of num_attention_heads, ${config.num_attention_heads}`);
	}
	if (config.head_dim % 2 !== 0) throw fields.error("head_dim", "an even number, for rotary positions");
	if (config.pad_token_id !== null && config.pad_token_id >= config.vocab_size) {
		throw fields.error("pad_token_id", `an id below vocab_size, ${config.vocab_size}`);
	}
	if (config.layer_types.includes("sliding_attention") && config.sliding_window === null) {
		throw fields.error("sliding_window", "a number, because layer_types has sliding layers");
	}
}

/** The token ids that end a text, from a config's or a generation config's eos_token_id. */
export function endIds(eos: VaultGemmaConfig["eos_token_id"]): readonly number[] {
	return eos === null ? [] : typeof eos === "number" ? [eos] : eos;
}
