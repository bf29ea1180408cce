import type { Mutant } from "./mutants.operations.ts";

const TENSOR = "packages/tensor/src";
const OPS = `${TENSOR}/ops`;
const NN = "packages/nn/src";
const TOGETHER = ["tests/nn/together.test.ts"];
const SIDE = "layers of one x whose";
const STACKED = ["tests/tensor/stacked.test.ts"];
const SHARED = ["tests/tensor/gemmShared.test.ts"];
const PRIMITIVES = ["tests/tensor/primitives.test.ts"];

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
		from: "`let w${i} = j * p.az + record",
		to: "`let w${i} = record",
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
		from: "gemm(low, up, { ...target, update: undefined, plus: undefined, accumulate: true });",
		to: "gemm(low, up, { ...target, update: undefined, accumulate: true });",
		tests: SHARED,
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
	...(
		[
			["by the factor of the first", "a.scaling === b.scaling &&", ""],
			["with the dropout of the first", "a.lora_dropout.p === b.lora_dropout.p &&", ""],
			["of several ranks", "sameShape(a.lora_A.weight.shape, b.lora_A.weight.shape)", "true"],
			["whose adapter has a forward of its own", "|| layer.forward !== LoRALinear.prototype.forward", ""],
			["whose base has a forward of its own", "return isPlain(base) && base.bias", "return (base as { readonly bias?: unknown }).bias"],
			["without their bias", "base.bias === undefined && ", ""],
			["of a residual that is repeated", "!isFused || !sameShape(plus.shape, x.shape.with(-1, layer.base_layer.outFeatures))", "!isFused"],
			["of a residual of any type", ' && plus.dtype === "f32"', ""],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `layers of one x computed together ${what}`,
			file: `${NN}/together.ts`,
			from,
			to,
			tests: TOGETHER,
			only: SIDE,
		}),
	),
	{
		name: "weights side by side rounded as the first was",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: "attrs.every((a) => a.rounded === rounded) ? lists",
		to: "attrs.length > 0 ? lists",
		tests: TOGETHER,
		only: SIDE,
	},
	{
		name: "weights that stay where they were, too, once they were moved",
		file: `${NN}/quant/nf4Parameter.ts`,
		from: "parameter.dispose();\n\t\t\tparameter.#weight",
		to: "parameter.#weight",
		tests: TOGETHER,
		only: SIDE,
	},
	{
		name: "weights that change places when they are moved",
		file: `${NN}/quant/nf4Parameter.ts`,
		from: "replaceParts(weight, moved[j]);",
		to: "replaceParts(weight, moved[moved.length - 1 - j]);",
		tests: TOGETHER,
		only: SIDE,
	},
	...(
		[
			["that all have the first weight", "adaptedRow(singled(inputs, j), ", "adaptedRow(singled(inputs, 0), "],
			[
				"that all have the mask of the first",
				"adaptedRow(singled(inputs, j), adaptedOf(attrs, j))",
				"adaptedRow(singled(inputs, j), { ...adaptedOf(attrs, j), stream: branchOf(attrs, 0).stream })",
			],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `rows by layers of one x ${what}`,
			file: `${NN}/quant/nf4Together.ts`,
			from,
			to,
			tests: TOGETHER,
			only: "one row of layers",
		}),
	),
	...(
		[
			["with the low numbers of the first", "low: entry(low, j).view(", "low: entry(low, 0).view("],
			["written where the first was", "{ view: entry(y, j), batchStride: T * n", "{ view: entry(y, 0), batchStride: T * n"],
			[
				"with the gradient of the first for each factor",
				"rowProduct(dyOf(given, j), low, operand)",
				"rowProduct(dyOf(given, 0), low, operand)",
			],
			["with what has arrived for each", "const before = j === 0 ? arrived : () => sum;", "const before = arrived;"],
			["whose gradient starts anew with each", "{ ...target, accumulate: true, plus: undefined }", "{ ...target, plus: undefined }"],
			[
				"whose gradient has what arrived twice",
				"{ ...target, accumulate: true, plus: undefined }",
				"{ ...target, accumulate: plus !== undefined }",
			],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `layers of one x with factors of each record, ${what}`,
			file: `${NN}/quant/nf4Together.ts`,
			from,
			to,
			tests: PRIMITIVES,
			only: "nf4Pair",
		}),
	),
	...(
		[
			["of several memories", "v.storage === first.storage &&", ""],
			["of several types", "v.dtype === first.dtype &&", ""],
			["at any distances", "v.offset === first.offset + i * step &&", ""],
			["of several shapes", "sameShape(v.shape, first.shape) &&", ""],
			["in several orders", "sameShape(v.strides, first.strides);", "true;"],
			["from the last to the first", "return step >= 0 && views", "return views"],
			["copied to the place of the first", "copyInto(v, entry(whole, i)", "copyInto(v, entry(whole, 0)"],
			["that begin after the first of them", "offset: x.offset + i * x.strides[0]", "offset: i * x.strides[0]"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `views taken for one, ${what}`,
			file: `${OPS}/stacked.ts`,
			from,
			to,
			tests: STACKED,
			only: "views",
		}),
	),
	...(
		[
			[
				"that starts anew with each",
				"const onto = i > 0 ? { accumulate: true, plus: undefined } : undefined;",
				"const onto = undefined;",
				"plan cpu",
			],
			[
				"that adds what lies beside each time",
				"const onto = i > 0 ? { accumulate: true, plus: undefined }",
				"const onto = i > 0 ? { accumulate: target.plus === undefined }",
				"plan cpu",
			],
			["of the first right matrix", "gemm(single(a, i), single(b, i), {", "gemm(single(a, i), single(b, 0), {", "plan cpu"],
		] as const
	).map(
		([what, from, to, only]): Mutant => ({ name: `a sum of products ${what}`, file: `${OPS}/gemm.ts`, from, to, tests: STACKED, only }),
	),
	...(
		[
			["of the first entry of a batch", "let z = tile / (nt * mt);", "let z = 0u;"],
			["whose rows are those of the lane before", "+ own, p.M - 1u) * p.am", "+ own - min(own, 1u), p.M - 1u) * p.am"],
			["with columns that overlap", "let n0 = first + own * 4u;", "let n0 = first + own * 2u;"],
			["in fours of rows as if there were eight", "own % ${rows / 4}u * 4u", "own % 2u * 4u"],
			["with the step of the first lanes", "+ own / ${fours}u)`", "+ own / ${2 * fours}u)`"],
			["with values of the lanes before", "lane: (i >> 2) + fours * (s % atOnce)", "lane: (i >> 2)"],
			["whose second eight rows are the first", "name: `a${i >> 3}.${XYZW[s]}`", "name: `a0.${XYZW[s]}`"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `a product that subgroups share ${what}`,
			file: `${OPS}/gemm.shared.kernel.ts`,
			from,
			to,
			tests: SHARED,
		}),
	),
	{
		name: "weights in bf16 whose odd numbers are those before them",
		file: "packages/tensor/src/gpu/kernel.ts",
		from: '"q.xz", "q.yw"',
		to: '"q.xz", "q.xz"',
		tests: ["tests/nn/nf4Matrix.test.ts"],
	},
	{
		name: "weights in bf16 that were none",
		file: "packages/nn/src/quant/nf4.kernel.ts",
		from: 'attrs.every(({ rounded }) => rounded === ROUNDED_TO.indexOf("BF16"))',
		to: "attrs.every(({ rounded }) => rounded >= 0)",
		tests: ["tests/nn/nf4Matrix.test.ts"],
	},
];
