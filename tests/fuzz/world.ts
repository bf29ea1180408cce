import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as dp from "@hushgrad/dp";
import * as models from "@hushgrad/models";
import * as nn from "@hushgrad/nn";
import * as t from "@hushgrad/tensor";

/** A module of two layers, with weights. */
export class Net extends nn.Module {
	readonly first = new nn.Linear(8, 8);
	readonly second = new nn.Linear(8, 8, { bias: false });
	forward(x: t.Tensor): t.Tensor {
		return this.second.call(t.relu(this.first.call(x)));
	}
}

/** A VaultGemma of one small layer. */
export const CONFIG = {
	model_type: "vaultgemma",
	vocab_size: 16,
	hidden_size: 8,
	intermediate_size: 8,
	num_hidden_layers: 1,
	num_attention_heads: 2,
	num_key_value_heads: 1,
	head_dim: 4,
	max_position_embeddings: 32,
	query_pre_attn_scalar: 4,
	rms_norm_eps: 1e-6,
	rope_theta: 10000,
	sliding_window: 8,
	layer_types: ["sliding_attention"],
	attn_logit_softcapping: null,
	final_logit_softcapping: null,
	bos_token_id: 2,
	eos_token_id: 1,
	pad_token_id: 0,
};

/** What arguments are made of: devices, and things that cost time to make and that no call changes. */
export interface World {
	readonly device: t.Device;
	readonly foreign: t.Device;
	readonly tokenizer: models.SentencePieceTokenizer;
	readonly tokenizerFile: string;
	/** A folder for files, and one with a checkpoint. */
	readonly folder: string;
	readonly checkpoint: string;
	/** What calls made that lives until it is disposed: by `reset`, after each. */
	owned<T extends { dispose(): void }>(x: T): T;
	reset(): void;
	/** A new one for every call. */
	net(): Net;
	causal(): models.VaultGemmaForCausalLM;
	/** The same until `reset`. */
	problem(): { readonly w: nn.Parameter; readonly optimizer: nn.SGD; readonly noise: dp.NoiseSource };
}

export async function makeWorld(root: string): Promise<World> {
	const [device, foreign] = [await t.requestDevice(), await t.requestDevice()];
	const tokenizerFile = join(root, "assets/tiny-vaultgemma/tokenizer.model");
	const made: { dispose(): void }[] = [];
	const owned = <T extends { dispose(): void }>(x: T): T => {
		made.push(x);
		return x;
	};
	const net = (): Net => {
		const model = new Net();
		owned(model);
		for (const [, p] of model.namedParameters()) owned(p).assign(t.full(device, p.shape, 0.5));
		return model;
	};
	const causal = (): models.VaultGemmaForCausalLM => {
		const model = new models.VaultGemmaForCausalLM(models.parseConfig(CONFIG));
		owned(model);
		model.init(device);
		for (const [, p] of model.namedParameters()) p.assign(t.full(device, p.shape, 0.1));
		return model;
	};
	const folder = mkdtempSync(join(tmpdir(), "hushgrad-fuzz-"));
	const checkpoint = join(folder, "checkpoint");
	for (const name of ["checkpoint", "adapter", "saved", "model"]) mkdirSync(join(folder, name));
	await device.scope(() => ({ done: models.saveModel(causal(), checkpoint, { dtype: "F32" }) })).done;
	const adapted = net();
	const lora = nn.loraConfig({ r: 2, lora_alpha: 4, target_modules: "all-linear" });
	nn.applyLora(adapted, lora, { device, key: t.key(1) });
	await models.saveAdapter(adapted, join(folder, "adapter"), lora);
	writeFileSync(join(checkpoint, "config.json"), JSON.stringify(CONFIG));
	writeFileSync(join(checkpoint, "generation_config.json"), JSON.stringify({ eos_token_id: 1 }));
	let current: ReturnType<World["problem"]> | undefined;
	const reset = (): void => {
		for (const x of made.splice(0).reverse()) {
			if (x instanceof nn.Parameter) x.unbind(); // a call may have bound it
			x.dispose();
		}
		current = undefined;
	};
	reset();
	return {
		...{ device, foreign, net, causal, folder, checkpoint, owned, reset },
		tokenizerFile,
		tokenizer: await models.SentencePieceTokenizer.fromFile(tokenizerFile),
		problem: () => {
			if (current !== undefined) return current;
			const w = owned(new nn.Parameter([3, 2]));
			w.assign(t.full(device, [3, 2], 0.5));
			current = { w, optimizer: owned(new nn.SGD([w], { lr: 0.1 })), noise: dp.insecureNoiseForTests(1) };
			return current;
		},
	};
}
