import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as tensor from "@hushgrad/tensor";
import type { Primitive } from "@hushgrad/tensor/author";
import type { Registry } from "@hushgrad/tensor/registry";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { scaffold } from "../../tools/new-op.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Inside the repository, so that its settings and its packages are found; git ignores it. */
const shelf = join(root, "out");
const SOURCE = "packages/tensor/src";
const ALL = `${SOURCE}/ops/all.ts`;
const INDEX = `${SOURCE}/index.ts`;
const opFile = (name: string) => `${SOURCE}/ops/${name}.ts`;

let copy: string;
beforeEach(() => {
	mkdirSync(shelf, { recursive: true });
	copy = mkdtempSync(join(shelf, "newOp-"));
	for (const path of [SOURCE, "packages/tensor/package.json", "tools/new-op.ts", "tools/flags.mjs"])
		cpSync(join(root, path), join(copy, path), { recursive: true });
});
afterEach(() => rmSync(copy, { recursive: true }));

const read = (path: string) => readFileSync(join(copy, path), "utf8");

/** Every file of the copy, by path. */
const state = (): Map<string, string> => {
	const entries = readdirSync(copy, { recursive: true, withFileTypes: true }).filter((e) => e.isFile());
	const paths = entries.map((e) =>
		join(e.parentPath, e.name)
			.slice(copy.length + 1)
			.replaceAll("\\", "/"),
	);
	return new Map(paths.map((path) => [path, read(path)]));
};

/** The command in the copy. */
const run = (...names: string[]) =>
	spawnSync(process.execPath, ["--import", "tsx", join(copy, "tools", "new-op.ts"), ...names], { cwd: root, encoding: "utf8" });

const check = (tool: string, ...args: string[]) => {
	const { status, stdout, stderr } = spawnSync(join(root, "node_modules", ".bin", tool), args, { cwd: root, encoding: "utf8" });
	expect(status, stdout + stderr).toBe(0);
};

