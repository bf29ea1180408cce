import { Embedding, Module, ModuleList, RMSNorm } from "@hushgrad/nn";
import {
	checkpoint,
	type Device,
	DropoutKey,
	DTypeError,
	linear,
	linearCrossEntropy,
	mul,
	reshape,
	ShapeError,
	slice,
	softcap,
	sum,
	type Tensor,
	takeRows,
	ValueError,
} from "@hushgrad/tensor";
import { expects, instanceOf, named, optional, optionsOf, partsOf, showShape } from "@hushgrad/tensor/author";
import { VaultGemmaDecoderLayer } from "./block.ts";
import { CACHE, cachedTokens, type KeysAndValues, type KVCache } from "./cache.ts";
import { checkConfig, type VaultGemmaConfig } from "./config.ts";
import { RotaryTables } from "./rotary.ts";
import { STATIC_CACHE, StaticCache } from "./staticCache.ts";

/** Options of a forward pass. */
export interface ForwardOptions {
	/** Randomness of the LoRA dropout; nothing is dropped when left out. */
	readonly dropout?: DropoutKey | undefined;
	/**
	 * Keep only the input of each layer, and run the layer again for its gradient: memory for time, the same bits. False when left
	 * out. The pass gives no cache.
	 */
	readonly gradientCheckpointing?: boolean | undefined;
}

/** What a model is to learn from one text; `padExample` makes it. All records of a run have the same T and P. */
export interface TrainingRecord {
	/** The tokens: i32 `[T]`. */
	readonly ids: Tensor;
	/** The token after each position, or after each of `positions`; −100 where nothing is learned: i32 `[P]`. */
	readonly targets: Tensor;
	/** Factor of the summed loss, usually 1 / number of targets: f32 `[]`. */
	readonly weight: Tensor;
	/** The positions that have targets: i32 `[P]`. All T when left out; naming them saves the head's work on prompts. */
	readonly positions?: Tensor | undefined;
}

/** Logits of the next token, and the cache with the tokens read. */
export interface Step {
	/** f32 `[V]`, soft-capped where the configuration says so. */
	readonly logits: Tensor;
	/** Keys and values of all tokens so far; the caller releases it with `disposeCache`. */
	readonly cache: KVCache;
}

/**
 * Embedding, decoder layers and final norm, of one text: transformers' VaultGemmaModel. Fields are the names in a checkpoint. No
 * weight has values before loading.
 */
export class VaultGemmaModel extends Module {
	/** Table of the tokens `[V, D]`, which is the head, too; lookups are scaled by √D. */
	readonly embed_tokens: Embedding;
	/** The decoder layers, in order. */
	readonly layers: ModuleList<VaultGemmaDecoderLayer>;
	/** The norm after the last layer. */
	readonly norm: RMSNorm;
	/** Tables of the rotary positions, in no checkpoint. */
	readonly rotary: RotaryTables;
	readonly #config: VaultGemmaConfig;

	/** @throws ValueError for a configuration that `parseConfig` refuses. */
	constructor(config: VaultGemmaConfig) {
		super();
		const checked = checkConfig("VaultGemmaModel", config);
		this.#config = checked;
		const { vocab_size, hidden_size, pad_token_id, num_hidden_layers, rms_norm_eps, max_position_embeddings, head_dim, rope_theta } =
			checked;
		this.embed_tokens = new Embedding(vocab_size, hidden_size, { paddingIdx: pad_token_id ?? undefined });
		this.layers = new ModuleList(Array.from({ length: num_hidden_layers }, (_, i) => new VaultGemmaDecoderLayer(checked, i)));
		this.norm = new RMSNorm(hidden_size, { eps: rms_norm_eps, offset: 1 });
		this.rotary = new RotaryTables(max_position_embeddings, head_dim, rope_theta);
	}

