import { type DType, wgslScalar } from "../dtype.ts";
import { defineKernel, type Kernel } from "../gpu/defineKernel.ts";
import { type ParamType, reads, writes } from "../gpu/kernel.ts";
import type { Plan } from "../gpu/plan.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { type Shape, sizeOf } from "../shape.ts";
import type { Row } from "./elementwise.ts";
import { type Walk, walkCode, walkNumbers, walkParams } from "./strided.ts";
import { inRuns, RUN, RUN_PARAMS, rowsAtOnce, runsOf } from "./turns.ts";

/**
 * How an operand is read four elements at a time, one letter each: v, a vector that lies in order; r, the same vector in every line;
 * s, one number a line.
 */
type Mode = "v" | "r" | "s";

/** Vectors, at most, of an invocation that takes them all along one axis. */
const MOST_VECTORS = 8;

/** Numbers of the kernel that goes from line to line. */
const LINES = { rows: "u32", D: "u32", step: "u32" } as const;

/** The same expression for whole numbers: literals become integers. */
const integerCode = (f: string, scalar: "i32" | "u32"): string => f.replace(/(\d+)\.0\b/g, `${scalar}($1)`);

/**
 * The kernels of a row: one element an invocation with any strides, or four at once where each operand lies in order or repeats.
 * `functions` is WGSL that the row calls for floats.
 */
export function kernelsOf(
	name: string,
	operands: readonly string[],
	row: Pick<Row, "f" | "attrs" | "dtypes" | "integer" | "helpers" | "result">,
	functions = "",
) {
	const attrParams = <T extends ParamType>(type: T) => Object.fromEntries(Object.keys(row.attrs ?? {}).map((a) => [a, type]));
	const strided = defineKernel(`map/${name}`, ({ types, result, rank }: { types: string; result: DType; rank: number }) => {
		const dtypes = types.split("-") as DType[];
		const scalar = wgslScalar[dtypes[operands.findIndex((o) => !isCondition(row, o))] ?? result];
		const code = scalar === "f32" ? row.f : integerCode(row.integer ?? row.f, scalar);
		return {
			params: { n: "u32", ...attrParams(scalar), ...walkParams(rank, operands.length) },
			buffers: { ...Object.fromEntries(operands.map((n, i) => [`${n}_buf`, reads(dtypes[i])])), out_buf: writes(result) },
			workgroup: 64,
			helpers: scalar === "f32" ? functions : row.helpers?.replace(/\bT\b/g, scalar),
			body: wgsl`if (index >= p.n) { return; }
${walkCode(rank, operands.length)}
${operands.map((n, i) => `let ${n} = ${n}_buf_at(i${i});`).join("\n")}
out_buf_set(index, ${row.result === "bool" ? `select(0u, 1u, ${code})` : code});`,
		};
	});
	const inFours = defineKernel(`map4/${name}`, ({ modes, rank }: { modes: string; rank: number }) => {
		const isOnce = (i: number): boolean => modes[i] === "s";
		const four = (k: number): string => `f(${operands.map((n, i) => (isOnce(i) ? n : `${n}[${k}]`)).join(", ")})`;
		const reading = (mode: Mode, at: (i: number) => string): string =>
			operands.map((n, i) => (modes[i] === mode ? `let ${n} = ${n}_buf_at${isOnce(i) ? "" : "4"}(${at(i)});` : "")).join("\n");
		const result = `vec4f(${[0, 1, 2, 3].map(four).join(", ")})`;
		const lines = wgsl`let column = index % p.D;
let first = index / p.D;
if (first >= p.step) { return; }
${reading("r", () => "column")}
for (var line = first; line < p.rows; line += p.step) {
  ${walkCode(rank, operands.length, "line")}
  ${reading("s", (i) => `i${i}`)}
  ${reading("v", (i) => `i${i} + column`)}
  out_buf_set4(line * p.D + column, ${result});
}`;
		const flat = `${reading("s", () => "0u")}
${inRuns(`${reading("v", () => "at")}
out_buf_set4(at, ${result});`)}`;
		return {
			params: { ...(rank === 0 ? RUN_PARAMS : LINES), ...attrParams("f32"), ...walkParams(rank, operands.length) },
			buffers: {
				...Object.fromEntries(operands.map((n, i) => [`${n}_buf`, reads("f32", isOnce(i) ? 1 : 4)])),
				out_buf: writes("f32", 4),
			},
			workgroup: RUN,
			helpers: `${functions}fn f(${operands.map((n) => `${n}: f32`).join(", ")}) -> f32 { return ${row.f}; }`,
			body: rank === 0 ? flat : lines,
		};
	});
	return { strided, inFours };
}

