import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Primitive, requestDevice, type Tensor } from "@hushgrad/tensor";
import { afterAll, describe, expect, it } from "vitest";
import { scaffold } from "../../tools/new-op.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Inside the repository, so that the formatter's settings and the packages are found. */
const copy = mkdtempSync(join(root, "tests", "tools", "newOp-"));
const source = join(copy, "src");
cpSync(join(root, "packages", "tensor", "src"), source, { recursive: true });
afterAll(() => rmSync(copy, { recursive: true }));

const state = (): Map<string, string> => {
	const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"));
	return new Map(files.map((f) => [f, readFileSync(join(source, f), "utf8")]));
};

describe("new-op", () => {
	it("writes one file and one line, formatted and in order", () => {
		const before = state();
		const files = scaffold(source, "frobnicate");
		expect(files).toEqual([join(source, "ops", "frobnicate.ts"), join(source, "index.ts")]);
		const after = state();
		const changed = [...after].filter(([f, text]) => before.get(f) !== text).map(([f]) => f);
		expect(changed.sort()).toEqual(["index.ts", join("ops", "frobnicate.ts")]);
		const [old, fresh] = [before, after].map((m) => (m.get("index.ts") as string).split("\n"));
		const at = fresh.indexOf('export * from "./ops/frobnicate.ts";');
		expect(fresh.toSpliced(at, 1)).toEqual(old);
		const moduleOf = (line: string) => /"(.+)"/.exec(line)?.[1] ?? "";
		expect(moduleOf(fresh[at - 1]) < "./ops/frobnicate.ts" && moduleOf(fresh[at + 1]) > "./ops/frobnicate.ts").toBe(true);
		execFileSync(join(root, "node_modules", ".bin", "biome"), ["check", "--vcs-enabled=false", ...files], { cwd: root, stdio: "pipe" });
	});

	it.each([
		["camel_case", "camelCase"],
		["Upper", "camelCase"],
		["", "camelCase"],
		["../evil", "camelCase"],
		["delete", "word of the language"],
		["rope", "ops/rope.ts exists"],
		["exp", "exported by"],
		["key", "exported by"],
	])("refuses %s and writes nothing", (name, why) => {
		const before = state();
		expect(() => scaffold(source, name)).toThrow(why);
		expect(state()).toEqual(before);
	});

	it("makes a primitive that computes its reference", async () => {
		scaffold(source, "quux");
		// The copy is a library of its own: its device and its primitive know each other.
		const { Device } = (await import(join(source, "device.ts"))) as typeof import("../../packages/tensor/src/device.ts");
		const { quuxPrimitive } = (await import(join(source, "ops", "quux.ts"))) as { quuxPrimitive: Primitive };
		const opened = await requestDevice();
		const device = new Device(opened.instance, opened.gpu, opened.info, Number.POSITIVE_INFINITY);
		const x = device.fromHost([1, -2, 3], [3]);
		const [y] = quuxPrimitive.apply([x as unknown as Tensor]);
		expect([...(await device.read(y as never))]).toEqual([
			...quuxPrimitive.spec.reference({ x: { data: Float64Array.of(1, -2, 3), shape: [3] } }, {})[0].data,
		]);
		opened.destroy();
	});

	it("ends with one line and exit code 1 without a name", () => {
		const run = () =>
			execFileSync(process.execPath, ["--import", "tsx", join(root, "tools", "new-op.ts")], { cwd: root, encoding: "utf8", stdio: "pipe" });
		expect(run).toThrow(expect.objectContaining({ status: 1, stderr: "give one name: npm run new-op NAME\n" }));
	});
});
