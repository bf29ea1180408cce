import type { NdArray } from "../reference.ts";
import type { LossAttrs } from "./linearCrossEntropy.pieces.ts";

/** The logits of a row, in float64. */
function referenceLogits({ h, w }: Readonly<Record<string, NdArray>>, row: number, softcap: number): readonly number[] {
	const [v, d] = w.shape;
	return Array.from({ length: v }, (_, c) => {
		let dot = 0;
		for (let k = 0; k < d; k++) dot += h.data[row * d + k] * w.data[c * d + k];
		return softcap > 0 ? softcap * Math.tanh(dot / softcap) : dot;
	});
}

/** Calls `visit` with each row, column, and dz, in float64. */
export function referenceLogitGradient(
	inputs: Readonly<Record<string, NdArray>>,
	{ softcap, ignoreIndex }: LossAttrs,
	visit: (row: number, column: number, dz: number) => void,
): void {
	const { labels, lse, dy } = inputs;
	labels.data.forEach((label, row) => {
		referenceLogits(inputs, row, softcap).forEach((z, c) => {
			const g = (Math.exp(z - lse.data[row]) - Number(c === label)) * dy.data[row];
			visit(row, c, label === ignoreIndex ? 0 : softcap > 0 ? g * (1 - (z / softcap) ** 2) : g);
		});
	});
}

/** Loss and lse of each row, in float64. */
export function referenceLosses(
	inputs: Readonly<Record<string, NdArray>>,
	{ softcap, ignoreIndex }: LossAttrs,
): { loss: NdArray; lse: NdArray } {
	const { w, labels } = inputs;
	const loss = new Float64Array(labels.data.length);
	const lse = new Float64Array(labels.data.length);
	labels.data.forEach((label, row) => {
		if (label === ignoreIndex) return;
		const z = referenceLogits(inputs, row, softcap);
		const top = Math.max(...z);
		lse[row] = label >= 0 && label < w.shape[0] ? top + Math.log(z.reduce((s, q) => s + Math.exp(q - top), 0)) : Number.NaN;
		loss[row] = lse[row] - z[label];
	});
	return { loss: { data: loss, shape: labels.shape }, lse: { data: lse, shape: labels.shape } };
}

/** dh = dz w, in float64. */
export function referenceHiddenGradient(inputs: Readonly<Record<string, NdArray>>, attrs: LossAttrs): NdArray {
	const { h, w } = inputs;
	const d = w.shape[1];
	const data = new Float64Array(h.data.length);
	referenceLogitGradient(inputs, attrs, (row, c, dz) => {
		for (let k = 0; k < d; k++) data[row * d + k] += dz * w.data[c * d + k];
	});
	return { data, shape: h.shape };
}
