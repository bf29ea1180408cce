import { cast, type Device, type DType, key, normal, type Tensor } from "@hushgrad/tensor";
import { type GemmTarget, gemm, type Physical, physicalOf } from "@hushgrad/tensor/author";
import type { Dispatch } from "../roofline/dryDevice.ts";
import { compile } from "../roofline/wgsl/compile.ts";
import { paramsOf } from "../roofline/work.ts";

/** A product of matrices in plan "gpu", as a program asked for it. */
export interface Product {
	/** As a tuning names it: products times M x N x K. */
	readonly name: string;
	/** The tile that it was computed in. */
	readonly tile: string;
	/** How often it was asked for. */
	readonly calls: number;
	/** Of one call. */
	readonly flops: number;
	/** What tells the kernel from others, and the numbers that it was given. */
	readonly kernel: readonly string[];
	readonly params: Readonly<Record<string, number>>;
}

const TILE = /^\d+x\d+$/;

/** The products among dispatches, equal ones once, those with the most FLOPs first. */
export function productsOf(dispatches: readonly Dispatch[]): Product[] {
	const found = new Map<string, Product>();
	const programs = new Map<string, ReturnType<typeof compile>>();
	for (const { kernel, wgsl, block } of dispatches) {
		const [family, tiled, ...parts] = kernel.split("/");
		const tile = parts.find((part) => TILE.test(part));
		if (family !== "gemm" || tiled !== "tiled" || tile === undefined) continue;
		const program = programs.get(wgsl) ?? compile(wgsl);
		programs.set(wgsl, program);
		const params = Object.fromEntries(Object.entries(paramsOf(program, block)).map(([name, value = 0]) => [name, value]));
		const { M, N, K, zs, run } = params;
		const [times, k] = [zs * Math.ceil(K / run), Math.min(K, run)];
		const identity = JSON.stringify([kernel, params]);
		const calls = 1 + (found.get(identity)?.calls ?? 0);
		found.set(identity, { name: `${times}x${M}x${N}x${k}`, tile, calls, flops: 2 * zs * M * N * K, kernel: parts, params });
	}
	return [...found.values()].sort((a, b) => b.calls * b.flops - a.calls * a.flops);
}

/** A product that can be run on a device, on numbers of its own. */
export interface Prepared {
	readonly run: () => void;
	readonly dispose: () => void;
}

/** The product on a device, whose tuning decides on its tile. Each part of a sum in parts is a product of its own. */
export function prepared(device: Device, { kernel: [, , aDtype, bDtype, ...variant], params }: Product): Prepared {
	const { M, N, K, run, zs, z1, z2, a0, a1, a2, am, ak, b0, b1, b2, bk, bn, oz, om, R, un, uz } = params;
	const [parts, depth] = [Math.ceil(K / run), Math.min(K, run)];
	const lead = [parts, zs / (z1 * z2), z1, z2];
	const axes = lead.flatMap((extent, i) => (extent > 1 ? [i] : []));
	const kept = axes.length > 0 ? axes : [0];
	const tensors: Tensor[] = [];
	/** Numbers of a view of these axes, as far as they are needed. */
	const view = (dtype: DType, shape: readonly number[], strides: readonly number[]): Physical => {
		const size = shape.reduce((n, extent, i) => n + (extent - 1) * strides[i], 8);
		const values = device.scope(() => device.keep(cast(normal(device, [size], key(tensors.length)), dtype)));
		tensors.push(values);
		return physicalOf(values, 1).view({ shape, strides });
	};
	const shape = kept.map((i) => lead[i]);
	const at = (strides: readonly number[]): number[] => kept.map((i) => strides[i]);
	const times = parts * zs;
	const stored = parts > 1 ? [M * N, N] : [oz, om];
	const row = (): Physical => view("f32", [times, M, N], [...stored, 1]);
	const target: GemmTarget = {
		view: row(),
		batchStride: stored[0],
		rowStride: stored[1],
		accumulate: variant.includes("y"),
		plus: variant.includes("c") ? row() : undefined,
		update: variant.includes("update")
			? { low: view("f32", [times, M, R], [M * R, R, 1]), up: view("f32", [times, R, N], [uz, 1, un]) }
			: undefined,
	};
	const a = view(aDtype as DType, [...shape, M, depth], [...at([run * ak, a0, a1, a2]), am, ak]);
	const b = view(bDtype as DType, [...shape, depth, N], [...at([run * bk, b0, b1, b2]), bk, bn]);
	return {
		run: () => device.scope<void>(() => void gemm(a, b, target)),
		dispose: () => {
			for (const t of tensors) t.dispose();
		},
	};
}
