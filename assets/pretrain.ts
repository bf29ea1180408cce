/**
 * Pre-trains assets/tiny-vaultgemma from random weights, with this library, on assets/pretraining/*.txt and on turns made from them.
 * `npm run pretrain` writes model.safetensors (bf16) beside config.json and tokenizer.model; `-- --help` lists the flags.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodeExample, readConfig, SentencePieceTokenizer, saveModel, type TrainingRecord, VaultGemmaForCausalLM } from "@hushgrad/models";
import { AdamW, cosineWithWarmup, countParameters, normalInit, zerosInit } from "@hushgrad/nn";
import {
	type Device,
	foldIn,
	item,
	type Key,
	key,
	mean,
	permutation,
	requestDevice,
	type Tensor,
	uniformValues,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { readFlags } from "../tools/flags.mjs";
import { echoTurns, instructed, type Turn, turnsOf } from "./turns.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = join(here, "tiny-vaultgemma");

const HELP = `npm run pretrain -- [options]
  --steps 900     optimisation steps
  --batch 16      windows of text in a step
  --length 96     tokens of a window
  --lr 8e-3       highest learning rate, of a cosine with a warm-up of 60 steps
  --seed 1        of weights and batches
  --output DIR    where model.safetensors is written; assets/tiny-vaultgemma when left out`;
const flags = readFlags(HELP, {
	steps: { type: "string", default: "900" },
	batch: { type: "string", default: "16" },
	length: { type: "string", default: "96" },
	lr: { type: "string", default: "8e-3" },
	seed: { type: "string", default: "1" },
	output: { type: "string", default: target },
});
const BATCH = Number(flags.batch);
const LENGTH = Number(flags.length);
/** Share of the paragraphs held out to watch over-fitting. */
const HELD_OUT = 0.03;

/** How often a paragraph of prose stands in the stream, and each of its turns. */
const REPEATS = 2;
/** Texts to be said again, for each paragraph of prose. */
const ECHOES = 4;

interface Corpus {
	readonly train: Int32Array;
	readonly heldOut: Int32Array;
}

/** Prose and turns in random order, each a text from <bos> to <eos>, as one stream of ids. */
async function readCorpus(tokenizer: SentencePieceTokenizer, k: Key): Promise<Corpus> {
	const folder = join(here, "pretraining");
	const names = (await readdir(folder)).filter((n) => n.endsWith(".txt")).sort();
	const texts = await Promise.all(names.map((n) => readFile(join(folder, n), "utf8")));
	const paragraphs = shuffled(
		texts
			.flatMap((t) => t.split(/\n\s*\n/))
			.map((p) => p.trim())
			.filter((p) => p !== ""),
		foldIn(k, 0),
	);
	const cut = Math.round(paragraphs.length * (1 - HELD_OUT));
	const prose = (p: string) => [tokenizer.bosId, ...tokenizer.encode(p), tokenizer.eosId];
	const turn = (t: Turn) => [...encodeExample(tokenizer, t, { maxLength: 1000 }).ids, tokenizer.eosId];
	const streamOf = (part: readonly string[]): Int32Array => {
		const documents = [...part.map(prose), ...instructed(turnsOf(part), foldIn(k, 1)).map(turn)];
		const echoes = echoTurns(ECHOES * part.length, part, foldIn(k, 3)).map(turn);
		return Int32Array.from(shuffled([...Array<number[][]>(REPEATS).fill(documents).flat(), ...echoes], foldIn(k, 2)).flat());
	};
	return { train: streamOf(paragraphs.slice(0, cut)), heldOut: streamOf(paragraphs.slice(cut)) };
}

const shuffled = <T>(list: readonly T[], k: Key): T[] => Array.from(permutation(list.length, k), (i) => list[i] as T);

