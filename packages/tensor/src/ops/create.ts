import type { Device } from "../device.ts";
import { type DType, wgslScalar } from "../dtype.ts";
import { DTypeError, ValueError } from "../errors.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** A tensor whose element number i is `value`, WGSL of `i` (u32) and the parameters a and b. */
function generate(device: Device, op: string, shape: Shape, dtype: DType, value: string, a = 0, b = 0): Tensor {
	if (dtype === "bf16" || dtype === "u8") {
		throw new DTypeError("create/storage", `${op}: ${dtype} is storage only`, { op, hint: "make it in f32 or u32 and cast it" });
	}
	const scalar = wgslScalar[dtype];
	const out = device.empty(shape, dtype);
	device.run(
		`${op}/${dtype}`,
		() => ({
			params: { n: "u32", a: scalar, b: scalar },
			buffers: { y: { dtype, access: "write" } },
			workgroup: [64, 1, 1],
			body: `if (index >= p.n) { return; }\nlet i = ${scalar}(index);\ny_set(index, ${value});`,
		}),
		[out],
		[out.size, a, b],
		out.size,
	);
	return out;
}

/** A tensor filled with one value. */
export const full = (device: Device, shape: Shape, value: number, dtype: DType = "f32"): Tensor =>
	generate(device, "full", shape, dtype, dtype === "bool" ? "select(0u, 1u, p.a != 0u)" : "p.a", value);

export const zeros = (device: Device, shape: Shape, dtype: DType = "f32"): Tensor => full(device, shape, 0, dtype);
export const ones = (device: Device, shape: Shape, dtype: DType = "f32"): Tensor => full(device, shape, 1, dtype);

export const fullLike = (x: Tensor, value: number): Tensor => full(x.device, x.shape, value, x.dtype);
export const zerosLike = (x: Tensor): Tensor => fullLike(x, 0);
export const onesLike = (x: Tensor): Tensor => fullLike(x, 1);

/** start, start + step, … below end. */
export function arange(device: Device, start: number, end: number, step = 1, dtype: DType = "f32"): Tensor {
	const count = Math.ceil((end - start) / step);
	if (!Number.isFinite(count) || step === 0) {
		throw new ValueError("arange/step", `arange: ${start} to ${end} in steps of ${step} does not end`, { op: "arange" });
	}
	return generate(device, "arange", [Math.max(0, count)], dtype, "p.a + i * p.b", start, step);
}

/** `count` values from start to end, both included. */
export function linspace(device: Device, start: number, end: number, count: number): Tensor {
	if (!Number.isFinite(start) || !Number.isFinite(end)) {
		throw new ValueError("linspace/range", `linspace: ${start} to ${end} is no range`, { op: "linspace" });
	}
	return generate(device, "linspace", [count], "f32", "p.a + i * p.b", start, count > 1 ? (end - start) / (count - 1) : 0);
}

/** Ones on the diagonal of an [n, m] matrix. */
export function eye(device: Device, n: number, m = n, dtype: DType = "f32"): Tensor {
	const one = `${wgslScalar[dtype]}(1)`;
	return generate(device, "eye", [n, m], dtype, `select(${one} - ${one}, ${one}, index / u32(p.a) == index % u32(p.a))`, m);
}
