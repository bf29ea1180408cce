import { runtimeOf } from "./device.ts";
import type { DType } from "./dtype.ts";
import { expects, optionsOf } from "./expects.ts";
import { defineKernel } from "./gpu/defineKernel.ts";
import { reads, writes } from "./gpu/kernel.ts";
import { noteNotFinite } from "./gpu/status.ts";
import { wgsl } from "./gpu/wgsl.ts";
import { contiguous } from "./ops/contiguous.ts";
import { Physical } from "./physical.ts";
import { physicalOf } from "./physicalOf.ts";
import { insideOf, type Tensor } from "./tensor.ts";

const INFINITY = 0x7f800000;
const FLOATS: readonly DType[] = ["f32", "f16", "bf16"];

export const checkFiniteKernel = defineKernel("checkFinite", ({ dtype }: { dtype: DType }) => ({
	params: { n: "u32", limit: "u32", id: "u32" },
	buffers: { x: reads(dtype), status: writes("u32") },
	workgroup: 64,
	body: wgsl`
var worst = 0u;
for (var i = 4u * index; i < min(4u * index + 4u, p.n); i++) { worst = max(worst, bitcast<u32>(x_at(i)) & 0x7fffffffu); }
if (worst >= p.limit) { ${noteNotFinite} }`,
}));

/**
 * Notes in the device's status word when x holds NaN (or infinity, unless `allowInfinity`; false when left out); the next
 * `device.flush()` throws a NumericError that names `what`, of several the first. It does not wait: one kernel, which tells
 * them by their bits. Inside `vmap` it looks at all records. Integers pass.
 */
export function checkFinite(x: Tensor, what: string, options: { readonly allowInfinity?: boolean | undefined } = {}): void {
	expects("checkFinite", { x, what }, { x: "tensor", what: "text" });
	const { allowInfinity = false } = optionsOf("checkFinite", options, { allowInfinity: "flag?" });
	const { records } = insideOf(x);
	if (!FLOATS.includes(x.dtype) || x.size === 0 || records?.count === 0) return;
	const runtime = runtimeOf(x.device);
	runtime.scope(() => {
		const flat = contiguous(physicalOf(x, records?.count ?? 1));
		const status = new Physical(runtime, runtime.status.storage, "u32", { shape: [runtime.status.storage.bytes / 4] });
		const limit = allowInfinity ? INFINITY + 1 : INFINITY;
		const id = runtime.status.idOf(what);
		for (const part of flat.pieces) {
			checkFiniteKernel.of({ dtype: x.dtype }).run({ x: part, status }, { n: part.size, limit, id }, Math.ceil(part.size / 4));
		}
	});
}
