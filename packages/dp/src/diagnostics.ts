import { cat, data, type Tensor } from "@hushgrad/tensor";

/** What a step did, computed from private records without noise. For an empty batch all but `records` are NaN. */
export interface Measures {
	/** Mean loss of the records, before the step; NaN where that of one is NaN. */
	readonly loss: number;
	/** Number of records drawn. */
	readonly records: number;
	/** Mean L2 norm of the per-record gradients before clipping. */
	readonly meanNorm: number;
	/** Fraction of the records whose norm exceeds maxGradNorm. */
	readonly clipped: number;
}

/** Private diagnostics of a step. Printing or saving the report that holds them shows none: they have to be asked for. */
export class PrivateMeasures {
	readonly #measures: Measures;

	/** The engine makes them. */
	constructor(measures: Measures) {
		this.#measures = Object.freeze({ ...measures });
	}

	/** The numbers. ε does not cover them: whoever sees them learns more of the records than the statement says. */
	reveal(): Measures {
		return this.#measures;
	}

	/** That they are private, not what they are. */
	toString(): string {
		return "PrivateMeasures(not covered by ε; reveal() gives them)";
	}

	/** Nothing: they do not go into files unasked. */
	toJSON(): undefined {
		return undefined;
	}

	/** What `console.log` shows: the same as `toString`. */
	[Symbol.for("nodejs.util.inspect.custom")](): string {
		return this.toString();
	}
}

/** Losses and norms of the records of a step, collected on the device and read once. */
export class Diagnostics {
	readonly #maxGradNorm: number;
	readonly #kept: { readonly losses: Tensor; readonly norms: Tensor; readonly isRecord: readonly boolean[] }[] = [];

	constructor(maxGradNorm: number) {
		this.#maxGradNorm = maxGradNorm;
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
		return {
			loss: average(losses),
			records: losses.length,
			meanNorm: average(norms),
			clipped: average(norms.map((n) => Number(n > this.#maxGradNorm))),
		};
	}

	dispose(): void {
		for (const { losses, norms } of this.#kept) {
			losses.dispose();
			norms.dispose();
		}
	}
}

const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
