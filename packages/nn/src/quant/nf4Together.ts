import { add, linear, matmul, mul, ShapeError, type Tensor } from "@hushgrad/tensor";
import {
	contiguous,
	definePrimitive,
	defineSumming,
	entry,
	type GradRule,
	gemm,
	type NdArray,
	type Physical,
	type Primitive,
	packed,
	rowProduct,
	type Summing,
	sizeOf,
	stacked,
	summed,
} from "@hushgrad/tensor/author";
import { kept, type LowRankAttrs, lowRankDropoutGradPrimitive, lowRankGradPrimitive, lowsGrad, lowsOf } from "../lowRank.ts";
import { RANK_SIZES, updatesGrad } from "../updated.ts";
import { decodedTogether, isByRow, type NF4Attrs } from "./nf4.kernel.ts";
import { adaptedRow, nf4AdaptedDropoutPrimitive, nf4AdaptedGradPrimitive, nf4AdaptedPrimitive } from "./nf4Adapted.ts";
import { DTYPES, FROZEN, nf4LinearGrad, nf4LinearGradPrimitive, TEST } from "./nf4Linear.ts";

/* Several adapted maps of one x: what they have in common is read, and started, once. */

/** Attributes of all of them; those of map j behind the first end in j. */
type Attrs = { n: number; k: number; scale: number; p: number } & { [name: string]: number };
type Views = Readonly<Record<string, Physical>>;
type RuleOf = GradRule<Attrs, string>;
type Named<T> = Readonly<Record<string, T>>;

const CODED = ["codes", "scales", "nested", "map"] as const;
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const nth = (name: string, j: number): string => (j === 0 ? name : `${name}${j}`);
const listOf = <T>(given: Named<T>, name: string, count: number): T[] => upTo(count).map((j) => given[nth(name, j)]);
const partsOf = <T>(given: Named<T>, j: number): Record<string, T> => Object.fromEntries(CODED.map((part) => [part, given[nth(part, j)]]));
const nf4Of = ({ n, k, ...rest }: Attrs, j: number): NF4Attrs => ({
	n,
	k,
	offset: rest[nth("offset", j)],
	rounded: rest[nth("rounded", j)],
});
const branchOf = ({ scale, p, ...rest }: Attrs, j: number): LowRankAttrs => ({ scale, p, stream: rest[nth("stream", j)] });
const adaptedOf = (attrs: Attrs, j: number): NF4Attrs & LowRankAttrs => ({ ...nf4Of(attrs, j), ...branchOf(attrs, j) });

/** What belongs to map j, as the operation of a single one names it. */
const singled = <T>(given: Named<T>, j: number): Record<string, T> => {
	const own = ["a", "b"].map((name) => [name, given[nth(name, j)]]);
	return { x: given.x, ...partsOf(given, j), ...Object.fromEntries(own), ...(given.keys !== undefined && { keys: given.keys }) };
};

/** Whether A and B are one for all records, so that the products of all maps are one. */
const areShared = (views: readonly Physical[]): boolean => views.every((v) => v.shape[0] === 1 || v.strides[0] === 0);

const branchesOf = (inputs: Views, attrs: Attrs, count: number) => {
	const { scale, p } = attrs;
	const streams = upTo(count).map((j) => branchOf(attrs, j).stream);
	return { x: inputs.x, a: listOf(inputs, "a", count), keys: inputs.keys, attrs: { scale, p, streams } };
};

const weightsOf = (inputs: Views, attrs: Attrs, count: number) =>
	decodedTogether(
		upTo(count).map((j) => partsOf(inputs, j)),
		upTo(count).map((j) => nf4Of(attrs, j)),
	);

