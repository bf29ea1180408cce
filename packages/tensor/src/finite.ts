import type { DType } from "./dtype.ts";
import { noteNotFinite } from "./gpu/status.ts";
import { contiguous } from "./ops/copy.ts";
import type { Tensor } from "./tensor.ts";

const INFINITY = 0x7f800000;
const FLOATS: readonly DType[] = ["f32", "f16", "bf16"];

/**
 * Notes in the device's status word when x holds NaN (or infinity, unless allowed); the next `device.flush()` throws a
 * NumericError that names `what`. Tells them by their bits. Integers pass.
 */
export function checkFinite(x: Tensor, what: string, { allowInfinity = false } = {}): void {
	if (!FLOATS.includes(x.dtype) || x.size === 0) return;
	const { device } = x;
	device.scope<void>(() => {
		const flat = contiguous(x.alias({ perSample: false }));
		const bindings = [device.bind("checkFinite", flat), device.status.binding()];
		device.dispatch(
			`checkFinite/${x.dtype}`,
			() => ({
				params: { n: "u32", limit: "u32", id: "u32" },
				buffers: { x: { dtype: x.dtype, access: "read" }, status: { dtype: "u32", access: "write" } },
				workgroup: [64, 1, 1],
				body: `
var worst = 0u;
for (var i = 4u * index; i < min(4u * index + 4u, p.n); i++) { worst = max(worst, bitcast<u32>(x_at(i)) & 0x7fffffffu); }
if (worst >= p.limit) { ${noteNotFinite} }`,
			}),
			bindings,
			[x.size, allowInfinity ? INFINITY + 1 : INFINITY, device.status.idOf(what)],
			Math.ceil(x.size / 4),
		);
	});
}
