import { data, IGNORE_INDEX, linearCrossEntropy, mul, type Slot, sum, valueAndGrad } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

/* Heads of so many classes that their logits are made in three parts: the first 16,384, the next, the rest. */

const device = useDevice();
const [V, D, PART] = [40_000, 4, 16_384];
const LABELS = [0, 16_383, 16_384, 32_767, 32_768, 39_999, IGNORE_INDEX, 5, 20_000];
/** How much logits of each part are raised: the largest is in the first, the last, the middle one, or all are alike. */
const RAISED = [
	[6, 0, 3],
	[0, 3, 6],
	[3, 6, 0],
	[0, 0, 0],
] as const;
const R = LABELS.length;

const w = Float32Array.from({ length: V * D }, (_, i) => {
	const [c, d] = [Math.floor(i / D), i % D];
	return d === 0 ? Math.sin(0.7 * c) : Number(Math.floor(c / PART) === d - 1);
});
const h = Float32Array.from({ length: R * D }, (_, i) => {
	const [r, d] = [Math.floor(i / D), i % D];
	return d === 0 ? 1.5 - 0.25 * r : RAISED[r % RAISED.length][d - 1];
});
const dy = Float32Array.from({ length: R }, (_, r) => 1 - 0.3 * r);

/** Loss of each row, and dh, in float64. */
function expected(softcap: number): { readonly losses: number[]; readonly dh: number[] } {
	const losses: number[] = [];
	const dh: number[] = [];
	for (const [r, label] of LABELS.entries()) {
		const logits = Array.from({ length: V }, (_, c) => {
			let z = 0;
			for (let d = 0; d < D; d++) z += h[r * D + d] * w[c * D + d];
			return softcap > 0 ? softcap * Math.tanh(z / softcap) : z;
		});
		const total = logits.reduce((s, z) => s + Math.exp(z), 0);
		const isOut = label === IGNORE_INDEX;
		losses.push(isOut ? 0 : Math.log(total) - logits[label]);
		for (let d = 0; d < D; d++) {
			let slope = 0;
			for (const [c, z] of logits.entries()) {
				const ofCap = softcap > 0 ? 1 - (z / softcap) ** 2 : 1;
				slope += (Math.exp(z) / total - Number(c === label)) * ofCap * w[c * D + d];
			}
			dh.push(isOut ? 0 : dy[r] * slope);
		}
	}
	return { losses, dh };
}

it.each([0, 8])("loss and gradient are those of float64, whichever part has the largest logit (soft-cap %d)", async (softcap) => {
	const { losses, dh } = expected(softcap);
	const [found, dx] = device().scope(() => {
		const slot: Slot = { value: device().fromHost(h, [R, D]) };
		const [weight, labels] = [device().fromHost(w, [V, D]), device().fromHost(Int32Array.from(LABELS), [R])];
		const each = () => linearCrossEntropy(slot.value, weight, labels, { softcap });
		const { grads } = valueAndGrad(() => sum(mul(each(), device().fromHost(dy, [R]))), [slot]);
		return [each(), grads[0]];
	});
	const [loss, slopes] = [await data(found), await data(dx)];
	for (const [r, l] of losses.entries()) expect(Math.abs(loss[r] - l), `loss of row ${r}`).toBeLessThan(2e-6 * (1 + l));
	for (const [i, g] of dh.entries()) expect(Math.abs(slopes[i] - g), `number ${i} of the gradient`).toBeLessThan(1e-5);
	for (const t of [found, dx]) t.dispose();
});
