import { runtimeOf } from "../device.ts";
import { type DType, FLOATS } from "../dtype.ts";
import { ShapeError } from "../errors.ts";
import { expects } from "../expects.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../float16.ts";
import { defineLinear, type LinearOp } from "../linearOp.ts";
import { physicalOf } from "../physicalOf.ts";
import { report } from "../record.ts";
import { isContiguous, sameShape } from "../shape.ts";
import { insideOf, nodeOf, type Tensor } from "../tensor.ts";
import { checkDType } from "../upload.ts";
import { copyInto, isPacked, materialize } from "./contiguous.ts";

const isFloat = (d: DType): boolean => FLOATS.includes(d) || d === "bf16";

/** A float64 as `dtype` holds it. */
function rounded(v: number, dtype: DType): number {
	if (dtype === "f16") return fromFloat16(toFloat16(Float32Array.of(v)))[0];
	if (dtype === "bf16") return fromBfloat16(toBfloat16(Float32Array.of(v)))[0];
	if (dtype === "bool") return Number(v !== 0);
	if (dtype === "f32") return Math.fround(v);
	const [low, high] = dtype === "i32" ? [-(2 ** 31), 2 ** 31 - 1] : [0, dtype === "u8" ? 255 : 2 ** 32 - 1];
	return Number.isNaN(v) ? 0 : Math.min(Math.max(Math.trunc(v), low), high);
}

export const castPrimitive: LinearOp<DType> = defineLinear({
	name: "cast",
	forward: ([x], dtype) => materialize(x, dtype),
	adjoint: (dy) => dy,
	constant: ([x], dtype) => !isFloat(x.dtype) || !isFloat(dtype),
	reference: ([x], dtype) => ({ data: x.data.map((v) => rounded(v, dtype)), shape: x.shape }),
	test: { draw: (_, next) => (["bf16", "i32", "u32", "bool", "u8"] as const)[Math.floor(5 * next())] },
});

/**
 * x with its elements converted to `dtype`; x itself when it has that dtype. To floats: the nearest value, ties to even (too
 * large for f16: infinity). To integers: towards 0, limited to what the integer holds; NaN gives 0. To bool: whether it is not 0
 * (NaN is true). Differentiable from float to float, else of gradient 0.
 * @throws DTypeError when `dtype` is no element type.
 * @throws DeviceError for f16 on a device without it.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
	expects("cast", { x }, { x: "tensor" });
	if (x.dtype === dtype) return x;
	checkDType("cast", dtype);
	return castPrimitive.apply([x], dtype);
}

/**
 * Writes the values of `source` into `target`, in place: for state that a captured step carries on. Everything that views the
 * target changes with it. A target of bf16 or u8, of which a word holds several elements, has no gaps and no offset.
 * @throws ShapeError when they differ in shape or dtype, belong to a gradient or to a program for one record, or when a target of
 * bf16 or u8 is a view with gaps or an offset.
 */
export function assign(target: Tensor, source: Tensor): void {
	expects("assign", { target, source }, { target: "tensor", source: "tensor" });
	const isPlain = (t: Tensor): boolean => insideOf(t).records === undefined;
	const fits = sameShape(target.shape, source.shape) && target.dtype === source.dtype;
	if (!fits || nodeOf(target) !== undefined || !isPlain(target) || !isPlain(source)) {
		const traced = nodeOf(target) === undefined ? "" : " (traced)";
		throw new ShapeError("assign/operands", `assign: target ${target}${traced}, source ${source}`, {
			op: "assign",
			hint: "both need one shape and dtype, and no gradient and no program for one record may be in progress",
		});
	}
	const runtime = runtimeOf(target.device);
	const { strides, offset } = insideOf(target);
	if (isPacked(target.dtype) && (offset !== 0 || !isContiguous(target.shape, strides))) {
		throw new ShapeError("assign/view", `assign: target ${target} is a view with gaps or an offset`, {
			op: "assign",
			hint: "a word of memory holds several elements of bf16 and u8; assign to the tensor it was made from",
		});
	}
	runtime.scope(() => copyInto(physicalOf(source, 1), physicalOf(target, 1)));
	report(runtime, { name: "assign", inputs: [source], infinite: true }, [target]);
}
