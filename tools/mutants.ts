/**
 * `npm run mutants`: breaks the library in one place at a time, in a copy, and runs the tests that should notice. Exits
 * with 1 when a fault goes unnoticed. `-- --only NAME` runs one.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

interface Mutant {
	readonly name: string;
	readonly file: string;
	readonly from: string;
	readonly to: string;
	/** Test files (and a name to select by) that have to fail. */
	readonly tests: readonly string[];
}

const OPS = "packages/tensor/src/ops";
const SUITE = ["tests/tensor"];

const MUTANTS: readonly Mutant[] = [
	{
		name: "sign of a derivative",
		file: `${OPS}/symbolic.ts`,
		from: 'times(number(-1), call("sin", x))',
		to: 'call("sin", x)',
		tests: SUITE,
	},
	{
		name: "no sum over a broadcast axis",
		file: `${OPS}/elementwise.ts`,
		from: "axes.length === 0 ? g : sum(g, axes)",
		to: "g",
		tests: SUITE,
	},
	{
		name: "missing guard of a store",
		file: `${OPS}/elementwise.ts`,
		from: "body: `if (index >= p.n) { return; }\n${walkCode",
		to: "body: `\n${walkCode",
		tests: SUITE,
	},
	{
		name: "missing guard of a store that copies",
		file: `${OPS}/roll.ts`,
		from: "if (index >= p.n) { return; }",
		to: "",
		tests: SUITE,
	},
	{ name: "causal mask off by one", file: `${OPS}/attentionSoftmax.ts`, from: "min(p.S, t + 1u)", to: "min(p.S, t + 2u)", tests: SUITE },
	{
		name: "gradient with the wrong factor transposed",
		file: `${OPS}/matmul.ts`,
		from: "productTo(transpose(a), dy, operand)",
		to: "productTo(transpose(mulScalar(a, 1.01)), dy, operand)",
		tests: SUITE,
	},
	{
		name: "tail of the inner axis dropped",
		file: `${OPS}/gemm.kernel.ts`,
		from: "for (var k = p.K & ~3u; k < p.K; k++)",
		to: "for (var k = p.K & ~3u; k + 1u < p.K; k++)",
		tests: SUITE,
	},
	{
		name: "last rows of a split sum left out",
		file: `${OPS}/reduceInner.ts`,
		from: "offset: x.offset + chunks * SPLIT * step",
		to: "offset: x.offset + (chunks - 1) * SPLIT * step",
		tests: SUITE,
	},
	{
		name: "ties of a maximum counted twice",
		file: `${OPS}/amax.ts`,
		from: "div(hits, sum(hits, [-1], { keepDim: true }))",
		to: "hits",
		tests: SUITE,
	},
	{
		name: "running sum not reversed in its gradient",
		file: `${OPS}/cumsum.ts`,
		from: "{ reverse: !reverse, exclusive }",
		to: "{ reverse, exclusive }",
		tests: SUITE,
	},
	{ name: "unstable sort", file: `${OPS}/sort.ts`, from: "(isRight && k == key)", to: "(!isRight && k == key)", tests: SUITE },
	{
		name: "overwriting instead of adding",
		file: `${OPS}/indexing.ts`,
		from: "acc += src_at(at + k)",
		to: "acc = src_at(at + k)",
		tests: SUITE,
	},
	{
		name: "mean of the gradient forgotten",
		file: `${OPS}/layerNorm.ts`,
		from: "sub(sub(dy, along(dy)), mul(y, along(mul(dy, y))))",
		to: "sub(dy, mul(y, along(mul(dy, y))))",
		tests: SUITE,
	},
	{
		name: "wrong diagonal",
		file: `${OPS}/tril.ts`,
		from: "- i32(index / p.N % p.M) - p.diagonal",
		to: "- i32(index / p.N % p.M) + p.diagonal",
		tests: SUITE,
	},
	{
		name: "truncation instead of rounding to bf16",
		file: "packages/tensor/src/gpu/prelude.ts",
		from: "(b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u",
		to: "b >> 16u",
		tests: SUITE,
	},
	{
		name: "NaN swallowed",
		file: "packages/tensor/src/gpu/prelude.ts",
		from: "return keepNan(x, select(tanh(clamp(x, -15.0, 15.0)), small, abs(x) < 0.15))",
		to: "return select(tanh(clamp(x, -15.0, 15.0)), small, abs(x) < 0.15)",
		tests: SUITE,
	},
	{
		name: "step of a slice ignored in its gradient",
		file: `${OPS}/slice.ts`,
		from: "place(dy, at, start, extent, step)",
		to: "place(dy, at, start, extent)",
		tests: SUITE,
	},
	{ name: "flip of the wrong element", file: `${OPS}/join.ts`, from: "p.extent - 1u - k", to: "(p.extent - k) % p.extent", tests: SUITE },
	{ name: "a second derivative lost in silence", file: `${OPS}/prod.ts`, from: 'again: "none",', to: "", tests: SUITE },
	{
		name: "masks drawn anew in a checkpoint",
		file: "packages/tensor/src/checkpoint.ts",
		from: "dropout?.rewind(position as number);",
		to: "",
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
		from: "const { notFinite, strayWrite } = await this.#orLost(this.status.read(this.recorder));\n\t\tthis.raise();",
		to: "const { notFinite, strayWrite } = await this.status.read(this.recorder).catch(() => ({ notFinite: undefined, strayWrite: undefined }));",
		tests: ["tests/training/deviceLoss.test.ts"],
	},
	{
		name: "sample axis not checked",
		file: "packages/tensor/src/primitive.ts",
		from: "if (t.perSample && leads === 0) {",
		to: "if (false) {",
		tests: [...SUITE, "tests/dp"],
	},
];

