import type { Mutant } from "./mutants.operations.ts";

const OPS = "packages/tensor/src/ops";
const FOURS = ["tests/tensor/fours.test.ts"];
const RUNS = ["tests/tensor/runs.test.ts"];
const ZEROS = ["tests/tensor/zeros.test.ts"];
const BINARY = ["tests/tensor/primitives.binary.test.ts"];
const HEADS = ["tests/tensor/longHeads.test.ts"];

const LANES = ["tests/engine/kernelLanes.test.ts"];
const READINGS = ["tests/tensor/sumReadings.test.ts"];

/** Faults of kernels that take two or four elements at once, and run after run of them. */
export const FOURS_MUTANTS: readonly Mutant[] = [
	{
		name: "an optimiser that moves some numbers twice",
		file: `${OPS}/turns.ts`,
		from: "let end = min(p.n, begin + p.turns * p.apart);",
		to: "let end = p.n;",
		tests: RUNS,
	},
	{
		name: "runs of numbers that go beyond the last",
		file: `${OPS}/turns.ts`,
		from: "min(p.n, begin + p.turns * p.apart)",
		to: "begin + p.turns * p.apart",
		tests: BINARY,
		only: "add equals",
	},
	...(
		[
			["leave out the last of them", "Math.ceil(n / (RUN * turns))", "Math.floor(n / (RUN * turns))"],
			["begin where others are", "(index - lane) * p.turns + lane * p.near", "index + lane * (p.near - 1u)"],
			["leave out those between on a processor", "[turns, 1] : [1, RUN]", "[1, 1] : [1, RUN]"],
			["leave out those between on a GPU", "[turns, 1] : [1, RUN]", "[turns, 1] : [turns, RUN]"],
		] as const
	).map(([what, from, to]) => ({ name: `runs of numbers that ${what}`, file: `${OPS}/turns.ts`, from, to, tests: RUNS })),
	...(
		[
			["of a part of what one binding holds", "ops/create.ts", "offset: part.offset * bytesPerElement[dtype]", "offset: 0"],
			["that leave the last out", "ops/create.ts", "bytes: part.bytes }", "bytes: part.bytes - 4 }"],
			["without their sign", "ops/create.ts", "Object.is(a, 0)", "a === 0"],
			["of what is no zero", "ops/create.ts", "kernel === fullKernel && Object.is(a, 0)", "kernel === fullKernel"],
			["that a profile does not see", "gpu/recorder.ts", "zeroed === undefined || this.profiler !== undefined", "zeroed === undefined"],
		] as const
	).map(([what, file, from, to]) => ({
		name: `zeros of the driver's own ${what}`,
		file: `packages/tensor/src/${file}`,
		from,
		to,
		tests: ZEROS,
	})),
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
		only: "gradients of a head",
	},
	{
		name: "a soft cap whose slope is forgotten",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "return 1.0 - u * u; }",
		to: "return 1.0; }",
		tests: FOURS,
		only: "gradients of a head",
	},
	{
		name: "a head's gradient that keeps the scale of an earlier maximum",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "slope_at${four}(at) * state_at4(own).w);",
		to: "slope_at${four}(at));",
		tests: HEADS,
	},
	{
		name: "a head's gradient that forgets the parts before",
		file: `${OPS}/linearCrossEntropy.ts`,
		from: "accumulate: first > 0 }, rowsOfRecord",
		to: "accumulate: false }, rowsOfRecord",
		tests: HEADS,
	},
	{
		name: "a sum of exponentials that keeps the scale of an earlier maximum",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "vec2f(so.y * kept, 0.0)",
		to: "vec2f(so.y, 0.0)",
		tests: HEADS,
	},
	{
		name: "a label's logit looked for in the first part alone",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "let local = label - p.first;",
		to: "let local = label;",
		tests: HEADS,
	},
	{
		name: "a capped head's gradient whose logits have the slope of none",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "e * capSlopes(c));",
		to: "e);",
		tests: FOURS,
		only: "gradients of a head",
	},
	{
		name: "a capped head's gradient whose label has the slope of none",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "capSlope(s.z) * picked",
		to: "picked",
		tests: FOURS,
		only: "gradients of a head",
	},
	{
		name: "rows left out that learn from their classes",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "${zeroOf(variant)}, labels_at(row) == p.ignore));`),\n\t};\n});\n\n/** dh",
		to: "${zeroOf(variant)}, false));`),\n\t};\n});\n\n/** dh",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "linearCrossEntropy.slope",
	},
	{
		name: "rows left out whose gradient is NaN where that of the loss is",
		file: `${OPS}/linearCrossEntropy.kernel.ts`,
		from: "dh_set${four}(at, select(dy_at(row) * slope_at${four}(at), ${zeroOf(variant)}, labels_at(row) == p.ignore));",
		to: "dh_set${four}(at, dy_at(row) * slope_at${four}(at));",
		tests: ["tests/tensor/networkEdges.test.ts"],
	},
	{
		name: "a head's slope read four at once from between two fours",
		file: `${OPS}/linearCrossEntropy.pieces.ts`,
		from: "[width, ...given.map((t) => t.offset)]",
		to: "[width]",
		tests: FOURS,
		only: "slope",
	},
	{
		name: "two elements at once from where four would begin",
		file: "packages/tensor/src/gpu/kernel.ts",
		from: "base / ${lanes}u + i_",
		to: "base / 4u + i_",
		tests: LANES,
	},
	{
		name: "two bf16 stored the other way round",
		file: "packages/tensor/src/gpu/kernel.ts",
		from: '["u32", ["q"], "q.x", "q.y"]',
		to: '["u32", ["q"], "q.y", "q.x"]',
		tests: LANES,
	},
	{
		name: "columns summed over one of two axes",
		file: `${OPS}/reduceInner.ts`,
		from: "so2 === 1 && r0 === 1 && isBy",
		to: "so2 === 1 && isBy",
		tests: READINGS,
	},
	{
		name: "columns read by twos from between two of them",
		file: `${OPS}/reduceInner.ts`,
		from: "isBy(2, o2, sr1)",
		to: "so0 + so1 + o2 + sr1 >= 0",
		tests: READINGS,
	},
	{
		name: "columns whose last rows are left out",
		file: `${OPS}/reduceInner.ts`,
		from: "for (; k < p.r1; k++)",
		to: "for (; k + 1u < p.r1; k++)",
		tests: READINGS,
	},
];
