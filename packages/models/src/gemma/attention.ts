import { cachedAttention, cacheUpdate, callOnto, callTogether, Linear, Module, placeWeightsTogether } from "@hushgrad/nn";
import { permute, reshape, rope, scaledDotProductAttention, type Tensor } from "@hushgrad/tensor";
import { joined } from "./cache.ts";
import type { VaultGemmaConfig } from "./config.ts";
import type { Pass, Passed, Projection } from "./pass.ts";
import type { RotaryRows } from "./rotary.ts";
import type { StaticCache } from "./staticCache.ts";

/**
 * Causal self-attention with rotary positions, grouped keys and values, optional soft-cap and sliding window.
 * Softmax in f32; the cap comes before the mask. Fields are the names in a checkpoint.
 */
export class VaultGemmaAttention extends Module {
	readonly q_proj: Projection;
	readonly k_proj: Projection;
	readonly v_proj: Projection;
	readonly o_proj: Projection;
	readonly #layer: number;
	readonly #heads: number;
	readonly #groups: number;
	readonly #headDim: number;
	readonly #scale: number;
	readonly #softcap: number;
	readonly #window: number;

	constructor(config: VaultGemmaConfig, layer: number) {
		super();
		const { hidden_size, num_attention_heads, num_key_value_heads, head_dim } = config;
		this.q_proj = new Linear(hidden_size, num_attention_heads * head_dim, { bias: false });
		this.k_proj = new Linear(hidden_size, num_key_value_heads * head_dim, { bias: false });
		this.v_proj = new Linear(hidden_size, num_key_value_heads * head_dim, { bias: false });
		this.o_proj = new Linear(num_attention_heads * head_dim, hidden_size, { bias: false });
		this.#layer = layer;
		this.#heads = num_attention_heads;
		this.#groups = num_key_value_heads;
		this.#headDim = head_dim;
		this.#scale = config.query_pre_attn_scalar ** -0.5;
		this.#softcap = config.attn_logit_softcapping ?? 0;
		const sliding = config.layer_types[layer] === "sliding_attention";
		this.#window = sliding ? (config.sliding_window ?? 0) : 0;
	}

	/** The residual `onto` and what the layer makes of x. T queries, S keys, D model width, G key heads, H query heads, K head size. */
	forward(x_TD: Tensor, onto: Tensor, { rotary, dropout, before, into }: Pass): Passed {
		if (into !== undefined) return { y: this.#next(x_TD, onto, rotary, into), seen: undefined };
		const { cos, sin } = rotary;
		const [T] = x_TD.shape;
		const [q, k, v] = callTogether([this.q_proj, this.k_proj, this.v_proj], x_TD, dropout);
		const q_HTK = rope(this.#split(q, this.#heads), cos, sin);
		const k_GTK = rope(this.#split(k, this.#groups), cos, sin);
		const v_GTK = this.#split(v, this.#groups);
		const seen = joined(before?.[this.#layer], { k: k_GTK, v: v_GTK });

		const [S, K] = seen.k.shape.slice(1);
		const mixed_HTK = scaledDotProductAttention(q_HTK, seen.k, seen.v, {
			scale: this.#scale,
			softcap: this.#softcap,
			isCausal: true,
			window: this.#window,
			offset: S - T,
		});
		const out_TC = reshape(permute(mixed_HTK, [1, 0, 2]), [T, this.#heads * K]);
		return { y: callOnto(onto, this.o_proj, out_TC, dropout), seen: before && seen };
	}

	/** Puts weights that are used together next to each other. */
	placeWeights(): void {
		placeWeightsTogether([this.q_proj, this.k_proj, this.v_proj]);
	}

	/** The same of one token, [1, D], with those before it in a cache that it is written into. */
	#next(x_1D: Tensor, onto: Tensor, angles: RotaryRows, { layers, position }: StaticCache): Tensor {
		const { k: keys, v: values } = layers[this.#layer];
		const projected = callTogether([this.q_proj, this.k_proj, this.v_proj], x_1D);
		const [q_HK, k_GK, v_GK] = projected.map((x) => reshape(x, [-1, this.#headDim]));
		const place = { keys, values, at: position, ...angles };
		cacheUpdate(k_GK, v_GK, place);
		const mixed_HK = cachedAttention(q_HK, place, { scale: this.#scale, softcap: this.#softcap, window: this.#window });
		return callOnto(onto, this.o_proj, reshape(mixed_HK, [1, -1]));
	}

	/** [T, heads * K] as [heads, T, K], without copying. */
	#split(x: Tensor, heads: number): Tensor {
		return permute(reshape(x, [x.shape[0], heads, this.#headDim]), [1, 0, 2]);
	}
}
