/** A fault put into the library on purpose. */
export interface Mutant {
	readonly name: string;
	readonly file: string;
	readonly from: string;
	readonly to: string;
	/** Test files of which one has to fail. */
	readonly tests: readonly string[];
	/** Names of the tests among them that should notice. */
	readonly only?: string;
}

const OPS = "packages/tensor/src/ops";

/** Faults of operations, kernels and the device. */
export const OPERATION_MUTANTS: readonly Mutant[] = [
	{
		name: "sign of a derivative",
		file: `${OPS}/symbolic.ts`,
		from: 'times(number(-1), call("sin", x))',
		to: 'call("sin", x)',
		tests: ["tests/tensor/primitives.unary.test.ts"],
		only: "cos",
	},
	{
		name: "no sum over a broadcast axis",
		file: `${OPS}/elementwise.ts`,
		from: "axes.length === 0 ? g : sum(g, axes)",
		to: "g",
		tests: ["tests/tensor/primitives.binary.test.ts"],
		only: "add|mul",
	},
	{
		name: "missing guard of a store",
		file: `${OPS}/elementwise.ts`,
		from: "body: wgsl`if (index >= p.n) { return; }\n${walkCode(rank, operands.length)}",
		to: "body: wgsl`\n${walkCode(rank, operands.length)}",
		tests: ["tests/tensor/primitives.unary.test.ts"],
		only: "abs|exp",
	},
	{
		name: "missing guard of a store that copies",
		file: `${OPS}/roll.ts`,
		from: "if (index >= p.n) { return; }",
		to: "",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "roll",
	},
	{
		name: "causal mask off by one",
		file: `${OPS}/attentionSoftmax.ts`,
		from: "min(p.S, t + 1u)",
		to: "min(p.S, t + 2u)",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "attentionSoftmax",
	},
	{
		name: "gradient with the wrong factor transposed",
		file: `${OPS}/matmul.ts`,
		from: "productTo(transpose(a), dy, operand)",
		to: "productTo(transpose(mul(a, 1.01)), dy, operand)",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "matmul",
	},
	{
		name: "tail of the inner axis dropped",
		file: `${OPS}/gemm.kernel.ts`,
		from: "for (var k = p.K & ~3u; k < p.K; k++)",
		to: "for (var k = p.K & ~3u; k + 1u < p.K; k++)",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "matmul",
	},
	{
		name: "last rows of a split sum left out",
		file: `${OPS}/reduceInner.ts`,
		from: "offset: x.offset + chunks * SPLIT * step",
		to: "offset: x.offset + (chunks - 1) * SPLIT * step",
		tests: ["tests/tensor/longAxes.test.ts"],
	},
	{
		name: "ties of a maximum counted twice",
		file: `${OPS}/amax.ts`,
		from: "div(hits, sum(hits, [-1], { keepDim: true }))",
		to: "hits",
		tests: ["tests/tensor/specialValues.test.ts"],
	},
	{
		name: "running sum not reversed in its gradient",
		file: `${OPS}/cumsum.ts`,
		from: "{ reverse: !reverse, exclusive }",
		to: "{ reverse, exclusive }",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "cumsum",
	},
	{
		name: "unstable sort",
		file: `${OPS}/sort.ts`,
		from: "(isRight && k == key)",
		to: "(!isRight && k == key)",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "sort",
	},
	{
		name: "overwriting instead of adding",
		file: `${OPS}/indexing.ts`,
		from: "acc += src_at(record * p.rs + at + k);",
		to: "acc = src_at(record * p.rs + at + k);",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "scatterAdd",
	},
	{
		name: "mean of the gradient forgotten",
		file: `${OPS}/layerNorm.ts`,
		from: "sub(sub(dy, along(dy)), mul(y, along(mul(dy, y))))",
		to: "sub(dy, mul(y, along(mul(dy, y))))",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "standardize",
	},
	{
		name: "wrong diagonal",
		file: `${OPS}/tril.ts`,
		from: "- i32(index / p.N % p.M) - p.diagonal",
		to: "- i32(index / p.N % p.M) + p.diagonal",
		tests: ["tests/tensor/primitives.test.ts"],
		only: "tril",
	},
	{
		name: "truncation instead of rounding to bf16",
		file: "packages/tensor/src/gpu/prelude.ts",
		from: "(b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u",
		to: "b >> 16u",
		tests: ["tests/tensor/casts.test.ts"],
	},
	{
		name: "NaN swallowed",
		file: "packages/tensor/src/gpu/prelude.ts",
		from: "return keepNan(x, select(tanh(clamp(x, -15.0, 15.0)), small, abs(x) < 0.15))",
		to: "return select(tanh(clamp(x, -15.0, 15.0)), small, abs(x) < 0.15)",
		tests: ["tests/tensor/primitives.unary.test.ts"],
		only: "tanh",
	},
	{
		name: "step of a slice ignored in its gradient",
		file: `${OPS}/slice.ts`,
		from: "adjoint: (dy, run) => place(dy, run)",
		to: "adjoint: (dy, run) => place(dy, { ...run, step: 1 })",
		tests: ["tests/tensor/linearOps.test.ts"],
		only: "slice",
	},
	{
		name: "flip of the wrong element",
		file: `${OPS}/flip.ts`,
		from: "p.extent - 1u - k",
		to: "(p.extent - k) % p.extent",
		tests: ["tests/tensor/linearOps.test.ts"],
		only: "flip",
	},
	{
		name: "a second derivative lost in silence",
		file: "packages/tensor/src/record.ts",
		from: 'if (g === "missing") throw missing(name);',
		to: 'if (g === "missing") return undefined;',
		tests: ["tests/tensor/primitives.test.ts"],
		only: "prod",
	},
	{
		name: "a gradient that differs in a checkpoint",
		file: "packages/tensor/src/checkpoint.ts",
		from: "gradients.add(nodeOf(again) as TapeNode, dy);",
		to: "gradients.add(nodeOf(again) as TapeNode, again);",
		tests: ["tests/engine/autograd.test.ts"],
	},
	{
		name: "memory of a captured step lent out",
		file: "packages/tensor/src/gpu/pool.ts",
		from: "(buffer.arena?.idle ?? this.#idle).add(buffer);",
		to: "this.#idle.add(buffer);",
		tests: ["tests/engine/capture.test.ts"],
	},
	{
		name: "memory that goes to another while it can be read",
		file: "packages/tensor/src/gpu/recorder.ts",
		from: "storage.lastUse === number && !storage.isOwned",
		to: "storage.lastUse === number",
		tests: ["tests/engine/memory.test.ts"],
	},
	{
		name: "memory that goes to another before its last use",
		file: "packages/tensor/src/gpu/recorder.ts",
		from: "return lastUse >= this.#first;",
		to: "return lastUse > this.#first;",
		tests: ["tests/engine/memory.test.ts"],
	},
	{
		name: "parameters of the neighbour in a replay",
		file: "packages/tensor/src/gpu/replay.ts",
		from: "this.#offsets, i, 1)",
		to: "this.#offsets, Math.max(0, i - 1), 1)",
		tests: ["tests/engine/capture.test.ts"],
	},
	{
		name: "infinity taken for a number",
		file: "packages/tensor/src/finite.ts",
		from: "const INFINITY = 0x7f800000;",
		to: "const INFINITY = 0x7f800001;",
		tests: ["tests/engine/status.test.ts"],
	},
	{
		name: "a lost device reported as done",
		file: "packages/tensor/src/device.ts",
		from: "const { notFinite, strayWrite } = await runtime.orLost(runtime.status.read(runtime.recorder));\n\t\truntime.raise();",
		to: "const { notFinite, strayWrite } = await runtime.status.read(runtime.recorder).catch(() => ({ notFinite: undefined, strayWrite: undefined }));",
		tests: ["tests/training/deviceLoss.test.ts"],
	},
];