/** y [count, B, ..., N] = x w^T + low b^T, by one product where the maps have as many rows for all records. */
function products(x: Physical, w: Physical, low: Physical, all: readonly Physical[]): Physical {
	const [count, n, k] = w.shape;
	const [B] = x.shape;
	const T = sizeOf(x.shape.slice(1, -1));
	const R = low.shape[low.rank - 1];
	const y = x.runtime.empty([count, ...x.shape.slice(0, -1), n]);
	const rows = contiguous(x);
	if (!areShared(all)) {
		const own = rows.view({ shape: [B, T, k] });
		for (const j of upTo(count)) {
			const update = {
				low: entry(low, j).view({ shape: [B, T, R] }),
				up: packed(all[j]).transpose().broadcast([B, R, n]),
			};
			const weight = entry(w, j)
				.view({ shape: [1, n, k] })
				.transpose()
				.broadcast([B, k, n]);
			gemm(own, weight, { view: entry(y, j), batchStride: T * n, accumulate: false, update }, T);
		}
		return y;
	}
	const b = stacked(all.map((v) => packed(v).view({ shape: v.shape.slice(1) })));
	const update = { low: low.view({ shape: [count, B * T, R] }), up: b.transpose() };
	const target = { view: y, batchStride: B * T * n, accumulate: false, update };
	gemm(rows.view({ shape: [1, B * T, k] }).broadcast([count, B * T, k]), w.transpose(), target, T);
	return y;
}

function defineTogetherGrad(name: string, count: number, drops: boolean): Summing<Attrs> {
	const maps = upTo(count);
	const operands = maps.flatMap((j) => {
		const coded = `${nth("codes", j)}![C], ${nth("scales", j)}![S], ${nth("nested", j)}![M], ${nth("map", j)}![256]`;
		return [`${nth("g", j)}[..., N], ${nth("low", j)}[..., R], ${coded}, ${nth("a", j)}[R, K], ${nth("b", j)}[N, R]`];
	});
	const results = maps.flatMap((j) => [`${nth("da", j)}[R, K]`, `${nth("db", j)}[N, R]`]);
	const own = drops ? ", keys[2]" : "";
	const names = maps.flatMap((j) => ["g", "low", ...CODED, "a", "b"].map((o) => nth(o, j)));
	return defineSumming<Attrs, string>({
		name,
		signature: `x[..., K], ${operands.join(", ")}${own} -> dx[..., K], ${results.join(", ")}`,
		dtypes: dtypesOf(count, drops),
		attrs: attrsOf(count),
		forward: ({ inputs, attrs, runtime }, plus) => {
			const { x } = inputs;
			const { n, k } = attrs;
			const [B] = x.shape;
			const T = sizeOf(x.shape.slice(1, -1));
			const weights = weightsOf(inputs, attrs, count);
			const each = listOf(inputs, "g", count).map(contiguous);
			// Where products are computed one by one, gradients need not stand together.
			const g = runtime.device.plan === "cpu" ? undefined : contiguous(stacked(each));
			const low = stacked(listOf(inputs, "low", count).map(contiguous));
			const [h, db] = updatesGrad(
				{ g: g === undefined ? each : maps.map((j) => entry(g, j)), low, b: listOf(inputs, "b", count) },
				weights,
			);
			const before = runtime.empty(x.shape);
			const onto = { accumulate: false, plus: plus && contiguous(plus) };
			const target = { view: before, batchStride: B * T * k, ...onto };
			if (g !== undefined) gemm(g.view({ shape: [count, B * T, n] }), weights.w, { ...target, summed: true }, T);
			else
				each.forEach((own, j) => {
					const weight = entry(weights.w, j).view({ shape: [1, n, k] });
					gemm(own.view({ shape: [1, B * T, n] }), weight, j === 0 ? target : { ...target, accumulate: true, plus: undefined }, T);
				});
			const [dx, da] = lowsGrad(branchesOf(inputs, attrs, count), h, before);
			return [dx, ...maps.flatMap((j) => [entry(da, j), entry(db, j)])];
		},
		grad: Object.fromEntries(["x", ...names, ...(drops ? ["keys"] : [])].map((o) => [o, isCoded(o) ? "none" : "missing"])),
		reference: (inputs, attrs) => {
			const { x, keys } = inputs;
			const dx = new Float64Array(x.data.length);
			const grads = maps.flatMap((j): NdArray[] => {
				const of = (o: string): NdArray => inputs[nth(o, j)];
				const coded = partsOf(inputs, j);
				const [h, db] = nf4AdaptedGradPrimitive.spec.reference({ g: of("g"), low: of("low"), b: of("b"), ...coded }, nf4Of(attrs, j));
				const [before] = nf4LinearGradPrimitive.spec.reference({ dy: of("g"), ...coded }, nf4Of(attrs, j));
				const branch = keys === undefined ? lowRankGradPrimitive : lowRankDropoutGradPrimitive;
				const [rest, da] = branch.spec.reference({ h, x, a: of("a"), ...(keys && { keys }) }, branchOf(attrs, j));
				dx.forEach((_, i) => {
					dx[i] += before.data[i] + rest.data[i];
				});
				return [da, db];
			});
			return [{ data: dx, shape: x.shape }, ...grads];
		},
		test: { bound: { abs: 5e-3, why: "sums of up to 2187 products of size 100, added over three maps" }, ...testOf(count) },
	});
}

