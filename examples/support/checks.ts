import { createHash } from "node:crypto";
import { deviceOf, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { loraLayers, type Module } from "@hushgrad/nn";
import { data } from "@hushgrad/tensor";
import { field } from "./report.ts";

/** SHA-256 of every frozen weight as it lies on the GPU: 4-bit codes, scales, embedding and norms. */
export async function baseHash(model: Module): Promise<string> {
	const hash = createHash("sha256");
	for (const [, parameter] of model.namedParameters()) {
		for (const t of parameter.trainable ? [] : parameter.tensors()) {
			const { buffer, byteOffset, byteLength } = await data(t);
			hash.update(new Uint8Array(buffer, byteOffset, byteLength));
		}
	}
	return hash.digest("hex");
}

/** Logits [T, V] of one text. */
async function logitsOf(model: VaultGemmaForCausalLM, ids: Int32Array): Promise<Float32Array> {
	const device = deviceOf(model);
	const logits = device.scope(() => model.call(device.fromHost(ids, [ids.length])));
	const values = (await data(logits)) as Float32Array;
	logits.dispose();
	return values;
}

/** Prints a check; one that fails fails the run. */
function check(name: string, holds: boolean, yes: string, no: string): void {
	if (!holds) process.exitCode = 1;
	field(name, holds ? yes : no);
}

/** Shows that the reloaded model is the trained one, that training moved the adapter, and that it left the base alone. */
export async function checkReload(
	trained: VaultGemmaForCausalLM,
	reloaded: VaultGemmaForCausalLM,
	{ probe, baseBefore }: { readonly probe: Int32Array; readonly baseBefore: string },
): Promise<void> {
	const [ours, theirs] = [await logitsOf(trained, probe), await logitsOf(reloaded, probe)];
	const layers = [...loraLayers(trained).values()];
	const moved = await Promise.all(layers.map(async (l) => (await data(l.lora_B.weight.value)).some((v) => v !== 0)));
	const count = moved.filter(Boolean).length;
	const isSame = ours.every((v, i) => v === theirs[i]);
	check("reloaded", isSame, "base and adapter: logits bit-identical", "base and adapter: logits DIFFERENT");
	check("LoRA B moved", count === moved.length, `${count} of ${moved.length}`, `${count} of ${moved.length}`);
	const base = await baseHash(trained);
	check("base weights", base === baseBefore, `unchanged (sha256 ${baseBefore.slice(0, 16)}…)`, "CHANGED");
}
