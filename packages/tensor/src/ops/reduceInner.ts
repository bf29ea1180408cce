import { type DType, wgslScalar } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { type Lanes, reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { collapse, sizeOf } from "../shape.ts";
import { contiguous } from "./contiguous.ts";
import { laneCount, type RowVariant, rowKernel, rowsOf, SUM } from "./rowKernel.ts";

/** A reduction. The extremes start from the first value, so that no stand-in for infinity is needed. */
export type Reduction = "sum" | "prod" | "max" | "min";

export function stepOf(kind: Reduction, scalar: "f32" | "i32" | "u32"): { init: string; step: (acc: string, v: string) => string } {
	if (kind === "sum") return { init: `${scalar}(0)`, step: (acc, v) => `${acc} + ${v}` };
	if (kind === "prod") return { init: `${scalar}(1)`, step: (acc, v) => `${acc} * ${v}` };
	const f = scalar === "f32" ? (kind === "max" ? "nanMax" : "nanMin") : kind;
	return { init: "x_at(start)", step: (acc, v) => `${f}(${acc}, ${v})` };
}
/** Sums of floats are f32 whatever the operand; other types stay what they are. */
const resultOf = (dtype: DType): DType => (wgslScalar[dtype] === "f32" ? "f32" : dtype);

/** Rows longer than twice this are reduced in two passes. */
const SPLIT = { cpu: 256, gpu: 4096 } as const;
/** So many results keep a device busy without a second pass. */
const MANY = 4096;

const PARAMS = {
	...({ n: "u32", o1: "u32", o2: "u32", so0: "u32", so1: "u32", so2: "u32" } as const),
	...({ r0: "u32", r1: "u32", sr0: "u32", sr1: "u32" } as const),
};

/** How a sum of f32 is read: element by element, or four at once of one row, or two neighbouring columns. */
type Reading = "one" | "row" | "columns";

/** The sum of eight floats, in pairs. */
const inPairs = (v: readonly string[]): string =>
	v.length === 1 ? v[0] : `(${inPairs(v.slice(0, v.length / 2))} + ${inPairs(v.slice(v.length / 2))})`;

const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];

/** WGSL of what `added` of the prelude does, for two neighbouring sums `acc` and what their rounding left over. */
const addingTwo = (v: string): string => wgsl`{
    let y = ${v} - lost;
    let t = bitcast<vec2f>(bitcast<vec2u>(acc + y) ^ vec2u(zero));
    let c = (t - acc) - y;
    lost = select(vec2f(0.0), c, (bitcast<vec2u>(c) & vec2u(0x7f800000u)) != vec2u(0x7f800000u));
    acc = t;
  }`;

/**
 * Floats are added by eights, in pairs, and these with a correction: the order depends on the number of values alone, not on how they are
 * read.
 *
 * Of columns, two: a subgroup of eight then reads 64 bytes of each row, a line of a processor's cache. By fours it read two lines, which
 * took from 1.1 to 3 times as long, another time in each process.
 */
const FLOAT_SUMS: Readonly<Record<Reading, string>> = {
	row: wgsl`var acc = vec2f(0.0);
for (var i = 0u; i < p.r0; i++) {
  let first = (start + i * p.sr0) / 4u;
  for (var j = 0u; j < p.r1 / 4u; j += 2u) {
    let a = x_at4(first + j);
    let b = x_at4(first + j + 1u);
    acc = added(acc, ${inPairs(["a", "b"].flatMap((v) => ["x", "y", "z", "w"].map((i) => `${v}.${i}`)))}, zero);
  }
}
y_set(index, acc.x);`,
	columns: wgsl`var acc = vec2f(0.0);
var lost = vec2f(0.0);
var k = 0u;
for (; k + 8u <= p.r1; k += 8u) {
  let at = start + k * p.sr1;
  ${addingTwo(inPairs(EIGHT.map((i) => `x_at2((at + ${i}u * p.sr1) / 2u)`)))}
}
for (; k < p.r1; k++) { ${addingTwo("x_at2((start + k * p.sr1) / 2u)")} }
y_set2(index, acc);`,
	one: wgsl`var acc = vec2f(0.0);
let length = p.r0 * p.r1;
var k = 0u;
for (; k + 8u <= length; k += 8u) {
  let at = placeOf(start, k);
  if (k % p.r1 + 8u <= p.r1) {
    acc = added(acc, ${inPairs(EIGHT.map((i) => `x_at(at + ${i}u * p.sr1)`))}, zero);
  } else {
    acc = added(acc, ${inPairs(EIGHT.map((i) => `x_at(placeOf(start, k + ${i}u))`))}, zero);
  }
}
for (; k < length; k++) { acc = added(acc, x_at(placeOf(start, k)), zero); }
y_set(index, acc.x);`,
};