	/**
	 * ids i32 `[T]` → hidden states f32 `[T, D]`. With a cache, `before`, positions count from its length, and the longer one is
	 * given, too; without one the cache given is empty. Into a `StaticCache` one token is written, at its position, and it stays as long as it
	 * is.
	 * @throws ShapeError for ids that are not `[T]`, or `[1]` with a `StaticCache`; ValueError for more tokens than
	 * max_position_embeddings, and for a model without values.
	 */
	forward(
		ids: Tensor,
		options: ForwardOptions = {},
		before?: KVCache | StaticCache,
	): {
		/** f32 `[T, D]`, after the final norm. */
		hidden: Tensor;
		/** Keys and values of all tokens so far; empty without `before`, and with a `StaticCache`. */
		cache: KVCache;
	} {
		const { hidden_size, max_position_embeddings } = this.#config;
		checkText("VaultGemmaModel", ids, options);
		const into = before instanceof StaticCache ? before : undefined;
		const rest = before instanceof StaticCache ? undefined : before;
		expects("VaultGemmaModel", { before: rest }, { before: optional(CACHE) });
		const { dropout, gradientCheckpointing = false } = options;
		const start = into?.length ?? cachedTokens(rest ?? []);
		const [length] = ids.shape;
		if (into !== undefined && length !== 1) {
			throw new ShapeError("model/rank", `VaultGemmaModel: ids${showShape(ids.shape)}, expected one token, [1], with a StaticCache`);
		}
		if (start + length > max_position_embeddings) {
			throw new ValueError(
				"model/positions",
				`VaultGemma: ${start + length} tokens exceed max_position_embeddings of ${max_position_embeddings}`,
				{
					hint: "shorten the prompt or the number of new tokens",
				},
			);
		}
		const rotary = into === undefined ? this.rotary.rows(start, length) : this.rotary.all;
		let x = mul(this.embed_tokens.call(ids), Math.sqrt(hidden_size));
		const cache: KeysAndValues[] = [];
		for (const layer of this.layers.items) {
			const run = (h: Tensor, cos: Tensor, sin: Tensor) => layer.call(h, { rotary: { cos, sin }, dropout, before: rest, into });
			if (gradientCheckpointing) {
				x = checkpoint((h, cos, sin) => run(h, cos, sin).y, [x, rotary.cos, rotary.sin]);
				continue;
			}
			const { y, seen } = run(x, rotary.cos, rotary.sin);
			x = y;
			if (seen !== undefined) cache.push(seen);
		}
		return { hidden: this.norm.call(x), cache };
	}
}

/**
 * VaultGemma with its language-model head, which is the embedding (tied): transformers' VaultGemmaForCausalLM, computed in f32.
 * Written for one text: batches go through `vmap`. `fromPretrained` loads one.
 */
export class VaultGemmaForCausalLM extends Module {
	/** All but the head. */
	readonly model: VaultGemmaModel;
	/** Shape of the model. */
	readonly config: VaultGemmaConfig;

	/** A model without values, for loading or counting. @throws ValueError for a configuration that `parseConfig` refuses. */
	constructor(config: VaultGemmaConfig) {
		super();
		this.config = checkConfig("VaultGemmaForCausalLM", config);
		this.model = new VaultGemmaModel(this.config);
		this.namePaths();
	}

	/**
	 * Makes the tables that belong to no checkpoint, and puts weights in four bits that are used together next to each other, but on a software
	 * driver, which gains nothing by fewer kernels and takes seconds to compile larger ones. `fromPretrained` does; after `loadWeights` the caller does.
	 */
	init(device: Device): void {
		expects("VaultGemmaForCausalLM.init", { device }, { device: "device" });
		this.model.rotary.init(device);
		if (device.plan === "cpu") return;
		for (const { self_attn, mlp } of this.model.layers.items) for (const part of [self_attn, mlp]) part.placeWeights();
	}

	/**
	 * ids i32 `[T]` → logits f32 `[T, V]`, soft-capped when the configuration says so. For inference: `loss` never holds the
	 * logits.
	 * @throws ShapeError for ids that are not `[T]`; ValueError for more tokens than max_position_embeddings, and for a model
	 * without values.
	 */
	forward(ids: Tensor, options: ForwardOptions = {}): Tensor {
		checkText(NAME, ids, options);
		return this.#logits(this.model.call(ids, options).hidden);
	}

