import { normal, type Row, small } from "../suite/row.ts";

const square = (n: number): Row => ({
	name: `matmul ${n}`,
	family: "kernels",
	work: "matmul",
	inputs: { a: normal(n, n), b: normal(n, n) },
	attrs: {},
	flops: 2 * n ** 3,
	tolerance: 1e-4,
});

/** Rows of a product, features that go in and that come out. */
type Shape = readonly [m: number, k: number, n: number];

const linear = ([m, k, n]: Shape): Row => ({
	name: `linear ${m}x${k} to ${n}`,
	family: "kernels",
	work: "linear",
	inputs: { x: normal(m, k), w: small(n, k) },
	attrs: {},
	flops: 2 * m * k * n,
	tolerance: 1e-4,
});

const nf4 = (name: string, [m, k, n]: Shape): Row => ({
	name: `NF4 ${name} ${m}x${k} to ${n}`,
	family: "kernels",
	work: name === "transposed" ? "nf4Transposed" : "nf4",
	inputs: { x: normal(m, k) },
	attrs: { k, n },
	flops: 2 * m * k * n,
	tolerance: 1e-4,
});

/** Products: squares, and the linear layers of VaultGemma 1B, plain and in four bits. */
export const PRODUCTS: readonly Row[] = [
	...[256, 512, 1024].map(square),
	...([[128, 1152, 1024], [128, 1152, 1152], [128, 1024, 1152], [128, 1152, 6912], [128, 6912, 1152]] as const).map(linear), // biome-ignore format: pairs
	nf4("forward", [128, 1152, 1024]),
	nf4("forward", [128, 1152, 6912]),
	nf4("transposed", [128, 1024, 1152]),
	nf4("mat-vec", [1, 1152, 6912]),
	nf4("mat-vec", [1, 6912, 1152]),
];
