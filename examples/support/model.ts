import { createHash } from "node:crypto";
import type { VaultGemmaForCausalLM } from "@hushgrad/models";
import { NF4Linear } from "@hushgrad/nn";
import { data, type Tensor } from "@hushgrad/tensor";

/** SHA-256 of every frozen weight as it lies on the GPU: 4-bit codes, scales, embedding and norms. */
export async function baseHash(model: VaultGemmaForCausalLM): Promise<string> {
	const hash = createHash("sha256");
	const update = async (t: Tensor) => {
		const { buffer, byteOffset, byteLength } = await data(t);
		hash.update(new Uint8Array(buffer, byteOffset, byteLength));
	};
	for (const [, parameter] of model.namedParameters()) if (!parameter.trainable) await update(parameter.value);
	for (const [, module] of model.namedModules()) {
		if (module instanceof NF4Linear) for (const part of Object.values(module.weight)) await update(part);
	}
	return hash.digest("hex");
}

/** Logits [T, V] of one sequence. */
export async function logitsOf(model: VaultGemmaForCausalLM, ids: Int32Array): Promise<Float32Array> {
	const { device } = model.model.embed_tokens.weight.value;
	const logits = device.scope<Tensor>(() => model.call(device.fromHost(ids, [1, ids.length])));
	const values = (await data(logits)) as Float32Array;
	logits.dispose();
	return values;
}
