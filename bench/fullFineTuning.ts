/**
 * What private training of all parameters costs beside plain training, and what memory it takes.
 *
 *     npm run bench:full -- [--vocab 2048 --width 128 --layers 2 --length 64 --rows 8]
 *        [--steps 7 --modes plain,instantiated,streamed,auto,secure]
 *
 * A VaultGemma with a tied table, of random weights; one physical batch a step. The runs take their steps in turn in one process, so that
 * whatever slows the machine slows all of them. Time is that of the process (user and system), which on a software GPU is its work, too.
 * No mode but `secure` draws noise: that takes time in proportion to the parameters, whatever the batch. Prints JSON.
 */
import { type GradientMode, PlainTrainer, PrivacyEngine, research, secureNoise } from "@hushgrad/dp";
import { parseConfig, type TrainingRecord, VaultGemmaForCausalLM } from "@hushgrad/models";
import { SGD } from "@hushgrad/nn";
import { type Device, foldIn, key, normal, requestDevice } from "@hushgrad/tensor";
import { readFlags, whole } from "../tools/flags.mjs";

const HELP = `npm run bench:full -- [flags]
  --vocab 2048    words of the vocabulary
  --width 128     of the model
  --layers 2
  --length 64     tokens of a record
  --rows 8        records of a step
  --steps 7       that are measured
  --modes plain,instantiated,streamed,auto,secure`;
const flags = readFlags(HELP, {
	vocab: { type: "string", default: "2048" },
	width: { type: "string", default: "128" },
	layers: { type: "string", default: "2" },
	length: { type: "string", default: "64" },
	rows: { type: "string", default: "8" },
	steps: { type: "string", default: "7" },
	modes: { type: "string", default: "plain,instantiated,streamed,auto,secure" },
});
const [vocab, width, layers, length, rows, steps] = (["vocab", "width", "layers", "length", "rows", "steps"] as const).map((name) =>
	whole(name, flags[name]),
);

const config = parseConfig({
	model_type: "vaultgemma",
	vocab_size: vocab,
	hidden_size: width,
	intermediate_size: 4 * width,
	num_hidden_layers: layers,
	num_attention_heads: 4,
	num_key_value_heads: 4,
	head_dim: width / 4,
	query_pre_attn_scalar: width / 4,
	attn_logit_softcapping: null,
	final_logit_softcapping: null,
	layer_types: Array.from({ length: layers }, () => "full_attention"),
	sliding_window: length,
	max_position_embeddings: length,
	rms_norm_eps: 1e-6,
	rope_theta: 10_000,
	pad_token_id: 0,
	bos_token_id: 2,
	eos_token_id: 1,
});

/** A model of random weights. */
function modelOn(device: Device): VaultGemmaForCausalLM {
	const model = new VaultGemmaForCausalLM(config);
	[...model.namedParameters()].forEach(([name, parameter], i) => {
		const std = name.includes("norm") ? 0.1 : name.includes("embed") ? 1 / Math.sqrt(width) : 1 / Math.sqrt(parameter.shape[1]);
		parameter.assign(normal(device, parameter.shape, foldIn(key(1), i), { std }));
	});
	model.init(device);
	return model;
}

const encode = (r: number) => ({
	ids: Int32Array.from({ length }, (_, i) => (i * 7919 + r * 104_729 + 3) % vocab),
	targets: Int32Array.from({ length }, (_, i) => ((i + 1) * 7919 + r * 104_729 + 3) % vocab),
	weight: 1 / length,
});

/** A step of one kind, to be taken again and again. */
function stepOf(mode: string, device: Device): { readonly parameters: number; readonly step: () => Promise<unknown> } {
	const model = modelOn(device);
	const optimizer = new SGD(model.trainableParameters(), { lr: 1e-3 });
	const loss = (record: TrainingRecord) => model.loss(record);
	const parameters = optimizer.vector.length;
	if (mode === "plain") {
		const trainer = new PlainTrainer({ optimizer, datasetSize: rows, batchSize: rows, physicalBatchSize: rows });
		return { parameters, step: () => trainer.step(encode, loss) };
	}
	const engine = PrivacyEngine.makePrivate({
		optimizer,
		model,
		datasetSize: rows,
		expectedBatchSize: rows,
		physicalBatchSize: rows,
		noiseMultiplier: 1,
		targetDelta: 1e-3,
		steps: steps + 1,
		maxGradNorm: 1,
		gradients: mode === "secure" ? "auto" : (mode as GradientMode),
		allowMeaninglessEpsilon: true,
		noise: mode === "secure" ? secureNoise() : research({ noise: (_, size) => new Float64Array(size) }),
	});
	return { parameters, step: () => engine.step(encode, loss) };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];
const MEGABYTE = 1e6;

/** One kind of step, on a device of its own, so that its memory can be told. */
async function runOf(mode: string) {
	const device = await requestDevice();
	const { parameters, step } = stepOf(mode, device);
	await step(); // kernels are compiled, and the first batch is looked at again
	await device.flush();
	const held = device.memory().liveBytes;
	return { mode, device, parameters, step, held, cpu: [] as number[] };
}

const modes = flags.modes.split(",");
const runs = await Promise.all(modes.map(runOf));
for (let s = 0; s < steps; s++) {
	for (const run of runs) {
		const before = process.cpuUsage();
		await run.step();
		await run.device.flush();
		const { user, system } = process.cpuUsage(before);
		run.cpu.push((user + system) / 1000);
	}
}
const plain = runs.find((r) => r.mode === "plain");
const report = runs.map(({ mode, device, parameters, held, cpu }) => ({
	mode,
	parameters,
	cpuMs: Math.round(median(cpu)),
	toPlain: plain && Number(median(cpu.map((t, i) => t / plain.cpu[i])).toFixed(3)),
	peakMB: Math.round(device.memory().peakBytes / MEGABYTE),
	heldMB: Math.round(held / MEGABYTE),
}));
console.log(JSON.stringify({ vocab, width, layers, length, rows, steps, adapter: runs[0].device.info.description, runs: report }, null, 1));
for (const { device } of runs) device.destroy();
