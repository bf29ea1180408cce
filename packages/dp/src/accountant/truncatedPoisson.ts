import type { TruncatedPoissonEvent } from "./events.ts";
import { discretise, type LossPair, mixture } from "./lossPair.ts";
import { replacedGaussian, sampledGaussian } from "./sampledPair.ts";

const NEGLIGIBLE = 2 ** -60;

/** P[Binomial(n, p) > k], to a relative accuracy of about k·1e-16. */
export function binomialTail(k: number, n: number, p: number): number {
	if (k >= n) return 0;
	if (k < 0 || p === 1) return 1;
	const start = Math.max(k + 1, Math.min(n, Math.floor((n + 1) * p)));
	let logTerm = start * Math.log(p) + (n - start) * Math.log1p(-p);
	for (let i = 0; i < start; i++) logTerm += Math.log((n - i) / (start - i));
	const odds = p / (1 - p);
	let sum = 1;
	for (let i = start, term = 1; i < n && term > sum * NEGLIGIBLE; i++) {
		term *= ((n - i) / (i + 1)) * odds;
		sum += term;
	}
	for (let i = start, term = 1; i > k + 1 && term > sum * NEGLIGIBLE; i--) {
		term *= i / ((n - i + 1) * odds);
		sum += term;
	}
	return Math.min(1, Math.exp(logTerm) * sum);
}

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
