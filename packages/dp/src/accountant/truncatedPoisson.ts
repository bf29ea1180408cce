import { binomialTail } from "./binomial.ts";
import type { TruncatedPoissonEvent } from "./events.ts";
import { discretise, type LossPair, mixture } from "./lossPair.ts";
import { replacedGaussian, sampledGaussian } from "./sampledPair.ts";

/**
 * The pair of one step of Poisson sampling with a cap. With probability w a batch is full without the record: then the record, where
 * it is kept, takes the place of another one, which is accounted as replacement by its opposite (σ/2, rate q'); else as Poisson
 * sampling. w = P[Bin(N−1, q) ≥ B], q' = P[Bin(N, q) > B]·B/(N·w). An upper bound. Source: arXiv 2508.15089, as in dp_accounting.
 */
export function truncatedPoissonPair(event: TruncatedPoissonEvent, step: number, tail: number): LossPair {
	const { datasetSize, sampleRate, maxBatchSize, noiseMultiplier } = event;
	const kept = discretise(sampledGaussian(sampleRate, noiseMultiplier, tail), step);
	const full = binomialTail(maxBatchSize - 1, datasetSize - 1, sampleRate);
	if (full === 0) return kept;
	const rate = Math.min(1, (binomialTail(maxBatchSize, datasetSize, sampleRate) * maxBatchSize) / (datasetSize * full));
	return mixture(discretise(replacedGaussian(rate, noiseMultiplier / 2, tail), step), kept, full);
}
