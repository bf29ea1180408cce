/**
 * Products of plan "matrix" beside those of plan "gpu", on one GPU: squares, and the shapes of VaultGemma 1B's layers, plain and in four
 * bits, in milliseconds of the GPU's own clock. Each row is checked: the plans against each other, and some elements against float64.
 * A row that fails says why, and the next one runs.
 *
 *     node --import tsx -C @hushgrad/source bench/matrix.ts
 *     ... --rows 1024x1152x6912   only rows whose name contains this
 *     ... --seconds 20            time for each plan, 25 when left out; what does not fit is left out
 *     ... --runs 200              products in a sample, at most
 */
import { NF4Parameter } from "@hushgrad/nn";
import { registry } from "@hushgrad/nn/registry";
import { type Device, data, linear, matmul, requestDevice, type Tensor } from "@hushgrad/tensor";
import { readFlags } from "../tools/flags.mjs";
import { drawnNF4 } from "./suite/draw.ts";

const HELP = `node --import tsx -C @hushgrad/source bench/matrix.ts [flags]
  --rows TEXT    only rows whose name holds it
  --seconds 25   time for each plan
  --runs 200     products in a sample, at most`;
const options = readFlags(HELP, {
	rows: { type: "string", default: "" },
	seconds: { type: "string", default: "25" },
	runs: { type: "string", default: "200" },
});

const say = (...cells: readonly string[]): void => console.log(cells.join("  "));
const failed = (error: unknown): string => `FAILED: ${(error as Error).message.split("\n").slice(0, 6).join(" | ")}`;

/** Numbers that look random, the same in each run. */
function draw(n: number, seed: number, scale: number): Float32Array {
	let state = seed;
	return Float32Array.from({ length: n }, () => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return scale * (state / 2 ** 31 - 1);
	});
}

interface Run {
	readonly run: () => Tensor;
	readonly dispose: () => void;
	/** Element (i, j) in float64, and the sum of the sizes of its products. */
	readonly exact?: (i: number, j: number) => { readonly value: number; readonly size: number };
}

interface Row {
	readonly name: string;
	readonly shape: readonly [m: number, k: number, n: number];
	prepare(device: Device): Run;
}

/** x [m, k] times w, which lies as [n, k] or, of a square, as [k, n]. */
function plain(name: string, [m, k, n]: Row["shape"], isSquare: boolean): Row {
	return {
		name,
		shape: [m, k, n],
		prepare: (device) => {
			const [x, w] = [draw(m * k, 1, 1), draw(k * n, 2, 0.05)];
			const [tx, tw] = [device.fromHost(x, [m, k]), device.fromHost(w, isSquare ? [k, n] : [n, k])];
			return {
				run: () => device.scope<Tensor>(() => (isSquare ? matmul(tx, tw) : linear(tx, tw))),
				dispose: () => {
					tx.dispose();
					tw.dispose();
				},
				exact: (i, j) => {
					let [value, size] = [0, 0];
					for (let q = 0; q < k; q++) {
						const product = x[i * k + q] * (isSquare ? w[q * n + j] : w[j * k + q]);
						value += product;
						size += Math.abs(product);
					}
					return { value, size };
				},
			};
		},
	};
}

const nf4Transposed = registry.primitives.find(({ spec }) => spec.name === "nf4Linear.dx");

/** x [m, k] times a weight in four bits [n, k], or transposed [k, n]. */
function nf4(name: string, [m, k, n]: Row["shape"], isTransposed: boolean): Row {
	return {
		name,
		shape: [m, k, n],
		prepare: (device) => {
			const shape = isTransposed ? [k, n] : [n, k];
			const { scales: _, ...state } = drawnNF4(shape[0], shape[1]);
			const weight = new NF4Parameter(shape);
			weight.loadQuantized(device, { ...state, shape, blocksize: 64, dtype: "F32" });
			const x = device.fromHost(draw(m * k, 3, 1), [m, k]);
			const { codes, scales, nested, map } = weight.weight;
			const attrs = { n: shape[0], k: shape[1], offset: state.offset, rounded: 0 };
			const transposed = (): Tensor => {
				if (nf4Transposed === undefined) throw new Error("there is no nf4Linear.dx");
				return nf4Transposed.apply([x, codes, scales, nested, map], attrs)[0];
			};
			return {
				run: () => device.scope<Tensor>(() => (isTransposed ? transposed() : weight.linear(x))),
				dispose: () => {
					weight.dispose();
					x.dispose();
				},
			};
		},
	};
}

const LAYERS: readonly Row["shape"][] = [
	[1024, 1152, 6912],
	[1024, 6912, 1152],
	[1024, 1152, 1024],
	[1024, 1024, 1152],
];
const ROWS: readonly Row[] = [
	...[512, 1024, 2048, 4096].map((n) => plain(`square ${n}`, [n, n, n], true)),
	...LAYERS.map((shape) => plain(`linear ${shape.join("x")}`, shape, false)),
	...LAYERS.slice(0, 2).map((shape) => nf4(`NF4 ${shape.join("x")}`, shape, false)),
	...LAYERS.slice(0, 2).map((shape) => nf4(`NF4 transposed ${shape.join("x")}`, shape, true)),
].filter(({ name }) => name.includes(options.rows));

