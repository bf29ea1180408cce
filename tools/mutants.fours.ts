import type { Mutant } from "./mutants.operations.ts";

const OPS = "packages/tensor/src/ops";
const FOURS = ["tests/tensor/fours.test.ts"];

/** Faults of kernels that take four elements at once. */
export const FOURS_MUTANTS: readonly Mutant[] = [
	{
		name: "four pairs of heads at once where they do not lie so",
		file: `${OPS}/rope.ts`,
		from: "const lanes = sk === 1 && [J, x.offset,",
		to: "const lanes = sk === 1 && [J,",
		tests: FOURS,
		only: "turns heads",
	},
	{
		name: "four pairs of heads at once, of columns",
		file: `${OPS}/rope.ts`,
		from: "const lanes = sk === 1 && [",
		to: "const lanes = [",
		tests: FOURS,
		only: "turns heads",
	},
	{
		name: "four elements copied at once from between two fours",
		file: `${OPS}/contiguous.ts`,
		from: "[x.offset, y.offset, extents[last],",
		to: "[y.offset, extents[last],",
		tests: FOURS,
		only: "copies",
	},
	{
		name: "four elements copied at once that do not lie side by side",
		file: `${OPS}/contiguous.ts`,
		from: "|| strides.some((s) => s[last] !== 1)",
		to: "",
		tests: FOURS,
		only: "copies",
	},
	{
		name: "four elements copied at once from rows that begin between two fours",
		file: `${OPS}/contiguous.ts`,
		from: "...strides.flatMap((s) => s.slice(0, last))]",
		to: "]",
		tests: FOURS,
		only: "copies",
	},
	{
		name: "four elements joined at once that begin between two fours",
		file: `${OPS}/cat.kernel.ts`,
		from: "[part.x.offset, part.row]",
		to: "[part.row]",
		tests: FOURS,
		only: "joins",
	},
	{
		name: "four elements joined at once of parts that end between two fours",
		file: `${OPS}/cat.kernel.ts`,
		from: "[y.offset, row, ...ends,",
		to: "[y.offset, row,",
		tests: FOURS,
		only: "joins",
	},
	{
		name: "the label looked for in the first of four classes",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "column == label - ${place}",
		to: "column == label",
		tests: FOURS,
		only: "gradient of a head",
	},
	{
		name: "a soft cap whose slope is forgotten",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "return g * (1.0 - u * u);",
		to: "return g;",
		tests: FOURS,
		only: "gradient of a head",
	},
	{
		name: "a gradient of logits of the rows before",
		file: `${OPS}/linearCrossEntropy.ts`,
		from: "offset: x.offset + start }));",
		to: "offset: x.offset }));",
		tests: ["tests/tensor/longRecords.test.ts"],
	},
];
