import type { Tensor } from "@hushgrad/tensor";
import * as t from "@hushgrad/tensor";
import type { NdArray } from "@hushgrad/tensor/author";
import { alongAxis, at, build, einsum, reduce } from "./nd.ts";

export type Random = () => number;
export const pick = (r: Random, low: number, high: number): number => low + Math.floor(r() * (high - low + 1));
export const values = (r: Random, shape: readonly number[], low = -2, high = 2): NdArray =>
	build(shape, () => Math.fround(low + (high - low) * r()));
export const whole = (r: Random, shape: readonly number[], low: number, high: number): NdArray => build(shape, () => pick(r, low, high));
export const shapeOf = (r: Random, rank: number): number[] => Array.from({ length: rank }, () => pick(r, 1, 4));
export const someAxes = (r: Random, rank: number): number[] => Array.from({ length: rank }, (_, i) => i).filter(() => r() < 0.5);

/** One random call of a function, and the same in float64. Gradients are checked for the operands of f32. */
export interface Call {
	readonly inputs: readonly NdArray[];
	readonly dtypes?: readonly t.DType[];
	readonly run: (...x: Tensor[]) => Tensor;
	readonly expected: (...x: NdArray[]) => NdArray;
	readonly abs?: number;
	/** Has no gradient. */
	readonly discrete?: boolean;
}

const softmaxOf = (line: number[]): number[] => {
	const top = Math.max(...line);
	const e = line.map((v) => Math.exp(v - top));
	const total = e.reduce((a, b) => a + b, 0);
	return e.map((v) => v / total);
};
const meanOf = (v: number[]): number => v.reduce((a, b) => a + b, 0) / v.length;

const reductions =
	(run: (x: Tensor, axes: number[], o: { keepDim: boolean }) => Tensor, f: (v: number[]) => number) =>
	(r: Random): Call => {
		const x = values(r, shapeOf(r, pick(r, 1, 4)));
		const axes = someAxes(r, x.shape.length);
		const keepDim = r() < 0.5;
		return { inputs: [x], run: (v) => run(v, axes, { keepDim }), expected: (v) => reduce(v, axes, f, keepDim), abs: 4e-5 };
	};