describe("scaffold", () => {
	it("writes one file and two lines", () => {
		const before = state();
		expect(scaffold(copy, "frobnicate")).toEqual([opFile("frobnicate"), ALL, INDEX]);
		const changed = [...state()].filter(([path, text]) => before.get(path) !== text).map(([path]) => path);
		expect(changed.sort()).toEqual([INDEX, ALL, opFile("frobnicate")].sort());

		const op = read(opFile("frobnicate"));
		expect(op).toContain('export const frobnicateKernel = defineKernel("frobnicate", {\n');
		expect(op).toContain('export const frobnicatePrimitive = definePrimitive({\n\tname: "frobnicate",\n');
		expect(op).toContain("export function frobnicate(x: Tensor): Tensor {\n");
		for (const facet of ["kernel", "shapes", "call", "gradient", "reference", "tests' domains and bound"])
			expect(op).toContain(`// Replace the ${facet}`);

		for (const [file, line] of [
			[ALL, 'export * from "./frobnicate.ts";'],
			[INDEX, 'export { frobnicate } from "./ops/frobnicate.ts";'],
		]) {
			const lines = read(file).split("\n");
			const at = lines.indexOf(line);
			expect(at).toBeGreaterThanOrEqual(0);
			expect(lines.toSpliced(at, 1).join("\n")).toBe(before.get(file));
		}
	});

	it("is clean for the formatter, the linter and the compiler, wherever the name falls in the alphabet", () => {
		const names = ["aaa", "dropout2d", "gemm10", "gemm2", "gemmFast", "logStuff", "logsigma", "zzz"];
		const files = new Set(names.flatMap((name) => scaffold(copy, name)));
		for (const [file, module] of [
			[ALL, /from "\.\/(\w+)\.ts"/],
			[INDEX, /from "\.\/ops\/(\w+)\.ts"/],
		] as const) {
			const exported = read(file)
				.split("\n")
				.flatMap((line) => module.exec(line)?.[1] ?? []);
			expect(exported[0]).toBe("aaa");
			expect(exported.at(-1)).toBe("zzz");
			expect(exported).toEqual(expect.arrayContaining(names));
		}
		check("biome", "check", "--vcs-enabled=false", ...[...files].map((file) => join(copy, file)));
		writeFileSync(join(copy, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", include: [SOURCE] }));
		check("tsc", "--noEmit", "-p", copy);
	});

	it.each([
		["camel_case", '"camel_case" is not a name in camelCase'],
		["Upper", '"Upper" is not a name in camelCase'],
		["", '"" is not a name in camelCase'],
		["two\nlines", '"two\\nlines" is not a name in camelCase'],
		["../evil", '"../evil" is not a name in camelCase'],
		["delete", "delete is a word of the language"],
		["await", "await is a word of the language"],
		["eval", "eval is a word of the language"],
		["isNaN", "isNaN is a word of the language"],
		["rope", "ops/rope.ts exists"],
		["roPe", "ops/rope.ts exists"],
		["exp", "exp is exported by ops/unary.ts already"],
		["data", "data is exported by host.ts already"],
		["key", "key is exported by random.ts already"],
		["ropePrimitive", "ropePrimitive is exported by ops/rope.ts already"],
		["scatterRows", "scatterRows is exported by ops/embedding.ts already"],
	])("refuses %j and writes nothing", (name, why) => {
		const before = state();
		expect(() => scaffold(copy, name)).toThrow(expect.objectContaining({ message: why }));
		expect(state()).toEqual(before);
	});

	it("refuses a name twice and leaves what the author wrote", () => {
		scaffold(copy, "frobnicate");
		writeFileSync(join(copy, opFile("frobnicate")), "export const mine = 1;\n");
		const before = state();
		expect(() => scaffold(copy, "frobnicate")).toThrow("ops/frobnicate.ts exists");
		expect(state()).toEqual(before);
	});

	it("makes a primitive whose result and gradients are those of its reference", async () => {
		scaffold(copy, "frobnicate");
		// The copy is a library of its own; its index and its registry know the new operation.
		const lib = (await import(join(copy, INDEX))) as typeof tensor & { frobnicate: (x: tensor.Tensor) => tensor.Tensor };
		const { registry } = (await import(join(copy, SOURCE, "registry.ts"))) as { registry: Registry };
		const primitive = registry.primitives.find((p) => p.spec.name === "frobnicate") as Primitive;
		expect(registry.kernels.some((k) => "key" in k && k.key === "frobnicate")).toBe(true);
		expect(Object.keys(lib).filter((name) => /frobnicate/i.test(name))).toEqual(["frobnicate"]);
		const device = await lib.requestDevice();
		try {
			const values = [1, -2, 3, 0.5, 0, -0.25];
			const slot = { value: device.fromHost(values, [2, 3]) };
			const y = lib.frobnicate(slot.value);
			const [expected] = primitive.spec.reference({ x: { data: Float64Array.from(values), shape: [2, 3] } }, {});
			expect(y.shape).toEqual(expected.shape);
			expect([...(await lib.data(y))]).toEqual([...expected.data]);
			const slope = () => lib.sum(lib.valueAndGrad(() => lib.sum(lib.frobnicate(slot.value)), [slot]).grads[0]);
			const [once] = lib.valueAndGrad(() => lib.sum(lib.frobnicate(slot.value)), [slot]).grads;
			const [twice] = lib.valueAndGrad(slope, [slot]).grads;
			expect([...(await lib.data(once))]).toEqual(values.map((v) => 2 * v));
			expect([...(await lib.data(twice))]).toEqual(values.map(() => 2));
			const rows = lib.vmap(lib.frobnicate)(slot.value);
			expect(rows.shape).toEqual([2, 3]);
			expect([...(await lib.data(rows))]).toEqual([...expected.data]);
			expect(() => lib.frobnicate(device.fromHost([1], []))).toThrow(lib.ShapeError);
			expect(() => lib.frobnicate(device.fromHost([1], [1], "i32"))).toThrow(lib.DTypeError);
		} finally {
			device.destroy();
		}
	});
});

describe("npm run new-op", () => {
	it("prints the files and the next command", () => {
		const next = "It is tested already: npx vitest run tests/tensor -t frobnicate";
		expect(run("frobnicate")).toMatchObject({ status: 0, stderr: "", stdout: `${opFile("frobnicate")}\n${ALL}\n${INDEX}\n${next}\n` });
		expect(read(INDEX)).toContain('export { frobnicate } from "./ops/frobnicate.ts";\n');
		expect(read(ALL)).toContain('export * from "./frobnicate.ts";\n');
	});

	it.each([
		[[], "give one name: npm run new-op NAME"],
		[["one", "two"], "give one name: npm run new-op NAME"],
		[["rope"], "ops/rope.ts exists"],
	])("ends with one line and exit code 1 for the names %j", (names, line) => {
		const before = state();
		expect(run(...names)).toMatchObject({ status: 1, stdout: "", stderr: `${line}\n` });
		expect(state()).toEqual(before);
	});
});