/** Milliseconds that a GPU is kept busy before it is timed, so that its clock is high, and in each of the samples. */
const [WARM, SAMPLE, SAMPLES] = [150, 15, 5];

/** Milliseconds of one run by the GPU's clock, and each kernel's part of it; without timestamps, by waiting for all. */
async function timed(device: Device, run: () => Tensor): Promise<{ readonly ms: number; readonly parts: string }> {
	const most = Number(options.runs);
	const waited = async (runs: number): Promise<number> => {
		const begin = performance.now();
		for (let i = 0; i < runs; i++) run().dispose();
		await device.flush();
		return (performance.now() - begin) / runs;
	};
	const end = performance.now() + WARM;
	let wall = await waited(1);
	while (performance.now() < end) wall = await waited(Math.max(1, Math.min(most, Math.ceil(SAMPLE / wall))));
	if (!device.has("timestamp-query")) return { ms: wall, parts: `wall ${wall.toFixed(3)} ms` };
	const profiled = (runs: number) =>
		device.profile(() => {
			for (let j = 0; j < runs; j++) run().dispose();
		});
	const first = (await profiled(1)).milliseconds;
	const runs = Math.max(1, Math.min(most, Math.ceil(SAMPLE / first)));
	const samples: { readonly ms: number; readonly parts: string }[] = [];
	for (let i = 0; i < SAMPLES; i++) {
		const profile = await profiled(runs);
		const parts = profile.kernels().map(({ kernel, milliseconds }) => `${kernel} ${(milliseconds / runs).toFixed(3)}`);
		samples.push({ ms: profile.milliseconds / runs, parts: `wall ${wall.toFixed(3)} ms; ${parts.join(", ")}` });
	}
	return samples.sort((a, b) => a.ms - b.ms)[samples.length >> 1];
}

/** Largest difference from float64 over a few elements, in units of the sum of the sizes of their products. */
function worstOf(y: Float32Array, [m, , n]: Row["shape"], exact: NonNullable<Run["exact"]>): number {
	let worst = 0;
	for (let t = 0; t < 64; t++) {
		const [i, j] = [(t * 7919 + 13) % m, (t * 104729 + 31) % n];
		const { value, size } = exact(i, j);
		const error = Math.abs(y[i * n + j] - value) / size;
		worst = Math.max(worst, error);
	}
	return worst;
}

function differenceOf(y: Float32Array, z: Float32Array): number {
	let [most, size] = [0, 0];
	for (let i = 0; i < y.length; i++) {
		const d = Math.abs(y[i] - z[i]);
		most = Math.max(most, d);
		size = Math.max(size, Math.abs(z[i]));
	}
	return most / size;
}

const tflops = ([m, k, n]: Row["shape"], ms: number): string => `${((2 * m * k * n) / ms / 1e9).toFixed(2)} TFLOP/s`;

/** Opens a plan and runs all rows that there is time for; results by name. */
async function measure(plan: "gpu" | "matrix", before: ReadonlyMap<string, Float32Array>): Promise<Map<string, Float32Array>> {
	const results = new Map<string, Float32Array>();
	const device = await requestDevice({ plan }).catch((error) => say(`plan ${plan}:`, failed(error)));
	if (device === undefined) return results;
	const { vendor, architecture, description } = device.info;
	say(`plan ${device.plan}:`, [vendor, architecture, description].join(", "), JSON.stringify(device.matrices ?? null));
	const configs = (device.info as { readonly subgroupMatrixConfigs?: Iterable<Record<string, unknown>> }).subgroupMatrixConfigs ?? [];
	for (const c of configs) say("    ", `${c.M}x${c.N}x${c.K} ${c.componentType} to ${c.resultComponentType}`);
	say("    ", `${device.gpu.limits.maxComputeWorkgroupStorageSize} bytes a workgroup`);
	const end = performance.now() + 1000 * Number(options.seconds);
	for (const row of ROWS) {
		if (performance.now() > end) {
			say(row.name.padEnd(32), "left out: no time");
			continue;
		}
		try {
			const { run, dispose, exact } = row.prepare(device);
			const y = run();
			const values = Float32Array.from(await data(y));
			y.dispose();
			results.set(row.name, values);
			const other = before.get(row.name);
			const errors = [
				...(exact === undefined ? [] : [`from float64 ${worstOf(values, row.shape, exact).toExponential(1)} of sum |a b|`]),
				...(other === undefined ? [] : [`from plan gpu ${differenceOf(values, other).toExponential(1)} of the largest`]),
			];
			const { ms, parts } = await timed(device, run);
			say(row.name.padEnd(32), `${ms.toFixed(3)} ms`.padStart(12), tflops(row.shape, ms).padStart(15), errors.join(", "));
			say("    ", parts);
			dispose();
		} catch (error) {
			say(row.name.padEnd(32), failed(error));
		}
	}
	device.destroy();
	return results;
}

await measure("matrix", await measure("gpu", new Map()));
