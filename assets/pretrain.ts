/**
 * Pre-trains assets/tiny-vaultgemma from random weights on assets/pretraining/*.txt, with this library.
 * `npm run pretrain` writes model.safetensors (bf16) beside config.json and tokenizer.model.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { readConfig, SentencePieceTokenizer, saveModel, VaultGemmaForCausalLM } from "@hushgrad/models";
import { AdamW, cosineWithWarmup, normalInit, zerosInit } from "@hushgrad/nn";
import { type Device, foldIn, item, type Key, key, mean, permutation, requestDevice, uniformValues, valueAndGrad } from "@hushgrad/tensor";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = join(here, "tiny-vaultgemma");

const { values: flags } = parseArgs({
	options: {
		steps: { type: "string", default: "700" },
		batch: { type: "string", default: "16" },
		length: { type: "string", default: "96" },
		lr: { type: "string", default: "3e-3" },
		seed: { type: "string", default: "1" },
	},
});
const BATCH = Number(flags.batch);
const LENGTH = Number(flags.length);
/** Share of the paragraphs held out to watch over-fitting. */
const HELD_OUT = 0.03;

interface Corpus {
	readonly train: Int32Array;
	readonly heldOut: Int32Array;
}

/** Paragraphs in random order, each followed by <eos>, as one stream of ids. */
async function readCorpus(tokenizer: SentencePieceTokenizer, k: Key): Promise<Corpus> {
	const folder = join(here, "pretraining");
	const names = (await readdir(folder)).filter((n) => n.endsWith(".txt")).sort();
	const texts = await Promise.all(names.map((n) => readFile(join(folder, n), "utf8")));
	const paragraphs = texts
		.flatMap((t) => t.split(/\n\s*\n/))
		.map((p) => p.trim())
		.filter((p) => p !== "");
	const order = [...permutation(paragraphs.length, k)].map((i) => paragraphs[i]);
	const cut = Math.round(order.length * (1 - HELD_OUT));
	const ids = (part: string[]) => Int32Array.from(part.flatMap((p) => [...tokenizer.encode(p), tokenizer.eosId]));
	return { train: ids(order.slice(0, cut)), heldOut: ids(order.slice(cut)) };
}

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
		else
			normalInit(
				device,
				p,
				foldIn(k, n),
				(path.includes("embed") ? 1 / Math.sqrt(p.shape[1]) : 1 / Math.sqrt(p.shape[1])) / (out ? depth : 1),
			);
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
const parameters = [...model.trainableParameters().values()];
const count = parameters.reduce((n, p) => n + p.size, 0);
console.log(
	`${count.toLocaleString("en-US")} parameters, ${train.length.toLocaleString("en-US")} training tokens, ${heldOut.length} held out`,
);

const lossOf = (stream: Int32Array, starts: ArrayLike<number>) => {
	const { ids, targets } = windows(stream, starts, tokenizer.bosId);
	const rows = starts.length;
	const t = (v: Int32Array) => device.fromHost(v, [rows, LENGTH]);
	const weights = device.fromHost(new Float32Array(rows).fill(1 / LENGTH), [rows]);
	return mean(model.losses(t(ids), { targets: t(targets), weights }));
};

async function evaluate(): Promise<number> {
	const starts = Array.from({ length: BATCH }, (_, i) => Math.floor((i * (heldOut.length - LENGTH - 1)) / BATCH));
	const loss = device.scope(() => lossOf(heldOut, starts));
	const value = await item(loss);
	loss.dispose();
	return value;
}

const steps = Number(flags.steps);
const schedule = cosineWithWarmup(30, steps);
const optimizer = new AdamW(parameters, { lr: Number(flags.lr), betas: [0.9, 0.98], weightDecay: 0.3 });
const started = performance.now();
const minutes = () => ((performance.now() - started) / 60_000).toFixed(1);
let smooth = 0;
for (let step = 0; step < steps; step++) {
	optimizer.lr = Number(flags.lr) * schedule(step + 1);
	const starts = uniformValues(foldIn(seed, 1000 + step), BATCH).map((u) => Math.floor(u * (train.length - LENGTH - 1)));
	const loss = device.scope(() => {
		const { value, grads } = valueAndGrad(() => lossOf(train, starts), parameters);
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
await saveModel(model, target, { dtype: "BF16" });
device.destroy();
