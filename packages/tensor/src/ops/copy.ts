import { bytesPerElement, type DType, FLOATS, wgslScalar } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { sameShape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { asParams, planWalk, walkCode, walkNames } from "./strided.ts";
import { linearOp } from "./traced.ts";

/** WGSL that turns `v`, as a kernel sees dtype `from`, into a value (or the low bits of a word) of dtype `to`. */
function conversion(from: DType, to: DType, v: string): string {
	const seen = wgslScalar[from];
	if (to === "bool") return `select(1u, 0u, ${v} == ${seen}(0))`;
	if (to === "bf16") return `bf16Of(f32(${v}))`;
	if (to === "u8") return seen === "u32" ? `min(${v}, 255u)` : `u32(clamp(${v}, ${seen}(0), ${seen}(255)))`;
	return `${wgslScalar[to]}(${v})`;
}

/** Copies x in row-major order into a new tensor, converting its elements. Packed types are assembled word by word. */
function materialize(x: Tensor, dtype: DType): Tensor {
	const out = x.device.empty(x.shape, dtype);
	const walk = planWalk(x.shape, [x]);
	const perWord = dtype === "bf16" || dtype === "u8" ? 4 / bytesPerElement[dtype] : 1;
	const value = x.dtype === dtype && dtype === "bf16" ? "bitcast<u32>(x_at(i0)) >> 16u" : conversion(x.dtype, dtype, "x_at(i0)");
	const body =
		perWord === 1
			? `if (index >= p.n) { return; }\n${walkCode(walk.rank, 1)}\ny_set(index, ${value});`
			: `if (index * ${perWord}u >= p.n) { return; }
var word = 0u;
for (var k = 0u; k < ${perWord}u && index * ${perWord}u + k < p.n; k++) {
${walkCode(walk.rank, 1, `(index * ${perWord}u + k)`)}
word |= (${value}) << (k * ${32 / perWord}u);
}
y_word(index, word);`;
	x.device.run(
		`copy/${x.dtype}/${dtype}/${walk.rank}`,
		() => ({
			params: { n: "u32", ...asParams(walk.names) },
			buffers: { x: { dtype: x.dtype, access: "read" }, y: { dtype, access: "write" } },
			workgroup: [64, 1, 1],
			body,
		}),
		[x, out],
		[x.size, ...walk.params],
		Math.ceil(x.size / perWord),
	);
	return out;
}

/** The same values in row-major order; the tensor itself when it is so already. */
export function contiguous(x: Tensor): Tensor {
	if (x.isContiguous) return x;
	return linearOp(
		"contiguous",
		x,
		(v) => materialize(v, v.dtype),
		(dy) => dy,
	);
}

/**
 * Converts the element type: floats to the nearest value, ties to even (too large for f16: infinity); floats to
 * integers towards 0, limited to the range; to bool, 0 or not. Differentiable from float to float.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
	if (x.dtype === dtype) return x;
	const isFloat = (d: DType): boolean => FLOATS.includes(d) || d === "bf16";
	if (!isFloat(x.dtype) || !isFloat(dtype)) {
		return x.device.scope(() => materialize(x, dtype)).alias({ perSample: x.perSample });
	}
	return linearOp(
		"cast",
		x,
		(v) => materialize(v, dtype),
		(dy) => dy,
	);
}

/**
 * Writes the values of `source` into `target`, in place: for state that a captured step carries on. Everything that
 * views the target changes with it.
 */
export function assign(target: Tensor, source: Tensor): void {
	if (!sameShape(target.shape, source.shape) || target.dtype !== source.dtype || target.node !== undefined) {
		throw new ShapeError(
			"assign/operands",
			`assign: target ${target.dtype} ${showShape(target.shape)}${target.node ? " (traced)" : ""}, source ${source.dtype} ${showShape(source.shape)}`,
			{ op: "assign", hint: "both need one shape and dtype, and no gradient may be in progress" },
		);
	}
	copyInto(source, target);
}

/** Copies x into a tensor of the same shape with any strides. */
export function copyInto(x: Tensor, target: Tensor): void {
	const walk = planWalk(x.shape, [x, target]);
	x.device.run(
		`copyInto/${x.dtype}/${walk.rank}`,
		() => ({
			params: { n: "u32", ...asParams(walkNames(walk.rank, 2)) },
			buffers: { x: { dtype: x.dtype, access: "read" }, y: { dtype: x.dtype, access: "write" } },
			workgroup: [64, 1, 1],
			body: `if (index >= p.n) { return; }\n${walkCode(walk.rank, 2)}\ny_set(i1, x_at(i0));`,
		}),
		[x, target],
		[x.size, ...walk.params],
		x.size,
	);
}
