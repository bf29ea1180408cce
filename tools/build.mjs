/**
 * Builds the packages: ES modules, declarations and source maps, one file for every source, comments kept. Each is built
 * against the declarations of those before it, as a user's program is.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { readFlags } from "./flags.mjs";
import { packages, root } from "./packages.mjs";

const tsc = join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin/tsc");

/** TypeScript rewrites the extensions of relative imports in modules, and leaves them in declarations. */
const withJsExtensions = (/** @type {string} */ code) =>
	code.replaceAll(/((?:from |import\(|declare module )"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"');

/** Definitions register nothing: a bundler may drop those that a program does not use. */
const withPureDefinitions = (/** @type {string} */ code) =>
	code.replaceAll(/^((?:export )?const \w+ = )(?=(?:new )?\w+\()/gm, "$1/* @__PURE__ */ ");

function build(/** @type {import("./packages.mjs").Package} */ { name, folder }) {
	const dist = join(folder, "dist");
	rmSync(dist, { recursive: true, force: true });
	const { status } = spawnSync(process.execPath, [tsc, "-p", folder], { stdio: "inherit" });
	if (status !== 0) throw new Error(`${name} does not compile`);
	for (const path of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
		const file = join(dist, path);
		if (path.endsWith(".d.ts")) writeFileSync(file, withJsExtensions(readFileSync(file, "utf8")));
		else if (path.endsWith(".js")) writeFileSync(file, withPureDefinitions(readFileSync(file, "utf8")));
	}
	copyFileSync(join(root, "LICENSE"), join(folder, "LICENSE"));
}

readFlags("npm run build   builds the packages into their folders dist", {});
for (const one of packages) build(one);
