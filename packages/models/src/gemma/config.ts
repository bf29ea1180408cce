import type { FloatDType } from "@hushgrad/nn";
import { FormatError, ValueError } from "@hushgrad/tensor";
import { expects, isCount, type Kind, named } from "@hushgrad/tensor/author";
import { type JsonFields, jsonFields, readJson } from "../files/json.ts";

/** What a layer attends to: all tokens up to its own, or the last `sliding_window` of them. */
export type LayerType = "full_attention" | "sliding_attention";

/**
 * Shape of a VaultGemma; names and, where a key is absent, defaults as in transformers' VaultGemmaConfig. Sizes are whole numbers
 * above 0.
 */
export interface VaultGemmaConfig {
	/** Tokens of the vocabulary, V; 256000 when absent. */
	readonly vocab_size: number;
	/** Width of the model, D; 2304 when absent. */
	readonly hidden_size: number;
	/** Width of the feed-forward layers; 9216 when absent. */
	readonly intermediate_size: number;
	/** Decoder layers; 26 when absent. */
	readonly num_hidden_layers: number;
	/** Query heads, H; 8 when absent. */
	readonly num_attention_heads: number;
	/** Key heads, G, a divisor of H: each serves H / G query heads. 4 when absent. */
	readonly num_key_value_heads: number;
	/** Size of a head, K, even; 256 when absent. H · K need not be D. */
	readonly head_dim: number;
	/** Attention scores are multiplied by its power −1/2; 256 when absent. */
	readonly query_pre_attn_scalar: number;
	/** s → cap tanh(s / cap) on attention scores, before the mask; none when null, 50 when absent. */
	readonly attn_logit_softcapping: number | null;
	/** The same on the output logits; none when null, 30 when absent. */
	readonly final_logit_softcapping: number | null;
	/** What each layer attends to; when absent, sliding and full in turn, sliding first. */
	readonly layer_types: readonly LayerType[];
	/** Tokens a sliding layer sees, the current one included; 4096 when absent, null only without sliding layers. */
	readonly sliding_window: number | null;
	/** eps of the norms; 1e-6 when absent. */
	readonly rms_norm_eps: number;
	/** Base θ of the rotary positions: the i-th pair turns by θ^(−2i/K) a token. 10000 when absent. */
	readonly rope_theta: number;
	/** Most tokens of a text, prompt and continuation; 8192 when absent. */
	readonly max_position_embeddings: number;
	/** Padding token, whose embedding gets no gradient from lookups; none when null, 0 when absent. */
	readonly pad_token_id: number | null;
	/** Token that begins a text; 2 when absent. */
	readonly bos_token_id: number | null;
	/** Token or tokens that end a text; 1 when absent. */
	readonly eos_token_id: number | readonly number[] | null;
}

/**
 * Reads `directory`/config.json.
 * @throws FormatError when it is missing or no JSON, and as `parseConfig`.
 */
export const readConfig = named("readConfig", async (directory: string): Promise<VaultGemmaConfig> => {
	expects("readConfig", { directory }, { directory: "text" });
	const { value, path } = await readJson("readConfig", directory, "config.json");
	return parseConfig(value, path);
});

/**
 * Checks the parsed config.json of transformers 4.x or 5.x; `path` is for messages. A key that is absent takes the class default
 * of transformers' VaultGemmaConfig; one that is null stays null where null has a meaning.
 * @throws FormatError for another architecture, a field of the wrong type, or a feature that is not supported.
 */
export const parseConfig = named("parseConfig", (value: unknown, path: string = "config.json"): VaultGemmaConfig => {
	expects("parseConfig", { path }, { path: "text" });
	return configOf(value, path);
});

