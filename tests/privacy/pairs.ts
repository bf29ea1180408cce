import { type Clipping, GaussianMechanism, type GradientMode, groupByUnit, PrivacyEngine, research, type Transcript } from "@hushgrad/dp";
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

/* Neighbouring data sets: one with a record, or a unit of several, that the other lacks; and what a private step does on both. */

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

/** Clipping norm. */
const C = 0.5;
const CLIPPINGS: readonly Clipping[] = [
	{ kind: "flat" },
	{ kind: "perLayer" },
	{ kind: "automatic" },
	{ kind: "adaptive", unclippedNumStd: 1 },
];

/** Two data sets, and how they are trained on. */
export interface Pair {
	readonly seed: Key;
	readonly sizes: Sizes;
	/** Numbers of the records, by unit: one each where single records are protected. */
	readonly units: readonly (readonly number[])[];
	/** The unit that the other data set lacks. */
	readonly removed: number;
	/** Records of a unit that count; undefined where single records are protected. */
	readonly maxRecords: number | undefined;
	readonly clipping: Clipping;
}

/** Pair number `number` of a seed: of every kind of clipping, of single records and of units, some of them with a large vocabulary. */
export function pairOf(seed: number, number: number): Pair {
	const own = foldIn(key(seed), number);
	const [a, b, c, e] = uniformValues(foldIn(own, 7), 4);
	const isWide = number % 6 === 5;
	const sizes: Sizes = {
		features: 1 + Math.floor(a * 8),
		width: isWide ? 4 : 4 * (1 + Math.floor(b * 4)),
		tokens: 1 + Math.floor(c * 5),
		vocab: isWide ? 65_537 + Math.floor(e * 1000) : 11 + Math.floor(e * 300),
	};
	const count = isWide ? 5 : 9;
	const isOfUnits = number % 3 === 2;
	const units = Array.from({ length: count }, (_, i) => Array.from({ length: isOfUnits ? 1 + (i % 3) : 1 }, (_, k) => i + count * k));
	const maxRecords = isOfUnits ? 2 : undefined;
	return { seed: own, sizes, units, removed: number % count, maxRecords, clipping: CLIPPINGS[number % CLIPPINGS.length] };
}

/** How a batch is run. */
interface Way {
	readonly physicalBatchSize: number;
	readonly gradients: GradientMode;
}

const MODES: readonly GradientMode[] = ["streamed", "instantiated", "auto"];

/** What one step does on these units, in a study without noise. */
async function stepOn(d: Device, pair: Pair, units: Pair["units"], way: Way): Promise<Transcript> {
	const { seed, sizes, maxRecords, clipping } = pair;
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
		maxGradNorm: C,
		...way,
		clipping,
		unit: maxRecords === undefined ? undefined : { name: "user", maxRecords },
		noise: research({
			batches: () => units.map((_, i) => i),
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
	const loss = (record: Row, dropout?: DropoutKey): Tensor => net.loss(record, dropout);
	const records = units.flat();
	if (maxRecords === undefined) await engine.stepOn(records, encode, loss);
	else {
		const unitOf = (n: number): number => units.findIndex((unit) => unit.includes(n));
		await engine.stepOnUnits(groupByUnit(records, unitOf, { maxRecords }), encode, loss);
	}
	optimizer.dispose();
	net.dispose();
	return told as Transcript;
}

/** How the steps on two data sets compare. */
export interface Comparison {
	/** How far the sums are from one another, in multiples of C. */
	readonly moved: number;
	/** How far the noise allows for. */
	readonly most: number;
	/** Whether what the other units were scaled by is the same to the bit. */
	readonly othersStay: boolean;
	/** Whether another split into physical batches, with gradients held or streamed, gives the same bits. */
	readonly splitsAgree: boolean;
}

/** Takes the step of pair `number` on both data sets, in physical batches of different sizes, with gradients held or streamed. */
export async function compare(d: Device, pair: Pair, number: number): Promise<Comparison> {
	const { units, removed } = pair;
	const way = (rows: number, mode: number): Way => ({ physicalBatchSize: rows, gradients: MODES[mode % MODES.length] });
	const whole = await stepOn(d, pair, units, way(1 + (number % 4), number));
	const other = await stepOn(d, pair, units, way(1 + ((number + 2) % 6), number + 1));
	const without = await stepOn(d, pair, units.toSpliced(removed, 1), way(1 + ((number + 1) % 5), number + Math.floor(number / 3)));
	const length = whole.sum.length;
	const { sensitivity } = new GaussianMechanism({ length, maxGradNorm: C, noiseMultiplier: 1, expectedBatchSize: 1 });
	const groups = whole.factors.length / units.length;
	const kept = whole.factors.filter((_, i) => Math.floor(i / groups) !== removed);
	const isSame = (a: Float64Array, b: Float64Array): boolean => a.length === b.length && a.every((v, i) => Object.is(v, b[i]));
	return {
		moved: Math.sqrt(whole.sum.reduce((s, v, i) => s + (v - without.sum[i]) ** 2, 0)) / C,
		most: sensitivity / C,
		othersStay: isSame(kept, without.factors),
		splitsAgree: isSame(whole.sum, other.sum) && isSame(whole.factors, other.factors),
	};
}
