import { bytesPerElement, type DType, wgslScalar } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { isContiguous, type Shape, viewStrides } from "../shape.ts";
import { planWalk, type Walk, walkCode, walkParams, walkValues } from "./strided.ts";

/** WGSL that turns `v`, as a kernel sees dtype `from`, into a value (or the low bits of a word) of dtype `to`. */
function conversion(from: DType, to: DType, v: string): string {
	const seen = wgslScalar[from];
	if (to === "bool") return `select(1u, 0u, ${v} == ${seen}(0))`;
	if (to === "bf16") return `bf16Of(f32(${v}))`;
	if (seen === "f32" && wgslScalar[to] !== "f32") {
		const [beyond, most] =
			to === "i32" ? ["2147483648.0", "0x7fffffffi"] : to === "u8" ? ["255.0", "255u"] : ["4294967296.0", "0xffffffffu"];
		const zero = to === "i32" ? "0i" : "0u";
		return `select(select(${wgslScalar[to]}(${v}), ${most}, ${v} >= ${beyond}), ${zero}, isNan(${v}))`;
	}
	if (to === "u8") return seen === "u32" ? `min(${v}, 255u)` : `u32(clamp(${v}, 0, 255))`;
	if (seen === "i32" && to === "u32") return `u32(max(${v}, 0))`;
	if (seen === "u32" && to === "i32") return `i32(min(${v}, 0x7fffffffu))`;
	return `${wgslScalar[to]}(${v})`;
}

/** Whether a word holds several elements. */
export const isPacked = (dtype: DType): boolean => dtype === "bf16" || dtype === "u8";
const perWord = (dtype: DType): number => (isPacked(dtype) ? 4 / bytesPerElement[dtype] : 1);

/** Row-major copy with conversion. Packed results are assembled word by word; `keep` keeps what is behind them in the last word. */
export const copyKernel = defineKernel("copy", ({ from, to, rank, keep }: { from: DType; to: DType; rank: number; keep: boolean }) => {
	const value = from === to && to === "bf16" ? "bitcast<u32>(x_at(i0)) >> 16u" : conversion(from, to, "x_at(i0)");
	const each = perWord(to);
	return {
		params: { n: "u32", ...walkParams(rank, 1) },
		buffers: { x: reads(from), y: writes(to) },
		workgroup: 64,
		body: isPacked(to)
			? wgsl`if (index * ${each}u >= p.n) { return; }
var word = 0u;
for (var k = 0u; k < ${each}u && index * ${each}u + k < p.n; k++) {
${walkCode(rank, 1, `(index * ${each}u + k)`)}
word |= (${value}) << (k * ${32 / each}u);
}
${keep ? `let filled = p.n - index * ${each}u;\nif (filled < ${each}u) { word |= y[index] & (0xffffffffu << (filled * ${32 / each}u)); }` : ""}
y_word(index, word);`
			: wgsl`if (index >= p.n) { return; }\n${walkCode(rank, 1)}\ny_set(index, ${value});`,
	};
});

/** Copy into a view with any strides, of elements or fours of them. */
export const copyIntoKernel = defineKernel("copyInto", ({ dtype, rank, lanes }: { dtype: DType; rank: number; lanes: 1 | 4 }) => {
	const four = lanes === 4 ? "4" : "";
	return {
		params: { n: "u32", ...walkParams(rank, 2) },
		buffers: { x: reads(dtype, lanes), y: writes(dtype, lanes) },
		workgroup: 64,
		body: wgsl`if (index >= p.n) { return; }\n${walkCode(rank, 2)}\ny_set${four}(i1, x_at${four}(i0));`,
	};
});

/** The walk of a view and where it goes, four elements of f32 at a time; undefined where they do not lie so. */
function walkInFours(x: Physical, y: Physical): Walk | undefined {
	const { extents, strides } = planWalk(x.shape, [x, y]);
	const last = extents.length - 1;
	const isWhole = [x.offset, y.offset, extents[last], ...strides.flatMap((s) => s.slice(0, last))].every((v) => v % 4 === 0);
	if (x.dtype !== "f32" || y.dtype !== "f32" || !isWhole || strides.some((s) => s[last] !== 1)) return undefined;
	const fours = (v: number, axis: number): number => (axis === last ? v : v / 4);
	return { extents: extents.with(last, extents[last] / 4), strides: strides.map((s) => s.map(fours)) };
}

/** Copies x in row-major order into new memory, converting its elements. */
export function materialize(x: Physical, dtype: DType = x.dtype): Physical {
	const y = x.runtime.empty(x.shape, dtype);
	if (!copiedInFours(x, y)) copyInOrder(x, y, false);
	return y;
}

function copiedInFours(x: Physical, y: Physical): boolean {
	const walk = walkInFours(x, y);
	if (walk === undefined) return false;
	const { extents, strides } = walk;
	const n = x.size / 4;
	copyIntoKernel.of({ dtype: "f32", rank: extents.length, lanes: 4 }).run({ x, y }, { n, ...walkValues(extents, strides) }, n);
	return true;
}

function copyInOrder(x: Physical, y: Physical, keep: boolean): void {
	const { extents, strides } = planWalk(x.shape, [x]);
	const kernel = copyKernel.of({ from: x.dtype, to: y.dtype, rank: extents.length, keep });
	kernel.run({ x, y }, { n: x.size, ...walkValues(extents, strides) }, Math.ceil(x.size / perWord(y.dtype)));
}

/** The same values in row-major order, all records one after the other; the view itself when it is so already, else a copy. */
export const contiguous = (x: Physical): Physical => (x.isContiguous ? x : materialize(x));

/**
 * The same values, those of each record in row-major order: x itself or a copy. The record axis keeps any stride: what all
 * records share stays one copy.
 */
export function packed(x: Physical): Physical {
	const [, ...shape] = x.shape;
	const [stride, ...strides] = x.strides;
	if (isContiguous(shape, strides)) return x;
	if (stride !== 0) return materialize(x);
	const one = materialize(x.view({ shape: [1, ...shape], strides: [0, ...strides] }));
	return one.view({ shape: x.shape, strides: [0, ...one.strides.slice(1)] });
}

/**
 * Another shape for the elements of each record, in row-major order; `shape` is without the record axis, and of as many
 * elements (not checked). A view where the strides allow it, else of a copy.
 */
export function reshaped(x: Physical, shape: Shape): Physical {
	const [count, ...own] = x.shape;
	const strides = viewStrides(own, x.strides.slice(1), shape);
	if (strides !== undefined) return x.view({ shape: [count, ...shape], strides: [x.strides[0], ...strides] });
	return reshaped(packed(x), shape);
}

/**
 * Copies x into a view of the same shape and dtype (not checked) with any strides; of bf16 and u8, of which a word holds several
 * elements, without gaps and from the beginning of its memory.
 */
export function copyInto(x: Physical, target: Physical): void {
	if (isPacked(target.dtype)) {
		copyInOrder(x, target, true);
		return;
	}
	if (copiedInFours(x, target)) return;
	const { extents, strides } = planWalk(x.shape, [x, target]);
	const kernel = copyIntoKernel.of({ dtype: x.dtype, rank: extents.length, lanes: 1 });
	kernel.run({ x, y: target }, { n: x.size, ...walkValues(extents, strides) }, x.size);
}
