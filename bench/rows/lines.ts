import { below, normal, type Row, small, unit } from "../suite/row.ts";

const F32 = 4;
const kernel = (row: Omit<Row, "family" | "attrs"> & { attrs?: Row["attrs"] }): Row => ({
	family: "kernels",
	attrs: {},
	tolerance: 1e-4,
	...row,
});

/** Operations on the lines of a matrix. */
export const LINES: readonly Row[] = [
	kernel({ name: "softmax 2048x1024", work: "softmax", inputs: { x: normal(2048, 1024) }, bytes: 2 * F32 * 2048 * 1024 }),
	kernel({
		name: "layerNorm 1024x1152",
		work: "layerNorm",
		inputs: { x: normal(1024, 1152), weight: normal(1152), bias: normal(1152) },
		bytes: 2 * F32 * 1024 * 1152,
	}),
	kernel({
		name: "rmsNorm 1024x1152",
		work: "rmsNorm",
		inputs: { x: normal(1024, 1152), weight: normal(1152) },
		bytes: 2 * F32 * 1024 * 1152,
	}),
	kernel({
		name: "rope 4x1024x256",
		work: "rope",
		inputs: { x: normal(1, 4, 1024, 256), cos: unit(1024, 128), sin: unit(1024, 128) },
		bytes: 2 * F32 * 4 * 1024 * 256,
	}),
	kernel({
		name: "attention 8x4x128x64",
		work: "attention",
		inputs: { q: normal(8, 4, 128, 64), k: normal(8, 4, 128, 64), v: normal(8, 4, 128, 64) },
		flops: 4 * 8 * 4 * 128 * 128 * 64,
	}),
	kernel({
		name: "attention gradients 8x4x128x64",
		work: "attentionGrad",
		inputs: { q: normal(8, 4, 128, 64), k: normal(8, 4, 128, 64), v: normal(8, 4, 128, 64), dy: normal(8, 4, 128, 64) },
		flops: 12 * 8 * 4 * 128 * 128 * 64,
	}),
	kernel({
		name: "crossEntropy 16x256000",
		work: "crossEntropy",
		inputs: { logits: normal(16, 256_000), targets: below(256_000, 16) },
		bytes: F32 * 16 * 256_000,
	}),
	kernel({
		name: "linearCrossEntropy 16x64 by 256000",
		work: "linearCrossEntropy",
		inputs: { x: normal(16, 64), w: small(256_000, 64), targets: below(256_000, 16) },
		flops: 2 * 16 * 64 * 256_000,
	}),
	kernel({
		name: "linearCrossEntropy gradient 16x64 by 256000",
		work: "linearCrossEntropyGrad",
		inputs: { x: normal(16, 64), w: small(256_000, 64), targets: below(256_000, 16) },
		flops: 6 * 16 * 64 * 256_000,
		tolerance: 1e-3,
	}),
	...[0, 1].map((axis) =>
		kernel({
			name: `sum over the ${axis === 0 ? "first" : "last"} axis of 4096x1024`,
			work: "sum",
			inputs: { x: normal(4096, 1024) },
			attrs: { axis },
			bytes: F32 * 4096 * 1024,
		}),
	),
];