const isCoded = (name: string): boolean => CODED.some((part) => name.startsWith(part)) || name === "keys";

const dtypesOf = (count: number, drops: boolean) => ({
	...Object.fromEntries(upTo(count).flatMap((j) => Object.entries(DTYPES).map(([name, types]) => [nth(name, j), types] as const))),
	...(drops && { keys: ["u32"] as const }),
});

const attrsOf = (count: number): Attrs => ({
	...{ n: 8, k: 16, scale: 0.5, p: 0.25 },
	...Object.fromEntries(
		upTo(count).flatMap((j) => [[nth("offset", j), 0.5 + 0.1 * j] as const, [nth("rounded", j), 0], [nth("stream", j), j]]),
	),
});

const testOf = (count: number) => ({
	sizes: { ...TEST.sizes, ...RANK_SIZES },
	domains: {
		...Object.fromEntries(upTo(count).flatMap((j) => CODED.map((part) => [nth(part, j), TEST.domains[part]] as const))),
		keys: { bits: true as const },
	},
	nonEmpty: ["R"],
});

/**
 * Adapted maps of one x, by weights of one shape in four bits: y_j = x W_j^T + low_j b_j^T with low_j = scale dropout_j(x) a_j^T, each as
 * `nf4Adapted` gives it, bit for bit. Two kernels for all of them; of the gradients three, and one that adds parts.
 */
