import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { packages, root } from "../../tools/packages.mjs";
import { run } from "./install.ts";

const bin = (name: string): string => join(root, "node_modules/.bin", name);
const project = inject("project");

describe.each(packages)("$name", ({ name, folder }) => {
	const tarball = inject("tarballs")[name];
	const installed = join(project, "node_modules", name);
	const files = run("tar", ["-tzf", tarball], root)
		.split("\n")
		.map((path) => path.replace(/^package\//, ""));

	it("has nothing that publint finds", () => {
		expect(run(bin("publint"), [tarball, "--strict"], root)).toContain("All good!");
	});

	it("has types that resolve wherever ES modules do", () => {
		run(bin("attw"), [tarball], root);
	});

	it("holds README, licence, modules, declarations, maps and sources, and nothing else", () => {
		for (const file of ["README.md", "LICENSE", "package.json", "dist/index.js", "dist/index.d.ts", "dist/index.js.map", "src/index.ts"]) {
			expect(files).toContain(file);
		}
		const odd = files.filter(
			(f) => f !== "" && !/^(README\.md|CHANGELOG\.md|LICENSE|package\.json|settings\.schema\.json|(dist|src)\/.*\.(ts|js|map))$/.test(f),
		);
		expect(odd).toEqual([]);
	});

	it("has source maps that lead to its sources", () => {
		for (const map of files.filter((f) => f.endsWith(".map"))) {
			const { sources } = JSON.parse(readFileSync(join(installed, map), "utf8")) as { sources: string[] };
			for (const source of sources) expect(files).toContain(join(map, "..", source));
		}
	});

	it("tells npm what it is", () => {
		const { description, keywords, license, repository, engines, sideEffects } = JSON.parse(
			readFileSync(join(folder, "package.json"), "utf8"),
		);
		expect([typeof description, keywords.length > 4, license, engines.node]).toEqual(["string", true, "Apache-2.0", ">=20.19"]);
		expect([sideEffects].flat().filter((path) => path !== false && !/\/methods\.[jt]s$/.test(path))).toEqual([]);
		expect(repository.directory).toBe(`packages/${name.split("/")[1]}`);
	});
});

describe("the command hushgrad, as installed", () => {
	const hushgrad = join(project, "node_modules/.bin/hushgrad");
	const data = join(project, "cards.csv");

	it("explains itself, and tells its version", () => {
		expect(run(hushgrad, ["--help"], project)).toContain("hushgrad COMMAND --help");
		expect(run(hushgrad, ["--version"], project)).toBe(`${packages[packages.length - 1].version}\n`);
	});

	it("plans a run", () => {
		writeFileSync(data, ["question,answer", ...Array.from({ length: 60 }, (_, i) => `What is ${i}?,a number`)].join("\n"));
		const said = run(hushgrad, ["plan", "--data", data, "--model", join(root, "assets/tiny-vaultgemma"), "--records", "54"], project);
		expect(said).toMatch(/noise +σ = /);
	});
});
