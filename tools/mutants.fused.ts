import type { Mutant } from "./mutants.operations.ts";

const TENSOR = "packages/tensor/src";
const OPS = `${TENSOR}/ops`;
const NN = "packages/nn/src";
const NF4 = ["tests/nn/nf4.test.ts"];
const LOW_RANK = ["tests/nn/lowRank.test.ts"];
const PRIMITIVES = ["tests/tensor/primitives.test.ts"];
const BINARY = ["tests/tensor/primitives.binary.test.ts"];
const RUNS = ["tests/tensor/runs.test.ts"];
const FUSION = ["tests/engine/fusion.test.ts"];
const AUTOGRAD = ["tests/engine/autograd.test.ts"];

/** Faults of kernels that do the work of several operations, and of gradients that add to what has arrived. */
export const FUSED_MUTANTS: readonly Mutant[] = [
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
	{
		name: "block scales without their mean",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: 'bitcast<f32>(product ^ zero) + ${chosenOf("offset", count)}',
		to: "bitcast<f32>(product ^ zero)",
		tests: NF4,
	},
	{
		name: "one nested scale for all blocks",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: "}block / ${NESTED_BLOCK}u)",
		to: "}0u)",
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
		from: "vec2u((e >> 1u) + 1u, stream)",
		to: "vec2u(e >> 1u, stream)",
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
		from: "q < ${parts}u",
		to: "q < ${parts - 1}u",
		tests: LOW_RANK,
	},
	{
		name: "ranks beyond the first eight that begin anew",
		file: `${NN}/lowRank.ts`,
		from: 'const onto = r0 > 0 ? "dx" :',
		to: "const onto =",
		tests: LOW_RANK,
	},
	...(
		[
			["from the first four ranks alone", "p.N - 1u) * p.un + r) >> 2u", "p.N - 1u) * p.un) >> 2u"],
			["of the first record alone", "up_at4((z * p.uz + min(", "up_at4((min("],
			["with the low numbers of the first record", "low_at4(((z * p.M + min(", "low_at4(((min("],
			["to columns four by four as they lie", "FOUR.map((c) => `up${c}.${XYZW[s]}`)", "FOUR.map((c) => `up${s}.${XYZW[c]}`)"],
			["joined with one row for all", "low_at4((row * p.R + r) >> 2u)", "low_at4(r >> 2u)"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `an update of a product ${what}`,
			file: `${OPS}/gemm.tiled.kernel.ts`,
			from,
			to,
			tests: LOW_RANK,
			only: "plan gpu",
		}),
	),
	{
		name: "records in one product though each has an update of its own",
		file: `${OPS}/gemm.ts`,
		from: "plan(a, b, isSharedUp && ",
		to: "plan(a, b, ",
		tests: LOW_RANK,
		only: "plan gpu",
	},
	...(
		[
			["of the first record", "(first + min(t0 + ${i}u", "(min(t0 + ${i}u"],
			["that count a column beyond the last", "n < p.N; n += ${step * abreast}u", "n <= p.N; n += ${step * abreast}u"],
			["without those of one invocation", "other = column + ${COLUMNS}u;", "other = column + ${2 * COLUMNS}u;"],
			["whose columns begin after those of the rows", "(wid.x - p.rowGroups)", "wid.x"],
			["of every second column", "let own = lane / ${parts.length}u;", "let own = lane / ${parts.length}u * 2u;"],
			["with the ranks of the first four", "(${row} + r0) / 4u + ${q})`", "${row} / 4u + ${q})`"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `gradients by both low-rank factors ${what}`,
			file: `${NN}/updated.kernel.ts`,
			from,
			to,
			tests: LOW_RANK,
			only: "plan gpu",
		}),
	),
	...(
		[
			["by every second row of the grid", "(wid.z * nwg.y + wid.y) * own", "(wid.z * nwg.y + wid.y / 2u) * own"],
			["but for what lies beyond one turn", "own * nwg.y * nwg.z * ${lanes}u", "p.words"],
			["where rows are summed", "if (wid.x >= p.others) {", "if (wid.x > p.others) {"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `a weight written beside other work ${what}`,
			file: `${NN}/lowRank.kernel.ts`,
			from,
			to,
			tests: LOW_RANK,
			only: "plan gpu",
		}),
	),
	{
		name: "rows of a workgroup that are all its first",
		file: `${NN}/lowRank.kernel.ts`,
		from: "let row = t0 + lane / ${ranks}u;",
		to: "let row = t0;",
		tests: LOW_RANK,
		only: "plan gpu",
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
	{
		name: "a row times a weight in four bits, of the block before",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: "let at = start + b * ${NF4_BLOCK / 4}u + 2u * w;",
		to: "let at = start + own * ${NF4_BLOCK / 4}u + 2u * w;",
		tests: NF4,
	},
	{
		name: "the upper eight values of four bits changed for the lower",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: "return select(low, high, (c",
		to: "return select(high, low, (c",
		tests: NF4,
	},
	{
		name: "a row times a weight that was not rounded",
		file: `${NN}/quant/nf4.kernel.ts`,
		from: "`rounded(CODE[${4 * i + j}] * scale)`",
		to: "`(CODE[${4 * i + j}] * scale)`",
		tests: NF4,
	},
	{
		name: "skipping what a later kernel reads",
		file: "packages/tensor/src/gpu/unread.ts",
		from: "(storage.isOwned || needed.has(storage))",
		to: "storage.isOwned",
		tests: ["tests/engine/unread.test.ts"],
	},
	{
		name: "skipping what is copied to be read",
		file: "packages/tensor/src/gpu/unread.ts",
		from: "needed.add(command.from);",
		to: "",
		tests: ["tests/engine/unread.test.ts"],
	},
	{
		name: "running what nobody reads where its operands have an owner",
		file: "packages/tensor/src/gpu/unread.ts",
		from: 'pipeline.layoutKey[i] === "w" && ',
		to: "",
		tests: ["tests/engine/unread.test.ts"],
	},
	{
		name: "skipped kernels that count as readers",
		file: "packages/tensor/src/gpu/unread.ts",
		from: "else storage.uses--;",
		to: "",
		tests: ["tests/engine/unread.test.ts", "tests/engine/fusion.test.ts"],
	},
	{
		name: "what a skipped kernel was the last to use is kept",
		file: "packages/tensor/src/gpu/recorder.ts",
		from: "for (const { storage } of command.skipped) this.#passed(storage, number);",
		to: "",
		tests: ["tests/engine/unread.test.ts"],
	},
	{
		name: "steps of the grid without a sign",
		file: "packages/dp/src/clip/addClipped.ts",
		from: " ^ sign) - sign;",
		to: ");",
		tests: ["tests/dp/clip.test.ts"],
		only: "steps of the grid",
	},
	{
		name: "steps of the grid counted from another number",
		file: "packages/dp/src/clip/addClipped.ts",
		from: "+ 0x1p23;",
		to: "+ 12582912.0;",
		tests: ["tests/dp/clip.test.ts"],
		only: "steps of the grid",
	},
	{
		name: "a norm without what its sum loses",
		file: "packages/dp/src/clip/squareParts.ts",
		from: "sum = added(sum, (t.x + t.y) + (t.z + t.w), p.n >> 31u);",
		to: "sum.x += (t.x + t.y) + (t.z + t.w);",
		tests: ["tests/dp/clipExact.test.ts"],
		only: "added one by one",
	},
	{
		name: "a norm of every second four of its coordinates",
		file: "packages/dp/src/clip/squareParts.ts",
		from: "for (var i = start; i < end; i += 4u)",
		to: "for (var i = start; i < end; i += 8u)",
		tests: ["tests/dp/clip.test.ts"],
	},
	{
		name: "groups that are clipped to one norm whatever theirs are",
		file: "packages/dp/src/clip/clip.ts",
		from: "clips.every((c) => c === clips[0])",
		to: "clips.length > 0",
		tests: ["tests/dp/clipExact.test.ts"],
	},
	{
		name: "a norm of the last of its parts",
		file: "packages/dp/src/clip/clipFactors.ts",
		from: "sum = added(sum, parts_at(at), p.n >> 31u);",
		to: "sum = vec2f(parts_at(at), 0.0);",
		tests: ["tests/dp/clip.test.ts"],
		only: "are those of float64",
	},
	{
		name: "a count of records not clipped that is one of faults",
		file: "packages/dp/src/clip/addClipped.ts",
		from: '"acc.y"',
		to: '"acc.x"',
		tests: ["tests/dp/clip.test.ts"],
		only: "steps of the grid",
	},
	{
		name: "squares beyond the end of a record",
		file: "packages/dp/src/clip/squareParts.ts",
		from: "sumOf(start, min(start + ${PART}u, first + p.P))",
		to: "sumOf(start, start + ${PART}u)",
		tests: ["tests/dp/primitives.test.ts"],
		only: "dp.squareParts",
	},
	{
		name: "the next place of an id taken for the last",
		file: `${OPS}/embedding.ts`,
		from: "found = min(found, min(min(hit.x, hit.y), min(hit.z, hit.w)));",
		to: "found = min(found, max(max(hit.x, hit.y), max(hit.z, hit.w)));",
		tests: ["tests/tensor/lookupLinks.test.ts"],
	},
	{
		name: "an id that goes on in the next group",
		file: `${OPS}/embedding.ts`,
		from: "index / p.share * p.share + p.share;",
		to: "p.n;",
		tests: ["tests/tensor/lookupLinks.test.ts"],
	},
	{
		name: "sums of four columns that lose what rounding left over",
		file: `${OPS}/reduceInner.ts`,
		from: "let c = (t - acc) - y;",
		to: "let c = (t - acc) + y;",
		tests: ["tests/tensor/sumReadings.test.ts"],
	},
	{
		name: "rows that are read by fours from the first row on",
		file: `${OPS}/reduceInner.ts`,
		from: "let first = (start + i * p.sr0) / 4u;",
		to: "let first = start / 4u;",
		tests: ["tests/tensor/sumReadings.test.ts"],
	},
	{
		name: "parts of columns in the order of parts of rows",
		file: `${OPS}/reduceInner.ts`,
		from: "isOfColumns ? parts.transpose() : parts",
		to: "parts",
		tests: ["tests/tensor/sumReadings.test.ts"],
	},
	...(
		[
			["that has an owner", "if (storage.isOwned || sizeOf", "if (sizeOf"],
			["that two commands read", "return storage.uses === 1 + reads;", "return true;"],
			["that is read in part", "|| sizeOf(extents) !== sizeOf(source.extents)", ""],
			["that is read in another order", "|| !isContiguous(extents, strides[o])", ""],
			["of what was overwritten in between", "(written.get(storage) ?? -1) > last", "last < 0"],
			[
				"whose operands stay for ever",
				"for (const { storage } of dispatch.bindings) storage.lastUse =",
				"for (const { storage } of []) storage.lastUse =",
			],
			["of a leaf taken for another", "&& sameShape(known.strides, strides)", ""],
			["without what its other operands are made of", "isFirst = group.steps.length === 0 &&", "isFirst ="],
			["that walks along the axes of its last step", "isWalked ? strides[o] : along(extents, strides[o], group.extents)", "strides[o]"],
			["of operands that need more memory", "return bytes <= result.size;", "return true;"],
			["with the numbers of the first step", "p.of${k}_$1", "p.of0_$1"],
			["whose operations a driver may contract", "= settled(${value});", "= ${value};"],
			["of steps out of order", "n < 0 ? n - shift : numbers[n]", "n < 0 ? n : numbers[n]"],
		] as const
	).map(
		([what, from, to]): Mutant => ({
			name: `one kernel in place of a result ${what}`,
			file: `${TENSOR}/fusion.ts`,
			from,
			to,
			tests: FUSION,
		}),
	),
];
