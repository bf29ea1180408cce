import { type Device, data, PrivacyError, slice, type Tensor, ValueError, write } from "@hushgrad/tensor";
import { blaming, blank, expects, runtimeOf } from "@hushgrad/tensor/author";
import { addNoisePrimitive } from "./addNoise.ts";
import { addClippedPrimitive } from "./clip/addClipped.ts";
import { checkGradients, columnsOf, type RecordGradient } from "./clip/blocks.ts";
import { type Clipped, clip } from "./clip/clip.ts";
import type { GaussianMechanism, Release, SumSteps } from "./mechanism.ts";
import { countsOf, type NoiseDraw, noiseOf, type Runs } from "./noiseDraw.ts";

/** Coordinates whose noise is sent at once: 8 MB. */
const MOST_AT_ONCE = 2 ** 20;

/**
 * The sum of clipped per-record gradients of one logical batch, in whole steps of the mechanism's grid, beside it a count of the records
 * whose gradient is not finite, and of adaptive clipping one of those that are not clipped. On the device it is i32; before that is full, it is read and goes on in float64 on the host, so that a
 * batch may have any number of records up to 2²⁸. `GaussianMechanism` says what one record moves it by. It is private until
 * `release`.
 */
export class BoundedSum {
	readonly #mechanism: GaussianMechanism;
	readonly #part: Tensor;
	/** Rows whose sum is on the device; 0 where its memory means nothing. */
	#rows = 0;
	#isReleased = false;
	/** What was read; undefined before. */
	#total: Promise<SumSteps> | undefined;

	static {
		Object.freeze(BoundedSum.prototype);
	}

	/** `GaussianMechanism.newSum` makes one. */
	constructor(device: Device, mechanism: GaussianMechanism) {
		expects("BoundedSum", { device }, { device: "device" });
		if (typeof mechanism?.mostRows !== "number")
			throw new ValueError("call/argument", "BoundedSum: mechanism is no GaussianMechanism", { op: "BoundedSum" });
		this.#mechanism = mechanism;
		this.#part = device.keep(blank(device, [mechanism.length + mechanism.counts], "i32"));
		Object.freeze(this);
	}

