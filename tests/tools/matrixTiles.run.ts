/**
 * Tiles of plan "matrix", those that it chooses from and others, on a GPU that has it: milliseconds of the kernel alone, by the GPU's
 * own clock, when it is warm.
 *
 *     node --import tsx -C @hushgrad/source tests/tools/matrixTiles.run.ts 1024x1152x6912 2048x2048x2048
 *
 * `--tiles 64x64/2x2,64x64/1x2` measures those. Where there is no such GPU, matrices are emulated in plain WGSL.
 */
import { parseArgs } from "node:util";
import type { Device, Tensor } from "@hushgrad/tensor";
import { physicalOf, runtimeOf } from "@hushgrad/tensor/author";
import { BLOCK, gemmHalvesKernel, ROWS } from "../../packages/tensor/src/ops/gemm.halves.kernel.ts";
import { gemmMatrixKernel, MATRIX_TILES, type MatrixTile, partsOfTile } from "../../packages/tensor/src/ops/gemm.matrix.kernel.ts";
import { numbers } from "../support/cases.ts";
import { matrixDevice } from "../support/matrixDevice.ts";

const OTHERS = [
	"128x128/4x2",
	"128x128/2x2",
	"128x64/4x1",
	"128x64/4x2",
	"64x128/1x4",
	"64x128/2x2",
	"64x64/1x2",
	"64x64/2x1",
	"64x32/2x1",
];
const { values, positionals } = parseArgs({
	options: { tiles: { type: "string", default: [...MATRIX_TILES, ...OTHERS].join(",") } },
	allowPositionals: true,
});
/** Milliseconds that the GPU is kept busy, at first and for each figure. */
const [WARM, SAMPLE] = [100, 20];

/** Numbers for factors [m, k] and [n, k]: so many that look random, again and again. */
function drawn(device: Device, dtype: "f32" | "f16", [m, k, n]: readonly number[]): Tensor {
	const next = numbers(1, 0);
	const some = Float32Array.from({ length: 65521 }, () => next() - 0.5);
	const all = new Float32Array(Math.max(m, n) * k);
	for (let at = 0; at < all.length; at += some.length) all.set(some.subarray(0, all.length - at), at);
	return device.fromHost(all, [all.length], dtype);
}

/** Milliseconds of the kernel of a tile, for a [m, k] times the transpose of b [n, k], both from x. */
async function timed(device: Device, tile: MatrixTile, dtype: "f32" | "f16", [m, k, n]: readonly number[], x: Tensor): Promise<number> {
	const { matrices } = device;
	if (matrices === undefined) throw new Error("no matrices");
	const runtime = runtimeOf(device);
	const { least: _, ...unit } = matrices;
	const { extent, down, across } = partsOfTile(tile);
	const tiles = Math.ceil(m / extent.rows) * Math.ceil(n / extent.columns);
	const kernel = gemmMatrixKernel.of({ ...unit, tile, aDtype: dtype, bDtype: dtype, onto: false });
	const blocks = Math.ceil(k / BLOCK);
	const given = physicalOf(x, 1);
	const halves = (R: number) => {
		const out = { y: runtime.empty([R, blocks, dtype === "f32" ? 32 : 16], "u32"), e: runtime.empty([R], "u32") };
		const groups = Math.ceil(R / ROWS.row);
		const size = { K: k, blocks, z1: 1, z2: 1, s0: 0, s1: 0, s2: 0, rs: k, ks: 1, R, groups, runs: 1, zFirst: 0 };
		gemmHalvesKernel.of({ dtype, along: "row" }).run({ x: given, ...out }, size, 256 * groups);
		return out;
	};
	const run = async (times: number): Promise<number> => {
		const profile = await device.profile(() =>
			device.scope<void>(() => {
				const [left, right] = [halves(m), halves(n)];
				const views = { a: given, b: given, left: left.y, leftE: left.e, right: right.y, rightE: right.e, y: runtime.empty([1, m, n]) };
				const places = { z1: 1, z2: 1, a0: 0, a1: 0, a2: 0, am: k, ak: 1, b0: 0, b1: 0, b2: 0, bk: 1, bn: k, oz: m * n, om: n };
				const params = { ...places, M: m, N: n, K: k, tiles, aM: 0, bN: 0, blocks, zFirst: 0 };
				for (let i = 0; i < times; i++) kernel.run(views, params, tiles * unit.lanes * down * across);
			}),
		);
		const all = profile.events.filter((e) => e.kernel === kernel.key).map((e) => e.duration / 1e6);
		return all.sort((p, q) => p - q)[all.length >> 1];
	};
	const first = await run(1);
	return run(Math.max(1, Math.min(500, Math.ceil(SAMPLE / first))));
}

const device = await matrixDevice();
console.log(String(device), JSON.stringify(device.matrices));
const small = [256, 256, 256];
const few = drawn(device, "f32", small);
const end = performance.now() + WARM;
while (performance.now() < end) await timed(device, MATRIX_TILES[MATRIX_TILES.length - 1], "f32", small, few);
for (const name of positionals) {
	const shape = name.split("x").map(Number);
	for (const dtype of ["f32", "f16"] as const) {
		const x = drawn(device, dtype, shape);
		for (const tile of values.tiles.split(",") as MatrixTile[]) {
			const line = await timed(device, tile, dtype, shape, x).then(
				(ms) => `${ms.toFixed(4)} ms  ${((2 * shape[0] * shape[1] * shape[2]) / ms / 1e9).toFixed(2)} TFLOP/s`,
				(error) => (error as Error).message.split("\n").slice(0, 5).join(" | "),
			);
			console.log(name.padEnd(20), tile.padEnd(12), dtype.padEnd(4), line);
		}
		x.dispose();
	}
}
device.destroy();
