import { type Device, data, PrivacyError, slice, type Tensor, ValueError, write, zeros } from "@hushgrad/tensor";
import { blaming, expects } from "@hushgrad/tensor/author";
import { addNoisePrimitive, BITS_OFFSET } from "./addNoise.ts";
import { addClippedPrimitive } from "./clip/addClipped.ts";
import { checkGradients, columnsOf, type RecordGradient } from "./clip/blocks.ts";
import { type Clipped, clip } from "./clip/clip.ts";
import type { GaussianMechanism, Release, SumSteps } from "./mechanism.ts";
import { countsOf, type NoiseDraw, noiseOf } from "./noiseDraw.ts";

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
	#rows = 0;
	#isReleased = false;
	/** It was read, and is to be cleared before more is added. */
	#isRead = false;
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
		this.#part = device.keep(zeros(device, [mechanism.length + mechanism.counts], "i32"));
		Object.freeze(this);
	}

	/**
	 * Clips the records of one physical batch and adds them. `grads` holds one f32 `[B, …]` a tensor, or its columns on demand, in the order of the parameters;
	 * `weights` is f32 `[B]`, above 0 for a record, which counts once whatever its weight, and 0 for padding. B is at most
	 * `GaussianMechanism.mostRows`.
	 * @throws ValueError when there are more rows, or the gradients do not have P columns together; and as `clip`.
	 */
	add(grads: readonly RecordGradient[], weights: Tensor): Clipped {
		checkGradients("BoundedSum.add", grads);
		expects("BoundedSum.add", { weights }, { weights: "tensor" });
		blaming("BoundedSum.add", () => this.prepare(weights.size));
		return blaming("BoundedSum.add", () => this.update(grads, weights));
	}

	/**
	 * Makes room for so many rows: the part of `add` that comes before each replay of a captured `update`.
	 * @throws ValueError when they are more than `GaussianMechanism.mostRows`.
	 */
	prepare(rows: number): void {
		expects("BoundedSum.prepare", { rows }, { rows: "count" });
		const { mostRows } = this.#mechanism;
		if (rows > mostRows) {
			throw new ValueError("dp/rows", `BoundedSum.prepare: ${rows} rows in a physical batch, expected at most ${mostRows}`, {
				op: "BoundedSum.prepare",
			});
		}
		if (this.#rows + rows > mostRows) this.#settle();
		this.#clear();
		this.#rows += rows;
	}

	/** Clears what was read from the device. */
	#clear(): void {
		if (this.#isRead) write(this.#part, new Int32Array(this.#part.size));
		this.#isRead = false;
	}

	/** The kernels of `add`: the part of it to be captured. */
	update(grads: readonly RecordGradient[], weights: Tensor): Clipped {
		checkGradients("BoundedSum.update", grads);
		expects("BoundedSum.update", { weights }, { weights: "tensor" });
		const { length, counts, countSteps, grid } = this.#mechanism;
		const columns = grads.reduce((sum, g) => sum + columnsOf(g, weights.size), 0);
		if (columns !== length)
			throw new ValueError("dp/columns", `BoundedSum.update: gradients of ${columns} coordinates, expected ${length}`, {
				op: "BoundedSum.update",
			});
		const clipped = blaming("BoundedSum.update", () => clip(grads, weights, this.#mechanism));
		let start = 0;
		for (const { columns, group, use } of clipped.blocks) {
			const end = start + columns;
			const sum = clipped.blocks.length === 1 ? this.#part : slice(this.#part, 0, start, end === length ? end + counts : end);
			use<void>((g) => addClippedPrimitive.apply([sum, g, clipped.factors], { whole: countSteps, full: 1 / grid, group }));
			start = end;
		}
		return clipped;
	}

	/** Begins to read what is on the device. */
	#settle(): void {
		if (this.#rows === 0) return;
		this.#rows = 0;
		this.#isRead = true;
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
			for (let i = 0; i < noise.length; i++) noise[i] += (settled?.[i] ?? 0) + BITS_OFFSET;
			this.#clear();
			const { device } = this.#part;
			const mean = device.keep(zeros(device, [length]));
			const noisyCounts = device.keep(zeros(device, [counts]));
			const words = new Uint32Array(noise.buffer, noise.byteOffset, 2 * noise.length);
			const add = (to: Tensor, from: number, start: number, end: number, scale: number): void =>
				device.scope(() => {
					const bits = device.fromHost(words.subarray(2 * (from + start), 2 * (from + end)), [end - start, 2], "u32");
					addNoisePrimitive.apply([slice(to, 0, start, end), slice(this.#part, 0, from + start, from + end), bits], { scale });
				});
			const width = Math.min(MOST_AT_ONCE, device.gpu.limits.maxStorageBufferBindingSize / 8);
			const perStep = (grid * 2 ** 22) / expectedBatchSize;
			for (let start = 0; start < length; start += width) add(mean, 0, start, Math.min(length, start + width), perStep);
			add(noisyCounts, length, 0, counts, 1);
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

async function added(total: Promise<SumSteps>, more: Promise<Int32Array>): Promise<Float64Array> {
	const [sum, values] = await Promise.all([total, more]);
	const all = sum instanceof Float64Array ? sum : new Float64Array(sum);
	for (let i = 0; i < all.length; i++) all[i] += values[i];
	return all;
}