function configOf(value: unknown, path: string): VaultGemmaConfig {
	const fields = jsonFields(value, path);
	fields.only("model_type", ["vaultgemma"], "only VaultGemma checkpoints can be loaded");
	fields.only("hidden_activation", ["gelu_pytorch_tanh", undefined], "only the tanh form of GELU is built");
	fields.only("attention_bias", [false, undefined], "attention without bias is built");
	fields.only("tie_word_embeddings", [true, undefined], "the head of this family is its embedding");
	fields.only("attention_dropout", [0, undefined], "set it to 0");
	checkQuantization(fields);

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

/** What quantised a checkpoint, where config.json says so: NF4 of bitsandbytes can be loaded. */
function checkQuantization(fields: JsonFields): void {
	const value = fields.value("quantization_config");
	if (value === undefined || value === null) return;
	const inner = jsonFields(value, `${fields.path}: quantization_config`);
	const hint = 'load the checkpoint that was quantised, with quantization: "nf4" to save memory';
	inner.only("quant_method", ["bitsandbytes", undefined], hint);
	inner.only("load_in_8bit", [false, undefined, null], hint);
}

const SCALED = "scaled rotary positions are not built";

/** 5.x nests it in rope_parameters, alike or by layer type; 4.x has rope_theta beside rope_scaling. */
function ropeTheta(fields: JsonFields): number {
	const scaling = fields.value("rope_scaling");
	if (scaling !== undefined && scaling !== null) {
		const inner = jsonFields(scaling, `${fields.path}: rope_scaling`);
		for (const name of ["rope_type", "type"]) inner.only(name, ["default", undefined, null], SCALED);
		if (inner.value("rope_type") === undefined) inner.only("type", ["default"], SCALED);
	}
	const nested = fields.value("rope_parameters");
	if (nested === undefined || nested === null) return thetaOf(fields, 10000);
	const path = `${fields.path}: rope_parameters`;
	const rope = jsonFields(nested, path);
	const layers = ["full_attention", "sliding_attention"].flatMap((type) => {
		const inner = rope.value(type);
		return inner === undefined || inner === null ? [] : [thetaOf(jsonFields(inner, `${path}.${type}`), 10000)];
	});
	if (layers.length === 0) return thetaOf(rope, thetaOf(fields, 10000));
	if (layers[0] !== layers[layers.length - 1]) {
		throw new FormatError("config/unsupported", `rope_theta is ${layers.join(" and ")} by layer type, expected one for all`, {
			path,
			hint: "a VaultGemma has one table of rotary positions",
		});
	}
	return layers[0];
}

function thetaOf(rope: JsonFields, absent: number): number {
	rope.only("rope_type", ["default", undefined, null], SCALED);
	return rope.positive("rope_theta", absent);
}

/** The text of config.json as transformers 5.x writes it, of the fields that `parseConfig` reads. */
export function serializeConfig(
	{ rope_theta, ...config }: VaultGemmaConfig,
	{ dtype, quantization }: { readonly dtype: FloatDType; readonly quantization?: "nf4" | undefined },
): string {
	const types = { F32: "float32", BF16: "bfloat16", F16: "float16" } as const;
	const inFour = { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4", bnb_4bit_use_double_quant: true };
	const fields: Record<string, unknown> = {
		...config,
		...{ architectures: ["VaultGemmaForCausalLM"], model_type: "vaultgemma", hidden_activation: "gelu_pytorch_tanh" },
		...{ attention_bias: false, attention_dropout: 0, tie_word_embeddings: true, dtype: types[dtype] },
		rope_parameters: { rope_theta, rope_type: "default" },
		...(quantization === undefined ? {} : { quantization_config: inFour }),
	};
	return `${JSON.stringify(Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))), null, 2)}\n`;
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

/** The token ids that end a text, from the eos_token_id of a config or a generation config; none for null. */
export function endIds(eos: VaultGemmaConfig["eos_token_id"]): readonly number[] {
	expects("endIds", { eos }, { eos: EOS });
	return eos === null ? [] : typeof eos === "number" ? [eos] : eos;
}

const EOS: Kind = [(v) => v === null || isCount(v) || (Array.isArray(v) && v.every(isCount)), "a token id, a list of them or null"];

/**
 * The configuration of a model that is made, whole and checked.
 * @throws ValueError for a field that `parseConfig` refuses.
 */
export function checkConfig(op: string, config: VaultGemmaConfig): VaultGemmaConfig {
	expects(op, { config }, { config: "options" });
	const refuse = (what: string, cause?: unknown): never => {
		throw new ValueError("model/config", `${op}: ${what}`, { op, hint: "readConfig and parseConfig give a configuration", cause });
	};
	const whole = parsed({ ...config, model_type: "vaultgemma" });
	if (whole instanceof FormatError) return refuse(whole.message.split("\n")[0], whole);
	const absent = Object.keys(whole).find((name) => !(name in config));
	return absent === undefined ? whole : refuse(`config.${absent} is undefined`);
}

function parsed(value: unknown): VaultGemmaConfig | FormatError {
	try {
		return configOf(value, "config.json");
	} catch (error) {
		if (error instanceof FormatError) return error;
		throw error;
	}
}
