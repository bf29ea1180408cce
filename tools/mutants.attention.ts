import type { Mutant } from "./mutants.operations.ts";

const ATTENTION = "packages/tensor/src/ops/attention.kernel.ts";
const ATTENTION_TILE = "packages/tensor/src/ops/attention.tile.ts";
const ATTENDS = ["tests/tensor/attention.test.ts"];

/** Faults of the kernels of attention that hold no scores. */
export const ATTENTION_MUTANTS: readonly Mutant[] = [
	{
		name: "sum of a row of attention not scaled to its new maximum",
		file: ATTENTION,
		from: "  sum *= shrink;\n",
		to: "",
		tests: ATTENDS,
		only: "a window and a cap",
	},
	{
		name: "maximum of a row of attention from one invocation's part",
		file: ATTENTION,
		from: `for (var j = 0u; j < min(p.across, p.S - base); j++) { tileTop = max(tileTop, part[ty * \${x}u + j]); }`,
		to: "",
		tests: ATTENDS,
		only: "causal rows of two tiles",
	},
	{
		name: "gradient of attention's queries without the sum of its row",
		file: ATTENTION,
		from: "(pick(i, g0, g1, g2, g3) - delta4)",
		to: "pick(i, g0, g1, g2, g3)",
		tests: ATTENDS,
		only: "causal rows of two tiles",
	},
	{
		name: "gradient of attention's keys from one of the heads that share them",
		file: ATTENTION,
		from: "for (var h = 0u; h < p.R; h++) {",
		to: "for (var h = 0u; h < 1u; h++) {",
		tests: ATTENDS,
		only: "shared heads",
	},
	{
		name: "cap of attention's scores without a derivative",
		file: ATTENTION_TILE,
		from: "return p.scale * (1.0 - c * c);",
		to: "return vec4f(p.scale);",
		tests: ATTENDS,
		only: "a window and a cap",
	},
	{
		name: "queries that see a key found without the offset of a cache",
		file: ATTENTION_TILE,
		from: "select(0u, s - min(s, p.offset), p.causal == 1u)",
		to: "select(0u, s, p.causal == 1u)",
		tests: ATTENDS,
		only: "keys of three tiles",
	},
	{
		name: "hidden values of attention that are no numbers",
		file: ATTENTION_TILE,
		from: `(w, v) => \`select(\${w} * \${v}, vec4f(), \${w} == 0.0)\``,
		to: `(w, v) => \`\${w} * \${v}\``,
		tests: ATTENDS,
		only: "lets nothing through",
	},
];
