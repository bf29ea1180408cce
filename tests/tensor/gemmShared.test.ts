import { cast, data, linear, matmul, slice, type Tensor, transpose } from "@hushgrad/tensor";
import { entry, gemm, physicalOf, runtimeOf } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { expectSame } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

/* Products that subgroups of 8 share, in plan cpu, where a driver has them: four rows at a time are computed by the kernel for all devices. */

const device = useDevice({ plan: "cpu", debug: { memory: true } });

function drawn(rows: number, columns: number, seed: number): Tensor {
	const next = numbers(seed, 0);
	return device().fromHost(
		Float32Array.from({ length: rows * columns }, () => 2 * next() - 1),
		[rows, columns],
	);
}

/** A matrix, by how it lies in memory. */
const LAYOUTS: Readonly<Record<string, (rows: number, columns: number, seed: number) => Tensor>> = {
	"in rows": drawn,
	"in columns": (rows, columns, seed) => transpose(drawn(columns, rows, seed)),
	"with gaps": (rows, columns, seed) => slice(drawn(rows, 2 * columns, seed), 1, 1, undefined, 2),
};
const pairs = Object.keys(LAYOUTS).flatMap((a) => Object.keys(LAYOUTS).map((b) => [a, b] as const));
/** Rows, columns, and length of the sums: whole tiles and what is left over, vectors and what is none. */
const SIZES = [
	[8, 32, 8],
	[16, 64, 64],
	[5, 16, 3],
	[12, 36, 20],
	[33, 35, 65],
	[64, 17, 130],
	[20, 40, 1],
	[96, 33, 12],
	[40, 8, 20],
	[36, 10, 7],
] as const;

describe.each(pairs)("matrices %s times matrices %s", (left, right) => {
	it.each(SIZES)("have the same bits whatever kernel computes them: %i x %i, sums of %i", async (m, n, k) => {
		const [whole, parts] = device().scope<Tensor[][]>(() => {
			const [a, b] = [LAYOUTS[left](m, k, 1), LAYOUTS[right](k, n, 2)];
			const starts = Array.from({ length: Math.ceil(m / 4) }, (_, i) => 4 * i);
			return [[matmul(a, b)], starts.map((i) => matmul(slice(a, 0, i, Math.min(i + 4, m)), b))];
		});
		const rows: number[] = [];
		for (const part of parts) rows.push(...((await data(part)) as Float32Array));
		expectSame((await data(whole[0])) as Float32Array, rows, `${m} x ${n}`);
		for (const t of [...whole, ...parts]) t.dispose();
	});
});

/** The products of four rows at a time, by the kernel for all devices. */
async function byFours(rows: number, product: (from: number, to: number) => Tensor): Promise<Float32Array> {
	const parts: number[] = [];
	for (let i = 0; i < rows; i += 4) {
		const y = device().scope<Tensor>(() => product(i, Math.min(i + 4, rows)));
		parts.push(...((await data(y)) as Float32Array));
		y.dispose();
	}
	return Float32Array.from(parts);
}

describe("products that subgroups share", () => {
	const [Z, M, K, N] = [3, 12, 20, 36];
	const matrix = (x: Tensor, z: number, rows: number): Tensor => slice(x, 0, z * rows, (z + 1) * rows);

	it.each([
		["in place of what was there", false, false],
		["added to what is there", true, false],
		["added to what lies beside", false, true],
	])("have the same bits in each entry of a batch, %s", async (_, accumulate, isBeside) => {
		const [a, b, y, c] = [drawn(Z * M, K, 1), drawn(Z * K, N, 2), drawn(Z * M, N, 3), drawn(Z * M, N, 4)];
		const before = await data(accumulate ? y : c);
		const of = (t: Tensor, rows: number) => entry(physicalOf(t, 1), 0).view({ shape: [Z, rows, t.shape[1]] });
		gemm(of(a, M), of(b, K), { view: of(y, M), batchStride: M * N, accumulate, plus: isBeside ? of(c, M) : undefined });
		const actual = (await data(y)) as Float32Array;
		for (let z = 0; z < Z; z++) {
			const product = await byFours(M, (from, to) => matmul(slice(matrix(a, z, M), 0, from, to), matrix(b, z, K)));
			const expected = product.map((v, i) => (accumulate || isBeside ? Math.fround(before[z * M * N + i] + v) : v));
			expectSame(actual.slice(z * M * N, (z + 1) * M * N), [...expected], `entry ${z}`);
		}
	});

	it.each([
		["in place of what was there, 36 columns", 36, false],
		["added to what lies beside, 36 columns", 36, true],
		["added to what lies beside, 8 columns", 8, true],
	])("have the same bits with the product of another, %s", async (_, n, isBeside) => {
		const R = 8;
		const [a, b, c] = [drawn(Z * M, K, 1), drawn(Z * K, n, 2), drawn(Z * M, n, 3)];
		const [low, up] = [drawn(Z * M, R, 4), drawn(Z * n, R, 5)];
		const [together, apart] = [drawn(Z * M, n, 6), drawn(Z * M, n, 7)];
		await device().flush();
		const of = (t: Tensor, rows: number) => entry(physicalOf(t, 1), 0).view({ shape: [Z, rows, t.shape[1]] });
		const update = { low: of(low, M), up: of(up, n).transpose() };
		const target = { batchStride: M * n, accumulate: false, plus: isBeside ? of(c, M) : undefined };
		gemm(of(a, M), of(b, K), { ...target, view: of(together, M), update });
		gemm(of(a, M), of(b, K), { ...target, view: of(apart, M) });
		gemm(update.low, update.up, { view: of(apart, M), batchStride: M * n, accumulate: true });
		expectSame((await data(together)) as Float32Array, [...((await data(apart)) as Float32Array)], "with the other");
	});

	it("have the same bits with few columns, in each entry of a batch", async () => {
		const [rows, n] = [40, 8];
		const [a, b] = [drawn(Z * K, rows, 1), drawn(Z * K, n, 2)];
		const y = drawn(Z * rows, n, 3);
		await device().flush();
		const of = (t: Tensor, r: number) => entry(physicalOf(t, 1), 0).view({ shape: [Z, r, t.shape[1]] });
		gemm(of(a, K).transpose(), of(b, K), { view: of(y, rows), batchStride: rows * n, accumulate: false });
		const actual = (await data(y)) as Float32Array;
		for (let z = 0; z < Z; z++) {
			const own = transpose(matrix(a, z, K));
			const expected = await byFours(rows, (from, to) => matmul(slice(own, 0, from, to), matrix(b, z, K)));
			expectSame(actual.slice(z * rows * n, (z + 1) * rows * n), [...expected], `entry ${z}`);
		}
	});

	it("have the same bits with a weight in bf16", async () => {
		const [x, w] = [drawn(M, K, 1), cast(drawn(N, K, 2), "bf16")];
		const whole = await data(linear(x, w));
		expectSame(whole as Float32Array, [...(await byFours(M, (from, to) => linear(slice(x, 0, from, to), w)))], "bf16");
	});
});

it("are shared where all subgroups have 8 invocations, and nowhere else", async () => {
	const { info } = device();
	device()
		.scope<Tensor>(() => matmul(drawn(16, 32, 1), drawn(32, 64, 2)))
		.dispose();
	const isShared = runtimeOf(device())
		.pipelines.kernels()
		.some(({ key }) => key.startsWith("gemm/shared"));
	expect(isShared).toBe(device().has("subgroups") && info.subgroupMinSize === 8 && info.subgroupMaxSize === 8);
});
