import type { Mutant } from "./mutants.operations.ts";

const TENSOR = "packages/tensor/src";
const OPS = `${TENSOR}/ops`;
const NN = "packages/nn/src";
const TOGETHER = ["tests/nn/together.test.ts"];

/** Faults of what is computed together for layers of one x. */
export const TOGETHER_MUTANTS: readonly Mutant[] = [
	{
		name: "branches that write over each other",
		file: `${NN}/lowRank.kernel.ts`,
		from: "let first = (j * nwg.y + record) * p.T;",
		to: "let first = record * p.T;",
		tests: TOGETHER,
	},
	{
		name: "one mask for all branches of an x",
		file: `${NN}/lowRank.kernel.ts`,
		from: "`select(${rest}, p.stream${j}, j == ${j}u)`",
		to: "rest",
		tests: TOGETHER,
	},
	{
		name: "a gradient of the last branch alone",
		file: `${NN}/lowRank.kernel.ts`,
		from: "term(`dx_at${dx}) + `)",
		to: 'term("")',
		tests: TOGETHER,
	},
	{
		name: "branches that all have the first factor",
		file: `${NN}/lowRank.kernel.ts`,
		from: "`let w${r} = j * p.az + record",
		to: "`let w${r} = record",
		tests: TOGETHER,
	},
	{
		name: "weights side by side with the mean of the first",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: "`select(${rest}, p.${name}${j}, j == ${j}u)`",
		to: "rest",
		tests: TOGETHER,
	},
	{
		name: "weights side by side with the block scales of the first",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: '"j * p.scaleWords + "',
		to: '""',
		tests: TOGETHER,
	},
	{
		name: "weights side by side with the nested scales of the first",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: '"j * p.nestedScales + "',
		to: '""',
		tests: TOGETHER,
	},
	{
		name: "gradients of updates by the factor of the first",
		file: `${NN}/updated.kernel.ts`,
		from: "let up = j * p.us + record * p.bs;",
		to: "let up = record * p.bs;",
		tests: TOGETHER,
	},
	{
		name: "a sum of products that has the first of them alone",
		file: `${OPS}/gemm.ts`,
		from: "parts: (parts * zs) / results",
		to: "parts",
		tests: TOGETHER,
	},
	{
		name: "a sum and an update that start from the sum twice",
		file: `${OPS}/gemm.ts`,
		from: "return gemm(update.low, update.up, { ...target, update: undefined, plus: undefined, accumulate: true });",
		to: "return gemm(update.low, update.up, { ...target, update: undefined, accumulate: true });",
		tests: TOGETHER,
	},
	{
		name: "a residual without its gradient",
		file: `${NN}/quant/nf4Adapted.ts`,
		from: "...(adds && { plus: dy }) };",
		to: "};",
		tests: TOGETHER,
	},
	{
		name: "results that all have the gradient of the first",
		file: `${TENSOR}/record.ts`,
		from: "others.map((d, i) => [`d${names?.outputs[i + 1]}`, d])",
		to: "others.map((_, i) => [`d${names?.outputs[i + 1]}`, dy])",
		tests: TOGETHER,
	},
];
