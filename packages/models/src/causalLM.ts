import { type Device, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, type Kind } from "@hushgrad/tensor/author";
import type { KVCache } from "./gemma/cache.ts";
import type { StaticCache } from "./gemma/staticCache.ts";

/** A model that reads tokens one after the other: what generation needs of it. */
export interface CausalLM {
	/** Reads further tokens, i32 `[T]`, after those in the cache; a longer cache has tensors of its own. */
	step(
		ids: Tensor,
		cache?: KVCache,
	): {
		/** Of the next token, f32 `[V]`. */
		readonly logits: Tensor;
		/** Keys and values of all tokens so far. */
		readonly cache: KVCache;
	};
	/**
	 * Reads one token, i32 `[1]`, into a cache that has room, in place: logits of the next token. Where a model that is a `Module` has it,
	 * `generate` captures it and replays it for each token.
	 */
	decode?(ids: Tensor, cache: StaticCache): Tensor;
	/** Most tokens that it reads in one text; any number when left out. */
	readonly contextLength?: number | undefined;
	/** The tensors of its weights and buffers. */
	stateTensors(): Iterable<Tensor>;
}

/** What has weights on a device. */
export const HOLDER: Kind = [(v) => typeof v === "object" && v !== null && typeof Reflect.get(v, "stateTensors") === "function", "a model"];
/**
 * The device that a model's weights are on.
 * @throws ValueError for a model without values.
 */
export function deviceOf(model: Pick<CausalLM, "stateTensors">): Device {
	expects("deviceOf", { model }, { model: HOLDER });
	for (const { device } of model.stateTensors()) return device;
	throw new ValueError("model/empty", "deviceOf: the model has no values yet", { op: "deviceOf", hint: "load it with fromPretrained" });
}