/** Whether an operand only selects: its type says nothing about the result. */
export const isCondition = ({ dtypes }: Pick<Row, "dtypes">, operand: string): boolean =>
	dtypes !== undefined && !isList(dtypes) && dtypes[operand].every((d) => d === "bool");

export const isList = (v: readonly DType[] | Readonly<Record<string, readonly DType[]>>): v is readonly DType[] => Array.isArray(v);

/** A run of the kernel that takes four elements at once: its variant, its numbers, its invocations. */
interface Fours {
	/** Rank 0: the walk is the vectors in their order. */
	readonly variant: { readonly modes: string; readonly rank: number };
	/** In the order of the kernel's, but for the attributes, which come before the walk. */
	readonly sizes: readonly number[];
	readonly walk: readonly number[];
	readonly invocations: number;
}

/**
 * The plan for operands in f32 that lie in order along the last axis of the walk, or repeat along it; undefined for others. Each
 * invocation has one column of four and goes from line to line, so that what repeats is read once and no place is divided for.
 */
export function inFoursOf(plan: Plan, { extents, strides }: Walk, bases: readonly number[]): Fours | undefined {
	const last = extents.length - 1;
	if (last < 0 || extents[last] % 4 !== 0) return undefined;
	if (last === 0) return flatFoursOf(plan, extents[0] / 4, strides, bases);
	const D = extents[last] / 4;
	const outer = extents.slice(0, last);
	let modes = "";
	const steps: number[][] = [];
	for (const [o, base] of bases.entries()) {
		const inner = strides[o][last];
		const apart = strides[o].slice(0, last);
		if (inner === 0) modes += "s";
		else if (inner !== 1 || base % 4 !== 0 || apart.some((s) => s % 4 !== 0)) return undefined;
		else modes += apart.every((s) => s === 0) ? "r" : "v";
		steps.push(inner === 0 ? apart : apart.map((s) => s / 4));
	}
	const rows = sizeOf(outer);
	const step = rowsAtOnce(rows, D);
	return {
		variant: { modes, rank: outer.length },
		sizes: [rows, D, step],
		walk: walkNumbers(outer, steps),
		invocations: D * step,
	};
}

/** The plan for operands that have one axis, of so many vectors: in order each, or a number. */
function flatFoursOf(plan: Plan, n: number, strides: readonly Shape[], bases: readonly number[]): Fours | undefined {
	let modes = "";
	for (let o = 0; o < strides.length; o++) {
		const [stride] = strides[o];
		if (stride !== 0 && (stride !== 1 || bases[o] % 4 !== 0)) return undefined;
		modes += stride === 0 ? "s" : "v";
	}
	const { params, invocations } = runsOf(plan, n, MOST_VECTORS);
	return { variant: { modes, rank: 0 }, sizes: Object.values(params), walk: [], invocations };
}

/** A run of one of the kernels of a row whose operands and result are f32: `bases` are the first elements of the operands. */
export function floatRun(
	plan: Plan,
	{ strided, inFours }: ReturnType<typeof kernelsOf>,
	walk: Walk,
	bases: readonly number[],
	numbers: readonly number[],
): { readonly kernel: Kernel; readonly params: readonly number[]; readonly invocations: number } {
	const fours = inFoursOf(plan, walk, bases);
	if (fours !== undefined) {
		const { variant, sizes, invocations } = fours;
		return { kernel: inFours.of(variant), params: [...sizes, ...numbers, ...fours.walk], invocations };
	}
	const { extents, strides } = walk;
	const variant = { types: strides.map(() => "f32").join("-"), result: "f32" as const, rank: extents.length };
	const n = sizeOf(extents);
	return { kernel: strided.of(variant), params: [n, ...numbers, ...walkNumbers(extents, strides)], invocations: n };
}
