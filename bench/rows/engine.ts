import { below, normal, type Row, small } from "../suite/row.ts";

/** What it costs to ask for work, and small training steps that other libraries can take, too. */
export const ENGINE: readonly Row[] = [
	{
		name: "200 eager adds of 64 numbers",
		family: "engine",
		work: "adds",
		inputs: { x: normal(64), y: normal(64) },
		attrs: { count: 200 },
		tolerance: 1e-4,
	},
	{
		name: "200 adds of 64 numbers, captured",
		family: "engine",
		work: "capturedAdds",
		inputs: { x: normal(64), y: normal(64) },
		attrs: { count: 200 },
		tolerance: 1e-4,
	},
	{
		name: "MLP 784-256-10, SGD step of 64",
		family: "engine",
		work: "mlpStep",
		inputs: {
			x: normal(64, 784),
			targets: below(10, 64),
			w1: small(784, 256),
			b1: small(256),
			w2: small(256, 10),
			b2: small(10),
		},
		attrs: { lr: 1e-2 },
		flops: 6 * 64 * (784 * 256 + 256 * 10),
	},
	{
		name: "gradients of 32 single records, MLP 64-128-10",
		family: "engine",
		work: "perSample",
		inputs: { x: normal(32, 64), w1: small(64, 128), b1: small(128), w2: small(128, 10), b2: small(10) },
		attrs: {},
		tolerance: 1e-4,
	},
];
