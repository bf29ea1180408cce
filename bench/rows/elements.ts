import { below, normal, type Row, unit } from "../suite/row.ts";

const F32 = 4;
const MILLION = 2 ** 20;

/** Operations that do the same to every element, lookups among them, and updates of a vector of parameters. */
export const ELEMENTS: readonly Row[] = [
	{
		name: "add 4M",
		family: "kernels",
		work: "add",
		inputs: { x: normal(4 * MILLION), y: normal(4 * MILLION) },
		attrs: {},
		bytes: 3 * F32 * 4 * MILLION,
		tolerance: 1e-6,
	},
	{
		name: "chain of 8 operations, 4M",
		family: "kernels",
		work: "chain",
		inputs: { x: normal(4 * MILLION) },
		attrs: {},
		bytes: 2 * F32 * 4 * MILLION,
		tolerance: 1e-4,
	},
	{
		name: "chain of 8 operations with rows and columns, 2048x2048",
		family: "kernels",
		work: "broadcastChain",
		inputs: { x: normal(2048, 2048), scale: normal(2048), bias: normal(2048), column: normal(2048, 1) },
		attrs: {},
		bytes: 2 * F32 * 2048 * 2048,
		tolerance: 1e-4,
	},
	{
		name: "embedding 4096 of 32000x256",
		family: "kernels",
		work: "embedding",
		inputs: { table: normal(32_000, 256), ids: below(32_000, 4096) },
		attrs: {},
		bytes: 2 * F32 * 4096 * 256,
		tolerance: 0,
	},
	{
		name: "embedding gradient 1024 of 4000x256",
		family: "kernels",
		work: "embeddingGrad",
		inputs: { table: normal(4000, 256), ids: below(4000, 1024), dy: normal(1024, 256) },
		attrs: {},
		bytes: F32 * (4000 + 1024) * 256,
		tolerance: 1e-5,
	},
	{
		name: "AdamW 1M",
		family: "kernels",
		work: "adamw",
		inputs: { w: normal(MILLION), g: normal(MILLION), m: normal(MILLION), v: unit(MILLION) },
		attrs: { lr: 1e-3 },
		bytes: 7 * F32 * MILLION,
		tolerance: 1e-5,
	},
	{
		name: "clip and sum 8 records of 256k",
		family: "kernels",
		work: "clipSum",
		inputs: { g: normal(8, MILLION / 4) },
		attrs: { clip: 1 },
		bytes: F32 * 8 * (MILLION / 4),
		tolerance: 1e-3,
	},
	{
		name: "clip, sum, noise and AdamW, 8 records of 256k",
		family: "kernels",
		work: "privateTail",
		inputs: { g: normal(8, MILLION / 4), w: normal(MILLION / 4) },
		attrs: { clip: 1, noise: 1, lr: 1e-3 },
		bytes: F32 * 8 * (MILLION / 4),
	},
];
