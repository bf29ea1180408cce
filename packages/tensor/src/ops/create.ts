import { type Device, runtimeOf } from "../device.ts";
import { bytesPerElement, type DType, wgslScalar } from "../dtype.ts";
import { DTypeError, ValueError } from "../errors.ts";
import { expects } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { named } from "../named.ts";
import type { Physical } from "../physical.ts";
import { report } from "../record.ts";
import type { Runtime } from "../runtime.ts";
import { checkShape, type Shape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { checkDType, RANGES } from "../upload.ts";
import { inRuns, RUN, RUN_PARAMS, runsOf } from "./turns.ts";

/** A tensor whose element number i is a function of i (WGSL, with the numbers a and b) in the scalar type; with `lanes` 4 of a alone. */
const generator = (name: string, value: (scalar: "f32" | "i32" | "u32", dtype: DType) => string) =>
	defineKernel(name, ({ dtype, lanes }: { dtype: DType; lanes: 1 | 4 }) => {
		const scalar = wgslScalar[dtype];
		const [four, type] = lanes === 4 ? ["4", `vec4<${scalar}>`] : ["", scalar];
		return {
			params: { ...RUN_PARAMS, a: scalar, b: scalar },
			buffers: { y: writes(dtype, lanes) },
			workgroup: RUN,
			body: inRuns(wgsl`let i = ${scalar}(at); y_set${four}(at, ${type}(${value(scalar, dtype)}));`),
		};
	});

export const fullKernel = generator("full", (_, dtype) => (dtype === "bool" ? "select(0u, 1u, p.a != 0u)" : "p.a"));
export const rampKernel = generator("ramp", () => "p.a + i * p.b");
export const eyeKernel = generator("eye", (scalar) => `select(${scalar}(0), ${scalar}(1), at / u32(p.a) == at % u32(p.a))`);

/** Bytes, at least, that a driver on the processor clears in a fifth of the time of a kernel, which stores every number by itself. */
const CLEARED = 2 ** 16;

/**
 * A view filled with one value; `shape` starts with the record axis. The value is not checked against the dtype.
 * @throws DTypeError for bf16 and u8, which are storage only.
 */
export const filled = (runtime: Runtime, shape: Shape, value: number, dtype: DType = "f32"): Physical =>
	generate(runtime, "full", fullKernel, shape, dtype, value);

/** A view of zeros; `shape` starts with the record axis. @throws DTypeError for bf16 and u8, which are storage only. */
export const zeroed = (runtime: Runtime, shape: Shape, dtype: DType = "f32"): Physical => filled(runtime, shape, 0, dtype);

function generate(runtime: Runtime, op: string, kernel: typeof fullKernel, shape: Shape, dtype: DType, a: number, b = 0): Physical {
	if (dtype === "bf16" || dtype === "u8") {
		throw new DTypeError("create/storage", `${op}: ${dtype} is storage only`, { op, hint: "make it in f32 or u32 and cast it" });
	}
	const y = runtime.empty(shape, dtype, op);
	const isZero = kernel === fullKernel && Object.is(a, 0) && runtime.device.plan === "cpu";
	const step = b < 0 && wgslScalar[dtype] === "u32" ? b + 2 ** 32 : b;
	for (const part of kernel === fullKernel ? y.pieces : [y]) {
		const lanes = kernel === fullKernel && part.size % 4 === 0 ? 4 : 1;
		const n = part.size / lanes;
		const { params, invocations } = runsOf(runtime.device.plan, n, 16);
		const range = { offset: part.offset * bytesPerElement[dtype], bytes: part.bytes };
		const zeroed = isZero && lanes === 4 && range.bytes >= CLEARED ? range : undefined;
		runtime.run(kernel.of({ dtype, lanes }), [part], [...Object.values(params), a, step], invocations, { zeroed });
	}
	return y;
}

/** A tensor with undefined contents, one for all records: for what writes all of it before anything is read. */
export function blank(device: Device, shape: Shape, dtype: DType = "f32"): Tensor {
	const runtime = runtimeOf(device);
	return runtime.scope(() => {
		const storage = runtime.own(runtime.empty([1, ...shape], dtype));
		return runtime.track(new Tensor(device, dtype, { storage, shape: [...shape] }));
	});
}

/** A function of the place as a tensor, one for all records. */
function create(device: Device, op: string, kernel: typeof fullKernel, shape: Shape, dtype: DType, a: number, b = 0): Tensor {
	const runtime = runtimeOf(device);
	checkShape(op, shape);
	const own = [...shape];
	return runtime.scope(() => {
		const y = generate(runtime, op, kernel, [1, ...own], dtype, a, b);
		const made = runtime.track(new Tensor(device, dtype, { storage: runtime.own(y), shape: own }));
		report(runtime, { name: op, inputs: [], infinite: true }, [made]);
		return made;
	});
}

/** @throws ValueError for a number that an integer type does not hold. */
export function checkHeld(op: string, value: number, dtype: DType, name = ""): void {
	const range = RANGES[dtype];
	if (range === undefined || (Number.isInteger(value) && value >= range[0] && value <= range[1])) return;
	throw new ValueError("create/value", `${op}: ${name}${value} is no ${dtype}`, {
		op,
		hint: `${dtype} holds whole numbers from ${range.join(" to ")}`,
	});
}

/**
 * A tensor filled with one value, f32 when `dtype` is left out; for bool the value is 0 or 1. Inside `vmap` it is the same for
 * all records.
 * @throws ValueError when an integer or bool `dtype` does not hold the value.
 * @throws DTypeError for bf16 and u8: make it in f32 or u32 and `cast` it.
 * @throws ShapeError when an extent is negative or no whole number.
 * @throws DeviceError for f16 on a device without it.
 */
export function full(device: Device, shape: Shape, value: number, dtype: DType = "f32"): Tensor {
	expects("full", { device, value }, { device: "device", value: "number" });
	checkDType("full", dtype);
	checkHeld("full", value, dtype);
	return create(device, "full", fullKernel, shape, dtype, value);
}

/**
 * A tensor of zeros (false for bool), f32 when `dtype` is left out.
 * @throws DTypeError for bf16 and u8, ShapeError and DeviceError as {@link full}.
 */
export const zeros = named("zeros", (device: Device, shape: Shape, dtype: DType = "f32"): Tensor => full(device, shape, 0, dtype));
/**
 * A tensor of ones (true for bool), f32 when `dtype` is left out.
 * @throws DTypeError for bf16 and u8, ShapeError and DeviceError as {@link full}.
 */
export const ones = named("ones", (device: Device, shape: Shape, dtype: DType = "f32"): Tensor => full(device, shape, 1, dtype));

/**
 * A tensor of the shape, dtype and device of x, filled with one value. It takes neither records nor gradient from x.
 * @throws ValueError when the dtype does not hold the value.
 * @throws DTypeError when x is bf16 or u8.
 */
export const fullLike = named("fullLike", (x: Tensor, value: number): Tensor => {
	expects("fullLike", { x }, { x: "tensor" });
	return full(x.device, x.shape, value, x.dtype);
});
/**
 * Zeros of the shape, dtype and device of x. They take neither records nor gradient from x.
 * @throws DTypeError when x is bf16 or u8.
 */
export const zerosLike = named("zerosLike", (x: Tensor): Tensor => fullLike(x, 0));
/**
 * Ones of the shape, dtype and device of x. They take neither records nor gradient from x.
 * @throws DTypeError when x is bf16 or u8.
 */
export const onesLike = named("onesLike", (x: Tensor): Tensor => fullLike(x, 1));

/**
 * start, start + step, … before end, one axis, as numpy's arange: ⌈(end − start) / step⌉ values, none where the step leads away
 * from end. `step` is 1 when left out and may be negative; `dtype` is f32 when left out.
 * @throws ValueError when the step is 0, a bound is not finite, or an integer dtype does not hold start, step or the last value.
 * @throws DTypeError for bf16 and u8.
 */
export function arange(device: Device, start: number, end: number, step = 1, dtype: DType = "f32"): Tensor {
	expects("arange", { device, start, end, step }, { device: "device", start: "number", end: "number", step: "number" });
	checkDType("arange", dtype);
	const count = Math.ceil((end - start) / step);
	if (!Number.isFinite(count) || step === 0) {
		throw new ValueError("arange/step", `arange: ${start} to ${end} in steps of ${step} does not end`, { op: "arange" });
	}
	checkHeld("arange", start, dtype, "start ");
	if (RANGES[dtype] !== undefined) expects("arange", { step }, { step: "whole" });
	checkHeld("arange", start + Math.max(0, count - 1) * step, dtype, "the last value ");
	return create(device, "arange", rampKernel, [Math.max(0, count)], dtype, start, step);
}

/**
 * `count` values from start to end in equal steps, both included, f32: start + i (end − start) / (count − 1), so that the last
 * may differ from end by rounding. A count of 1 gives start.
 * @throws ValueError when start or end is not finite.
 * @throws ShapeError when `count` is negative or no whole number.
 */
export function linspace(device: Device, start: number, end: number, count: number): Tensor {
	expects("linspace", { device, start, end, count }, { device: "device", start: "number", end: "number", count: "number" });
	if (!Number.isFinite(start) || !Number.isFinite(end)) {
		throw new ValueError("linspace/range", `linspace: ${start} to ${end} is no range`, { op: "linspace" });
	}
	return create(device, "linspace", rampKernel, [count], "f32", start, count > 1 ? (end - start) / (count - 1) : 0);
}

/**
 * An [n, m] matrix, square when m is left out, with 1 where row and column are equal and 0 elsewhere; f32 when `dtype` is left
 * out.
 * @throws ShapeError when an extent is negative or no whole number.
 * @throws DTypeError for bf16 and u8.
 */
export function eye(device: Device, n: number, m = n, dtype: DType = "f32"): Tensor {
	expects("eye", { device }, { device: "device" });
	checkDType("eye", dtype);
	return create(device, "eye", eyeKernel, [n, m], dtype, m);
}
