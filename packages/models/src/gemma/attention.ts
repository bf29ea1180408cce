import { Linear, Module } from "@hushgrad/nn";
import { attentionSoftmax, expand, matmul, permute, reshape, rope, type Tensor, transpose, unsqueeze } from "@hushgrad/tensor";
import type { VaultGemmaConfig } from "./config.ts";
import type { Pass, Projection } from "./pass.ts";

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
		this.q_proj = new Linear(hidden_size, num_attention_heads * head_dim);
		this.k_proj = new Linear(hidden_size, num_key_value_heads * head_dim);
		this.v_proj = new Linear(hidden_size, num_key_value_heads * head_dim);
		this.o_proj = new Linear(num_attention_heads * head_dim, hidden_size);
		this.#layer = layer;
		this.#heads = num_attention_heads;
		this.#groups = num_key_value_heads;
		this.#headDim = head_dim;
		this.#scale = config.query_pre_attn_scalar ** -0.5;
		this.#softcap = config.attn_logit_softcapping ?? 0;
		const sliding = config.layer_types[layer] === "sliding_attention";
		this.#window = sliding ? (config.sliding_window ?? 0) : 0;
	}

	// B batch, T queries, S keys, D model width, G key heads, R query heads a key head, H = G R, K head size
	forward(x_BTD: Tensor, pass: Pass): Tensor {
		const [B, T] = x_BTD.shape;
		const { cos, sin } = pass.rotary;
		const q_BHTK = rope(this.#split(this.q_proj.call(x_BTD, pass.dropout), this.#heads), cos, sin);
		const k_BGTK = rope(this.#split(this.k_proj.call(x_BTD, pass.dropout), this.#groups), cos, sin);
		const v_BGTK = this.#split(this.v_proj.call(x_BTD, pass.dropout), this.#groups);
		const { k, v } = pass.cache?.append(this.#layer, k_BGTK, v_BGTK) ?? { k: k_BGTK, v: v_BGTK };

		const G = this.#groups;
		const R = this.#heads / G;
		const [S, K] = k.shape.slice(2);
		const shared = (t: Tensor): Tensor => expand(unsqueeze(t, 2), [B, G, R, S, K]);
		const q_BGRTK = reshape(q_BHTK, [B, G, R, T, K]);
		const scores_BGRTS = matmul(q_BGRTK, transpose(shared(k)));
		const p_BGRTS = attentionSoftmax(scores_BGRTS, {
			scale: this.#scale,
			softcap: this.#softcap,
			causal: true,
			window: this.#window,
			offset: S - T,
		});
		const mixed_BGRTK = matmul(p_BGRTS, shared(v));
		const out_BTC = reshape(permute(mixed_BGRTK, [0, 3, 1, 2, 4]), [B, T, this.#heads * K]);
		return this.o_proj.call(out_BTC, pass.dropout);
	}

	/** [B, T, heads * K] as [B, heads, T, K], without copying. */
	#split(x: Tensor, heads: number): Tensor {
		const [B, T] = x.shape;
		return permute(reshape(x, [B, T, heads, this.#headDim]), [0, 2, 1, 3]);
	}
}
