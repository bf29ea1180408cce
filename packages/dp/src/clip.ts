import { contiguous, type Device, data, type Tensor } from "@hushgrad/tensor";
import type { FixedPointGrid } from "./noise.ts";

/** Coordinates one invocation squares; the parts are then added in a fixed order. */
const CHUNK = 256;

/** Sum of squares of each sample's chunk of a gradient [B, P], written to columns from `column` on of `parts` [B, C]. */
function squareParts(g: Tensor, parts: Tensor, column: number): void {
	const [samples, columns] = parts.shape;
	const size = g.size / samples;
	const chunks = Math.ceil(size / CHUNK);
	g.device.run(
		"dp/squareParts",
		() => ({
			params: { n: "u32", size: "u32", chunks: "u32", columns: "u32", column: "u32" },
			buffers: { g: { dtype: "f32", access: "read" }, parts: { dtype: "f32", access: "write" } },
			workgroup: [32, 1, 1],
			body: `
if (index >= p.n) { return; }
let sample = index / p.chunks;
let chunk = index % p.chunks;
let start = sample * p.size + chunk * ${CHUNK}u;
let end = min(start + ${CHUNK}u, (sample + 1u) * p.size);
var sum = 0.0;
for (var i = start; i < end; i++) { let v = g_at(i); sum += v * v; }
parts_set(sample * p.columns + p.column + chunk, sum);`,
		}),
		[g, parts],
		[samples * chunks, size, chunks, columns, column],
		samples * chunks,
	);
}

/**
 * Factor of each sample, in grid steps: weight * min(1, clipNorm / norm) / grid. A norm that is not finite gives 0; it is
 * recognised by its bits, since WGSL may assume that NaN and infinity do not occur.
 */
function clipFactors(parts: Tensor, weights: Tensor, { clipNorm, grid }: FixedPointGrid): { factors: Tensor; norms: Tensor } {
	const [samples, columns] = parts.shape;
	const factors = parts.device.empty([samples]);
	const norms = parts.device.empty([samples]);
	parts.device.run(
		"dp/clipFactors",
		() => ({
			params: { samples: "u32", columns: "u32", clip: "f32", perGrid: "f32" },
			buffers: {
				parts: { dtype: "f32", access: "read" },
				weights: { dtype: "f32", access: "read" },
				factors: { dtype: "f32", access: "write" },
				norms: { dtype: "f32", access: "write" },
			},
			workgroup: [16, 1, 1],
			body: `
if (index >= p.samples) { return; }
var sum = 0.0;
for (var i = 0u; i < p.columns; i++) { sum += parts_at(index * p.columns + i); }
let finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
let norm = sqrt(sum);
let factor = min(1.0, p.clip / max(norm, 1e-30)) * p.perGrid;
factors_set(index, select(0.0, weights_at(index) * factor, finite && weights_at(index) > 0.0));
norms_set(index, norm);`,
		}),
		[parts, weights, factors, norms],
		[samples, columns, clipNorm, 1 / grid],
		samples,
	);
	return { factors, norms };
}

/** sum[p] += sum over samples of round(factor * g[b, p]), in integers. Samples of factor 0 are not read. */
function addRounded(g: Tensor, factors: Tensor, sum: Tensor): void {
	const samples = factors.size;
	g.device.run(
		"dp/addRounded",
		() => ({
			params: { n: "u32", samples: "u32" },
			buffers: {
				g: { dtype: "f32", access: "read" },
				factors: { dtype: "f32", access: "read" },
				sum: { dtype: "i32", access: "write" },
			},
			workgroup: [64, 1, 1],
			body: `
if (index >= p.n) { return; }
var acc = sum_at(index);
for (var b = 0u; b < p.samples; b++) {
  let f = factors_at(b);
  if (f != 0.0) { acc += i32(round(f * g_at(b * p.n + index))); }
}
sum_set(index, acc);`,
		}),
		[g, factors, sum],
		[sum.size, samples],
		sum.size,
	);
}

/**
 * The sum of clipped per-sample gradients of one logical batch, as whole steps of a power-of-two grid.
 *
 * Guarantee: adding or removing one sample changes the sum by at most `maxGradNorm` in L2. A sample whose norm is not
 * finite, and a padding row, contribute exactly 0. Integer addition makes the sum independent of how the batch is split
 * and ordered.
 */
export class BoundedSum {
	readonly #device: Device;
	readonly #grid: FixedPointGrid;
	readonly #sums: readonly Tensor[];

	/** `sizes` are the numbers of elements of the trainable tensors. */
	constructor(device: Device, sizes: readonly number[], grid: FixedPointGrid) {
		this.#device = device;
		this.#grid = grid;
		this.#sums = sizes.map((n) => device.keep(device.fromHost(new Int32Array(n), [n])));
	}

	/**
	 * Clips each sample over all tensors together and adds it. grads: one [B, ...] a tensor; weights [B], 1 for a record
	 * and 0 for padding. Returns the norms [B] before clipping (private diagnostics).
	 */
	add(grads: readonly Tensor[], weights: Tensor): Tensor {
		const samples = weights.size;
		return this.#device.scope<Tensor>(() => {
			const flat = grads.map((g) => contiguous(g).alias({ perSample: false }));
			const widths = flat.map((g) => Math.ceil(g.size / samples / CHUNK));
			const parts = this.#device.empty([samples, widths.reduce((a, b) => a + b, 0)]);
			let column = 0;
			flat.forEach((g, i) => {
				squareParts(g, parts, column);
				column += widths[i];
			});
			const { factors, norms } = clipFactors(parts, weights, this.#grid);
			flat.forEach((g, i) => {
				addRounded(g, factors, this.#sums[i]);
			});
			return norms;
		});
	}

	/** Reads the sum, all tensors one after the other. */
	async read(): Promise<Int32Array> {
		const parts = await Promise.all(this.#sums.map((t) => data(t)));
		const all = new Int32Array(parts.reduce((n, p) => n + p.length, 0));
		let at = 0;
		for (const p of parts) {
			all.set(p, at);
			at += p.length;
		}
		return all;
	}

	dispose(): void {
		for (const t of this.#sums) t.dispose();
	}
}
