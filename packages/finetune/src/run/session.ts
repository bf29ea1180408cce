import { type NoiseSource, PrivacyEngine, type PrivacyLedger } from "@hushgrad/dp";
import { fromPretrained, type VaultGemmaForCausalLM } from "@hushgrad/models";
import { AdamW, applyLora, constant, cosineWithWarmup } from "@hushgrad/nn";
import { type Device, foldIn, key } from "@hushgrad/tensor";
import { type Checkpoint, restoreTensors } from "./checkpoint.ts";
import type { RunEvent } from "./events.ts";
import type { Prepared } from "./prepare.ts";
import { plainTraining, privateTraining, type Training } from "./training.ts";

/** What is on the GPU while a run goes on. */
export interface Session {
	/** Where all of it is. */
	readonly device: Device;
	/** The base with LoRA. */
	readonly model: VaultGemmaForCausalLM;
	/** What trains it. */
	readonly optimizer: AdamW;
	/** Its steps. */
	readonly training: Training;
}

/** What a session is opened with. */
export interface SessionOptions {
	/** Where steps are noted; undefined without privacy. */
	readonly ledger: PrivacyLedger | undefined;
	/** Where noise comes from, in place of the platform's generator. */
	readonly noise?: NoiseSource | undefined;
	/** Is told how far loading is. */
	readonly tell: (event: RunEvent) => void;
}

/** Loads the base on the device, puts LoRA on it, and makes what trains it: from the start, or from a checkpoint. */
export async function openSession(device: Device, prepared: Prepared, options: SessionOptions, from?: Checkpoint): Promise<Session> {
	const { settings, lora, plan } = prepared;
	const { ledger, noise, tell } = options;
	const seed = key(settings.seed);
	const isQuantizing = settings.quantization === "nf4";
	const model = await fromPretrained(settings.model, {
		device,
		quantization: isQuantizing ? "nf4" : undefined,
		onProgress: ({ loaded, total }) => tell({ kind: "loading", done: loaded, total, isQuantizing }),
	});
	applyLora(model, lora, { device, key: foldIn(seed, 0) });
	const { lr, weightDecay, beta1, schedule, warmupSteps, steps } = settings;
	const optimizer = new AdamW(model.trainableParameters(), {
		...{ lr, weightDecay, betas: [beta1, 0.999] },
		schedule: schedule === "cosine" ? cosineWithWarmup(warmupSteps, steps + 1) : constant,
	});
	if (from !== undefined) {
		const tensors = await restoreTensors(device, from, optimizer.vector);
		optimizer.loadState({ steps: from.state.updates, tensors });
		for (const t of tensors.values()) t.dispose();
	}
	const common = { optimizer, key: foldIn(seed, 1) };
	if (plan === undefined) {
		return { device, model, optimizer, training: plainTraining({ ...common, stepsTaken: from?.state.step ?? 0 }, model, prepared) };
	}
	const { physicalBatchSize } = settings;
	const use = ledger && { ledger, dataset: prepared.fingerprint };
	const how = { ...common, model, physicalBatchSize, noise, ledger: use };
	const state = from?.state.engine;
	const engine =
		state === undefined
			? PrivacyEngine.follow(plan, how)
			: PrivacyEngine.fromState(state, plan, { ...how, privateState: from?.privateState });
	return { device, model, optimizer, training: privateTraining(engine, model, prepared) };
}
