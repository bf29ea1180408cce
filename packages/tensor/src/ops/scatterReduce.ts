import { type DType, FLOATS, INTEGERS } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { definePrimitive } from "../primitive.ts";
import type { NdArray } from "../reference.ts";
import { shown } from "../shown.ts";
import type { Tensor } from "../tensor.ts";
import { RANGES } from "../upload.ts";
import { checkSame, checkType } from "./arguments.ts";
import { add, div, eq, maskedFill, maximum, mul, ne, sub, where } from "./binary.ts";
import { cast } from "./cast.ts";
import { onesLike, zerosLike } from "./create.ts";
import { floorDivide } from "./divide.ts";
import { cutTo, gatherPrimitive, indexAxis, onLast, outside, scatterAddPrimitive, scattered, widened } from "./indexing.ts";

/** What a place of x starts from, and what goes to places. */
interface Parts {
	readonly x: Tensor;
	readonly index: Tensor;
	readonly src: Tensor;
}

type Own = "x" | "src";

/** Added up in each place. */
const together = ({ x, index, src }: Parts): Tensor => scatterAddPrimitive.apply([x, index, src])[0];

/** Values of places, at x itself or at each element of src; 0 for those that go nowhere. */
const at = (places: Tensor, own: Own, index: Tensor): Tensor =>
	own === "x" ? places : maskedFill(gatherPrimitive.apply([places, index])[0], outside(index, places.shape[places.rank - 1]), 0);

/** Gradient of the largest or the smallest: equals share it. */
function ofExtreme(own: Own, { dy, y, x, index, src }: Parts & { readonly dy: Tensor; readonly y: Tensor }): Tensor {
	const hits = { x: cast(eq(x, y), "f32"), src: cast(eq(src, at(y, "src", index)), "f32") };
	return mul(hits[own], at(div(dy, together({ ...hits, index })), own, index));
}

/**
 * Gradient of a product: to each factor that of the others, which is Q / v with Q the product of all that are not 0; or that times
 * the other zero, of value 0, where there is one; or 0, where there are more. Right up to the second derivative.
 */
function ofProduct(own: Own, { dy, x, index, src }: Parts & { readonly dy: Tensor }): Tensor {
	const zero = { x: eq(x, 0), src: eq(src, 0) };
	const rest = { x: maskedFill(x, zero.x, 1), src: maskedFill(src, zero.src, 1) };
	const zeros = { x: maskedFill(x, ne(x, 0), 0), src: maskedFill(src, ne(src, 0), 0) };
	const isZero = { x: cast(zero.x, "f32"), src: cast(zero.src, "f32") };
	const product = mul(dy, scatterProdPrimitive.apply([rest.x, index, rest.src])[0]);
	const count = sub(at(together({ ...isZero, index }), own, index), isZero[own]);
	const other = sub(at(together({ ...zeros, index }), own, index), zeros[own]);
	return mul(where(eq(count, 0), 1, where(eq(count, 1), other, 0)), div(at(product, own, index), rest[own]));
}

const SIGNATURE = "x[..., N], index[..., K], src[..., K] -> y[..., N]";
const NUMBERS: readonly DType[] = ["f32", ...INTEGERS];
const DTYPES = { x: NUMBERS, index: ["i32"], src: NUMBERS } as const;

function reduced({ x, index, src }: Readonly<Record<"x" | "index" | "src", NdArray>>, step: (a: number, b: number) => number): NdArray[] {
	const [N, K] = [x, index].map(({ shape }) => shape[shape.length - 1]);
	const data = x.data.slice();
	index.data.forEach((id, i) => {
		const to = Math.floor(i / K) * N + id;
		data[to] = step(data[to], src.data[i]);
	});
	return [{ data, shape: x.shape }];
}

export const scatterProdPrimitive = definePrimitive({
	name: "scatterProd",
	signature: SIGNATURE,
	dtypes: DTYPES,
	attrs: {},
	check: ({ x, src }) => checkSame("scatterProd", { x, src }),
	forward: ({ inputs: { x, index, src } }) => [scattered("prod", x, index, src)],
	grad: {
		x: { saves: ["x", "index", "src"], rule: (given) => ofProduct("x", given) },
		src: { saves: ["x", "index", "src"], rule: (given) => ofProduct("src", given) },
		index: "none",
	},
	reference: (inputs) => reduced(inputs, (a, b) => a * b),
	test: { bound: { ulp: 10, why: "at most ten factors, each product rounded once" }, domains: { index: { belowAxis: "N" } } },
});

