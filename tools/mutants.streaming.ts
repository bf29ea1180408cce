import type { Mutant } from "./mutants.operations.ts";

const TENSOR = "packages/tensor/src";
const CLIP = "packages/dp/src/clip";
const OF_TENSORS = ["tests/tensor/streamed.test.ts"];
const OF_ENGINE = ["tests/dp/streaming.test.ts"];

/** Faults of gradients that are computed in pieces. */
export const STREAMING_MUTANTS: readonly Mutant[] = [
	{
		name: "a streamed gradient of the last use alone",
		file: `${TENSOR}/streamed.ts`,
		from: ".reduce((a, b) => add(a, b)),",
		to: ".reduce((_, b) => b),",
		tests: OF_TENSORS,
		only: "tied",
	},
	{
		name: "streamed rows of padding with a gradient",
		file: `${TENSOR}/ops/embedding.ts`,
		from: "paddingIdx: paddingIdx - from }",
		to: "paddingIdx }",
		tests: OF_TENSORS,
		only: "padding",
	},
	{
		name: "streamed rows of a head that learn what is left out",
		file: `${TENSOR}/ops/linearCrossEntropy.ts`,
		from: "ignoreIndex: attrs.ignoreIndex - from",
		to: "ignoreIndex: attrs.ignoreIndex",
		tests: OF_TENSORS,
		only: "leaves out",
	},
	{
		name: "a streamed gradient of what all records share",
		file: `${TENSOR}/record.ts`,
		from: "if (records === undefined && kept.some((t) => insideOf(t).records !== undefined)) return false;",
		to: "",
		tests: OF_TENSORS,
		only: "summed",
	},
	{
		name: "shares that outlive a gradient that failed",
		file: `${TENSOR}/autograd.ts`,
		from: "for (const g of this.#arrived.values()) for (const t of tensorsIn(g)) t.dispose();",
		to: "for (const g of this.#arrived.values()) if (g instanceof Tensor) g.dispose();",
		tests: OF_TENSORS,
		only: "no memory behind",
	},
	{
		name: "a gradient from anywhere that is read twice",
		file: `${CLIP}/blocks.ts`,
		from: "grads.filter((g) => !(g instanceof GradientColumns));",
		to: "grads.filter((g) => g instanceof Tensor);",
		tests: OF_ENGINE,
		only: "nothing of that form",
	},
	{
		name: "streamed columns that begin with their row",
		file: `${CLIP}/gradientColumns.ts`,
		from: "from - first * width, to - first * width);",
		to: "0, to - from);",
		tests: OF_ENGINE,
		only: "within rows",
	},
	{
		name: "rows of a view taken for rows side by side",
		file: `${CLIP}/rows.ts`,
		from: "row: own.strides[1] };",
		to: "row: own.shape[2] };",
		tests: OF_ENGINE,
		only: "within rows",
	},
];
