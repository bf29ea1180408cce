import { ValueError } from "@hushgrad/tensor";
import { expects, named, unblamed } from "@hushgrad/tensor/author";
import { checkInteger, checkPositive, refuse } from "../check.ts";
import { insecureNoiseForTests, type NoiseSource } from "../secureRandom.ts";

/** Samples below it repeat what the model says anyway, and tell nothing. Source: arXiv 2606.10481. */
const LOWEST_TEMPERATURE = 0.8;
/** So often is one drawn again that there is already, on average. */
const ATTEMPTS = 10;

/** How many canaries, of what form. */
export interface CanaryShape {
	/** Number of canaries, all of them different. */
	readonly count: number;
	/** Tokens of each. */
	readonly length: number;
	/** Seed of the draw; 0 when left out. */
	readonly seed?: number | undefined;
}

/** Canaries of tokens that have nothing to do with each other. */
export interface RandomCanaryOptions extends CanaryShape {
	/** Tokens are 0 … vocabSize − 1. */
	readonly vocabSize: number;
}

/** Canaries that a model writes. */
export interface SampledCanaryOptions extends CanaryShape {
	/** 0.8 or more; 1 when left out. */
	readonly temperature?: number | undefined;
	/** Logits of the token that follows, `[vocabSize]`; it is given the tokens so far, at first none. */
	readonly nextLogits: (tokens: readonly number[]) => ArrayLike<number> | Promise<ArrayLike<number>>;
}

/**
 * Canaries of uniformly random tokens: what no text holds, so that a model knows them by training alone.
 * @throws ValueError for sizes outside their domain, and where there are not so many different ones.
 */
export const randomCanaries = named("randomCanaries", (options: RandomCanaryOptions): Promise<Int32Array[]> => {
	expects("randomCanaries", { options }, { options: "options" });
	const { vocabSize } = options;
	checkInteger("vocabSize", vocabSize);
	return different("randomCanaries", options, (source, length) =>
		Int32Array.from({ length }, () => Math.floor(source.uniform53() * vocabSize)),
	);
});

/**
 * Canaries sampled from a model, the one that is trained before it is: they are made without a look at private records, and can be made
 * again from the seed. Tokens are drawn from softmax(logits/temperature).
 * @throws ValueError for sizes outside their domain, a temperature below 0.8, logits that are not finite or −∞, and where the model does
 * not give so many different ones.
 */
export const sampledCanaries = named("sampledCanaries", async (options: SampledCanaryOptions): Promise<Int32Array[]> => {
	expects("sampledCanaries", { options }, { options: "options" });
	const { nextLogits, temperature = 1 } = options;
	expects("sampledCanaries", { nextLogits }, { nextLogits: "function" });
	checkPositive("temperature", temperature);
	if (temperature < LOWEST_TEMPERATURE) {
		refuse("temperature", "0.8 or more", temperature, "colder samples repeat what the model says anyway");
	}
	return different("sampledCanaries", options, async (source, length) => {
		const tokens: number[] = [];
		while (tokens.length < length) tokens.push(drawn(await unblamed(() => nextLogits(tokens)), temperature, source.uniform53()));
		return Int32Array.from(tokens);
	});
});

function drawn(logits: ArrayLike<number>, temperature: number, uniform: number): number {
	const scaled = Float64Array.from(logits, (v) => v / temperature);
	const top = scaled.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
	const weights = scaled.map((v) => Math.exp(v - top));
	const total = weights.reduce((sum, w) => sum + w, 0);
	if (!(total > 0)) refuse("nextLogits", "a function that gives finite logits", logits);
	let left = uniform * total;
	const at = weights.findIndex((w) => {
		left -= w;
		return left < 0;
	});
	return at < 0 ? weights.findLastIndex((w) => w > 0) : at;
}

async function different(
	op: string,
	{ count, length, seed = 0 }: CanaryShape,
	draw: (source: NoiseSource, length: number) => Int32Array | Promise<Int32Array>,
): Promise<Int32Array[]> {
	checkInteger("count", count);
	checkInteger("length", length);
	const source = insecureNoiseForTests(seed);
	const found = new Map<string, Int32Array>();
	for (let attempt = 0; attempt < ATTEMPTS * count && found.size < count; attempt++) {
		const canary = await draw(source, length);
		found.set(canary.join(), canary);
	}
	if (found.size === count) return [...found.values()];
	throw new ValueError("dp/canaries", `${op}: only ${found.size} different canaries of ${count} came up`, {
		op,
		hint: "make them longer, or the temperature higher",
	});
}
