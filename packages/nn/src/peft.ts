import { FormatError, HushgradError, ValueError } from "@hushgrad/tensor";
import { expects, type Kind, named, oneOf, partsOf, type Some, withDefaults } from "@hushgrad/tensor/author";
import { PathPattern } from "./pattern.ts";

/** What LoRA is to do; names and meaning as in peft's LoraConfig. `loraConfig` fills in the defaults. */
export interface LoraConfig {
	/** Rank of the update, a whole number above 0; 8 by default. */
	readonly r: number;
	/** α, the numerator of the scaling α/r; 8 by default. */
	readonly lora_alpha: number;
	/** Probability of dropping an input of the low-rank branch, in [0, 1); 0 by default. */
	readonly lora_dropout: number;
	/**
	 * Which linear layers: a list of names that end a module's path (`q_proj` for `layers.0.q_proj`), the source of a regular
	 * expression for whole paths, or "all-linear". See `matchesTarget`. No default.
	 */
	readonly target_modules: readonly string[] | string;
	/** Scale by α/√r in place of α/r (Kalajdzievski 2023); false by default. */
	readonly use_rslora: boolean;
	/** Where the base model came from; for the reader, not followed. null by default. */
	readonly base_model_name_or_path: string | null;
}

const isNames = (v: unknown): v is readonly string[] => Array.isArray(v) && v.every((name) => typeof name === "string");
const TARGET: Kind = [(v) => typeof v === "string" || isNames(v), "a list of names, or a string"];

/** @throws ValueError unless every field is of its kind, and in its domain. */
export function checkLoraConfig(op: string, config: LoraConfig): void {
	const { r, lora_alpha, lora_dropout } = partsOf(op, "config", config, {
		...{ r: "number", lora_alpha: "number", lora_dropout: "number", use_rslora: "flag" },
		target_modules: TARGET,
		base_model_name_or_path: [(v) => v === null || typeof v === "string", "a string or null"],
	});
	if (!Number.isInteger(r) || r <= 0) throw new ValueError("lora/rank", `${op}: r is ${r}, expected a whole number above 0`, { op });
	if (!(lora_alpha > 0 && lora_alpha < Number.POSITIVE_INFINITY))
		throw new ValueError("lora/alpha", `${op}: lora_alpha is ${lora_alpha}, expected a number above 0`, { op });
	if (!(lora_dropout >= 0 && lora_dropout < 1))
		throw new ValueError("lora/dropout", `${op}: lora_dropout is ${lora_dropout}, expected a number in [0, 1)`, { op });
}

/**
 * The given fields over peft's defaults: r 8, lora_alpha 8, lora_dropout 0, use_rslora false, base_model_name_or_path null.
 * @throws ValueError for a field of another kind, or outside its domain.
 */
export function loraConfig(fields: Pick<LoraConfig, "target_modules"> & Some<LoraConfig>): LoraConfig {
	expects("loraConfig", { fields }, { fields: "options" });
	const { target_modules } = fields;
	const defaults = { target_modules, r: 8, lora_alpha: 8, lora_dropout: 0, use_rslora: false, base_model_name_or_path: null };
	const config = withDefaults<LoraConfig>(defaults, fields);
	checkLoraConfig("loraConfig", config);
	return config;
}

/**
 * Whether LoRA goes on the linear layer at `path`: a name of a list equals the path or ends it after a dot; a string is a regular
 * expression of Python that matches all of the path, or "all-linear" in any case, which is every linear layer. Matching takes time
 * proportional to the path, whatever the expression.
 * @throws ValueError for an expression that is malformed, and one with lookaround, references or other flags than `(?i)`.
 */
export const matchesTarget = named("matchesTarget", (path: string, target: LoraConfig["target_modules"]): boolean => {
	expects("matchesTarget", { path, target }, { path: "text", target: TARGET });
	return matches(path, target);
});

