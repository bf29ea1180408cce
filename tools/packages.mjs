/** The packages that are published, each after those that it depends on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));

/** @typedef {{ name: string, folder: string, version: string }} Package */

/** @type {readonly Package[]} */
export const packages = ["tensor", "nn", "dp", "models", "finetune"].map((short) => {
	const folder = join(root, "packages", short);
	const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
	return { name, folder, version };
});
