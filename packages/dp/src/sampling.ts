import { expects, named } from "@hushgrad/tensor/author";
import { checkInteger, checkPositive, checkSampleRate, refuse } from "./check.ts";
import { checkNoiseSource, type NoiseSource } from "./secureRandom.ts";

/** More records do not fit an i32 index. */
const MAX_RECORDS = 2 ** 31 - 1;

/** What `poissonBatch` draws from. */
export interface PoissonOptions {
	/** Number of records N, declared public: 1 … 2³¹ − 1. */
	readonly datasetSize: number;
	/** Probability q in [0, 1] with which each record enters the batch. */
	readonly sampleRate: number;
}

/**
 * One logical batch by Poisson sampling: every record 0 … N−1 enters independently with probability q, at most once.
 * Ascending indices; the batch may be empty, and an empty batch is a step like any other.
 *
 * Skips from record to record by geometric gaps ⌊ln u / ln(1−q)⌋, so the work is about N·q. A gap longer than ⌈1/q⌉ starts
 * anew from there, which changes nothing in law (no memory) and keeps u away from 0, where 53 bits are coarse: every
 * record's probability is within 1e-15 of q. A run that claims an ε must pass `secureNoise()`.
 * @throws ValueError for N or q outside their domain, PrivacyError for a foreign source.
 */
export const poissonBatch = named("poissonBatch", (options: PoissonOptions, source: NoiseSource): Int32Array => {
	expects("poissonBatch", { options }, { options: "options" });
	const { datasetSize, sampleRate } = options;
	checkNoiseSource(source);
	checkInteger("datasetSize", datasetSize, { max: MAX_RECORDS });
	checkSampleRate(sampleRate);
	if (sampleRate === 0) return new Int32Array();
	const logMiss = Math.log1p(-sampleRate);
	const longest = Math.ceil(1 / sampleRate);
	const batch: number[] = [];
	for (let next = 0; next < datasetSize; ) {
		const gap = Math.floor(Math.log(1 - source.uniform53()) / logMiss);
		if (gap >= longest) {
			next += longest;
			continue;
		}
		next += gap;
		if (next < datasetSize) batch.push(next);
		next++;
	}
	return Int32Array.from(batch);
});

/** A part of a logical batch, of fixed size. */
export interface PhysicalBatch {
	/** Record of each row, `[physicalSize]`; −1 for padding. */
	readonly indices: Int32Array;
	/** 1 for a record, 0 for padding, `[physicalSize]`: a padding row contributes exactly 0. */
	readonly weights: Float32Array;
}

/**
 * Cuts a logical batch into ⌈n/physicalSize⌉ padded physical ones, in order: a matter of memory only, not of privacy. None for an
 * empty batch. Opacus' BatchMemoryManager.
 * @throws ValueError for a physicalSize below 1.
 */
export const splitVirtual = named("splitVirtual", (indices: Int32Array, physicalSize: number): PhysicalBatch[] => {
	checkInteger("physicalSize", physicalSize);
	if (!(indices instanceof Int32Array)) refuse("indices", "an Int32Array of record numbers", indices);
	return Array.from({ length: Math.ceil(indices.length / physicalSize) }, (_, part) => {
		const records = indices.subarray(part * physicalSize, (part + 1) * physicalSize);
		const batch = { indices: new Int32Array(physicalSize).fill(-1), weights: new Float32Array(physicalSize) };
		batch.indices.set(records);
		batch.weights.fill(1, 0, records.length);
		return batch;
	});
});

/**
 * Logical steps in `epochs` passes at an expected batch size: round(epochs·N/L), at least 1. No step is lost to a float floor.
 * @throws ValueError for numbers that are not above 0.
 */
export const stepsForEpochs = named(
	"stepsForEpochs",
	(epochs: number, sizes: { readonly datasetSize: number; readonly expectedBatchSize: number }): number => {
		expects("stepsForEpochs", { sizes }, { sizes: "options" });
		const { datasetSize, expectedBatchSize } = sizes;
		checkPositive("epochs", epochs);
		checkPositive("datasetSize", datasetSize);
		checkPositive("expectedBatchSize", expectedBatchSize);
		return Math.max(1, Math.round((epochs * datasetSize) / expectedBatchSize));
	},
);