function matches(path: string, target: LoraConfig["target_modules"]): boolean {
	if (typeof target === "string") return target.toLowerCase() === "all-linear" || patternOf(target).matches(path);
	return target.some((t) => path === t || path.endsWith(`.${t}`));
}

let latest: { readonly source: string; readonly pattern: PathPattern } | undefined;

/** The pattern of a source; that of the call before is kept, for all layers of a model ask for the same. */
function patternOf(source: string): PathPattern {
	if (latest?.source !== source) latest = { source, pattern: new PathPattern(source) };
	return latest.pattern;
}

/** The name of an adapter's tensor in peft's file: `base_model.model.{path}.lora_A.weight`, or `lora_B`. */
export function adapterKey(path: string, part: "A" | "B"): string {
	expects("adapterKey", { path, part }, { path: "text", part: oneOf("A", "B") });
	return `base_model.model.${path}.lora_${part}.weight`;
}

/** Fields of peft that we read only at their neutral value, and that value. */
const NEUTRAL: Readonly<Record<string, unknown>> = {
	alora_invocation_tokens: null,
	alpha_pattern: {},
	bias: "none",
	exclude_modules: null,
	fan_in_fan_out: false,
	layer_replication: null,
	layers_pattern: null,
	layers_to_transform: null,
	lora_bias: false,
	modules_to_save: null,
	rank_pattern: {},
	target_parameters: null,
	trainable_token_indices: null,
	use_dora: false,
};

/** Fields that change nothing about a loaded adapter's values. */
const INERT = new Set([
	"arrow_config",
	"auto_mapping",
	"corda_config",
	"ensure_weight_tying",
	"eva_config",
	"inference_mode",
	"loftq_config",
	"megatron_config",
	"megatron_core",
	"peft_type",
	"peft_version",
	"qalora_group_size",
	"revision",
	"task_type",
	"use_qalora",
]);

/**
 * The initialisations of peft that leave the base as it was. The others (PiSSA, OLoRA, CorDA, LoftQ, …) take a part of it into the
 * adapter, which then belongs to another base than that on the disk.
 */
const INITIALISATIONS: readonly unknown[] = [undefined, null, true, false, "gaussian", "eva", "orthogonal"];

/** Above it α is taken for damage: it would blow up every output. */
const MAX_ALPHA = 1e6;

const isEmpty = (v: unknown): boolean =>
	v === null || v === undefined || v === false || (typeof v === "object" && Object.keys(v as object).length === 0);

/**
 * The text of adapter_config.json as peft writes it for a causal language model: keys sorted, two spaces, a newline at the end.
 * What LoRA here does not do stands at its neutral value.
 */
export function serializeLoraConfig(config: LoraConfig): string {
	checkLoraConfig("serializeLoraConfig", config);
	const { target_modules } = config;
	const fields: Record<string, unknown> = {
		...NEUTRAL,
		...config,
		target_modules: typeof target_modules === "string" ? target_modules : [...target_modules],
		auto_mapping: null,
		inference_mode: true,
		init_lora_weights: true,
		loftq_config: {},
		megatron_config: null,
		megatron_core: "megatron.core",
		peft_type: "LORA",
		revision: null,
		task_type: "CAUSAL_LM",
	};
	const sorted = Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
	return `${JSON.stringify(sorted, null, 2)}\n`;
}

/**
 * Reads the text of an adapter_config.json of peft; `path` is for messages. Absent fields take the defaults of `loraConfig`, but
 * r, lora_alpha and target_modules must be there. Of fields that ask for nothing (null, false, empty) the name does not matter.
 * @returns the configuration, and a warning for each unknown field that was left out.
 * @throws FormatError for text that is no JSON object, a peft_type other than LORA, a field of the wrong type, an α above a million,
 * a regular expression that `matchesTarget` refuses, an initialisation that changed the base (PiSSA, OLoRA, …), or a field that
 * asks for what LoRA here does not do (DoRA, biases, patterns of ranks, modules_to_save, …).
 */