function defineTogether(name: string, count: number, drops: boolean, gradient: Summing<Attrs>): Primitive<Attrs> {
	const maps = upTo(count);
	const keys = drops ? ["keys"] : [];
	const operands = maps.map((j) => {
		const coded = `${nth("codes", j)}![C], ${nth("scales", j)}![S], ${nth("nested", j)}![M], ${nth("map", j)}![256]`;
		return `${coded}, ${nth("a", j)}[R, K], ${nth("b", j)}[N, R]`;
	});
	const results = [...maps.map((j) => `${nth("y", j)}[..., N]`), ...maps.map((j) => `${nth("low", j)}[..., R]`)];
	const dyOf = (given: Named<Tensor>, j: number): Tensor => given[nth("dy", j)];
	const codedOf = (given: Named<Tensor>, j: number): Tensor[] => Object.values(partsOf(given, j));
	const all = maps.flatMap((j) => [...CODED, "a", "b"].map((o) => nth(o, j)));
	return definePrimitive<Attrs, string>({
		name,
		signature: `x[..., K], ${operands.join(", ")}${drops ? ", keys[2]" : ""} -> ${results.join(", ")}`,
		traced: count,
		dtypes: dtypesOf(count, drops),
		attrs: attrsOf(count),
		check: (_, { n, k }, { N, K }) => {
			if (K === k && N === n) return;
			throw new ShapeError("nf4/width", `${name}: x has ${K} features and b ${N}, the weights take ${k} and give ${n}`, { op: name });
		},
		forward: ({ inputs, attrs }) => {
			const { x } = inputs;
			if (isByRow(sizeOf(x.shape.slice(1, -1)), attrs)) {
				const rows = maps.map((j) => adaptedRow(singled(inputs, j), adaptedOf(attrs, j)));
				return [...rows.map(([y]) => y), ...rows.map(([, low]) => low)];
			}
			const weights = weightsOf(inputs, attrs, count);
			const low = lowsOf(branchesOf(inputs, attrs, count), weights);
			const y = products(x, weights.w, low, listOf(inputs, "b", count));
			return [...maps.map((j) => entry(y, j)), ...maps.map((j) => entry(low, j))];
		},
		grad: {
			x: {
				saves: [...all, ...keys],
				rule: (given, attrs, _, arrived) =>
					maps.reduce<Tensor | undefined>((sum, j) => {
						const { n, k, offset, rounded } = nf4Of(attrs, j);
						const dy = dyOf(given, j);
						const before = j === 0 ? arrived : () => sum;
						const [dx] = summed(nf4LinearGrad, [dy, ...codedOf(given, j)], before, { n, k, offset, rounded });
						const h = mul(matmul(dy, given[nth("b", j)]), attrs.scale);
						return add(dx, kept(matmul(h, given[nth("a", j)]), given.keys, branchOf(attrs, j)));
					}, undefined) as Tensor,
			},
			...Object.fromEntries(
				maps.flatMap((j) => [
					...Object.entries(FROZEN).map(([part, none]) => [nth(part, j), none] as const),
					[
						nth("a", j),
						{
							saves: [nth("b", j), "x", ...keys],
							rule: (given, attrs, operand) => {
								const h = mul(matmul(dyOf(given, j), given[nth("b", j)]), attrs.scale);
								return rowProduct(h, kept(given.x, given.keys, branchOf(attrs, j)), operand);
							},
						} satisfies RuleOf,
					] as const,
					[
						nth("b", j),
						{
							saves: [nth("low", j), "x", nth("a", j), ...keys],
							rule: (given, attrs, operand) => {
								const low = mul(linear(kept(given.x, given.keys, branchOf(attrs, j)), given[nth("a", j)]), attrs.scale);
								return rowProduct(dyOf(given, j), low, operand);
							},
						} satisfies RuleOf,
					] as const,
				]),
			),
			...(drops && { keys: "none" as const }),
		},
		together: (given, attrs, _, arrived) => {
			const own = maps.flatMap((j) => [
				...[dyOf(given, j), given[nth("low", j)], ...codedOf(given, j)],
				...[given[nth("a", j)], given[nth("b", j)]],
			]);
			const [dx, ...grads] = summed(gradient, [given.x, ...own, ...(drops ? [given.keys] : [])], arrived.x, attrs);
			const ofMaps = maps.flatMap((j) => [
				[nth("a", j), grads[2 * j]],
				[nth("b", j), grads[2 * j + 1]],
			]);
			return { x: dx, ...Object.fromEntries(ofMaps) };
		},
		reference: (inputs, attrs) => {
			const single = drops ? nf4AdaptedDropoutPrimitive : nf4AdaptedPrimitive;
			const found = maps.map((j) => single.spec.reference(singled(inputs, j), adaptedOf(attrs, j)));
			return [...found.map(([y]) => y), ...found.map(([, low]) => low)];
		},
		test: { bound: { abs: 5e-4, why: "sums of up to 12 numbers of size 100, each of 16 products" }, ...testOf(count) },
	});
}

const [two, twoDropout, three, threeDropout] = [
	defineTogetherGrad("nf4Pair.d", 2, false),
	defineTogetherGrad("nf4PairDropout.d", 2, true),
	defineTogetherGrad("nf4Triple.d", 3, false),
	defineTogetherGrad("nf4TripleDropout.d", 3, true),
];
export const { alone: nf4PairGradPrimitive, plus: nf4PairGradPlusPrimitive } = two;
export const { alone: nf4PairDropoutGradPrimitive, plus: nf4PairDropoutGradPlusPrimitive } = twoDropout;
export const { alone: nf4TripleGradPrimitive, plus: nf4TripleGradPlusPrimitive } = three;
export const { alone: nf4TripleDropoutGradPrimitive, plus: nf4TripleDropoutGradPlusPrimitive } = threeDropout;
export const nf4PairPrimitive = defineTogether("nf4Pair", 2, false, two);
export const nf4PairDropoutPrimitive = defineTogether("nf4PairDropout", 2, true, twoDropout);
export const nf4TriplePrimitive = defineTogether("nf4Triple", 3, false, three);
export const nf4TripleDropoutPrimitive = defineTogether("nf4TripleDropout", 3, true, threeDropout);

/** The operation of so many maps, with a key or without. */
export function togetherOf(count: number, drops: boolean): Primitive<Attrs> {
	if (count === 2) return drops ? nf4PairDropoutPrimitive : nf4PairPrimitive;
	return drops ? nf4TripleDropoutPrimitive : nf4TriplePrimitive;
}