/** So many elements of x, and results, as one. */
const WIDTHS = { one: [1, 1], row: [4, 1], columns: [2, 2] } as const satisfies Readonly<Record<Reading, readonly [Lanes, Lanes]>>;

export const reduceKernel = defineKernel("reduce", ({ kind, dtype, reading }: { kind: Reduction; dtype: DType; reading: Reading }) => {
	const { init, step } = stepOf(kind, wgslScalar[dtype]);
	const isFloatSum = kind === "sum" && resultOf(dtype) === "f32";
	const [from, columns] = WIDTHS[reading];
	return {
		params: PARAMS,
		buffers: { x: reads(dtype, from), y: writes(resultOf(dtype), columns) },
		workgroup: 32,
		helpers: "fn placeOf(start: u32, k: u32) -> u32 { return start + (k / p.r1) * p.sr0 + (k % p.r1) * p.sr1; }",
		body: wgsl`
let result = index * ${columns}u;
if (result >= p.n) { return; }
let outer = result / p.o2;
let start = (outer / p.o1) * p.so0 + (outer % p.o1) * p.so1 + (result % p.o2) * p.so2;
${
	isFloatSum
		? `let zero = p.n >> 31u;\n${FLOAT_SUMS[reading]}`
		: wgsl`var acc = ${init};
for (var i = 0u; i < p.r0; i++) {
  var at = start + i * p.sr0;
  for (var j = 0u; j < p.r1; j++) { acc = ${step("acc", "x_at(at)")}; at += p.sr1; }
}
y_set(index, acc);`
}`,
	};
});

/** Rows in order, by one workgroup each. */
export const reduceRowsKernel = defineKernel(
	"reduce/rows",
	({ kind, dtype, ...variant }: { kind: Reduction; dtype: DType } & RowVariant) => {
		const type = wgslScalar[dtype];
		const isFloatSum = kind === "sum" && type === "f32";
		const { init, step } = stepOf(kind, type);
		return rowKernel(
			{
				params: { N: "u32" },
				buffers: { x: reads(dtype), y: writes(resultOf(dtype)) },
				joins: { joined: isFloatSum ? SUM : { type, of: step } },
				body: wgsl`
let at = row * p.N;
let start = at + min(own, p.N - 1u);
var acc = ${isFloatSum ? "vec2f(0.0)" : init};
for (var i = own${kind === "max" || kind === "min" ? " + LANES" : ""}; i < p.N; i += LANES) { acc = ${
					isFloatSum ? "added(acc, x_at(at + i), p.rows >> 31u)" : step("acc", "x_at(at + i)")
				}; }
let result = joined(own, acc)${isFloatSum ? ".x" : ""};
if (own == 0u) { y_set(row, result); }`,
			},
			variant,
		);
	},
);

