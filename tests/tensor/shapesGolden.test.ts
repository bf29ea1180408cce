import * as t from "@hushgrad/tensor";
import { data, type Slot, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { useDevice } from "../support/device.ts";
import { goldenJson } from "../support/goldens.ts";

/* What torch and numpy give where rules are easy to get wrong: tests/goldens/shapes.py. */

const golden = goldenJson<Record<string, { shape: number[]; data: (number | string)[] }[]>>("shapes.json");
const device = useDevice({ debug: { memory: true } });

const f32 = (values: readonly number[], ...shape: number[]): Tensor =>
	device().fromHost(values, shape.length === 0 ? [values.length] : shape);
const i32 = (values: readonly number[], ...shape: number[]): Tensor =>
	device().fromHost(Int32Array.from(values), shape.length === 0 ? [values.length] : shape);
const ramp = (start: number, end: number): number[] => Array.from({ length: end - start }, (_, i) => start + i);

/** Gradients of sum(f(x) * (1, 2, 3, ...)) by the inputs. */
function slope(f: (...x: Tensor[]) => Tensor, ...inputs: Tensor[]): readonly Tensor[] {
	const slots = inputs.map((value): Slot => ({ value }));
	const total = (): Tensor => {
		const y = f(...slots.map((s) => s.value));
		return t.sum(t.mul(y, t.reshape(t.arange(device(), 1, y.size + 1), y.shape)));
	};
	return t.valueAndGrad(total, slots).grads;
}

const { NaN: NAN, POSITIVE_INFINITY: INF } = Number;
const x = () => f32(ramp(1, 13), 3, 4);
const v = (n: number) => f32(ramp(1, n + 1));
const src = () => f32(ramp(10, 22), 3, 4);
const w = () => f32([3, -4, 0, 0, 0, 0], 2, 3);
const ties = () => f32([1, 3, 3, 2, 2, 2], 2, 3);
const spoiled = () => f32([2, 1, NAN, 3, NAN, 2]);
const zeros = () => f32([2, 0, 3, 4, 0, 5, 0, 2, 1, 2, 3, 4], 3, 4);
const q = () => f32([5, 1, 4, 2, 3, NAN, 1, 2, 7, 1, 2, 7], 3, 4);
const h = () => f32([0, 0.3, 1.2, 1.9, 2.5, 3.1, 4, -1, 9]);
const both = ({ values, indices }: t.Sorted): Tensor[] => [values, indices];
const sliced = (start?: number, end?: number, step?: number) => () => [t.slice(f32(ramp(0, 7)), 0, start, end, step)];

const padded = (mode: t.PadOptions["mode"]) => () => {
	const pad = (y: Tensor): Tensor =>
		t.pad(
			y,
			[
				[1, 2],
				[2, 3],
			],
			{ mode },
		);
	return [pad(x()), ...slope(pad, x())];
};
const normed = (p: number) => () => {
	const norm = (y: Tensor): Tensor => t.norm(y, 1, { p });
	return [norm(w()), ...([0, 0.5, -1].includes(p) ? [] : slope(norm, w()))];
};
const between = (interpolation: t.QuantileOptions["interpolation"]) => () => [
	t.quantile(q(), [0, 0.25, 0.5, 0.8, 1], 1, { interpolation }),
	t.quantile(v(2), 0.5, undefined, { interpolation }),
];
const running = (f: (y: Tensor, axis: number) => t.Sorted) => () => [...both(f(f32([1, 3, 3, 2, 3, 1, 1]), 0)), ...both(f(spoiled(), 0))];
const chosen = (f: (y: Tensor, axis: number) => t.Sorted) => () => [...both(f(ties(), 1)), ...slope((y) => f(y, 1).values, ties())];

const into = () => f32([3, 0, 0, 4, 2, 0, 2, 1], 2, 4);
const scattered = (reduce: t.ScatterReduction, includeSelf: boolean) => () => {
	const index = i32([0, 0, 1, 3, 1, 1, 1, 0], 2, 4);
	const x = f32([3, 0, 2, 5, 1, 2, 0, 7].map((n) => (includeSelf ? n : n + 0.25)), 2, 4); // biome-ignore format: one line
	const f = (y: Tensor, s: Tensor): Tensor => t.scatterReduce(y, 1, index, s, reduce, { includeSelf });
	return [f(x, into()), ...slope(f, x, into())];
};
const edges = () => f32([1, 2, 2, 4]);
const found = () => f32([0, 1, 2, 3, 4, NAN], 2, 3);
const d = () => f32(ramp(0, 24), 2, 3, 4);
const near = () => f32([1, 2, 4, 6, 1, 2], 3, 2);
const distance = (p: number) => () => {
	const f = (a: Tensor, b: Tensor): Tensor => t.cdist(a, b, { p });
	const part = t.slice(near(), 0, 0, 2);
	return [f(near(), part), ...slope(f, near(), p === 2 ? part : t.add(part, f32([0.5, 0.25])))];
};

const CASES: Record<string, () => readonly Tensor[]> = {
	"slice ::-1": sliced(undefined, undefined, -1),
	"slice 5:1:-2": sliced(5, 1, -2),
	"slice -2::-3": sliced(-2, undefined, -3),
	"slice 2:-8:-1": sliced(2, -8, -1),
	"slice -3:": sliced(-3),
	"slice :-2": sliced(undefined, -2),
	"slice -6:-1:2": sliced(-6, -1, 2),
	"pad reflect": padded("reflect"),
	"pad replicate": padded("replicate"),
	"pad circular": padded("circular"),
	repeat: () => [t.repeat(x(), [2, 1, 3])],
	tile: () => [t.tile(x(), 2), t.tile(x(), [2, 1, 2])],
	repeatInterleave: () => [t.repeatInterleave(x(), 2, 1), t.repeatInterleave(x(), 2)],
	"meshgrid ij": () => t.meshgrid([v(2), v(3)]),
	"meshgrid xy": () => t.meshgrid([f32([0, 1]), f32([0, 1, 2]), f32([0, 1])], { indexing: "xy" }),
	diagonal: () => {
		const d = f32(ramp(0, 24), 2, 3, 4);
		const at = (offset: number, axis1: number, axis2: number) => t.diagonal(d, { offset, axis1, axis2 });
		return [t.diagonal(d), at(1, 1, 2), at(-1, 2, 0), at(9, 1, 2)];
	},
	diagEmbed: () => [t.diagEmbed(v(2)), t.diagEmbed(t.slice(x(), 0, 0, 2), { offset: 1, axis1: 0, axis2: 2 })],
	"norm 0": normed(0),
	"norm 1": normed(1),
	"norm 2": normed(2),
	"norm 3": normed(3),
	"norm 0.5": normed(0.5),
	"norm inf": normed(INF),
	"norm -inf": normed(-INF),
	"norm -1": normed(-1),
	"std of equal values": () => slope((y) => t.std(y, 1), f32([2, 2, 2, 2, 2, 2], 2, 3)),
	amax: () => slope((y) => t.amax(y, 1), ties()),
	max: chosen(t.max),
	min: chosen(t.min),
	"max of NaN": () => both(t.max(spoiled(), 0)),
	"min of NaN": () => both(t.min(spoiled(), 0)),
	cummax: running(t.cummax),
	cummin: running(t.cummin),
	"cummax slope": () => slope((y) => t.cummax(y, 0).values, f32([1, 3, 3, 2])),
	cumprod: () => [t.cumprod(zeros(), 1), ...slope((y) => t.cumprod(y, 1), zeros())],
	prod: () => [t.prod(zeros(), 1), ...slope((y) => t.prod(y, 1), zeros())],
	"quantile linear": between("linear"),
	"quantile lower": between("lower"),
	"quantile higher": between("higher"),
	"quantile nearest": between("nearest"),
	"quantile midpoint": between("midpoint"),
	"quantile slope": () => slope((y) => t.quantile(y, [0.25, 0.6], 1), x()),
	median: () => [t.median(q(), 1), t.median(f32([4, 1, 3]))],
	histc: () => [t.histc(h(), 4, { min: 0, max: 4 }), t.histc(h(), 5), t.histc(f32([2, 2, 2]), 3)],
	bincount: () => [t.bincount(i32([1, 3, 1, 0]), 5), t.bincount(i32([1, 3, 1, 0]), 5, v(4))],
	nanToNum: () => [t.nanToNum(f32([1, NAN, INF, -INF])), ...slope((y) => t.nanToNum(y), f32([1, NAN, INF, -INF]))],
	isclose: () => {
		const [a, b] = [f32([1, 1, INF, INF, NAN, 1, -INF]), f32([1 + 5e-6, 1.1, INF, 1, NAN, INF, INF])];
		return [t.isclose(a, b), t.isclose(a, b, { equalNan: true }), t.isclose(a, b, { rtol: 0.2 })];
	},
	logaddexp: () => [t.logaddexp(f32([1, -INF, -INF, INF, 1000, -5]), f32([2, -INF, 3, INF, 1000, 90]))],
	countNonzero: () => [t.countNonzero(f32([0, NAN, 1, 0], 2, 2), 1)],
	gather: () => {
		const ids = i32([0, 2, 2, 0], 2, 2);
		return [t.gather(x(), 0, ids), ...slope((y) => t.gather(y, 0, ids), x())];
	},
	scatterAdd: () => {
		const ids = i32([0, 2, 2, 0], 2, 2);
		return [t.scatterAdd(x(), 0, ids, src()), ...slope((y) => t.scatterAdd(y, 0, ids, src()), x())];
	},
	scatter: () => {
		const ids = i32([3, 0, 1, 1, 2, 0], 2, 3);
		return [t.scatter(x(), 1, ids, src()), t.scatter(x(), 1, ids, 7)];
	},
	indexAdd: () => [t.indexAdd(x(), 0, i32([2, 0, 2]), src()), t.indexAdd(x(), 1, i32([1, 1]), t.slice(src(), 1, 0, 2))],
	index: () => {
		const ids = [i32([0, -1], 2, 1), i32([3, -4, 1])];
		return [t.index(x(), ids), t.index(x(), [i32([0, -1])]), ...slope((y) => t.index(y, ids), x())];
	},
	indexPut: () => {
		const part = t.slice(t.slice(src(), 0, 0, 2), 1, 0, 3);
		const put = (y: Tensor, s: Tensor) => t.indexPut(y, [i32([0, -1], 2, 1), i32([3, -4, 1])], s);
		const pile = (y: Tensor, s: Tensor) => t.indexPut(y, [i32([1, 1, 0])], s, { accumulate: true });
		return [put(x(), part), ...slope(put, x(), part), pile(x(), src()), ...slope(pile, x(), src())];
	},
	takeAlongAxis: () => [t.takeAlongAxis(x(), i32([-1, 0], 1, 2), 1), t.take(x(), i32([-1, 0, 5, -12], 2, 2))],
	oneHot: () => [t.oneHot(i32([2, 0]), 4)],
	divide: () => {
		const [a, b] = [i32([7, -7, 7, -7, 0]), i32([2, 2, -2, -2, 3])];
		return [t.floorDivide(a, b), t.truncDivide(a, b)];
	},
	matmul: () => {
		const m = i32([2 ** 30, 3, -5, 70000], 2, 2);
		return [t.matmul(m, m), t.einsum("ij,kj->ik", m, m)];
	},
	...Object.fromEntries(
		(["sum", "prod", "mean", "amax", "amin"] as const).flatMap((how) =>
			[true, false].map((own) => [`scatterReduce ${how} ${own}`, scattered(how, own)]),
		),
	),
	"scatterReduce of whole numbers": () =>
		(["prod", "mean", "amax", "amin"] as const).map((how) =>
			t.scatterReduce(i32([7, -7, 1]), 0, i32([0, 0, 1, 1]), i32([2, 4, -5, 1]), how),
		),
	searchsorted: () => [t.searchsorted(edges(), found()), t.searchsorted(edges(), found(), { right: true })],
	"searchsorted of rows": () => {
		const rows = f32([1, 2, 3, 0, 0, 0], 2, 3);
		return [t.searchsorted(rows, t.slice(found(), 1, 0, 2)), t.searchsorted(rows, t.slice(found(), 1, 1), { right: true })];
	},
	bucketize: () => [t.bucketize(found(), edges()), t.bucketize(found(), edges(), { right: true })],
	isin: () => [t.isin(found(), edges()), t.isin(found(), f32([]))],
	kthvalue: () => [t.kthvalue(q(), 2).values, t.kthvalue(x(), 3, { axis: 0, keepDim: true }).indices],
	"kthvalue slope": () => slope((y) => t.kthvalue(y, 2).values, x()),
	tensordot: () => [
		t.tensordot(d(), t.transpose(d(), 0, 2), 1),
		t.tensordot(d(), d(), [[0, 2], [0, 2]]), // biome-ignore format: pairs
		t.tensordot(v(5), v(5), 0),
	],
	kron: () => {
		const corner = t.slice(t.slice(x(), 0, 0, 2), 1, 0, 2);
		return [t.kron(corner, x()), t.kron(v(2), corner)];
	},
	cross: () => {
		const left = t.slice(x(), 1, 0, 3);
		return [t.cross(left, t.slice(x(), 1, 1)), t.cross(x(), t.flip(x(), 1), 0), t.cross(left, v(3))];
	},
	"cdist 2": distance(2),
	"cdist 1": distance(1),
	"cdist inf": distance(INF),
	normalize: () => [t.normalize(w()), t.normalize(w(), { p: 1, axis: 0 }), ...slope((y) => t.normalize(y), t.slice(w(), 0, 0, 1))],
	diff: () => [
		t.diff(x()),
		t.diff(x(), { n: 2, axis: 0 }),
		t.diff(x(), { axis: 0, prepend: t.slice(src(), 0, 0, 1), append: t.slice(src(), 0, 0, 2) }),
		t.diff(v(5), { n: 9 }),
		t.diff(t.cast(f32([1, 0, 0]), "bool")),
	],
	unfold: () => [t.unfold(x(), 1, 2), t.unfold(x(), 0, 2, 2), ...slope((y) => t.unfold(y, 1, 3), x())],
	rot90: () => [t.rot90(x()), t.rot90(x(), -1), t.rot90(x(), 2), t.rot90(d(), 1, [2, 0])],
	unflatten: () => [t.unflatten(x(), 1, [2, -1]), t.unflatten(d(), 0, [1, 2])],
	nansum: () => [t.nansum(q()), t.nansum(f32([NAN])), ...slope((y) => t.nansum(y, 1), q())],
	nanmean: () => [t.nanmean(q(), 1), t.nanmean(f32([NAN, NAN, 1, NAN], 2, 2), 1), ...slope((y) => t.nanmean(y, 1), q())],
	lerp: () => {
		const [a, b, weight] = [f32([1, -2, 1e8]), f32([3, 5, 1]), f32([0.25, 1, 1])];
		const two = (y: Tensor): Tensor => t.slice(y, 0, 0, 2);
		return [t.lerp(a, b, weight), t.lerp(a, b, 0.75), ...slope(t.lerp, two(a), two(b), two(weight))];
	},
	addcmul: () => {
		const args = [f32([1, -2, 1e8]), f32([3, 5, 1]), f32([0.25, 1, 1])] as const;
		const quotient = (a: Tensor, b: Tensor, c: Tensor): Tensor => t.addcdiv(a, b, c, { value: 3 });
		return [t.addcmul(...args, { value: 0.5 }), t.addcdiv(...args, { value: -2 }), ...slope(quotient, ...args)];
	},
	hypot: () => [t.hypot(f32([3, 0, 3e30, INF, 1e-30]), f32([-4, 0, 4e30, 1, 1e-30]))],
	"pow of whole numbers": () => [t.pow(i32([2, -3, 0, 7, -1, 3]), i32([10, 3, 0, 1, 5, 4])), t.pow(i32([1, -1, -1]), i32([-3, -2, -1]))],
	clip: () => {
		const args = [v(5), f32([2, 2, 2, 6, 9]), f32([4, 4, 3, 3, 7])] as const;
		return [t.clip(...args), ...slope(t.clip, ...args)];
	},
};

describe("as torch and numpy", () => {
	it("every golden has a case", () => {
		expect(Object.keys(CASES).sort()).toEqual(Object.keys(golden).sort());
	});

	it.each(Object.entries(CASES))("%s", async (name, run) => {
		const results = device().scope<Tensor[]>(() => [...run()]);
		expect(results.map((r) => r.shape)).toEqual(golden[name].map((g) => g.shape));
		for (const [i, r] of results.entries()) {
			const expected = golden[name][i].data.map((n) => (typeof n === "number" ? n : Number(n.replace("inf", "Infinity"))));
			expectWithin(await data(r), expected, { ulp: 64, abs: 2e-6, why: "both sides are f32; powers and logarithms as WGSL has them" });
			r.dispose();
		}
	});
});
