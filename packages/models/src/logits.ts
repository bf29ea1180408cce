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

/** Whether a number is NaN among them. */
export function hasNaN(values: Float32Array): boolean {
	for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) return true;
	return false;
}

/** s / t. */
export function temperature(logits: Float32Array, t: number): Float32Array {
	const divisor = Math.fround(t);
	const out = new Float32Array(logits.length);
	for (let i = 0; i < out.length; i++) out[i] = logits[i] / divisor;
	return out;
}

/** The k-th largest of the values, 0 < k <= their number: of the k largest so far, a heap with the least on top. */
function kthLargest(values: Float32Array, k: number): number {
	const heap = values.slice(0, k).sort();
	for (let i = k; i < values.length; i++) {
		const v = values[i];
		if (v <= heap[0]) continue;
		let at = 0;
		for (let child = 1; child < k; child = 2 * at + 1) {
			if (child + 1 < k && heap[child + 1] < heap[child]) child++;
			if (heap[child] >= v) break;
			heap[at] = heap[child];
			at = child;
		}
		heap[at] = v;
	}
	return heap[0];
}

/** Keeps the k largest and everything equal to the k-th; the rest becomes -infinity. k = 0 keeps all. */
export function topK(logits: Float32Array, k: number): Float32Array {
	if (k === 0 || k >= logits.length) return logits;
	const bound = kthLargest(logits, k);
	const out = logits.slice();
	for (let i = 0; i < out.length; i++) if (out[i] < bound) out[i] = Number.NEGATIVE_INFINITY;
	return out;
}

/**
 * Nucleus: sorted from the least likely up, drops tokens while their summed probability is at most 1 - p; always keeps
 * the last. Holtzman et al. 2020.
 */
export function topP(logits: Float32Array, p: number): Float32Array {
	const bound = Math.fround(1 - p);
	const probabilities = softmaxProbabilities(logits);
	const out = logits.slice();
	const order = ascending(logits);
	let below = 0;
	for (let k = 0; k < order.length - 1; k++) {
		const i = order[k];
		below = Math.fround(below + probabilities[i]);
		if (below > bound) break;
		out[i] = Number.NEGATIVE_INFINITY;
	}
	return out;
}

/**
 * Places of the values from the least up, those of equal ones in their order. Each is one whole number of 64 bits, the value's above and the
 * place's below, and those are sorted without a call for each pair: 256,000 in a third of the time.
 */
function ascending(values: Float32Array): Uint32Array {
	const keys = new BigUint64Array(values.length);
	const words = new Uint32Array(keys.buffer);
	const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
	for (let i = 0; i < values.length; i++) {
		// The bits of floats are in order, and those of negative ones in the other; -0 is 0.
		const own = values[i] && bits[i];
		words[2 * i + 1] = own ^ ((own >> 31) | 0x80000000);
		words[2 * i] = i;
	}
	keys.sort();
	const places = new Uint32Array(values.length);
	for (let k = 0; k < places.length; k++) places[k] = words[2 * k];
	return places;
}

/** exp(s - max) / sum, f32. */
export function softmaxProbabilities(logits: Float32Array): Float32Array {
	const max = logits[argmax(logits)];
	const out = new Float32Array(logits.length);
	let total = 0;
	for (let i = 0; i < out.length; i++) {
		if (logits[i] === Number.NEGATIVE_INFINITY) continue;
		out[i] = Math.exp(logits[i] - max);
		total += out[i];
	}
	for (let i = 0; i < out.length; i++) out[i] /= total;
	return out;
}

/** The token whose slice of the unit interval holds u, 0 <= u < 1; never one of probability 0. */
export function sampleToken(probabilities: Float32Array, u: number): number {
	let left = 0;
	for (let i = 0; i < probabilities.length; i++) left += probabilities[i];
	left *= u;
	let last = 0;
	for (let i = 0; i < probabilities.length; i++) {
		if (probabilities[i] === 0) continue;
		last = i;
		left -= probabilities[i];
		if (left < 0) break;
	}
	return last;
}