export const joinKernel = defineKernel("reduce/join", ({ kind, dtype }: { kind: Reduction; dtype: DType }) => ({
	params: { n: "u32" },
	buffers: { a: reads(dtype), b: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`if (index >= p.n) { return; } y_set(index, ${stepOf(kind, wgslScalar[dtype]).step("a_at(index)", "b_at(index)")});`,
}));

/**
 * Reduces the last `inner` axes of x: one invocation (plan "gpu": one workgroup) a result, in a fixed order. The order depends on the sizes of one record only, so that no record's sum changes with its companions.
 */
export function reduceInner(kind: Reduction, x: Physical, inner: number): Physical {
	const cut = x.rank - inner;
	const outerShape = x.shape.slice(0, cut);
	const length = sizeOf(x.shape.slice(cut));
	const o = collapse(outerShape, [x.strides.slice(0, cut)]);
	const r = collapse(x.shape.slice(cut), [x.strides.slice(cut)]);
	const variant = rowsOf(x.runtime, length);
	const mode = variant.lanes === false ? "cpu" : "gpu";
	// In plan "cpu" alone, where the order is the same: how values lie may change with a record's companions.
	const isOfColumns = mode === "cpu" && areColumns(x, cut) && r.strides[0].at(-1) !== 1;
	const most = SPLIT[mode];
	const split = length > 2 * most && sizeOf(outerShape.slice(1)) < MANY;
	if (o.shape.length > (split ? 2 : 3) || r.shape.length > (split ? 1 : 2)) {
		return reduceInner(kind, isOfColumns ? packedColumns(x, cut) : contiguous(x).view({ shape: [...outerShape, length] }), 1);
	}
	if (split) return inParts(kind, x, { cut, length, most, step: r.strides[0][0], isOfColumns });
	const y = x.runtime.empty(outerShape, resultOf(x.dtype));
	if (mode === "gpu") {
		const kernel = reduceRowsKernel.of({ kind, dtype: x.dtype, ...variant });
		kernel.run({ x: contiguous(x), y }, { rows: y.size, N: length }, laneCount(y.size, variant));
		return y;
	}
	const pad = (v: readonly number[], to: number, fill: number) => [...new Array<number>(to - v.length).fill(fill), ...v];
	const [, o1, o2] = pad(o.shape, 3, 1);
	const [so0, so1, so2] = pad(o.strides[0], 3, 0);
	const [r0, r1] = pad(r.shape, 2, 1);
	const [sr0, sr1] = pad(r.strides[0], 2, 0);
	const isFloatSum = kind === "sum" && x.dtype === "f32";
	const isBy = (n: number, ...v: readonly number[]): boolean => [x.offset, so0, so1, sr0, ...v].every((step) => step % n === 0);
	const isRow = isFloatSum && sr1 === 1 && r1 % 8 === 0 && isBy(4, so2);
	const reading = isRow ? "row" : isFloatSum && so2 === 1 && r0 === 1 && isBy(2, o2, sr1) ? "columns" : "one";
	const params = { n: y.size, o1, o2, so0, so1, so2, r0, r1, sr0, sr1 };
	reduceKernel.of({ kind, dtype: x.dtype, reading }).run({ x, y }, params, y.size / WIDTHS[reading][1]);
	return y;
}

/** Whether neighbouring results are of neighbouring elements. */
const areColumns = ({ shape, strides }: Physical, cut: number): boolean => cut > 1 && shape[cut - 1] > 1 && strides[cut - 1] === 1;

/** The same values with one axis to reduce and a row apart, as columns are: what is columns stays columns. */
function packedColumns(x: Physical, cut: number): Physical {
	const axes = [...x.shape.keys()];
	const packed = contiguous(x.permute([...axes.slice(0, cut - 1), ...axes.slice(cut), cut - 1]));
	const [lead, width] = [x.shape.slice(0, cut - 1), x.shape[cut - 1]];
	return packed.view({ shape: [...lead, sizeOf(x.shape.slice(cut)), width] }).transpose();
}

/** The reduction of parts of `most` values, and of what they give; what is left over comes last. */
function inParts(
	kind: Reduction,
	x: Physical,
	{ cut, length, most, step, isOfColumns }: { cut: number; length: number; most: number; step: number; isOfColumns: boolean },
): Physical {
	const [shape, strides] = [x.shape.slice(0, cut), x.strides.slice(0, cut)];
	const chunks = Math.floor(length / most);
	// The parts of a column lie a row apart, so that the second pass has columns, too.
	const at = isOfColumns ? cut - 1 : cut;
	const head = x.view({ shape: [...shape.toSpliced(at, 0, chunks), most], strides: [...strides.toSpliced(at, 0, most * step), step] });
	const tail = x.view({
		shape: [...shape, length - chunks * most],
		strides: [...strides, step],
		offset: x.offset + chunks * most * step,
	});
	const parts = reduceInner(kind, head, 1);
	const all = reduceInner(kind, isOfColumns ? parts.transpose() : parts, 1);
	return length === chunks * most ? all : join(kind, all, reduceInner(kind, tail, 1));
}

function join(kind: Reduction, a: Physical, b: Physical): Physical {
	const y = a.runtime.empty(a.shape, a.dtype);
	joinKernel.of({ kind, dtype: a.dtype }).run({ a, b, y }, { n: a.size }, a.size);
	return y;
}