export const parseLoraConfig = named(
	"parseLoraConfig",
	(
		text: string,
		path: string,
	): {
		/** What the file asks for. */
		readonly config: LoraConfig;
		/** A line for each unknown field that was left out. */
		readonly warnings: readonly string[];
	} => {
		expects("parseLoraConfig", { text, path }, { text: "text", path: "text" });
		const fail = (message: string, hint = "write the adapter again with peft's save_pretrained"): never => {
			throw new FormatError("adapter/config", message, { path, hint });
		};
		let json: unknown;
		try {
			json = JSON.parse(text);
		} catch (cause) {
			throw new FormatError("adapter/config", "adapter_config.json is not JSON", { path, hint: "write the adapter again", cause });
		}
		if (typeof json !== "object" || json === null || Array.isArray(json)) return fail("adapter_config.json is not a JSON object");
		const fields = json as Record<string, unknown>;
		if (fields.peft_type !== "LORA")
			return fail(`peft_type is ${JSON.stringify(fields.peft_type)}, expected "LORA"`, "only LoRA adapters can be loaded");
		for (const [name, neutral] of Object.entries(NEUTRAL)) {
			const value = fields[name];
			if (!isEmpty(value) && JSON.stringify(value) !== JSON.stringify(neutral)) {
				fail(`${name} is ${JSON.stringify(value)}, which is not supported`, `train the adapter with ${name} = ${JSON.stringify(neutral)}`);
			}
		}
		if (!INITIALISATIONS.includes(fields.init_lora_weights)) {
			fail(
				`init_lora_weights is ${JSON.stringify(fields.init_lora_weights)}, which takes a part of the base into the adapter`,
				"let peft convert it: save_pretrained(…, path_initial_model_for_weight_conversion=…) writes a plain LoRA",
			);
		}
		const positive = (name: string, value: unknown, most = Number.MAX_VALUE): number =>
			typeof value === "number" && value > 0 && value <= most
				? value
				: fail(
						`${name} is ${typeof value === "number" ? value : JSON.stringify(value)}, expected a number above 0${most === MAX_ALPHA ? `, at most ${MAX_ALPHA}` : ""}`,
					);
		const { r, lora_alpha, lora_dropout = 0, target_modules, use_rslora = false, base_model_name_or_path = null } = fields;
		const rank = positive("r", r);
		if (!Number.isInteger(rank)) fail(`r is ${r}, expected a whole number`);
		if (typeof lora_dropout !== "number" || !(lora_dropout >= 0 && lora_dropout < 1)) {
			return fail(`lora_dropout is ${JSON.stringify(lora_dropout)}, expected a number in [0, 1)`);
		}
		if (typeof use_rslora !== "boolean") return fail(`use_rslora is ${JSON.stringify(use_rslora)}, expected true or false`);
		if (typeof target_modules !== "string" && !(isNames(target_modules) && target_modules.length > 0)) {
			return fail(`target_modules is ${JSON.stringify(target_modules)}, expected names or a regular expression`);
		}
		if (typeof target_modules === "string") {
			try {
				matches("", target_modules);
			} catch (cause) {
				if (!(cause instanceof HushgradError)) throw cause;
				fail(cause.message.split("\n")[0], cause.hint);
			}
		}
		const known = new Set([
			...Object.keys(NEUTRAL),
			...INERT,
			"init_lora_weights",
			"r",
			"lora_alpha",
			"lora_dropout",
			"target_modules",
			"use_rslora",
			"base_model_name_or_path",
		]);
		const warnings = Object.keys(fields)
			.filter((name) => !known.has(name) && !isEmpty(fields[name]))
			.map((name) => `${path}: unknown field ${name} = ${JSON.stringify(fields[name])} was left out`);
		return {
			config: {
				r: rank,
				lora_alpha: positive("lora_alpha", lora_alpha, MAX_ALPHA),
				lora_dropout,
				target_modules,
				use_rslora,
				base_model_name_or_path: typeof base_model_name_or_path === "string" ? base_model_name_or_path : null,
			},
			warnings,
		};
	},
);