/** Random windows of the stream: ids and the ids one further on. Each begins with <bos>. */
function windows(stream: Int32Array, starts: ArrayLike<number>, bos: number) {
	const ids = new Int32Array(starts.length * LENGTH);
	const targets = new Int32Array(starts.length * LENGTH);
	for (let b = 0; b < starts.length; b++) {
		for (let t = 0; t < LENGTH; t++) {
			ids[b * LENGTH + t] = t === 0 ? bos : stream[starts[b] + t - 1];
			targets[b * LENGTH + t] = stream[starts[b] + t];
		}
	}
	return { ids, targets };
}

function initialise(model: VaultGemmaForCausalLM, device: Device, k: Key): void {
	const depth = Math.sqrt(2 * model.config.num_hidden_layers);
	let n = 0;
	for (const [path, p] of model.namedParameters()) {
		const out = /(o_proj|down_proj)\.weight$/.test(path);
		if (p.shape.length === 1) zerosInit(device, p);
		else normalInit(device, p, foldIn(k, n), 1 / Math.sqrt(p.shape[1]) / (out ? depth : 1));
		n++;
	}
}

const config = await readConfig(target);
const tokenizer = await SentencePieceTokenizer.fromFile(join(target, "tokenizer.model"));
const device = await requestDevice();
const seed = key(Number(flags.seed));
const { train, heldOut } = await readCorpus(tokenizer, foldIn(seed, 0));
const model = new VaultGemmaForCausalLM(config);
initialise(model, device, foldIn(seed, 1));
model.init(device);
console.log(
	`${countParameters(model).all.toLocaleString("en-US")} parameters, ${train.length.toLocaleString("en-US")} training tokens, ${heldOut.length} held out`,
);

/** The mean loss of some windows, each a text of its own. */
const lossOf = (stream: Int32Array, starts: ArrayLike<number>): Tensor => {
	const { ids, targets } = windows(stream, starts, tokenizer.bosId);
	const rows = starts.length;
	return mean(
		vmap((window: TrainingRecord) => model.loss(window))({
			ids: device.fromHost(ids, [rows, LENGTH]),
			targets: device.fromHost(targets, [rows, LENGTH]),
			weight: device.fromHost(new Float32Array(rows).fill(1 / LENGTH), [rows]),
		}),
	);
};

async function evaluate(): Promise<number> {
	const starts = Array.from({ length: BATCH }, (_, i) => Math.floor((i * (heldOut.length - LENGTH - 1)) / BATCH));
	const loss = device.scope<Tensor>(() => lossOf(heldOut, starts));
	const value = await item(loss);
	loss.dispose();
	return value;
}

const steps = Number(flags.steps);
const optimizer = new AdamW(model.trainableParameters(), {
	lr: Number(flags.lr),
	schedule: cosineWithWarmup(60, steps),
	betas: [0.9, 0.98],
	weightDecay: 0.3,
});
const started = performance.now();
const minutes = () => ((performance.now() - started) / 60_000).toFixed(1);
let smooth = 0;
for (let step = 0; step < steps; step++) {
	const starts = uniformValues(foldIn(seed, 1000 + step), BATCH).map((u) => Math.floor(u * (train.length - LENGTH - 1)));
	const loss = device.scope<Tensor>(() => {
		const { value, grads } = valueAndGrad(() => lossOf(train, starts), optimizer.parameters);
		optimizer.step(grads);
		return value;
	});
	const value = await item(loss);
	loss.dispose();
	if (!Number.isFinite(value)) throw new Error(`the loss is ${value} at step ${step}`);
	smooth = step === 0 ? value : 0.95 * smooth + 0.05 * value;
	if (step % 50 === 0) {
		console.log(`step ${step}/${steps}  loss ${smooth.toFixed(4)}  held-out ${(await evaluate()).toFixed(4)}  ${minutes()} min`);
	}
}
console.log(`final held-out loss ${(await evaluate()).toFixed(4)} after ${minutes()} min`);
await mkdir(flags.output, { recursive: true });
await saveModel(model, flags.output, { dtype: "BF16" });
device.destroy();
