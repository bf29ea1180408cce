import type { Tensor } from "@hushgrad/tensor";
import * as t from "@hushgrad/tensor";
import type { NdArray } from "@hushgrad/tensor/author";
import { type Call, pick, type Random, shapeOf, someAxes, values, whole } from "./functionCalls.ts";
import { alongAxis, at, build, indices, reduce } from "./nd.ts";

const mod = (a: number, n: number): number => ((a % n) + n) % n;
/** Values of which no two are near each other. */
const apart = (r: Random, shape: readonly number[]): NdArray => {
	const n = shape.reduce((a, b) => a * b, 1);
	const order = [...t.permutation(n, t.key(pick(r, 0, 999)))];
	return { shape, data: Float64Array.from(order, (k) => Math.fround((k - n / 2) * 0.25 + 0.1)) };
};
const withNan = (r: Random, shape: readonly number[]): NdArray => {
	const x = values(r, shape);
	return { shape, data: x.data.map((v) => (r() < 0.25 ? Number.NaN : v)) };
};
const REDUCE: Readonly<Record<t.ScatterReduction, (list: number[]) => number>> = {
	sum: (list) => list.reduce((a, b) => a + b, 0),
	prod: (list) => list.reduce((a, b) => a * b, 1),
	mean: (list) => list.reduce((a, b) => a + b, 0) / list.length,
	amax: (list) => Math.max(...list),
	amin: (list) => Math.min(...list),
};