const root = fileURLToPath(new URL("..", import.meta.url));

/** A copy of the committed and uncommitted sources whose packages refer to each other. */
function copyOfSources(): string {
	const copy = mkdtempSync(join(tmpdir(), "mutants-"));
	const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root, encoding: "utf8" })
		.trim()
		.split("\n");
	for (const file of files) cpSync(join(root, file), join(copy, file), { recursive: true });
	mkdirSync(join(copy, "node_modules", "@hushgrad"), { recursive: true });
	for (const name of readdirSync(join(root, "node_modules"))) {
		if (name !== "@hushgrad") symlinkSync(join(root, "node_modules", name), join(copy, "node_modules", name));
	}
	for (const name of readdirSync(join(copy, "packages"))) {
		symlinkSync(join(copy, "packages", name), join(copy, "node_modules", "@hushgrad", name));
		if (readdirSync(join(root, "packages", name)).includes("node_modules")) {
			symlinkSync(join(root, "packages", name, "node_modules"), join(copy, "packages", name, "node_modules"));
		}
	}
	return copy;
}

/** Throws unless the text to change stands in its file exactly once. */
function checkText({ name, file, from }: Mutant): void {
	if (readFileSync(join(root, file), "utf8").split(from).length !== 2) throw new Error(`${name}: ${file} does not hold "${from}" once`);
}

/** Whether the tests notice. */
function isCaught(copy: string, { file, from, to, tests }: Mutant): boolean {
	const path = join(copy, file);
	const source = readFileSync(path, "utf8");
	writeFileSync(
		path,
		source.replace(from, () => to),
	);
	try {
		const { status } = spawnSync("npx", ["vitest", "run", "--bail", "1", ...tests], {
			cwd: copy,
			env: { ...process.env, HUSHGRAD_PROPERTY_RUNS: "100" },
			stdio: "ignore",
		});
		return status !== 0;
	} finally {
		writeFileSync(path, source);
	}
}

const { values } = parseArgs({ options: { only: { type: "string" } } });
const chosen = MUTANTS.filter((m) => values.only === undefined || m.name === values.only);
if (chosen.length === 0) throw new Error(`there is no fault named ${values.only}`);
chosen.forEach(checkText);
const copy = copyOfSources();
let missed = 0;
try {
	if (spawnSync("npx", ["vitest", "run", ...new Set(chosen.flatMap((m) => m.tests))], { cwd: copy, stdio: "ignore" }).status !== 0) {
		throw new Error("the tests fail without any fault");
	}
	for (const mutant of chosen) {
		const caught = isCaught(copy, mutant);
		if (!caught) missed++;
		console.log(`${caught ? "caught" : "MISSED"}  ${mutant.name} (${mutant.file})`);
	}
} finally {
	rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length - missed} of ${chosen.length} faults caught`);
process.exit(missed === 0 ? 0 : 1);