	/**
	 * Reads further tokens, i32 `[T]`, after those in the cache, which is empty when left out: logits of the next token, and the
	 * longer cache. The cache given stays as it is; the caller releases it. Errors as of `forward`.
	 */
	step(ids: Tensor, cache: KVCache = []): Step {
		checkText(`${NAME}.step`, ids, {});
		expects(`${NAME}.step`, { cache }, { cache: CACHE });
		return ids.device.scope(() => {
			const { hidden, cache: longer } = this.model.call(ids, {}, cache);
			const [T] = ids.shape;
			return { logits: reshape(this.#logits(slice(hidden, 0, T - 1, T)), [this.config.vocab_size]), cache: longer };
		});
	}

	/**
	 * Reads one token, i32 `[1]`, at the position of a cache that has room, and writes its keys and values there, in place: logits of the next
	 * token, f32 `[V]`. Afterwards the cache's `length` is to be set to one more. Nothing here depends on numbers of the host, so that it can be
	 * captured once and replayed for each token. Errors as of `forward`; ValueError where the cache is full.
	 */
	decode(ids: Tensor, cache: StaticCache): Tensor {
		checkText(`${NAME}.decode`, ids, {});
		expects(`${NAME}.decode`, { cache }, { cache: STATIC_CACHE });
		if (cache.length >= cache.capacity) {
			throw new ValueError("cache/capacity", `${NAME}.decode: the cache has room for ${cache.capacity} tokens, and they are there`, {
				op: `${NAME}.decode`,
				hint: "make a longer StaticCache of its entries()",
			});
		}
		return ids.device.scope(() => reshape(this.#logits(this.model.call(ids, {}, cache).hidden), [this.config.vocab_size]));
	}

	/** Most tokens that it reads in one text: max_position_embeddings. */
	get contextLength(): number {
		return this.config.max_position_embeddings;
	}

	/**
	 * The loss of one text, f32 `[]`, in nats: weight · Σ over the targets of their cross-entropies. Logits are never held in full.
	 * Runs inside the privacy engine, with this model as its `model`. Errors as of `forward`.
	 */
	loss(record: TrainingRecord, options: ForwardOptions = {}): Tensor {
		return lossOf(this, record, options);
	}

	/** Hidden states [..., D] -> logits [..., V]. */
	#logits(hidden: Tensor): Tensor {
		const z = linear(hidden, this.model.embed_tokens.weight.value);
		const cap = this.config.final_logit_softcapping;
		return cap === null ? z : softcap(z, cap);
	}
}

const NAME = "VaultGemmaForCausalLM";
const OPTIONS = {
	dropout: optional(instanceOf(DropoutKey, "a DropoutKey, as DropoutKey.of() gives")),
	gradientCheckpointing: "flag?",
} as const;

/** @throws ShapeError for ids that are not `[T]`, DTypeError unless they are i32, ValueError for options of another kind. */
function checkText(op: string, ids: Tensor, options: ForwardOptions): void {
	expects(op, { ids }, { ids: "tensor" });
	optionsOf(op, options, OPTIONS);
	if (ids.rank !== 1) {
		throw new ShapeError("model/rank", `${op}: ids${showShape(ids.shape)}, expected the tokens of one text, [T]`, {
			op,
			hint: "for a batch [B, T] of texts write vmap((ids) => model.call(ids))(batch)",
		});
	}
	if (ids.dtype !== "i32") throw new DTypeError("op/dtype", `${op}: ids is ${ids.dtype} ${showShape(ids.shape)}, expected i32`, { op });
}

const lossOf = named(`${NAME}.loss`, (model: VaultGemmaForCausalLM, record: TrainingRecord, options: ForwardOptions): Tensor => {
	const kinds = { ids: "tensor", targets: "tensor", weight: "tensor", positions: "tensor?" } as const;
	const { ids, targets, weight, positions } = partsOf(`${NAME}.loss`, "record", record, kinds);
	checkText(`${NAME}.loss`, ids, options);
	return ids.device.scope(() => {
		const { hidden } = model.model.call(ids, options);
		const learned = positions === undefined ? hidden : takeRows(hidden, positions);
		const cap = model.config.final_logit_softcapping ?? 0;
		const each = linearCrossEntropy(learned, model.model.embed_tokens.weight.value, targets, { softcap: cap });
		return mul(sum(each), weight);
	});
});
