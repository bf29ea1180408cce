import { cat, data, NumericError, type Tensor } from "@hushgrad/tensor";

/**
 * What one step did. `loss`, `records`, `meanNorm` and `clipped` are computed from private records without noise: ε does not
 * cover them, and printing them is a release of its own.
 */
export interface StepReport extends Measures {
	/** Number of this step, from 1. Public. */
	readonly step: number;
	/** ε spent so far, this step included, at the δ of the plan. Public. */
	readonly epsilon: number;
}

/** Private diagnostics of one step, over the records that it drew. For an empty batch all but `records` are NaN. */
export interface Measures {
	/** Mean loss of the records, before the step; NaN where that of one is NaN. */
	readonly loss: number;
	/** Number of records drawn. */
	readonly records: number;
	/** Mean L2 norm of the per-record gradients before clipping. */
	readonly meanNorm: number;
	/** Fraction of the records whose norm exceeds that which they are clipped to, a little below maxGradNorm. */
	readonly clipped: number;
}

/** Losses and norms of the records of a step, collected on the device and read once. */
export class Diagnostics {
	readonly #clipNorm: number;
	#losses: readonly number[] = [];
	readonly #kept: { readonly losses: Tensor; readonly norms: Tensor; readonly isRecord: readonly boolean[] }[] = [];

	constructor(clipNorm: number) {
		this.#clipNorm = clipNorm;
	}

	/** Losses and norms [rows] of one physical batch; index -1 is padding. */
	add(losses: Tensor, norms: Tensor, indices: Int32Array): void {
		const { device } = losses;
		this.#kept.push({ losses: device.keep(losses), norms: device.keep(norms), isRecord: Array.from(indices, (i) => i >= 0) });
	}

	async read(): Promise<Measures> {
		if (this.#kept.length === 0) return { loss: Number.NaN, records: 0, meanNorm: Number.NaN, clipped: Number.NaN };
		const isRecord = this.#kept.flatMap((k) => k.isRecord);
		const all = cat([...this.#kept.map((k) => k.losses), ...this.#kept.map((k) => k.norms)]);
		const values = [...(await data(all))];
		all.dispose();
		const rows = values.length / 2;
		const losses = values.slice(0, rows).filter((_, i) => isRecord[i]);
		const norms = values.slice(rows).filter((_, i) => isRecord[i]);
		this.#losses = losses;
		return {
			loss: average(losses),
			records: losses.length,
			meanNorm: average(norms),
			clipped: average(norms.map((n) => Number(n > this.#clipNorm))),
		};
	}

	/**
	 * Ends a run that only spends its budget on noise. One bad record does not: it contributes nothing, and the step goes on.
	 * @throws NumericError when two or more records were read and the loss of none is finite.
	 */
	checkAnyFinite(step: number): void {
		if (this.#losses.length < 2 || this.#losses.some(Number.isFinite)) return;
		throw new NumericError("privacy/no-finite-loss", `step ${step}: the loss of none of its records is finite, so the run stops`, {
			op: "PrivacyEngine.step",
			hint: "the parameters are as before the step, which was counted; lower the rate, or see whether the tokenizer belongs to the model. That a run stops here was told by private records: epsilon does not cover it",
		});
	}

	dispose(): void {
		for (const { losses, norms } of this.#kept) {
			losses.dispose();
			norms.dispose();
		}
	}
}

const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