export const scatterExtremePrimitive = definePrimitive<{ least: boolean }, typeof SIGNATURE>({
	name: "scatterExtreme",
	signature: SIGNATURE,
	dtypes: DTYPES,
	attrs: { least: false },
	infinite: true,
	check: ({ x, src }) => checkSame("scatterExtreme", { x, src }),
	forward: ({ inputs: { x, index, src }, attrs: { least } }) => [scattered(least ? "min" : "max", x, index, src)],
	grad: {
		x: { saves: ["x", "index", "src", "y"], rule: (given) => ofExtreme("x", given) },
		src: { saves: ["x", "index", "src", "y"], rule: (given) => ofExtreme("src", given) },
		index: "none",
	},
	reference: (inputs, { least }) => reduced(inputs, least ? Math.min : Math.max),
	test: { bound: { why: "gives one of the values" }, variants: [{ least: true }], domains: { index: { belowAxis: "N" } } },
});

/** How `scatterReduce` reduces. */
export type ScatterReduction = "sum" | "prod" | "mean" | "amax" | "amin";

/** Options of `scatterReduce`. */
export interface ScatterReduceOptions {
	/** Reduce what x has in a place together with what goes there; true when left out. With false x stands where nothing goes. */
	readonly includeSelf?: boolean | undefined;
}

const APPLY: Readonly<Record<ScatterReduction, (operands: readonly Tensor[]) => Tensor>> = {
	sum: (operands) => scatterAddPrimitive.apply(operands)[0],
	prod: (operands) => scatterProdPrimitive.apply(operands)[0],
	mean: (operands) => scatterAddPrimitive.apply(operands)[0],
	amax: (operands) => scatterExtremePrimitive.apply(operands, { least: false })[0],
	amin: (operands) => scatterExtremePrimitive.apply(operands, { least: true })[0],
};

/** What changes no value that it is reduced with. */
function neutral(reduce: ScatterReduction, dtype: DType): number {
	if (reduce === "sum" || reduce === "mean") return 0;
	if (reduce === "prod") return 1;
	return (RANGES[dtype] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])[reduce === "amax" ? 0 : 1];
}

/**
 * x with src reduced into the positions in index (i32) along an axis, several at one place in their order; a new tensor: torch's
 * scatter_reduce. "sum", "prod", "mean" (of whole numbers rounded down), "amax" and "amin", NaN if one is. index may be smaller than
 * src, of which the first elements are then taken, and than x beside the axis. Indices outside, negative ones too, change nothing. x
 * and src are both f32, f16 (reduced in f32), i32 or u32. Equals share the gradient of the largest and smallest; that of a product is
 * right with zeros, up to the second derivative. Takes time in proportion to the product of the extents of x and index along the axis.
 * @throws ShapeError when the ranks differ or index is larger than src, or than x beside the axis.
 * @throws DTypeError for other types, or an index that is not i32.
 * @throws ValueError when `axis` is out of range, or for another reduction.
 */
export function scatterReduce(
	x: Tensor,
	axis: number,
	index: Tensor,
	src: Tensor,
	reduce: ScatterReduction,
	options: ScatterReduceOptions = {},
): Tensor {
	const op = "scatterReduce";
	expects(op, { x, axis, index, src, options }, { x: "tensor", axis: "whole", index: "tensor", src: "tensor", options: "options" });
	const { includeSelf = true } = options;
	if (!Object.hasOwn(APPLY, reduce)) {
		throw new ValueError("scatter/reduce", `${op}: reduce is ${shown(reduce)}, expected ${Object.keys(APPLY).join(", ")}`, { op });
	}
	checkType(op, x, [...FLOATS, ...INTEGERS]);
	checkType(op, index, ["i32"], "index");
	checkSame(op, { x, src });
	const to = indexAxis(op, x, axis, index, src);
	if (x.dtype === "f16") return cast(scatterReduce(cast(x, "f32"), to, index, cast(src, "f32"), reduce, options), "f16");
	const { ids, values } = widened(x, to, index, cutTo(src, index.shape, -1));
	return onLast(to, [x, ids, values], ([rows, places, own]) => {
		const hits = (): Tensor => scatterAddPrimitive.apply([zerosLike(rows), places, onesLike(own)])[0];
		const start = includeSelf ? rows : maskedFill(rows, ne(hits(), 0), neutral(reduce, x.dtype));
		const y = APPLY[reduce]([start, places, own]);
		if (reduce !== "mean") return y;
		const count = includeSelf ? add(hits(), 1) : maximum(hits(), 1);
		return x.dtype === "f32" ? div(y, count) : floorDivide(y, count);
	});
}
