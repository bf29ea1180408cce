import type { NdArray } from "../reference.ts";
import { sizeOf } from "../shape.ts";
import { type ScoreAttrs, sees } from "./attentionSoftmax.ts";

/* Attention and its gradients in float64, for the tests. */

type Inputs = Readonly<Record<string, NdArray>>;

/** Calls `visit` with each score that is not hidden: numbers of the query's row, of the row of keys and values, and of the key. */
function referenceScores(
	{ q, k, mask }: Inputs,
	attrs: ScoreAttrs,
	visit: (row: number, keyRow: number, score: number, slope: number) => void,
): void {
	const [R, T, K] = q.shape.slice(-3);
	const S = k.shape[k.shape.length - 2];
	const { scale, softcap } = attrs;
	for (let row = 0; row < sizeOf(q.shape.slice(0, -1)); row++) {
		const z = Math.floor(row / (R * T));
		for (let s = 0; s < S; s++) {
			const added = mask === undefined ? 0 : mask.data[row * S + s];
			if (!sees(row, T, s, attrs) || added === Number.NEGATIVE_INFINITY) continue;
			let dot = 0;
			for (let i = 0; i < K; i++) dot += q.data[row * K + i] * k.data[(z * S + s) * K + i];
			const c = softcap > 0 ? Math.tanh((dot * scale) / softcap) : 0;
			visit(row, z * S + s, (softcap > 0 ? softcap * c : dot * scale) + added, scale * (1 - c * c));
		}
	}
}

const LARGEST = 3.4028234663852886e38;

export function referenceAttention(inputs: Inputs, attrs: ScoreAttrs): NdArray[] {
	const { q, v } = inputs;
	const V = v.shape[v.shape.length - 1];
	const shape = q.shape.slice(0, -1);
	const rows: { keyRow: number; score: number }[][] = Array.from({ length: sizeOf(shape) }, () => []);
	referenceScores(inputs, attrs, (row, keyRow, score) => rows[row].push({ keyRow, score }));
	const y = new Float64Array(rows.length * V);
	const lse = Float64Array.from(rows, (seen, row) => {
		const top = seen.reduce((m, { score }) => Math.max(m, score), Number.NEGATIVE_INFINITY);
		const total = seen.reduce((n, { score }) => n + Math.exp(score - top), 0);
		for (const { keyRow, score } of seen) {
			for (let i = 0; i < V; i++) y[row * V + i] += (Math.exp(score - top) / total) * v.data[keyRow * V + i];
		}
		return seen.length === 0 ? LARGEST : top + Math.log(total);
	});
	return [
		{ data: y, shape: [...shape, V] },
		{ data: lse, shape },
	];
}

/** Products of rows of dy with those of y: sum(dy y). */
function referenceDelta({ dy, y }: Inputs): NdArray {
	const V = y.shape[y.shape.length - 1];
	const data = new Float64Array(sizeOf(y.shape.slice(0, -1)));
	for (let i = 0; i < y.data.length; i++) data[Math.floor(i / V)] += dy.data[i] * y.data[i];
	return { data, shape: y.shape.slice(0, -1) };
}

/** Calls `visit` with each weight and the gradient of its product. */
function referenceGradient(
	inputs: Inputs,
	delta: NdArray,
	attrs: ScoreAttrs,
	visit: (row: number, keyRow: number, weight: number, dz: number) => void,
): void {
	const { v, dy, lse } = inputs;
	const V = v.shape[v.shape.length - 1];
	referenceScores(inputs, attrs, (row, keyRow, score, slope) => {
		const weight = Math.exp(score - lse.data[row]);
		let dp = 0;
		for (let i = 0; i < V; i++) dp += dy.data[row * V + i] * v.data[keyRow * V + i];
		visit(row, keyRow, weight, weight * (dp - delta.data[row]) * slope);
	});
}

export function referenceQueryGradient(inputs: Inputs, attrs: ScoreAttrs): NdArray[] {
	const { q, k } = inputs;
	const K = k.shape[k.shape.length - 1];
	const delta = referenceDelta(inputs);
	const dq = new Float64Array(q.data.length);
	referenceGradient(inputs, delta, attrs, (row, keyRow, _, dz) => {
		for (let i = 0; i < K; i++) dq[row * K + i] += dz * k.data[keyRow * K + i];
	});
	return [{ data: dq, shape: q.shape }, delta];
}

export function referenceKeyGradient(inputs: Inputs, attrs: ScoreAttrs): NdArray[] {
	const { q, k, v, dy, delta } = inputs;
	const [K, V] = [k, v].map(({ shape }) => shape[shape.length - 1]);
	const [dk, dv] = [k, v].map(({ data }) => new Float64Array(data.length));
	referenceGradient(inputs, delta, attrs, (row, keyRow, weight, dz) => {
		for (let i = 0; i < K; i++) dk[keyRow * K + i] += dz * q.data[row * K + i];
		for (let i = 0; i < V; i++) dv[keyRow * V + i] += weight * dy.data[row * V + i];
	});
	return [
		{ data: dk, shape: k.shape },
		{ data: dv, shape: v.shape },
	];
}
