import { Embedding, Module, ModuleList, RMSNorm } from "@hushgrad/nn";
import {
	checkpoint,
	type DropoutKeys,
	linear,
	linearCrossEntropy,
	mul,
	mulScalar,
	softcap,
	sum,
	type Tensor,
	takeRows,
	ValueError,
} from "@hushgrad/tensor";
import { VaultGemmaDecoderLayer } from "./block.ts";
import { KVCache } from "./cache.ts";
import type { VaultGemmaConfig } from "./config.ts";
import { RotaryTables } from "./rotary.ts";

export interface ForwardOptions {
	readonly dropout?: DropoutKeys;
	readonly cache?: KVCache;
	/** Keep only the input of each layer, and run the layer again for its gradient: memory for time, the same bits. */
	readonly gradientCheckpointing?: boolean;
}

/** What a batch is to learn. */
export interface Targets {
	/** The token after each position, or after each of `positions`; -100 where nothing is learned: i32 [B, P]. */
	readonly targets: Tensor;
	/** 1 / max(number of targets, 1), and 0 for padding rows: f32 [B]. */
	readonly weights: Tensor;
	/** The positions that have targets: i32 [B, P]. All T when left out; naming them saves the head's work on prompts. */
	readonly positions?: Tensor;
}

/** Embedding, decoder layers and final norm. */
export class VaultGemmaModel extends Module {
	readonly embed_tokens: Embedding;
	readonly layers: ModuleList<VaultGemmaDecoderLayer>;
	readonly norm: RMSNorm;
	readonly #config: VaultGemmaConfig;
	#rotary: RotaryTables | undefined;

	constructor(config: VaultGemmaConfig) {
		super();
		this.#config = config;
		this.embed_tokens = new Embedding(config.vocab_size, config.hidden_size, { paddingIdx: config.pad_token_id ?? undefined });
		this.layers = new ModuleList(Array.from({ length: config.num_hidden_layers }, (_, i) => new VaultGemmaDecoderLayer(config, i)));
		this.norm = new RMSNorm(config.hidden_size, config.rms_norm_eps);
	}

	/** ids i32 [B, T] -> hidden states [B, T, D]. Positions count from the length of the cache. */
	forward(ids: Tensor, { dropout, cache, gradientCheckpointing = false }: ForwardOptions = {}): Tensor {
		const { hidden_size, head_dim, rope_theta, max_position_embeddings } = this.#config;
		const start = cache?.length ?? 0;
		const length = ids.shape[1];
		if (start + length > max_position_embeddings) {
			throw new ValueError("model/positions", `${start + length} tokens exceed max_position_embeddings of ${max_position_embeddings}`, {
				hint: "shorten the prompt or the number of new tokens",
			});
		}
		this.#rotary ??= new RotaryTables(ids.device, max_position_embeddings, head_dim, rope_theta);
		const rotary = this.#rotary.rows(start, length);
		let x = mulScalar(this.embed_tokens.call(ids), Math.sqrt(hidden_size));
		for (const layer of this.layers.items) {
			const run = (h: Tensor, cos: Tensor, sin: Tensor): Tensor => layer.call(h, { rotary: { cos, sin }, dropout, cache });
			x = gradientCheckpointing ? checkpoint(run, [x, rotary.cos, rotary.sin], { dropout }) : run(x, rotary.cos, rotary.sin);
		}
		return this.norm.call(x);
	}

	override dispose(): void {
		super.dispose();
		this.#rotary?.dispose();
		this.#rotary = undefined;
	}
}

/** VaultGemma with its language-model head, which is the embedding (tied). */
export class VaultGemmaForCausalLM extends Module {
	readonly model: VaultGemmaModel;
	readonly config: VaultGemmaConfig;

	constructor(config: VaultGemmaConfig) {
		super();
		this.config = config;
		this.model = new VaultGemmaModel(config);
		this.namePaths();
	}

	/** ids [B, T] -> logits [B, T, V], soft-capped when the configuration says so. For inference. */
	forward(ids: Tensor, options: ForwardOptions = {}): Tensor {
		return this.logits(this.model.call(ids, options));
	}

	/** Hidden states [..., D] -> logits [..., V]. */
	logits(hidden: Tensor): Tensor {
		const z = linear(hidden, this.model.embed_tokens.weight.value);
		const cap = this.config.final_logit_softcapping;
		return cap === null ? z : softcap(z, cap);
	}

	/**
	 * One loss for each sequence: the mean cross-entropy over its own targets. Logits are never held in full.
	 * ids [B, T]. Result [B] in nats.
	 */
	losses(ids: Tensor, { targets, weights, positions }: Targets, options: ForwardOptions = {}): Tensor {
		return ids.device.scope<Tensor>(() => {
			const hidden = this.model.call(ids, options);
			const learned = positions === undefined ? hidden : takeRows(hidden, positions);
			const cap = this.config.final_logit_softcapping ?? 0;
			const each = linearCrossEntropy(learned, this.model.embed_tokens.weight.value, targets, { softcap: cap });
			return mul(sum(each, [1]), weights);
		});
	}

	newCache(): KVCache {
		return new KVCache(this.config.num_hidden_layers);
	}
}
