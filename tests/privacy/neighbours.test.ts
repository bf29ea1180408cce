import { type GradientMode, PrivacyEngine, research, type Transcript } from "@hushgrad/dp";
import { Dropout, Embedding, initialize, LayerNorm, Linear, Module, SGD } from "@hushgrad/nn";
import {
	add,
	type Device,
	type DropoutKey,
	foldIn,
	gelu,
	type Key,
	key,
	linearCrossEntropy,
	mean,
	reshape,
	square,
	sub,
	sum,
	type Tensor,
	tanh,
	uniformValues,
} from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

/** How many pairs of data sets: a few in every suite, `HUSHGRAD_PAIRS=200` for long. */
const PAIRS = Number(process.env.HUSHGRAD_PAIRS ?? 12);
const device = useDevice();

/** A record: features, tokens, and what is to be told. */
interface Row {
	readonly x: Tensor;
	readonly ids: Tensor;
	readonly next: Tensor;
	readonly y: Tensor;
}

/** Features, width and tokens of a network; `vocab` words. */
interface Sizes {
	readonly features: number;
	readonly width: number;
	readonly tokens: number;
	readonly vocab: number;
}

/** A network over features, and one over words whose head has as many rows as there are words. */
class Network extends Module {
	readonly first: Linear;
	readonly norm: LayerNorm;
	readonly words: Embedding;
	readonly out: Linear;
	readonly drop = new Dropout(0.2);

	constructor({ features, width, vocab }: Sizes) {
		super();
		this.first = new Linear(features, width);
		this.norm = new LayerNorm(width);
		this.words = new Embedding(vocab, width);
		this.out = new Linear(width, 3);
	}

	/** The loss of a record. */
	loss({ x, ids, next, y }: Row, dropout?: DropoutKey): Tensor {
		const features = this.drop.call(tanh(this.first.call(x)), dropout);
		const hidden = gelu(this.norm.call(add(this.words.call(ids), reshape(features, [1, features.size]))));
		const words = mean(linearCrossEntropy(hidden, this.words.weight.value, next));
		return add(words, sum(square(sub(this.out.call(mean(hidden, 0)), y))));
	}
}

const values = (k: Key, length: number, scale: number): Float32Array => uniformValues(k, length).map((v) => scale * (2 * v - 1));

/** How a batch is run. */
interface Way {
	readonly physicalBatchSize: number;
	readonly gradients: GradientMode;
}

const MODES: readonly GradientMode[] = ["streamed", "instantiated", "auto"];

/** What one step does on records, in a study without noise. */
async function stepOn(d: Device, sizes: Sizes, seed: Key, records: readonly number[], way: Way): Promise<Transcript> {
	const net = new Network(sizes);
	initialize(net, d, foldIn(seed, 0));
	let told: Transcript | undefined;
	const optimizer = new SGD(net.trainableParameters(), { lr: 0 });
	const engine = PrivacyEngine.makePrivate({
		optimizer,
		model: net,
		datasetSize: 40,
		expectedBatchSize: 10,
		noiseMultiplier: 1,
		targetDelta: 1e-3,
		steps: 1,
		maxGradNorm: 0.5,
		...way,
		noise: research({
			batches: () => records.map((_, i) => i),
			noise: (_, length) => new Float64Array(length),
			transcript: (t) => {
				told = t;
			},
		}),
	});
	const { features, tokens, vocab } = sizes;
	const encode = (n: number) => {
		const k = foldIn(foldIn(seed, 1), n);
		const word = (i: number): number => Math.floor(uniformValues(foldIn(k, 9), 2 * tokens)[i] * vocab);
		return {
			x: values(foldIn(k, 1), features, 10 ** ((n % 5) - 2)),
			ids: Int32Array.from({ length: tokens }, (_, i) => word(i)),
			next: Int32Array.from({ length: tokens }, (_, i) => word(tokens + i)),
			y: values(foldIn(k, 2), 3, 1),
		};
	};
	await engine.stepOn(records, encode, (record: Row, dropout) => net.loss(record, dropout));
	optimizer.dispose();
	net.dispose();
	return told as Transcript;
}

it(`one record moves a sum by C at most, and nothing else by a bit, whatever the split, with gradients held or streamed: ${PAIRS} pairs`, async () => {
	for (let pair = 0; pair < PAIRS; pair++) {
		const seed = foldIn(key(71), pair);
		const [a, b, c, e] = uniformValues(foldIn(seed, 7), 4);
		const isWide = pair % 6 === 5;
		const sizes: Sizes = {
			features: 1 + Math.floor(a * 8),
			width: isWide ? 4 : 4 * (1 + Math.floor(b * 4)),
			tokens: 1 + Math.floor(c * 5),
			vocab: isWide ? 65_537 + Math.floor(e * 1000) : 11 + Math.floor(e * 300),
		};
		const records = Array.from({ length: isWide ? 5 : 9 }, (_, i) => i);
		const removed = pair % records.length;
		const rest = records.filter((n) => n !== removed);
		const way = (rows: number, mode: number): Way => ({ physicalBatchSize: rows, gradients: MODES[mode % MODES.length] });
		const whole = await stepOn(device(), sizes, seed, records, way(1 + (pair % 4), pair));
		const without = await stepOn(device(), sizes, seed, rest, way(1 + ((pair + 1) % 5), pair + Math.floor(pair / 3)));
		const other = await stepOn(device(), sizes, seed, records, way(1 + ((pair + 2) % 6), pair + 1));
		expect(other.sum).toEqual(whole.sum);
		expect(other.factors).toEqual(whole.factors);
		expect([...without.factors]).toEqual([...whole.factors].filter((_, i) => i !== removed));
		let moved = 0;
		for (let i = 0; i < whole.sum.length; i++) moved += (whole.sum[i] - without.sum[i]) ** 2;
		const P = whole.sum.length;
		expect(Math.sqrt(moved) / 0.5).toBeLessThanOrEqual(1 + 2 ** -18 + (Math.sqrt(P) * 2 ** -22) / 2);
		expect(Math.sqrt(moved)).toBeGreaterThan(0);
	}
}, 1_200_000);
