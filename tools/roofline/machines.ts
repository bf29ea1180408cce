import { type Figures, graphicsProcessor, type Machine } from "./predict.ts";

const GIB = 2 ** 30;

/** The processor that the H100 and the H200 share. */
const HOPPER = {
	vendor: "nvidia",
	architecture: "hopper",
	units: 132,
	clock: 1.98,
	width: 32,
	floatLanes: 128,
	integerLanes: 64,
	specialLanes: 16,
	issue: 4,
	resident: 32,
	cache: 5500,
	lines: 1,
	nearLatency: 40,
	farLatency: 480,
	launch: 7.5,
	attained: 0.5,
	largest: 2 * GIB - 4,
};
const HOPPER_SOURCES = [
	"64 integer and 16 special lanes, 4 schedulers: CUDA C++ Programming Guide, arithmetic throughput of compute capability 9.0",
	"40 and 480 clocks of latency: Luo et al. 2024, arXiv 2402.13499, rounded",
	"5.5 TB/s of the L2 cache: chipsandcheese.com, Nvidia's H100, of the PCIe card",
	"7.5 µs a dispatch and half of the rates attained: measured on an H200 (docs/gpu.md)",
	"32 resident subgroups, one line a clock: assumed",
];

/**
 * Public figures of some graphics processors. Those marked as assumed are this model's: nobody publishes them, or not for a start
 * through WebGPU. Where a figure is measured on hardware, put it here with its source.
 */
export const FIGURES: Readonly<Record<string, Figures>> = {
	h100: {
		...HOPPER,
		name: "NVIDIA H100 SXM5",
		memory: 3350,
		sources: [
			"132 multiprocessors of 128 f32 lanes, 67 TFLOP/s f32 (hence 1.98 GHz), 3.35 TB/s: NVIDIA's H100 datasheet and architecture whitepaper",
			...HOPPER_SOURCES,
		],
	},
	h200: {
		...HOPPER,
		name: "NVIDIA H200",
		memory: 4800,
		sources: [
			"132 multiprocessors of 128 f32 lanes, 67 TFLOP/s f32 (hence 1.98 GHz), 4.8 TB/s: NVIDIA's H200 datasheet",
			...HOPPER_SOURCES,
		],
	},
	rtx4060: {
		name: "NVIDIA GeForce RTX 4060 Laptop GPU",
		vendor: "nvidia",
		architecture: "lovelace",
		units: 24,
		clock: 2.37,
		width: 32,
		floatLanes: 128,
		integerLanes: 64,
		specialLanes: 16,
		issue: 4,
		resident: 32,
		memory: 256,
		cache: 1800,
		lines: 1,
		nearLatency: 40,
		farLatency: 500,
		launch: 7.5,
		attained: 0.5,
		largest: 2 * GIB - 4,
		sources: [
			"24 multiprocessors of 128 f32 lanes, 2.37 GHz at 115 W (14.6 TFLOP/s f32), 256 GB/s: NVIDIA's specifications of GeForce laptops",
			"64 integer and 16 special lanes, 4 schedulers: CUDA C++ Programming Guide, arithmetic throughput of compute capability 8.9",
			"1.8 TB/s of the L2 cache (32 bytes a clock and multiprocessor), latencies, 32 resident subgroups, one line a clock: assumed; 7.5 µs a dispatch and half of the rates attained: as on the H200",
		],
	},
	m2: {
		name: "Apple M2, 10 cores",
		vendor: "apple",
		architecture: "metal-3",
		units: 10,
		clock: 1.398,
		width: 32,
		floatLanes: 128,
		integerLanes: 64,
		specialLanes: 32,
		issue: 4,
		resident: 24,
		memory: 100,
		cache: 450,
		lines: 1,
		nearLatency: 40,
		farLatency: 400,
		launch: 5,
		attained: 0.5,
		largest: 4 * GIB - 4,
		sources: [
			"10 cores of 128 f32 lanes, 3.6 TFLOP/s f32 (hence 1.398 GHz), 100 GB/s: Apple's newsroom, June 2022",
			"32 bytes a clock and core from the shared cache, latencies, lanes for integers and special functions: Philip Turner's metal-benchmarks, rounded",
			"5 µs a dispatch, half of the rates attained, 24 resident subgroups, one line a clock: assumed",
		],
	},
	"intel-xe": {
		name: "Intel Iris Xe, 96 execution units",
		vendor: "intel",
		architecture: "gen-12lp",
		units: 6,
		clock: 1.35,
		width: 16,
		floatLanes: 128,
		integerLanes: 128,
		specialLanes: 32,
		issue: 16,
		resident: 112,
		memory: 68,
		cache: 500,
		lines: 1,
		nearLatency: 80,
		farLatency: 400,
		launch: 8,
		attained: 0.5,
		largest: 2 * GIB - 4,
		sources: [
			"6 dual subslices of 16 execution units with 8 f32 lanes each, 1.35 GHz (2.07 TFLOP/s f32), 68 GB/s of LPDDR4X-4266: Intel's Xe-LP architecture and product pages",
			"7 threads an execution unit (112 resident subgroups): the same",
			"64 bytes a clock and dual subslice from the L3 cache, latencies, 8 µs a dispatch, half of the rates attained, one line a clock: assumed",
		],
	},
};

/** The machine of a name. @throws Error naming those that there are. */
export function machineOf(name: string): Machine {
	const figures = FIGURES[name];
	if (figures !== undefined) return graphicsProcessor(figures);
	throw new Error(
		`there are no figures of ${JSON.stringify(name)}: one of ${Object.keys(FIGURES).join(", ")}, or this for the present device`,
	);
}
