import type { Mutant } from "./mutants.operations.ts";

const OPS = "packages/tensor/src/ops";
const LOW_RANK = "packages/nn/src/lowRank.kernel.ts";

/** Faults of a file that one test file notices: what is wrong, the text there is, and what it becomes. */
const faults = (of: string, file: string, test: string, each: readonly (readonly [what: string, from: string, to: string])[]): Mutant[] =>
	each.map(([what, from, to]) => ({ name: `${of} ${what}`, file, from, to, tests: [test] }));

/** Faults of what subgroups share in plan "cpu": tiles of many rows, products that are turned, updates, and loads of low-rank branches. */
export const SHARING_MUTANTS: readonly Mutant[] = [
	...faults("a tile whose rows are stored", `${OPS}/gemm.kernel.ts`, "tests/tensor/gemmShared.test.ts", [
		["over the first rows", "let m = top + ${i}u;", "let m = m0 + ${i}u;"],
		["without what is added in the end", "plus === undefined ? `v${h}${part}`", "plus !== undefined ? `v${h}${part}`"],
	]),
	...faults("one of several values", "packages/tensor/src/gpu/wgsl.ts", "tests/tensor/gemmShared.test.ts", [
		["by the last bit of its number alone", "& ${1 << bit}u) != 0u", "& ${(1 << bit) & 1}u) != 0u"],
		["the wrong way round", "`select(${v}, ${values[i + 1]}, bit${bit})`", "`select(${values[i + 1]}, ${v}, bit${bit})`"],
	]),
	...faults("a tile that subgroups share", `${OPS}/gemm.shared.kernel.ts`, "tests/tensor/gemmShared.test.ts", [
		["with the step of its first four rows", "steps.length === 1 ?", "atOnce === 1 ?"],
		["with low numbers of the first entry of a batch", "`(z * p.M + min(", "`(min("],
		["with an update of the first entry of a batch", "`z * p.uz + min(", "`min("],
		["with an update by the first four ranks alone", "r < p.R; r += 4u", "r < 4u; r += 4u"],
		["with an update by the low numbers of eight rows", "(low${i >> 3}.", "(low${0 * i}."],
		["with an update by low numbers of the first lane", "${XYZW[s]}, ${i % LANES}u) * u${s}", "${XYZW[s]}, 0u) * u${s}"],
	]),
	...faults("a turned product", `${OPS}/gemm.ts`, "tests/tensor/gemmShared.test.ts", [
		["whose entries of a batch are those of the other matrix", "a0: b0, a1: b1, a2: b2", "a0: b0, a1: b1, a2: b0"],
		["stored along rows that do not follow each other", "bk: ak, om: 1 }", "bk: ak }"],
		["whose columns follow each other", "turned(size), kind, size.om)", "turned(size), kind, 1)"],
	]),
	...faults("a low-rank branch that shares loads", LOW_RANK, "tests/nn/lowRank.test.ts", [
		["with the first row of A for all ranks", "`subgroupBroadcast(mine, ${r}u)` : `a_v(", "`subgroupBroadcast(mine, 0u)` : `a_v("],
		["with A of the first ranks alone", "`min(subgroupLane, ${ranks - 1}u)`", "`min(subgroupLane, ${ranks - 2}u)`"],
		["with the first number of h for all ranks", "`subgroupBroadcast(mine, ${r}u)` : `h_at(", "`subgroupBroadcast(mine, 0u)` : `h_at("],
	]),
];
