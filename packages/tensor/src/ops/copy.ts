import { type DType, wgslScalar } from "../dtype.ts";
import { DTypeError } from "../errors.ts";
import { showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { asParams, planWalk, walkCode } from "./strided.ts";
import { linearOp } from "./traced.ts";

function materialize(x: Tensor, dtype: DType): Tensor {
	const out = x.device.empty(x.shape, dtype);
	const walk = planWalk(x.shape, [x]);
	const to = wgslScalar[dtype];
	const value = dtype === "bool" ? `select(0u, 1u, x_at(i0) != ${wgslScalar[x.dtype]}(0))` : `${to}(x_at(i0))`;
	x.device.run(
		`copy/${x.dtype}/${dtype}/${walk.rank}`,
		() => ({
			params: { n: "u32", ...asParams(walk.names) },
			buffers: { x: { dtype: x.dtype, access: "read" }, y: { dtype, access: "write" } },
			workgroup: [64, 1, 1],
			body: `if (index >= p.n) { return; }\n${walkCode(walk.rank, 1)}\ny_set(index, ${value});`,
		}),
		[x, out],
		[x.size, ...walk.params],
		x.size,
	);
	return out;
}

/** The same values in row-major order; the tensor itself when it is so already. */
export function contiguous(x: Tensor): Tensor {
	if (x.isContiguous) return x;
	if (x.dtype === "bf16") {
		throw new DTypeError("copy/bf16", `contiguous: a strided bf16 view ${showShape(x.shape)} cannot be copied`, {
			op: "contiguous",
			hint: "bf16 is storage only; cast it to f32 first",
		});
	}
	return linearOp(
		x,
		(v) => materialize(v, v.dtype),
		(dy) => dy,
	);
}

/** Converts the element type (f32 to integers truncates, as WGSL does; bf16 is widened exactly). */
export function cast(x: Tensor, dtype: DType): Tensor {
	if (x.dtype === dtype) return x;
	if (dtype === "bf16") {
		throw new DTypeError("cast/bf16", "cast: bf16 tensors are made from checkpoint bytes, not on the device", { op: "cast" });
	}
	const differentiable = x.dtype === "f32" || x.dtype === "bf16";
	if (!differentiable || dtype !== "f32") {
		return x.device.scope(() => materialize(x, dtype)).alias({ perSample: x.perSample });
	}
	return linearOp(
		x,
		(v) => materialize(v, dtype),
		(dy) => dy,
	);
}