/** Functions that torch and numpy have beside those of every network: one random call of each. */
export const BREADTH_CALLS: Record<string, (r: Random) => Call> = {
	scatterReduce: (r) => {
		const x = apart(r, [2, pick(r, 1, 4)]);
		const index = whole(r, [2, pick(r, 1, 5)], -1, x.shape[1]);
		const reduction = (["sum", "prod", "mean", "amax", "amin"] as const)[pick(r, 0, 4)];
		const includeSelf = r() < 0.5;
		return {
			inputs: [x, index, values(r, index.shape)],
			dtypes: ["f32", "i32", "f32"],
			run: (v, i, s) => t.scatterReduce(v, 1, i, s, reduction, { includeSelf }),
			expected: (v, i, s) =>
				build(v.shape, ([a, b]) => {
					const hits = indices([i.shape[1]]).flatMap(([k]) => (at(i, [a, k]) === b ? [at(s, [a, k])] : []));
					return REDUCE[reduction](includeSelf || hits.length === 0 ? [at(v, [a, b]), ...hits] : hits);
				}),
			abs: 1e-5,
		};
	},
	"searchsorted, bucketize and isin": (r) => {
		const n = pick(r, 1, 6);
		const right = r() < 0.5;
		return {
			inputs: [alongAxis(whole(r, [2, n], -3, 3), 1, (line) => line.toSorted((a, b) => a - b)), whole(r, [2, 4], -4, 4)],
			run: (s, v) => {
				const places = t.add(t.searchsorted(s, v, { right }), t.mul(t.bucketize(v, t.select(s, 0, 1), { right }), 10));
				return t.add(places, t.mul(t.cast(t.isin(v, s), "i32"), 100));
			},
			expected: (s, v) =>
				build(v.shape, ([a, b]) => {
					const own = at(v, [a, b]);
					const below = (row: number): number =>
						indices([n]).filter(([k]) => (right ? at(s, [row, k]) <= own : at(s, [row, k]) < own)).length;
					return below(a) + 10 * below(1) + 100 * Number([...s.data].includes(own));
				}),
			discrete: true,
		};
	},
	"tensordot of a number": (r) => {
		const [m, k, l, n] = [1, 2, 3, 4].map(() => pick(r, 1, 3));
		return {
			inputs: [values(r, [m, k, l]), values(r, [k, l, n])],
			run: (a, b) => t.tensordot(a, b),
			expected: (a, b) => build([m, n], ([i, j]) => indices([k, l]).reduce((s, [p, q]) => s + at(a, [i, p, q]) * at(b, [p, q, j]), 0)),
			abs: 1e-5,
		};
	},
	"tensordot of axes": (r) => {
		const [m, k, l, n] = [1, 2, 3, 4].map(() => pick(r, 1, 3));
		return {
			inputs: [values(r, [l, m, k]), values(r, [k, n, l])],
			run: (a, b) => t.tensordot(a, b, [[-1, 0], [0, 2]]), // biome-ignore format: pairs
			expected: (a, b) => build([m, n], ([i, j]) => indices([k, l]).reduce((s, [p, q]) => s + at(a, [q, i, p]) * at(b, [p, j, q]), 0)),
			abs: 1e-5,
		};
	},
	kron: (r) => {
		const [a, b] = [values(r, shapeOf(r, pick(r, 0, 2))), values(r, shapeOf(r, pick(r, 0, 2)))];
		const rank = Math.max(a.shape.length, b.shape.length);
		const padded = (s: readonly number[]): number[] => [...new Array<number>(rank - s.length).fill(1), ...s];
		const [p, q] = [padded(a.shape), padded(b.shape)];
		return {
			inputs: [a, b],
			run: t.kron,
			expected: (u, v) =>
				build(
					p.map((d, i) => d * q[i]),
					(i) =>
						at(
							{ ...u, shape: p },
							i.map((k, n) => Math.floor(k / q[n])),
						) *
						at(
							{ ...v, shape: q },
							i.map((k, n) => k % q[n]),
						),
				),
		};
	},
	cross: (r) => {
		const axis = pick(r, -2, 1);
		const shape = mod(axis, 2) === 0 ? [3, 2] : [2, 3];
		return {
			inputs: [values(r, shape), values(r, axis === -1 ? [3] : shape)],
			run: (a, b) => t.cross(a, b, axis),
			expected: (a, b) =>
				build(shape, (i) => {
					const k = mod(axis, 2);
					const of = (x: NdArray, by: number): number => at(x, i.with(k, (i[k] + by) % 3));
					return of(a, 1) * of(b, 2) - of(a, 2) * of(b, 1);
				}),
			abs: 2e-6,
		};
	},
	cdist: (r) => {
		const [m, n, k] = [pick(r, 1, 3), pick(r, 1, 3), pick(r, 1, 4)];
		const p = [undefined, 1, 3][pick(r, 0, 2)];
		return {
			inputs: [values(r, [2, m, k]), values(r, [n, k], 3, 6)],
			run: (a, b) => t.cdist(a, b, { p }),
			expected: (a, b) =>
				build([2, m, n], ([h, i, j]) => {
					const q = p ?? 2;
					return indices([k]).reduce((s, [l]) => s + Math.abs(at(a, [h, i, l]) - at(b, [j, l])) ** q, 0) ** (1 / q);
				}),
			abs: 2e-5,
		};
	},
	diff: (r) => {
		const n = pick(r, 0, 2);
		return {
			inputs: [values(r, [pick(r, 1, 5), 2]), values(r, [1, 2])],
			run: (x, edge) => t.diff(x, { n, axis: 0, prepend: edge, append: edge }),
			expected: (x, edge) => {
				let y: NdArray = { shape: [x.shape[0] + 2, 2], data: Float64Array.of(...edge.data, ...x.data, ...edge.data) };
				for (let i = 0; i < n; i++) y = alongAxis(y, 0, (line) => line.slice(1).map((v, k) => v - line[k]));
				return y;
			},
			abs: 4e-6,
		};
	},
	unfold: (r) => {
		const [size, step] = [pick(r, 1, 3), pick(r, 1, 3)];
		return {
			inputs: [values(r, [size + pick(r, 0, 5), 2])],
			run: (x) => t.unfold(x, 0, size, step),
			expected: (x) => build([Math.floor((x.shape[0] - size) / step) + 1, 2, size], ([w, j, k]) => at(x, [w * step + k, j])),
			abs: 1e-6,
		};
	},
	"unflatten and rot90": (r) => {
		const k = pick(r, -5, 5);
		const [m, n] = [pick(r, 1, 3), pick(r, 1, 4)];
		return {
			inputs: [values(r, [m * n, 2])],
			run: (x) => t.rot90(t.unflatten(x, 0, [m, -1]), k, [0, 1]),
			expected: (x) => {
				let y = { data: x.data, shape: [m, n, 2] } as NdArray;
				for (let i = 0; i < mod(k, 4); i++) {
					const from = y;
					y = build([from.shape[1], from.shape[0], 2], ([a, b, c]) => at(from, [b, from.shape[1] - 1 - a, c]));
				}
				return y;
			},
		};
	},
	"swapaxes, moveaxis and broadcastTo": (r) => ({
		inputs: [values(r, shapeOf(r, 3))],
		run: (x) => t.broadcastTo(t.unsqueeze(t.moveaxis(t.swapaxes(x, 0, 2), 0, -1), 1), [x.shape[1], 2, x.shape[0], x.shape[2]]),
		expected: (x) => build([x.shape[1], 2, x.shape[0], x.shape[2]], ([b, , a, c]) => at(x, [a, b, c])),
		abs: 1e-6,
	}),
	kthvalue: (r) => {
		const x = apart(r, [2, pick(r, 1, 5), 2]);
		const k = pick(r, 1, x.shape[1]);
		const keepDim = r() < 0.5;
		return {
			inputs: [x],
			run: (v) => t.kthvalue(v, k, { axis: 1, keepDim }).values,
			expected: (v) => reduce(v, [1], (line) => line.toSorted((a, b) => a - b)[k - 1], keepDim),
		};
	},
	normalize: (r) => {
		const p = [1, 2, 3, undefined][pick(r, 0, 3)];
		return {
			inputs: [values(r, [3, 2, 2], 0.2, 2)],
			run: (x) => t.normalize(x, { p, axis: 0 }),
			expected: (x) => alongAxis(x, 0, (line) => line.map((v) => v / line.reduce((s, u) => s + u ** (p ?? 2), 0) ** (1 / (p ?? 2)))),
			abs: 1e-5,
		};
	},
	"nansum and nanmean": (r) => {
		const axes = someAxes(r, 3);
		const keepDim = r() < 0.5;
		return {
			inputs: [withNan(r, [2, 3, 2])],
			run: (x) => t.add(t.nansum(x, axes, { keepDim }), t.mul(t.nanmean(x, axes, { keepDim }), 10)),
			expected: (x) =>
				reduce(
					x,
					axes,
					(line) => {
						const kept = line.filter((v) => !Number.isNaN(v));
						const total = kept.reduce((a, b) => a + b, 0);
						return total + (10 * total) / kept.length;
					},
					keepDim,
				),
			abs: 4e-5,
			discrete: true,
		};
	},
	"lerp, addcmul and addcdiv": (r) => ({
		inputs: [values(r, [2, 3]), values(r, [3]), values(r, [2, 1], 1, 2)],
		run: (a, b, c) => t.add(t.lerp(a, b, c), t.add(t.addcmul(a, b, c, { value: 2 }), t.addcdiv(t.lerp(a, 1, 0.25), b, c))),
		expected: (a, b, c) =>
			build([2, 3], (i) => {
				const [x, y, z] = [a, b, c].map((v) => at(v, i));
				return x + z * (y - x) + x + 2 * y * z + x + 0.25 * (1 - x) + y / z;
			}),
		abs: 2e-5,
	}),
	"div with rounding and hypot": (r) => {
		const rounding = r() < 0.5 ? "floor" : "trunc";
		const [a, b] = [whole(r, [2, 3], -9, 9), whole(r, [3], 2, 4)];
		return {
			inputs: [a, b],
			run: (x: Tensor, y: Tensor) => t.add(t.div(x, t.add(y, 0.5), { rounding }), t.hypot(x, y)),
			expected: (x, y) => build([2, 3], (i) => Math[rounding](at(x, i) / (at(y, i) + 0.5)) + Math.hypot(at(x, i), at(y, i))),
			abs: 1e-5,
			discrete: true,
		};
	},
};
