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
	static {
		Object.freeze(PrivateMeasures.prototype);
	}

	readonly #measures: Measures;

	/** The engine makes them. */
	constructor(measures: Measures) {
		this.#measures = Object.freeze({ ...measures });
		Object.freeze(this);
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
	/** Of each physical batch: losses, then norms, f32 `[2 rows]`. */
	readonly #kept: { readonly both: Tensor; readonly isRecord: readonly boolean[] }[] = [];

	constructor(maxGradNorm: number) {
		this.#maxGradNorm = maxGradNorm;
	}

	/** Copies losses and norms [rows] of one physical batch; index -1 is padding. */
	add(losses: Tensor, norms: Tensor, indices: Int32Array): void {
		this.#kept.push({ both: losses.device.keep(cat([losses, norms])), isRecord: Array.from(indices, (i) => i >= 0) });
	}

	async read(): Promise<Measures> {
		if (this.#kept.length === 0) return { loss: Number.NaN, records: 0, meanNorm: Number.NaN, clipped: Number.NaN };
		const all = cat(this.#kept.map((k) => k.both));
		const values = [...(await data(all))];
		all.dispose();
		const [losses, norms]: [number[], number[]] = [[], []];
		let start = 0;
		for (const { isRecord } of this.#kept) {
			const rows = isRecord.length;
			losses.push(...values.slice(start, start + rows).filter((_, i) => isRecord[i]));
			norms.push(...values.slice(start + rows, start + 2 * rows).filter((_, i) => isRecord[i]));
			start += 2 * rows;
		}
		return {
			loss: average(losses),
			records: losses.length,
			meanNorm: average(norms),
			clipped: average(norms.map((n) => Number(n > this.#maxGradNorm))),
		};
	}

	dispose(): void {
		for (const { both } of this.#kept) both.dispose();
	}
}

const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
