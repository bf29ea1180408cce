import type { DType } from "../dtype.ts";
import { wgslScalar } from "../dtype.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { contiguous } from "./contiguous.ts";

/** One invocation a result: whole numbers are for counts and indices, where products are small. */
export const matmulIntegerKernel = defineKernel("matmul/integer", ({ dtype }: { dtype: DType }) => ({
	params: { n: "u32", M: "u32", N: "u32", K: "u32" },
	buffers: { a: reads(dtype), b: reads(dtype), y: writes(dtype) },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let z = index / (p.M * p.N);
let row = index / p.N * p.K;
let column = z * p.K * p.N + index % p.N;
var acc = ${wgslScalar[dtype]}(0);
for (var k = 0u; k < p.K; k++) { acc += a_at(row + k) * b_at(column + k * p.N); }
y_set(index, acc);`,
}));

/** a `[..., M, K]` times b `[..., K, N]` of one whole type, with equal leading axes: exact modulo 2^32. */
export function matmulInteger(aView: Physical, bView: Physical): Physical {
	const [a, b] = [contiguous(aView), contiguous(bView)];
	const [M, K] = a.shape.slice(-2);
	const N = b.shape[b.rank - 1];
	const y = a.runtime.empty([...a.shape.slice(0, -1), N], a.dtype);
	matmulIntegerKernel.of({ dtype: a.dtype }).run({ a, b, y }, { n: y.size, M, N, K }, y.size);
	return y;
}
