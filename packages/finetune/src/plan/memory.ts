import type { VaultGemmaConfig } from "@hushgrad/models";
import type { Settings } from "../settings/settings.ts";

/** GPU memory of a training step, in bytes: an estimate, by what it is for. */
export interface MemoryEstimate {
	/** The frozen model: linear layers in four bits or in f32, the embedding as bf16. */
	readonly base: number;
	/** LoRA and the state of its optimiser. */
	readonly adapter: number;
	/** Gradients of each record on the GPU. */
	readonly gradients: number;
	/** What the backward pass needs of the forward pass, and logits. */
	readonly activations: number;
}

/** Bytes of a weight in NF4 with double quantisation: four bits, a byte for every 64 of them, four for every 16384. */
const NF4 = 0.5 + 1 / 64 + 4 / 16384;
const F32 = 4;
const BF16 = 2;

/** Numbers that a token keeps in a layer: of the model's width, of all heads, of the feed-forward part; beside them one a head and token. */
const KEPT = { model: 6, heads: 6, feedForward: 3 };
/** Numbers that a token keeps after the last layer, in widths of the model. */
const AFTER_LAYERS = 7;
/** Bytes of logits held at once, with their gradients, at most: larger ones come in chunks. */
const MOST_LOGITS = 2 * 32 * 2 ** 20;
/** Bytes of single records' gradients that are held before they are streamed. */
const MOST_GRADIENTS = 256 * 2 ** 20;

/** Outputs and inputs of the linear layers of one decoder layer, by name. */
function projections(config: VaultGemmaConfig): Readonly<Record<string, readonly [number, number]>> {
	const { hidden_size: d, intermediate_size: i, head_dim } = config;
	const [q, kv] = [config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim];
	return { q_proj: [q, d], k_proj: [kv, d], v_proj: [kv, d], o_proj: [d, q], gate_proj: [i, d], up_proj: [i, d], down_proj: [d, i] };
}

/** Numbers that LoRA trains. */
export function trainedCount(config: VaultGemmaConfig, { rank, targetModules }: Pick<Settings, "rank" | "targetModules">): number {
	const sizes = projections(config);
	return config.num_hidden_layers * targetModules.reduce((sum, name) => sum + rank * (sizes[name][0] + sizes[name][1]), 0);
}

/** What a step takes. The largest part, activations, was fitted to what the small model takes (tests/finetune/planMemory.test.ts). */
export function estimateMemory(config: VaultGemmaConfig, settings: Settings): MemoryEstimate {
	const { vocab_size, hidden_size: d, num_hidden_layers: layers, intermediate_size, num_attention_heads: heads, head_dim } = config;
	const { maxLength, maxResponse, physicalBatchSize: rows, quantization, gradientCheckpointing } = settings;
	const linear = Object.values(projections(config)).reduce((sum, [out, into]) => sum + out * into, 0) * layers;
	const trained = trainedCount(config, settings);
	const layer = KEPT.model * d + KEPT.heads * heads * head_dim + KEPT.feedForward * intermediate_size + heads * maxLength;
	const tokens = rows * maxLength * F32;
	const logits = Math.min(2 * rows * maxResponse * vocab_size * F32, MOST_LOGITS);
	const inputs = tokens * layers * d;
	return {
		base: linear * (quantization === "nf4" ? NF4 : F32) + vocab_size * d * BF16 + (2 * layers + 1) * d * F32,
		adapter: trained * F32 * 5,
		gradients: Math.min(rows * trained * F32, MOST_GRADIENTS),
		// With checkpoints a layer keeps its input alone; then the logits are held, or one layer at a time is computed again.
		activations: gradientCheckpointing
			? inputs + Math.max(logits + tokens * AFTER_LAYERS * d, tokens * layer)
			: tokens * layers * layer + logits,
	};
}
