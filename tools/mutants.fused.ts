import type { Mutant } from "./mutants.operations.ts";

const TENSOR = "packages/tensor/src";
const OPS = `${TENSOR}/ops`;
const NN = "packages/nn/src";
const NF4 = ["tests/nn/nf4.test.ts"];
const LOW_RANK = ["tests/nn/lowRank.test.ts"];
const PRIMITIVES = ["tests/tensor/primitives.test.ts"];
const BINARY = ["tests/tensor/primitives.binary.test.ts"];
const AUTOGRAD = ["tests/engine/autograd.test.ts"];

/** Faults of kernels that do the work of several operations, and of gradients that add to what has arrived. */
export const FUSED_MUTANTS: readonly Mutant[] = [
	{
		name: "an optimiser that moves some numbers twice",
		file: `${NN}/optim/rule.ts`,
		from: "if (index >= p.step) { return; }",
		to: "",
		tests: ["tests/nn/optim.test.ts"],
	},
	{
		name: "block scales without their mean",
		file: `${NN}/quant/nf4Linear.ts`,
		from: "(p.words >> 31u)) + p.offset",
		to: "(p.words >> 31u))",
		tests: NF4,
	},
	{
		name: "one nested scale for all blocks",
		file: `${NN}/quant/nf4Linear.ts`,
		from: "nested_at(block / ${NESTED_BLOCK}u)",
		to: "nested_at(0u)",
		tests: NF4,
	},
	{
		name: "a product that forgets what stands beside its result",
		file: `${OPS}/gemm.kernel.ts`,
		from: "onto === false ? value",
		to: 'onto !== "y" ? value',
		tests: PRIMITIVES,
		only: "linear.dx.plus",
	},
	{
		name: "a norm whose gradient forgets what has arrived",
		file: `${OPS}/rmsNorm.ts`,
		from: 'plus ? "c_at(at + d) + value" : "value"',
		to: '"value"',
		tests: PRIMITIVES,
		only: "rmsNorm.dx.plus",
	},
	{
		name: "a low-rank branch without its factor",
		file: `${NN}/lowRank.kernel.ts`,
		from: "${value} * p.scale",
		to: "${value}",
		tests: LOW_RANK,
	},
	{
		name: "two pairs of masks alike",
		file: `${NN}/lowRank.kernel.ts`,
		from: "vec2u((e >> 1u) + 1u, p.stream)",
		to: "vec2u(e >> 1u, p.stream)",
		tests: LOW_RANK,
	},
	{
		name: "a gradient that goes to what was dropped",
		file: `${NN}/lowRank.kernel.ts`,
		from: "}sum * f);",
		to: "}sum);",
		tests: LOW_RANK,
	},
	{
		name: "a gradient of A by what was dropped",
		file: `${NN}/lowRank.kernel.ts`,
		from: "let x = x_v(record * p.xs + e) * f;",
		to: "let x = x_v(record * p.xs + e);",
		tests: LOW_RANK,
	},
	{
		name: "a gradient of A without the last part of the rows",
		file: `${NN}/lowRank.kernel.ts`,
		from: "upTo((parts || 1) - 1)",
		to: "upTo(Math.max(0, (parts || 1) - 2))",
		tests: LOW_RANK,
	},
	{
		name: "ranks beyond the first eight that begin anew",
		file: `${NN}/lowRank.ts`,
		from: 'const onto = r0 > 0 ? "dx" :',
		to: "const onto =",
		tests: LOW_RANK,
	},
	{
		name: "what has arrived counted twice",
		file: `${TENSOR}/autograd.ts`,
		from: "? (this.take(input) as Tensor) : undefined",
		to: "? (this.#arrived.get(input) as Tensor) : undefined",
		tests: AUTOGRAD,
		only: "arrived",
	},
	{
		name: "what has arrived counted once a record",
		file: `${TENSOR}/autograd.ts`,
		from: "input === undefined || input.records !== node.records",
		to: "input === undefined",
		tests: AUTOGRAD,
		only: "arrived",
	},
	{
		name: "gradients by one kernel where they are differentiated again",
		file: `${TENSOR}/record.ts`,
		from: "together !== undefined && !tape.recording &&",
		to: "together !== undefined &&",
		tests: BINARY,
		only: "geglu",
	},
	{
		name: "gradients by one kernel where an operand was repeated",
		file: `${OPS}/elementwise.ts`,
		from: "sameShape(o.shape, dy.shape) && o.records",
		to: "o.records",
		tests: BINARY,
		only: "geglu",
	},
	{
		name: "rotated heads laid out as if heads came first",
		file: `${OPS}/rope.ts`,
		from: "((record * p.T + t) * p.share + z % p.share)",
		to: "((record * p.share + z % p.share) * p.T + t)",
		tests: PRIMITIVES,
		only: "rope",
	},
];
