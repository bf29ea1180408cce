import * as t from "@hushgrad/tensor";
import type { NdArray } from "@hushgrad/tensor/author";
import { type Call, pick, type Random, shapeOf, someAxes, values, whole } from "./functionCalls.ts";
import { alongAxis, at, build, reduce } from "./nd.ts";

/* Random calls of functions of shapes, reductions and indices, and the same in float64. */

/** Values that differ by more than any step of a difference quotient, in any order. */
const apart = (r: Random, shape: readonly number[]): NdArray => {
	const size = shape.reduce((n, d) => n * d, 1);
	const order = [...Array(size).keys()].map((i) => [r(), i] as const).sort(([a], [b]) => a - b);
	return { shape, data: Float64Array.from(order, ([, i]) => (i - size / 2) / 4) };
};

const mod = (i: number, n: number): number => ((i % n) + n) % n;

/** Where "reflect", "replicate" and "circular" read for a place outside. */
const SOURCES: Record<string, (i: number, n: number) => number> = {
	reflect: (i, n) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i),
	replicate: (i, n) => Math.min(Math.max(i, 0), n - 1),
	circular: mod,
};

/** Python's slices, by walking. */
function sliced(n: number, start: number | undefined, end: number | undefined, step: number): number[] {
	const places: number[] = [];
	const from = start === undefined ? (step > 0 ? 0 : n - 1) : mod(start, n);
	const to = end === undefined ? (step > 0 ? n : -1) : end === n ? n : mod(end, n);
	for (let i = from; step > 0 ? i < to : i > to; i += step) places.push(i);
	return places;
}

const quantileOf = (line: number[], q: number): number => {
	const s = line.toSorted((a, b) => a - b);
	const p = q * (s.length - 1);
	const k = Math.floor(p);
	return p === k ? s[k] : s[k] + (p - k) * (s[k + 1] - s[k]);
};

const productOf = (line: number[]): number => line.reduce((a, b) => a * b, 1);

