/** Logits processors of transformers, on one row f32 [V], options rounded to f32 as there. None changes its input. */

/** Index of the largest value, the first one among equals. */
export function argmax(values: Float32Array): number {
	let best = 0;
	for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
	return best;
}

/** Tokens already seen: s < 0 -> s p, else s / p; once for each distinct token. Keskar et al. 2019. */
export function repetitionPenalty(logits: Float32Array, seen: Iterable<number>, penalty: number): Float32Array {
	const p = Math.fround(penalty);
	const out = logits.slice();
	for (const id of new Set(seen)) out[id] = logits[id] < 0 ? logits[id] * p : logits[id] / p;
	return out;
}

/** Gives some tokens the probability 0. */
export function withoutTokens(logits: Float32Array, ids: Iterable<number>): Float32Array {
	const out = logits.slice();
	for (const id of ids) out[id] = Number.NEGATIVE_INFINITY;
	return out;
}

/** s / t. */
export function temperature(logits: Float32Array, t: number): Float32Array {
	const divisor = Math.fround(t);
	return logits.map((s) => s / divisor);
}

/** Keeps the k largest and everything equal to the k-th; the rest becomes -infinity. k = 0 keeps all. */
export function topK(logits: Float32Array, k: number): Float32Array {
	if (k === 0 || k >= logits.length) return logits;
	const bound = logits.slice().sort()[logits.length - k];
	return logits.map((s) => (s < bound ? Number.NEGATIVE_INFINITY : s));
}

/**
 * Nucleus: sorted from the least likely up, drops tokens while their summed probability is at most 1 - p; always keeps
 * the last. Holtzman et al. 2020.
 */
export function topP(logits: Float32Array, p: number): Float32Array {
	const bound = Math.fround(1 - p);
	const order = Array.from(logits.keys()).sort((a, b) => logits[a] - logits[b] || a - b);
	const probabilities = softmaxProbabilities(logits);
	const out = logits.slice();
	let below = 0;
	for (const i of order.slice(0, -1)) {
		below = Math.fround(below + probabilities[i]);
		if (below > bound) break;
		out[i] = Number.NEGATIVE_INFINITY;
	}
	return out;
}

/** exp(s - max) / sum, f32. */
export function softmaxProbabilities(logits: Float32Array): Float32Array {
	const max = logits.reduce((m, s) => Math.max(m, s), Number.NEGATIVE_INFINITY);
	const out = logits.map((s) => Math.exp(s - max));
	const total = out.reduce((sum, e) => sum + e, 0);
	return out.map((e) => e / total);
}

/** The token whose slice of the unit interval holds u, 0 <= u < 1; never one of probability 0. */
export function sampleToken(probabilities: Float32Array, u: number): number {
	let left = u * probabilities.reduce((sum, p) => sum + p, 0);
	let last = 0;
	for (let i = 0; i < probabilities.length; i++) {
		if (probabilities[i] === 0) continue;
		last = i;
		left -= probabilities[i];
		if (left < 0) break;
	}
	return last;
}
