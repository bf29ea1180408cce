import { bytesPerElement } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { definePrimitive } from "../primitive.ts";
import { sampleOffset } from "../reference.ts";
import { sameShape, showShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { full } from "./create.ts";
import { gemm } from "./gemm.ts";

/** Labels below 0 (by convention -100) are not predicted: no loss, no gradient. */
export const IGNORE_INDEX = -100;

/** Most bytes of logits held at once. */
const CHUNK_BYTES = 32 * 2 ** 20;

const CAPPED = "fn capped(z: f32) -> f32 { return select(z, p.cap * safeTanh(z / max(p.cap, 1e-30)), p.cap > 0.0); }";

/** h[..., D] as [G, R, D]: G samples with a weight table each, or G = 1. */
interface Layout {
	readonly h: Tensor;
	readonly labels: Tensor;
	readonly groups: number;
	readonly rows: number;
	/** Columns of the vocabulary handled at once. */
	readonly chunk: number;
}

function layout(h: Tensor, w: Tensor, labels: Tensor): Layout {
	if (!sameShape(labels.shape, h.shape.slice(0, -1))) {
		throw new ShapeError(
			"crossEntropy/labels",
			`linearCrossEntropy: labels${showShape(labels.shape)} do not match the rows of h${showShape(h.shape)}`,
			{ op: "linearCrossEntropy", hint: "one label for each row of h" },
		);
	}
	const [V, D] = w.shape.slice(-2);
	const groups = w.rank === 3 ? w.shape[0] : 1;
	const rows = sizeOf(labels.shape) / Math.max(1, groups);
	const limit = h.device.gpu.limits.maxStorageBufferBindingSize;
	const byLogits = Math.floor(Math.min(CHUNK_BYTES, limit) / Math.max(4, groups * rows * 4));
	const byTable = w.rank === 3 ? V : Math.floor(limit / (D * bytesPerElement[w.dtype])) - 1;
	const chunk = Math.max(8, Math.floor(Math.min(byLogits, byTable) / 8) * 8);
	return { h: contiguous(h).alias({ shape: [groups, rows, D], perSample: false }), labels: contiguous(labels), groups, rows, chunk };
}

/** Rows first..last-1 of the table, as [G, last - first, D]. */
function tableRows(w: Tensor, first: number, last: number): Tensor {
	const [sv, sd] = w.strides.slice(-2);
	const [sb, groups] = w.rank === 3 ? [w.strides[0], w.shape[0]] : [0, 1];
	return w.alias({
		shape: [groups, last - first, w.shape[w.rank - 1]],
		strides: [sb, sv, sd],
		offset: w.offset + first * sv,
		perSample: false,
	});
}

const swap = (t: Tensor): Tensor =>
	t.alias({ shape: [t.shape[0], t.shape[2], t.shape[1]], strides: [t.strides[0], t.strides[2], t.strides[1]] });

/** Calls `step` with each run of vocabulary columns. */
function overVocabulary(V: number, chunk: number, step: (first: number, last: number) => void): void {
	for (let first = 0; first < V; first += chunk) step(first, Math.min(V, first + chunk));
}

/** Running maximum m and sum l of exp(z - m) of each row, joined with one more chunk of logits; picks z[label]. */
function online(z: Tensor, labels: Tensor, state: Tensor, first: number, softcap: number): void {
	const n = z.shape[2];
	z.device.run(
		"crossEntropy/online",
		() => ({
			params: { rows: "u32", n: "u32", first: "i32", cap: "f32" },
			buffers: {
				z: { dtype: "f32", access: "read" },
				labels: { dtype: "i32", access: "read" },
				state: { dtype: "f32", access: "write" },
			},
			workgroup: [16, 1, 1],
			helpers: CAPPED,
			body: `
if (index >= p.rows) { return; }
let label = labels_at(index);
if (label < 0) { return; }
let at = index * p.n;
var top = select(state_at(3u * index), -3.4028234e38, p.first == 0);
var total = select(state_at(3u * index + 1u), 0.0, p.first == 0);
var m = top;
for (var i = 0u; i < p.n; i++) { m = nanMax(m, capped(z_at(at + i))); }
total = total * exp(top - m);
for (var i = 0u; i < p.n; i++) { total += safeExp(capped(z_at(at + i)) - m); }
state_set(3u * index, m);
state_set(3u * index + 1u, total);
let local = label - p.first;
if (local >= 0 && local < i32(p.n)) { state_set(3u * index + 2u, capped(z_at(at + u32(local)))); }`,
		}),
		[z, labels, state],
		[labels.size, n, first, softcap],
		labels.size,
	);
}

function finish(state: Tensor, labels: Tensor, loss: Tensor, lse: Tensor): void {
	state.device.run(
		"crossEntropy/finish",
		() => ({
			params: { rows: "u32" },
			buffers: {
				state: { dtype: "f32", access: "read" },
				labels: { dtype: "i32", access: "read" },
				loss: { dtype: "f32", access: "write" },
				lse: { dtype: "f32", access: "write" },
			},
			workgroup: [64, 1, 1],
			body: `
if (index >= p.rows) { return; }
var l = 0.0;
var s = 0.0;
if (labels_at(index) >= 0) {
  s = state_at(3u * index) + log(state_at(3u * index + 1u));
  l = s - state_at(3u * index + 2u);
}
loss_set(index, l);
lse_set(index, s);`,
		}),
		[state, labels, loss, lse],
		[labels.size],
		labels.size,
	);
}

/** dz = (softmax - onehot(label)) * dy, through the soft-cap; written over z. Rows without a label become 0. */
function logitGradient(z: Tensor, labels: Tensor, lse: Tensor, dy: Tensor, first: number, softcap: number): Tensor {
	const out = z.device.empty(z.shape);
	z.device.run(
		"crossEntropy/dz",
		() => ({
			params: { size: "u32", n: "u32", first: "i32", cap: "f32" },
			buffers: {
				z: { dtype: "f32", access: "read" },
				labels: { dtype: "i32", access: "read" },
				lse: { dtype: "f32", access: "read" },
				dy: { dtype: "f32", access: "read" },
				dz: { dtype: "f32", access: "write" },
			},
			workgroup: [64, 1, 1],
			helpers: CAPPED,
			body: `
if (index >= p.size) { return; }
let row = index / p.n;
let label = labels_at(row);
var g = 0.0;
if (label >= 0) {
  let c = capped(z_at(index));
  g = safeExp(c - lse_at(row));
  if (i32(index % p.n) + p.first == label) { g -= 1.0; }
  g *= dy_at(row);
  if (p.cap > 0.0) { let u = c / p.cap; g *= 1.0 - u * u; }
}
dz_set(index, g);`,
		}),
		[z, labels, lse, dy, out],
		[z.size, z.shape[2], first, softcap],
		z.size,
	);
	return out;
}

export const linearCrossEntropyPrimitive = definePrimitive({
	name: "linearCrossEntropy",
	signature: "h[..., D], w[B?, V, D], labels[...] -> loss[...], lse[...]",
	dtypes: { w: ["f32", "bf16"], labels: ["i32"] },
	attrs: { softcap: 0 },
	forward: ({ device, inputs, attrs, axes: { V } }) => {
		const { h, labels, chunk } = layout(inputs.h, inputs.w, inputs.labels);
		const state = device.empty([labels.size, 3]);
		overVocabulary(V, chunk, (first, last) => {
			device.scope(() => {
				online(gemm(h, swap(tableRows(inputs.w, first, last))), labels, state, first, attrs.softcap);
			});
		});
		const loss = device.empty(inputs.labels.shape);
		const lse = device.empty(inputs.labels.shape);
		finish(state, labels, loss, lse);
		return [loss, lse];
	},
	grad: {
		h: {
			saves: ["h", "w", "labels", "lse"],
			again: "none",
			rule: ({ h, w, labels, lse, dy }, { softcap }, { shape, perSample }) => {
				const { device } = dy;
				const dh = device.scope(() => {
					const plan = layout(h, w, labels);
					const cdy = contiguous(dy);
					const out = device.empty(shape);
					const tensor = out.alias({ shape: plan.h.shape });
					overVocabulary(w.shape[w.rank - 2], plan.chunk, (first, last) => {
						device.scope(() => {
							const rows = tableRows(w, first, last);
							const dz = logitGradient(gemm(plan.h, swap(rows)), plan.labels, lse, cdy, first, softcap);
							gemm(dz, rows, { tensor, batchStride: plan.rows * shape[shape.length - 1], accumulate: first > 0 });
						});
					});
					return out;
				});
				return dh.alias({ perSample });
			},
		},
		w: {
			saves: ["h", "w", "labels", "lse"],
			again: "none",
			rule: ({ h, w, labels, lse, dy }, { softcap }, { shape, perSample }) => {
				const { device } = dy;
				const [V, D] = shape.slice(-2);
				const dw = device.scope(() => {
					const plan = layout(h, w, labels);
					const cdy = contiguous(dy);
					const out = full(device, shape, 0);
					overVocabulary(V, plan.chunk, (first, last) => {
						device.scope(() => {
							const z = gemm(plan.h, swap(tableRows(w, first, last)));
							const dz = logitGradient(z, plan.labels, lse, cdy, first, softcap);
							const tensor = out.alias({ shape: [plan.groups, last - first, D], offset: first * D });
							gemm(swap(dz), plan.h, { tensor, batchStride: V * D, accumulate: false });
						});
					});
					return out;
				});
				return dw.alias({ perSample });
			},
		},
		labels: "none",
	},
	reference: ({ h, w, labels }, { softcap }) => {
		const d = h.shape[h.shape.length - 1];
		const v = w.shape[w.shape.length - 2];
		const n = labels.data.length;
		const loss = new Float64Array(n);
		const lse = new Float64Array(n);
		for (let i = 0; i < n; i++) {
			if (labels.data[i] < 0) continue;
			const from = sampleOffset(w, 2, i, n);
			const z = Array.from({ length: v }, (_, c) => {
				let dot = 0;
				for (let k = 0; k < d; k++) dot += h.data[i * d + k] * w.data[from + c * d + k];
				return softcap > 0 ? softcap * Math.tanh(dot / softcap) : dot;
			});
			const top = Math.max(...z);
			lse[i] = top + Math.log(z.reduce((s, q) => s + Math.exp(q - top), 0));
			loss[i] = lse[i] - z[labels.data[i]];
		}
		return [
			{ data: loss, shape: labels.shape },
			{ data: lse, shape: labels.shape },
		];
	},
	test: {
		bound: { ulp: 8, abs: 1e-4, why: "logits of 9 products (2e-5), exp within 40 ULP, log within 2^-21; the cap adds 1.5e-5" },
		domains: { labels: { belowAxis: "V", orIgnore: IGNORE_INDEX } },
		variants: [{ softcap: 1.5 }],
	},
});

/**
 * Cross-entropy of a linear head, without holding the full logits: loss[i] = logsumexp(z_i) - z_i[label_i] with
 * z = softcap(h w^T), computed in chunks of the vocabulary and again in the backward pass.
 * h[..., D], w[V, D] (or [B, V, D]; f32 or bf16), labels i32 [...]; loss [...], 0 where the label is negative.
 * @param options.softcap bound of the logits, cap tanh(z / cap); 0 for none.
 */
export function linearCrossEntropy(h: Tensor, w: Tensor, labels: Tensor, { softcap = 0 } = {}): Tensor {
	return linearCrossEntropyPrimitive.apply([h, w, labels], { softcap })[0];
}