export const SHAPE_CALLS: Record<string, (r: Random) => Call> = {
	"slice with any step": (r) => {
		const n = pick(r, 2, 9);
		const step = pick(r, 1, 3) * (r() < 0.7 ? -1 : 1);
		const [low, high] = [pick(r, 0, n - 1), pick(r, 0, n - 1)].sort((a, b) => a - b);
		const open = (i: number): number | undefined => (r() < 0.3 ? undefined : r() < 0.5 ? i - n : i);
		const [start, end] = step < 0 ? [open(high), open(low)] : [open(low), open(high)];
		const places = sliced(n, start, end, step);
		return {
			inputs: [values(r, [2, n])],
			run: (v) => t.slice(v, 1, start, end, step),
			expected: (v) => build([2, places.length], ([i, j]) => at(v, [i, places[j]])),
		};
	},
	"narrow, select and unbind": (r) => {
		const n = pick(r, 2, 5);
		const [start, k] = [pick(r, -n, -2), pick(r, -2, 1)];
		return {
			inputs: [values(r, [3, n, 2])],
			run: (v) => t.stack(t.unbind(t.select(t.narrow(v, 1, start, 2), -1, k), 1), 0),
			expected: (v) => build([2, 3], ([i, j]) => at(v, [j, n + start + i, mod(k, 2)])),
		};
	},
	"pad in any mode": (r) => {
		const x = values(r, [pick(r, 3, 4), pick(r, 3, 5)]);
		const pairs = x.shape.map(() => [pick(r, 0, 2), pick(r, 0, 2)] as const);
		const mode = (["reflect", "replicate", "circular"] as const)[pick(r, 0, 2)];
		return {
			inputs: [x],
			run: (v) => t.pad(v, pairs, { mode }),
			expected: (v) =>
				build(
					v.shape.map((d, i) => d + pairs[i][0] + pairs[i][1]),
					(index) =>
						at(
							v,
							index.map((k, i) => SOURCES[mode](k - pairs[i][0], v.shape[i])),
						),
				),
			abs: 1e-6,
		};
	},
	"repeat, tile and repeatInterleave": (r) => {
		const [a, b, c] = [pick(r, 1, 3), pick(r, 0, 2), pick(r, 1, 3)];
		const x = values(r, shapeOf(r, 2));
		const [m, n] = x.shape;
		return {
			inputs: [x],
			run: (v) => t.repeatInterleave(t.repeat(t.tile(v, b), [a, 1, 1]), c, -2),
			expected: (v) => build([a, m * c, n * b], ([, i, j]) => at(v, [Math.floor(i / c), j % n])),
			abs: 2e-5,
		};
	},
	meshgrid: (r) => {
		const xy = r() < 0.5;
		const shape = [pick(r, 1, 3), pick(r, 1, 3), pick(r, 1, 3)];
		const order = xy ? [1, 0, 2] : [0, 1, 2];
		return {
			inputs: shape.map((n) => values(r, [n])),
			run: (...v) => t.meshgrid(v, { indexing: xy ? "xy" : "ij" }).reduce((a, b) => t.add(t.mul(a, 0.5), b)),
			expected: (...v) =>
				build(
					order.map((k) => shape[k]),
					(index) => v.map((x, k) => x.data[index[order[k]]]).reduce((a, b) => 0.5 * a + b),
				),
			abs: 1e-5,
		};
	},
	"diagonal of a rectangle": (r) => {
		const x = values(r, shapeOf(r, 3));
		const [axis1, axis2] = [
			[0, 1],
			[2, 0],
			[1, -1],
		][pick(r, 0, 2)];
		const offset = pick(r, -2, 2);
		const [p, q] = [axis1, mod(axis2, 3)];
		const rest = 3 - p - q;
		const [row, column] = [Math.max(0, -offset), Math.max(0, offset)];
		const length = Math.max(0, Math.min(x.shape[p] - row, x.shape[q] - column));
		return {
			inputs: [x],
			run: (v) => t.diagonal(v, { offset, axis1, axis2 }),
			expected: (v) =>
				build([v.shape[rest], length], ([k, i]) =>
					at(
						v,
						[0, 0, 0]
							.with(rest, k)
							.with(p, row + i)
							.with(q, column + i),
					),
				),
		};
	},
	"diagEmbed and trace": (r) => {
		const x = values(r, shapeOf(r, 2));
		const offset = pick(r, -2, 2);
		return {
			inputs: [x],
			run: (v) => t.trace(t.diagEmbed(v, { offset, axis1: 0, axis2: -1 }), { offset, axis1: 0, axis2: 2 }),
			expected: (v) => reduce(v, [1], (line) => line.reduce((a, b) => a + b, 0)),
			abs: 1e-5,
		};
	},
	"roll, movedim and squeeze of several axes": (r) => {
		const x = values(r, shapeOf(r, 3));
		const shifts = [pick(r, -4, 4), pick(r, -4, 4)];
		const [a, b, c] = x.shape;
		return {
			inputs: [x],
			run: (v) => t.squeeze(t.unsqueeze(t.movedim(t.roll(v, shifts, [0, 2]), [0, 1], [2, 0]), 1), [1]),
			expected: (v) => build([b, c, a], ([j, k, i]) => at(v, [mod(i - shifts[0], a), j, mod(k - shifts[1], c)])),
		};
	},
	norm: (r) => {
		const p = [1, 2, 3, 1.5, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY][pick(r, 0, 5)];
		const x = apart(r, [2, 3, 2]);
		x.data.forEach((v, i) => {
			x.data[i] = v + 0.1;
		});
		const axes = someAxes(r, 3);
		const keepDim = r() < 0.5;
		const f = (line: number[]): number => {
			const sizes = line.map(Math.abs);
			if (p === Number.POSITIVE_INFINITY) return Math.max(...sizes);
			return p < 0 ? Math.min(...sizes) : sizes.reduce((s, v) => s + v ** p, 0) ** (1 / p);
		};
		return { inputs: [x], run: (v) => t.norm(v, axes, { p, keepDim }), expected: (v) => reduce(v, axes, f, keepDim), abs: 3e-5 };
	},
	cumprod: (r) => {
		const axis = pick(r, -3, 2);
		const [reverse, exclusive] = [r() < 0.5, r() < 0.5];
		const x = values(r, shapeOf(r, 3));
		if (r() < 0.5) x.data[pick(r, 0, x.data.length - 1)] = 0;
		const run = (line: number[]): number[] => line.map((_, i) => productOf(line.slice(0, exclusive ? i : i + 1)));
		return {
			inputs: [x],
			run: (v) => t.cumprod(v, axis, { reverse, exclusive }),
			expected: (v) => alongAxis(v, mod(axis, 3), (line) => (reverse ? run(line.toReversed()).toReversed() : run(line))),
			abs: 1e-5,
		};
	},
	"quantile and median": (r) => {
		const x = apart(r, [2, pick(r, 1, 5), 3]);
		const axes = [[1], [0, 2], undefined][pick(r, 0, 2)];
		const q = r() < 0.3 ? undefined : r();
		const lower = (line: number[]): number => line.toSorted((a, b) => a - b)[Math.floor((line.length - 1) / 2)];
		return {
			inputs: [x],
			run: (v) => (q === undefined ? t.median(v, axes) : t.quantile(v, q, axes)),
			expected: (v) => reduce(v, axes ?? [0, 1, 2], (line) => (q === undefined ? lower(line) : quantileOf(line, q))),
			abs: 2e-6,
		};
	},
	"max, min, cummax and cummin": (r) => {
		const x = apart(r, shapeOf(r, 2));
		const axis = pick(r, 0, 1);
		const least = r() < 0.5;
		const best = (line: number[]): number => (least ? Math.min(...line) : Math.max(...line));
		return {
			inputs: [x],
			run: (v) => t.sub((least ? t.cummin : t.cummax)(v, axis).values, (least ? t.min : t.max)(v, axis, { keepDim: true }).values),
			expected: (v) => alongAxis(v, axis, (line) => line.map((_, i) => best(line.slice(0, i + 1)) - best(line))),
		};
	},
	"places of max, min and argsort": (r) => {
		const x = whole(r, shapeOf(r, 2), -1, 1);
		const least = r() < 0.5;
		const place = (line: number[]): number => line.indexOf(least ? Math.min(...line) : Math.max(...line));
		return {
			inputs: [x],
			run: (v) => t.add((least ? t.min : t.max)(v, 1, { keepDim: true }).indices, t.mul(t.argsort(v), t.full(v.device, [], 10, "i32"))),
			expected: (v) =>
				alongAxis(v, 1, (line) => {
					const order = [...line.keys()].sort((i, j) => line[i] - line[j] || i - j);
					return order.map((i) => place(line) + 10 * i);
				}),
			discrete: true,
		};
	},
	"any, all and countNonzero": (r) => {
		const x = whole(r, [2, 3, 2], 0, 1);
		const axes = someAxes(r, 3);
		const keepDim = r() < 0.5;
		return {
			inputs: [x],
			run: (v) =>
				[t.any, t.all, t.countNonzero]
					.map((f) => t.cast(f(v, axes, { keepDim }), "i32"))
					.reduce((a, b) => t.add(t.mul(a, t.full(v.device, [], 16, "i32")), b)),
			expected: (v) =>
				reduce(
					v,
					axes,
					(line) => {
						const n = line.filter((k) => k !== 0).length;
						return 256 * Number(n > 0) + 16 * Number(n === line.length) + n;
					},
					keepDim,
				),
			discrete: true,
		};
	},
	"sum and mean of one axis": (r) => {
		const axis = pick(r, -2, 1);
		return {
			inputs: [values(r, shapeOf(r, 2))],
			run: (v) => t.sub(t.sum(v, axis), t.mean(v, axis)),
			expected: (v) => reduce(v, [mod(axis, 2)], (line) => (1 - 1 / line.length) * line.reduce((a, b) => a + b, 0)),
			abs: 1e-5,
		};
	},
	"gather of a part": (r) => {
		const x = values(r, [pick(r, 1, 3), pick(r, 1, 4)]);
		const ids = whole(r, [pick(r, 1, x.shape[0]), 5], 0, x.shape[1] - 1);
		return {
			inputs: [x, ids],
			dtypes: ["f32", "i32"],
			run: (v, i) => t.gather(v, 1, i),
			expected: (v, i) => build(i.shape, ([a, b]) => at(v, [a, at(i, [a, b])])),
			abs: 1e-6,
		};
	},
	"scatter and scatterAdd of a part": (r) => {
		const x = values(r, [pick(r, 1, 3), pick(r, 1, 4)]);
		const ids = whole(r, [pick(r, 1, x.shape[0]), pick(r, 1, 5)], -1, x.shape[1]);
		const src = values(r, [ids.shape[0] + pick(r, 0, 1), ids.shape[1] + pick(r, 0, 1)]);
		const adds = r() < 0.5;
		return {
			inputs: [x, ids, src],
			dtypes: ["f32", "i32", "f32"],
			run: (v, i, s) => (adds ? t.scatterAdd : t.scatter)(v, 1, i, s),
			expected: (v, i, s) => {
				const y = { shape: v.shape, data: v.data.slice() };
				build(i.shape, ([a, b]) => {
					const to = at(i, [a, b]);
					if (to < 0 || to >= v.shape[1]) return 0;
					y.data[a * v.shape[1] + to] = at(s, [a, b]) + (adds ? y.data[a * v.shape[1] + to] : 0);
					return 0;
				});
				return y;
			},
			abs: 2e-6,
		};
	},
	indexAdd: (r) => {
		const x = values(r, [2, pick(r, 1, 4), 2]);
		const ids = whole(r, [3], -1, x.shape[1]);
		return {
			inputs: [x, ids, values(r, [2, 3, 2])],
			dtypes: ["f32", "i32", "f32"],
			run: (v, i, s) => t.indexAdd(v, 1, i, s),
			expected: (v, i, s) =>
				build(v.shape, ([a, b, c]) => at(v, [a, b, c]) + [0, 1, 2].reduce((n, k) => n + (i.data[k] === b ? at(s, [a, k, c]) : 0), 0)),
			abs: 2e-6,
		};
	},
	index: (r) => {
		const x = values(r, [pick(r, 1, 3), pick(r, 1, 3), 2]);
		const [m, n] = x.shape;
		return {
			inputs: [x, whole(r, [2, 1], -m, m - 1), whole(r, [3], -n, n - 1)],
			dtypes: ["f32", "i32", "i32"],
			run: (v, i, j) => t.index(v, [i, j]),
			expected: (v, i, j) => build([2, 3, 2], ([a, b, c]) => at(v, [mod(i.data[a], m), mod(j.data[b], n), c])),
			abs: 1e-6,
		};
	},
	indexPut: (r) => {
		const x = values(r, [pick(r, 1, 3), pick(r, 1, 3), 2]);
		const [m, n] = x.shape;
		const accumulate = r() < 0.5;
		return {
			inputs: [x, whole(r, [4], -m - 1, m), whole(r, [4], -n, n - 1), values(r, [4, 1])],
			dtypes: ["f32", "i32", "i32", "f32"],
			run: (v, i, j, s) => t.indexPut(v, [i, j], s, { accumulate }),
			expected: (v, i, j, s) => {
				const y = { shape: v.shape, data: v.data.slice() };
				for (let k = 0; k < 4; k++) {
					if (i.data[k] < -m || i.data[k] >= m) continue;
					const to = (mod(i.data[k], m) * n + mod(j.data[k], n)) * 2;
					for (const c of [0, 1]) y.data[to + c] = s.data[k] + (accumulate ? y.data[to + c] : 0);
				}
				return y;
			},
			abs: 4e-6,
		};
	},
	"takeAlongAxis and take": (r) => {
		const x = values(r, [2, pick(r, 1, 4)]);
		const n = x.shape[1];
		return {
			inputs: [x, whole(r, [1, 3], -n, n - 1), whole(r, [2, 2], -6, 5)],
			dtypes: ["f32", "i32", "i32"],
			run: (v, i, j) => t.take(t.takeAlongAxis(v, i, 1), j),
			expected: (v, i, j) => {
				const y = build([2, 3], ([a, b]) => at(v, [a, mod(i.data[b], n)]));
				return build([2, 2], (k) => y.data[mod(at(j, k), 6)]);
			},
			abs: 1e-6,
		};
	},
	"oneHot and bincount": (r) => ({
		inputs: [whole(r, [2, 3], -1, 4), values(r, [2, 3])],
		dtypes: ["i32", "f32"],
		run: (i, s) => t.add(t.bincount(i, 4, s), t.sum(t.oneHot(i, 4), [0, 1])),
		expected: (i, s) => build([4], ([k]) => i.data.reduce((n, id, j) => n + (id === k ? 1 + s.data[j] : 0), 0)),
		abs: 4e-6,
	}),
	histc: (r) => ({
		inputs: [values(r, [3, 4])],
		run: (v) => t.histc(v, 4, { min: -1, max: 1.5 }),
		expected: (v) => build([4], ([k]) => v.data.filter((n) => n <= 1.5 && Math.floor((n + 1) / 0.625) === k).length),
		discrete: true,
	}),
	"dot and outer": (r) => {
		const [m, n] = [pick(r, 1, 4), pick(r, 1, 4)];
		return {
			inputs: [values(r, [m]), values(r, [n]), values(r, [m])],
			run: (a, b, c) => t.mul(t.outer(a, b), t.dot(a, c)),
			expected: (a, b, c) => {
				const dot = a.data.reduce((s, v, i) => s + v * c.data[i], 0);
				return build([m, n], ([i, j]) => a.data[i] * b.data[j] * dot);
			},
			abs: 1e-4,
		};
	},
	"clip by a row and a number": (r) => ({
		inputs: [apart(r, [2, 3]), values(r, [3], -0.1, 0)],
		run: (v, low) => t.clip(v, low, 0.6),
		expected: (v, low) => build([2, 3], ([i, j]) => Math.min(Math.max(at(v, [i, j]), low.data[j]), 0.6)),
	}),
	"std and norm of equal values": (r) => {
		const x = build([2, 3], ([i]) => i);
		return {
			inputs: [x],
			run: (v) => t.add(t.std(v, 1), t.norm(v, 1)),
			expected: () => build([2], ([i]) => i * Math.sqrt(3) + 0 * r()),
			discrete: true,
		};
	},
	"sum of bools": (r) => ({
		inputs: [whole(r, [3, 4], 0, 1)],
		dtypes: ["bool"],
		run: (v) => t.sum(v, -1),
		expected: (v) => reduce(v, [1], (line) => line.reduce((a, b) => a + b, 0)),
		discrete: true,
	}),
};