	/**
	 * Clips the records of one physical batch and adds them. `grads` holds one f32 `[B, …]` a tensor, or its columns on demand, in the order of the parameters;
	 * `weights` is f32 `[B]`, above 0 for a record, which counts once whatever its weight, and 0 for padding. B is at most
	 * `GaussianMechanism.mostRows`.
	 * @throws ValueError when there are more rows, or the gradients do not have P columns together; and as `clip`; PrivacyError inside a step
	 * that is captured.
	 */
	add(grads: readonly RecordGradient[], weights: Tensor): Clipped {
		checkGradients("BoundedSum.add", grads);
		expects("BoundedSum.add", { weights }, { weights: "tensor" });
		return blaming("BoundedSum.add", () => {
			if (runtimeOf(this.#part.device).recorder.isListening) {
				throw new PrivacyError("privacy/sum-captured", "a replay would add rows that nobody counts", {
					hint: "capture the step up to its gradients, and add them after each replay",
				});
			}
			const { length, mostRows } = this.#mechanism;
			const rows = weights.size;
			if (rows > mostRows) throw new ValueError("dp/rows", `${rows} rows in a physical batch, expected at most ${mostRows}`);
			const columns = grads.reduce((sum, g) => sum + columnsOf(g, rows), 0);
			if (columns !== length) throw new ValueError("dp/columns", `gradients of ${columns} coordinates, expected ${length}`);
			if (this.#rows + rows > mostRows) this.#settle();
			const keep = this.#rows > 0;
			// What failed to be the first is overwritten by the next; what failed later may be there in part, and is counted.
			if (keep) this.#rows += rows;
			const clipped = this.#add(clip(grads, weights, this.#mechanism), keep);
			if (!keep) this.#rows = rows;
			return clipped;
		});
	}

	#add(clipped: Clipped, keep: boolean): Clipped {
		const { length, counts, countSteps, grid } = this.#mechanism;
		let start = 0;
		for (const { columns, group, use } of clipped.blocks) {
			const end = start + columns;
			const sum = clipped.blocks.length === 1 ? this.#part : slice(this.#part, 0, start, end === length ? end + counts : end);
			const attrs = { whole: countSteps, full: 1 / grid, group, keep: keep ? 1 : 0 };
			use<void>((g) => addClippedPrimitive.apply([sum, g, clipped.factors], attrs));
			start = end;
		}
		return clipped;
	}

	/** Begins to read what is on the device. */
	#settle(): void {
		if (this.#rows === 0) return;
		this.#rows = 0;
		const values = data(this.#part) as Promise<Int32Array>;
		this.#total = this.#total === undefined ? values : added(this.#total, values);
		this.#total.catch(() => {}); // who reads it throws it
	}

	/** Reads the sum, in grid steps `[P + counts]`: private, before noise. */
	async read(): Promise<Float64Array> {
		this.#settle();
		const { length, counts } = this.#mechanism;
		return Float64Array.from((await this.#total) ?? new Int32Array(length + counts));
	}

	/**
	 * Adds noise to the sum where it is, and divides by L: what it was before is not read, but for the part that outgrew the device. The mean is
	 * rounded as f32 rounds, some 1.5·10⁻⁷ of it. Dispose of it. Once: two releases of one sum tell more of it than the accountant has counted.
	 * @throws PrivacyError when the draw was used before, or is another mechanism's, and when the sum was released before.
	 */
	release(draw: NoiseDraw): Promise<Release<Tensor>> {
		return blaming("BoundedSum.release", async () => {
			const { length, counts, grid, expectedBatchSize } = this.#mechanism;
			if (this.#isReleased) {
				throw new PrivacyError("privacy/sum-released", "this sum was released before", {
					hint: "make a sum for every step: the mean of two releases has half of the noise's variance",
				});
			}
			const noise = noiseOf(this.#mechanism, draw);
			this.#isReleased = true;
			const settled = await this.#total;
			if (this.#rows === 0) write(this.#part, new Int32Array(this.#part.size));
			const { device } = this.#part;
			const mean = device.keep(blank(device, [length]));
			const noisyCounts = device.keep(blank(device, [counts]));
			/** Adds noise to the coordinates from `start` on; those of `to` begin at `first`. */
			const add = (to: Tensor, first: number, noise: Float64Array, start: number, scale: number): void =>
				device.scope(() => {
					const end = start + noise.length;
					if (settled !== undefined) for (let i = start; i < end; i++) noise[i - start] += settled[i];
					const words = new Uint32Array(noise.buffer, noise.byteOffset, 2 * noise.length);
					const bits = device.fromHost(words, [noise.length, 2], "u32");
					addNoisePrimitive.apply([slice(to, 0, start - first, end - first), slice(this.#part, 0, start, end), bits], { scale });
				});
			const width = Math.min(MOST_AT_ONCE, device.gpu.limits.maxStorageBufferBindingSize / 8);
			const perStep = (grid * 2 ** 22) / expectedBatchSize;
			for (const { first: start, run } of piecesOf(noise, length, width)) {
				if (start < length) add(mean, 0, run, start, perStep);
				else add(noisyCounts, length, run, start, 1);
			}
			const [notFinite, unclipped] = await data(noisyCounts);
			noisyCounts.dispose();
			return { mean, ...countsOf(this.#mechanism, notFinite * 2 ** 22, unclipped * 2 ** 22) };
		});
	}

	/** Releases the sum. */
	dispose(): void {
		this.#part.dispose();
	}
}

/** Runs of at most `width` numbers of which none goes beyond number `edge`, and where they begin. */
function* piecesOf(runs: Runs, edge: number, width: number): Generator<{ readonly first: number; readonly run: Float64Array }> {
	let first = 0;
	for (const run of runs) {
		for (let at = 0; at < run.length; ) {
			const most = first < edge ? Math.min(width, edge - first) : width;
			const piece = run.subarray(at, at + most);
			yield { first, run: piece };
			at += piece.length;
			first += piece.length;
		}
	}
}

async function added(total: Promise<SumSteps>, more: Promise<Int32Array>): Promise<Float64Array> {
	const [sum, values] = await Promise.all([total, more]);
	const all = sum instanceof Float64Array ? sum : new Float64Array(sum);
	for (let i = 0; i < all.length; i++) all[i] += values[i];
	return all;
}