/** Functions that are made of several primitives, or that take axes: one random call of each. */
export const FUNCTIONS: Record<string, (r: Random) => Call> = {
	reshape: (r) => {
		const x = values(r, [pick(r, 1, 3), 2, 3]);
		const shape = [[6, -1], [-1], [3, x.shape[0], 2]][pick(r, 0, 2)];
		const full = shape.map((d) => (d === -1 ? x.data.length / shape.reduce((n, k) => (k === -1 ? n : n * k), 1) : d));
		return { inputs: [x], run: (v) => t.reshape(v, shape), expected: (v) => ({ data: v.data, shape: full }) };
	},
	permute: (r) => {
		const x = values(r, shapeOf(r, 4));
		const order = [...t.permutation(4, t.key(pick(r, 0, 999)))];
		return {
			inputs: [x],
			run: (v) => t.permute(v, order),
			expected: (v) =>
				build(
					order.map((a) => v.shape[a]),
					(i) =>
						at(
							v,
							order.map((_, a) => i[order.indexOf(a)]),
						),
				),
		};
	},
	expand: (r) => {
		const x = values(r, [1, pick(r, 1, 3), 1]);
		const shape = [pick(r, 1, 3), pick(r, 0, 3), x.shape[1], 2];
		return { inputs: [x], run: (v) => t.expand(v, shape), expected: (v) => build(shape, (i) => at(v, i)), abs: 1e-6 };
	},
	slice: (r) => {
		const x = values(r, [pick(r, 1, 9), 3]);
		const start = pick(r, 0, x.shape[0]);
		const end = pick(r, start, x.shape[0]);
		const step = pick(r, 1, 3);
		return {
			inputs: [x],
			run: (v) => t.slice(v, 0, start, end, step),
			expected: (v) => build([Math.ceil((end - start) / step), 3], ([i, j]) => at(v, [start + i * step, j])),
		};
	},
	"cat and split": (r) => {
		const [a, b] = [values(r, [2, pick(r, 0, 3), 2]), values(r, [2, pick(r, 1, 3), 2])];
		return {
			inputs: [a, b],
			run: (p, q) => t.cat(t.split(t.cat([p, q, p], 1), [p.shape[1], q.shape[1], p.shape[1]], 1).toReversed(), 1),
			expected: (p, q) => {
				const [m, n] = [p.shape[1], q.shape[1]];
				return build([2, 2 * m + n, 2], ([i, j, k]) =>
					j < m ? at(p, [i, j, k]) : j < m + n ? at(q, [i, j - m, k]) : at(p, [i, j - m - n, k]),
				);
			},
		};
	},
	stack: (r) => {
		const shape = shapeOf(r, 2);
		const axis = pick(r, 0, 2);
		return {
			inputs: [values(r, shape), values(r, shape)],
			run: (a, b) => t.stack([a, b], axis),
			expected: (a, b) => build(shape.toSpliced(axis, 0, 2), (i) => at(i[axis] === 0 ? a : b, i.toSpliced(axis, 1))),
		};
	},
	pad: (r) => {
		const x = values(r, shapeOf(r, 2));
		const pairs = [
			[pick(r, 0, 2), pick(r, 0, 2)],
			[pick(r, 0, 2), 1],
		] as const;
		const value = pick(r, 0, 1) * 1.5;
		return {
			inputs: [x],
			run: (v) => t.pad(v, pairs, { value }),
			expected: (v) =>
				build(
					v.shape.map((d, i) => d + pairs[i][0] + pairs[i][1]),
					(i) => {
						const own = i.map((k, a) => k - pairs[a][0]);
						return own.every((k, a) => k >= 0 && k < v.shape[a]) ? at(v, own) : value;
					},
				),
		};
	},
	flip: (r) => {
		const x = values(r, shapeOf(r, 3));
		const axes = someAxes(r, 3);
		return {
			inputs: [x],
			run: (v) => t.flip(v, axes),
			expected: (v) =>
				build(v.shape, (i) =>
					at(
						v,
						i.map((k, a) => (axes.includes(a) ? v.shape[a] - 1 - k : k)),
					),
				),
		};
	},
	"movedim and flatten": (r) => ({
		inputs: [values(r, shapeOf(r, 3))],
		run: (v) => t.flatten(t.movedim(v, 0, 2), 0, 1),
		expected: ({ data: d, shape: [a, b, c] }) => build([b * c, a], ([jk, i]) => d[(i * b + Math.floor(jk / c)) * c + (jk % c)]),
	}),
	sum: reductions(t.sum, (v) => v.reduce((a, b) => a + b, 0)),
	mean: reductions(t.mean, meanOf),
	prod: reductions(t.prod, (v) => v.reduce((a, b) => a * b, 1)),
	amax: reductions(t.amax, (v) => Math.max(...v)),
	amin: reductions(t.amin, (v) => Math.min(...v)),
	logsumexp: reductions(t.logsumexp, (v) => Math.log(v.reduce((a, b) => a + Math.exp(b), 0))),
	"variance and std": (r) => {
		const x = values(r, [pick(r, 1, 3), 4, 2]);
		const correction = pick(r, 0, 1);
		const root = r() < 0.5;
		const f = (v: number[]): number => {
			const s = v.reduce((a, b) => a + (b - meanOf(v)) ** 2, 0) / (v.length - correction);
			return root ? Math.sqrt(s) : s;
		};
		return {
			inputs: [x],
			run: (v) => (root ? t.std : t.variance)(v, [0, 1], { correction }),
			expected: (v) => reduce(v, [0, 1], f),
			abs: 1e-5,
		};
	},
	"argmax and argmin": (r) => {
		const x = whole(r, shapeOf(r, 3), -2, 2);
		const axis = pick(r, 0, 2);
		const least = r() < 0.5;
		return {
			inputs: [x],
			run: (v) => (least ? t.argmin : t.argmax)(v, axis, { keepDim: true }),
			expected: (v) => reduce(v, [axis], (line) => line.indexOf(least ? Math.min(...line) : Math.max(...line)), true),
			discrete: true,
		};
	},
	cumsum: (r) => {
		const axis = pick(r, -3, 2);
		return {
			inputs: [values(r, shapeOf(r, 3))],
			run: (v) => t.cumsum(v, axis),
			expected: (v) => alongAxis(v, (axis + 3) % 3, (line) => line.map((_, i) => line.slice(0, i + 1).reduce((a, b) => a + b, 0))),
			abs: 2e-6,
		};
	},
	"softmax and logSoftmax": (r) => {
		const axis = pick(r, 0, 2);
		const isLog = r() < 0.5;
		return {
			inputs: [values(r, shapeOf(r, 3))],
			run: (v) => (isLog ? t.logSoftmax : t.softmax)(v, axis),
			expected: (v) => alongAxis(v, axis, (line) => softmaxOf(line).map((p) => (isLog ? Math.log(p) : p))),
			abs: 3e-6,
		};
	},
	"sort and topk": (r) => {
		const x = values(r, [2, pick(r, 1, 40), 2]);
		const descending = r() < 0.5;
		const k = pick(r, 0, x.shape[1]);
		return {
			inputs: [x],
			run: (v) => (r() < 2 ? t.topk(v, k, { axis: 1, largest: descending }).values : v),
			expected: (v) => alongAxis(v, 1, (line) => line.toSorted((a, b) => (descending ? b - a : a - b)).slice(0, k)),
		};
	},
	gather: (r) => {
		const n = pick(r, 1, 4);
		return {
			inputs: [values(r, [2, n, 3]), whole(r, [2, 5, 3], 0, n - 1)],
			dtypes: ["f32", "i32"],
			run: (v, ids) => t.gather(v, 1, ids),
			expected: (v, ids) => build(ids.shape, (i) => at(v, i.with(1, at(ids, i)))),
			abs: 1e-6,
		};
	},
	scatterAdd: (r) => {
		const n = pick(r, 1, 4);
		return {
			inputs: [values(r, [n, 3]), whole(r, [4, 3], 0, n - 1), values(r, [4, 3])],
			dtypes: ["f32", "i32", "f32"],
			run: (v, ids, src) => t.scatterAdd(v, 0, ids, src),
			expected: (v, ids, src) =>
				build(v.shape, ([i, j]) => at(v, [i, j]) + [0, 1, 2, 3].reduce((s, k) => s + (at(ids, [k, j]) === i ? at(src, [k, j]) : 0), 0)),
			abs: 2e-6,
		};
	},
	indexSelect: (r) => {
		const n = pick(r, 1, 4);
		return {
			inputs: [values(r, [2, n, 3]), whole(r, [5], 0, n - 1)],
			dtypes: ["f32", "i32"],
			run: (v, ids) => t.indexSelect(v, 1, ids),
			expected: (v, ids) => build([2, 5, 3], ([i, j, k]) => at(v, [i, ids.data[j], k])),
			abs: 1e-6,
		};
	},
	einsum: (r) => {
		const equation = [
			"ij,jk->ik",
			"bij,bjk->bik",
			"bhtk,bhsk->bhts",
			"ij->ji",
			"ii->i",
			"ij,ij->",
			"i,j->ij",
			"bij,kj,ik->b",
			"ijk->j",
			"ab,ba,ab->a",
		][pick(r, 0, 9)];
		const sizes = new Map([...new Set(equation.replace(/[^a-z]/g, ""))].map((c) => [c, pick(r, 1, 3)]));
		const inputs = equation
			.split("->")[0]
			.split(",")
			.map((term) =>
				values(
					r,
					[...term].map((c) => sizes.get(c) as number),
				),
			);
		return { inputs, run: (...x) => t.einsum(equation, ...x), expected: (...x) => einsum(equation, x), abs: 1e-4 };
	},
	"matmul of vectors": (r) => {
		const [m, k] = [pick(r, 1, 4), pick(r, 1, 4)];
		return {
			inputs: [values(r, [k]), values(r, [m, k]), values(r, [k])],
			run: (a, b, c) => t.add(t.matmul(b, a), t.mul(t.matmul(c, t.transpose(b)), t.matmul(a, c))),
			expected: (a, b, c) => {
				const dot = (f: (i: number) => number): number => Array.from({ length: k }, (_, i) => f(i)).reduce((x, y) => x + y, 0);
				return build(
					[m],
					([i]) => dot((j) => at(b, [i, j]) * a.data[j]) + dot((j) => at(b, [i, j]) * c.data[j]) * dot((j) => a.data[j] * c.data[j]),
				);
			},
			abs: 1e-4,
		};
	},
	"layerNorm with weight and bias": (r) => ({
		inputs: [values(r, [2, 3, 4]), values(r, [4]), values(r, [4])],
		run: (v, weight, bias) => t.layerNorm(v, { weight, bias, eps: 0.01 }),
		expected: (v, w, b) => {
			const y = alongAxis(v, 2, (line) =>
				line.map((u) => (u - meanOf(line)) / Math.sqrt(meanOf(line.map((q) => (q - meanOf(line)) ** 2)) + 0.01)),
			);
			return build(v.shape, (i) => at(y, i) * at(w, i) + at(b, i));
		},
		abs: 1e-5,
	}),
	crossEntropy: (r) => {
		const reduction = (["mean", "sum", "none"] as const)[pick(r, 0, 2)];
		const labels = whole(r, [2, 3], -1, 3);
		labels.data[0] = 1;
		return {
			inputs: [values(r, [2, 3, 4]), labels],
			dtypes: ["f32", "i32"],
			run: (v, ids) => t.crossEntropy(v, ids, { ignoreIndex: -1, reduction }),
			expected: (v, ids) => {
				const p = alongAxis(v, 2, softmaxOf);
				const losses = build([2, 3], (i) => (at(ids, i) < 0 ? 0 : -Math.log(at(p, [...i, at(ids, i)]))));
				const total = losses.data.reduce((a, b) => a + b, 0);
				if (reduction === "none") return losses;
				return build([], () => (reduction === "sum" ? total : total / ids.data.filter((id) => id >= 0).length));
			},
			abs: 1e-5,
		};
	},
	scaledDotProductAttention: (r) => {
		const [q, s] = [pick(r, 1, 4), pick(r, 4, 5)];
		const isCausal = r() < 0.5;
		const window = isCausal && r() < 0.5 ? 2 : 0;
		const softcap = r() < 0.5 ? 1.5 : 0;
		const masked = r() < 0.5;
		const mask = build([q, s], () => Number(r() < 0.6));
		return {
			inputs: [values(r, [2, q, 3]), values(r, [2, s, 3]), values(r, [2, s, 2]), mask],
			dtypes: ["f32", "f32", "f32", "bool"],
			run: (a, b, c, m) => t.scaledDotProductAttention(a, b, c, { isCausal, window, softcap, scale: 0.7, ...(masked ? { mask: m } : {}) }),
			expected: (a, b, c) =>
				build([2, q, 2], ([z, i, k]) => {
					const sees = (j: number): boolean => (!isCausal || j <= i) && (window === 0 || j > i - window);
					const scores = Array.from({ length: s }, (_, j) => {
						const dot = 0.7 * [0, 1, 2].reduce((n, d) => n + at(a, [z, i, d]) * at(b, [z, j, d]), 0);
						return softcap > 0 ? softcap * Math.tanh(dot / softcap) : dot;
					});
					const open = scores.map((_, j) => sees(j) && (!masked || at(mask, [i, j]) === 1));
					if (!open.includes(true)) return 0;
					const top = Math.max(...scores.filter((_, j) => open[j]));
					const e = scores.map((v, j) => (open[j] ? Math.exp(v - top) : 0));
					const total = e.reduce((x, y) => x + y, 0);
					return e.reduce((n, w, j) => n + (w / total) * at(c, [z, j, k]), 0);
				}),
			abs: 1e-4,
		};
	},
	"where with broadcasting": (r) => ({
		inputs: [build([3, 1], () => pick(r, 0, 1)), values(r, [2, 1, 4]), values(r, [4])],
		dtypes: ["bool", "f32", "f32"],
		run: (c, a, b) => t.where(c, a, b),
		expected: (c, a, b) => build([2, 3, 4], (i) => (at(c, i) ? at(a, i) : at(b, i))),
		abs: 1e-6,
	}),
};
