/**
 * Every tile of plan "matrix", on a GPU that has it: milliseconds of its kernel alone, by the GPU's own clock.
 *
 *     node --import tsx -C @hushgrad/source tests/tools/matrixTiles.run.ts 1024x1152x6912 2048x2048x2048
 *
 * `--emulated` takes matrices in plain WGSL.
 */
import { parseArgs } from "node:util";
import { type Device, requestDevice } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { BLOCK, gemmHalvesKernel, ROWS } from "../../packages/tensor/src/ops/gemm.halves.kernel.ts";
import { gemmMatrixKernel, MATRIX_TILES, type MatrixTile, matrixExtentOf } from "../../packages/tensor/src/ops/gemm.matrix.kernel.ts";
import { numbers } from "../support/cases.ts";
import { matrixDevice } from "../support/matrixDevice.ts";

const { values, positionals } = parseArgs({ options: { emulated: { type: "boolean", default: false } }, allowPositionals: true });
const RUNS = values.emulated ? 1 : 10;

/** Milliseconds of the kernel of a tile, for a [m, k] times the transpose of b [n, k] in numbers of the type. */
async function timed(device: Device, tile: MatrixTile, dtype: "f32" | "f16", [m, k, n]: readonly number[]): Promise<number> {
	const { matrices } = device;
	if (matrices === undefined) throw new Error("no matrices");
	const runtime = runtimeOf(device);
	const { least: _, ...unit } = matrices;
	const extent = matrixExtentOf(tile);
	const tiles = Math.ceil(m / extent.rows) * Math.ceil(n / extent.columns);
	const kernel = gemmMatrixKernel.of({ ...unit, tile, aDtype: dtype, bDtype: dtype, onto: false });
	const [blocks, next] = [Math.ceil(k / BLOCK), numbers(1, 0)];
	const random = Float32Array.from({ length: Math.max(m, n) * k }, () => next() - 0.5);
	const halves = (R: number) => {
		const out = { y: runtime.empty([R, blocks, dtype === "f32" ? 32 : 16], "u32"), e: runtime.empty([R], "u32") };
		const groups = Math.ceil(R / ROWS.row);
		const size = { K: k, blocks, z1: 1, z2: 1, s0: 0, s1: 0, s2: 0, rs: k, ks: 1, R, groups, zFirst: 0 };
		gemmHalvesKernel
			.of({ dtype, along: "row" })
			.run({ x: runtime.upload("tiles", random, [random.length], dtype), ...out }, size, 256 * groups);
		return out;
	};
	const profile = await device.profile(() =>
		device.scope<void>(() => {
			const [left, right] = [halves(m), halves(n)];
			const a = runtime.empty([Math.max(m, n), k], dtype);
			const views = { a, b: a, left: left.y, leftE: left.e, right: right.y, rightE: right.e, y: runtime.empty([1, m, n]) };
			const places = { z1: 1, z2: 1, a0: 0, a1: 0, a2: 0, am: k, ak: 1, b0: 0, b1: 0, b2: 0, bk: 1, bn: k, oz: m * n, om: n };
			const params = { ...places, M: m, N: n, K: k, tiles, aM: 0, bN: 0, blocks, zFirst: 0 };
			const { down, across } = MATRIX_TILES[tile];
			for (let i = 0; i < RUNS; i++) kernel.run(views, params, tiles * unit.lanes * down * across);
		}),
	);
	const times = profile.events.filter((e) => e.kernel === kernel.key).map((e) => e.duration / 1e6);
	return times.sort((a, b) => a - b)[times.length >> 1];
}

const device = await (values.emulated ? matrixDevice() : requestDevice({ plan: "matrix" }));
for (const name of positionals) {
	const shape = name.split("x").map(Number);
	for (const tile of Object.keys(MATRIX_TILES) as MatrixTile[]) {
		for (const dtype of ["f32", "f16"] as const) {
			const line = await timed(device, tile, dtype, shape).then(
				(ms) => `${ms.toFixed(4)} ms  ${((2 * shape[0] * shape[1] * shape[2]) / ms / 1e9).toFixed(2)} TFLOP/s`,
				(error) => (error as Error).message.split("\n").slice(0, 5).join(" | "),
			);
			console.log(name.padEnd(20), tile.padEnd(8), dtype.padEnd(4), line);
		}
	}
}
device.destroy();
