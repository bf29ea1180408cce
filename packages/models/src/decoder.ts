import { Module, ModuleSnapshot } from "@hushgrad/nn";
import { type CapturedStep, capture, type Device, DeviceError, data, type Tensor, tensor, write } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import type { CausalLM } from "./causalLM.ts";
import { cachedTokens, disposeCache, type KVCache } from "./gemma/cache.ts";
import { StaticCache } from "./gemma/staticCache.ts";

/** Tokens that a cache has room for, at least. */
const LEAST_ROOM = 64;

/** One token's pass, captured, and what the model was made of then. */
interface Captured {
	readonly step: CapturedStep<Tensor>;
	readonly model: ModuleSnapshot;
	/** It was compared with what the model does another time. */
	isChecked: boolean;
}

type InPlace = CausalLM & Module & Required<Pick<CausalLM, "decode">>;
const isInPlace = (model: CausalLM): model is InPlace => model instanceof Module && model.decode !== undefined;

/**
 * Reads a prompt, and then one token after the other. Where the model decodes in place, a token's pass is captured once for each size of the
 * cache, which doubles, and replayed as long as the model is made of the same modules and tensors.
 */
export class Decoder {
	readonly #model: CausalLM;
	readonly #device: Device;
	readonly #most: number;
	readonly #id: Tensor;
	#cache: KVCache = [];
	#room: StaticCache | undefined;
	#captured: Captured | undefined;
	#isGivenUp = false;

	/** For a text of `most` tokens at most. */
	constructor(model: CausalLM, device: Device, most: number) {
		this.#model = model;
		this.#device = device;
		this.#most = Math.min(most, model.contextLength ?? Number.POSITIVE_INFINITY);
		this.#id = device.keep(tensor(device, Int32Array.of(0)));
	}

	/** Logits of the token after these, which come after those read before. */
	async read(ids: readonly number[]): Promise<Float32Array> {
		const [id, ...others] = ids;
		if (others.length === 0 && isInPlace(this.#model) && (this.#room !== undefined || cachedTokens(this.#cache) > 0)) {
			const room = this.#withRoom();
			if (room !== undefined) {
				write(this.#id, [id]);
				const logits = await this.#decode(this.#model, room);
				room.length++;
				return logits as Float32Array;
			}
		}
		return this.#append(ids);
	}

	dispose(): void {
		this.#forget();
		this.#room?.dispose();
		disposeCache(this.#cache);
		this.#id.dispose();
	}

	/** By a longer cache of its own. */
	async #append(ids: readonly number[]): Promise<Float32Array> {
		const device = this.#device;
		const step = device.scope(() => {
			const { logits, cache } = this.#model.step(tensor(device, Int32Array.from(ids)), this.#room?.entries() ?? this.#cache);
			for (const { k, v } of cache) for (const t of [k, v]) device.keep(t);
			return { logits: device.keep(logits), cache };
		});
		disposeCache(this.#cache);
		this.#cache = step.cache;
		const logits = await data(step.logits);
		step.logits.dispose();
		return logits as Float32Array;
	}

	/** The cache, with room for one token more; undefined where the model reads no more. */
	#withRoom(): StaticCache | undefined {
		const before = this.#room;
		if (before !== undefined && before.length < before.capacity) return before;
		const length = before?.length ?? cachedTokens(this.#cache);
		if (length >= this.#most) return undefined;
		const capacity = Math.min(this.#most, Math.max(LEAST_ROOM, 2 ** Math.ceil(Math.log2(length + 1))));
		this.#forget();
		this.#room = this.#device.scope(() => new StaticCache(before?.entries() ?? this.#cache, capacity));
		before?.dispose();
		disposeCache(this.#cache);
		this.#cache = [];
		return this.#room;
	}

	/** Runs the model on the token that was written, at the position of the cache. */
	async #decode(model: InPlace, room: StaticCache): Promise<unknown> {
		const device = this.#device;
		const pass = (): Tensor => model.decode(this.#id, room);
		const isReplayed = !this.#isGivenUp && runtimeOf(device).recorder.profiler === undefined;
		const captured = this.#captured;
		if (isReplayed && captured !== undefined) {
			captured.step.replay();
			const logits = data(captured.step.outputs);
			// Looked at while the GPU works: what is not the same any more is read, thrown away and computed anew, in the same place.
			if (captured.model.isCurrent) {
				if (captured.isChecked || captured.step.difference(pass) === undefined) {
					captured.isChecked = true;
					return logits;
				}
				this.#isGivenUp = true;
			}
			await logits;
			this.#forget();
			return this.#decode(model, room);
		}
		if (isReplayed) {
			try {
				const made = new ModuleSnapshot(model);
				this.#captured = { step: capture(device, pass), model: made, isChecked: false };
				return data(this.#captured.step.outputs);
			} catch (error) {
				if (!(error instanceof DeviceError && /^capture\//.test(error.code))) throw error;
				this.#isGivenUp = true;
			}
		}
		const logits = device.scope(() => device.keep(pass()));
		return data(logits).finally(() => logits.dispose());
	}

	#forget(): void {
		this.#captured?.step.dispose();
		this.#captured = undefined;
	}
}
