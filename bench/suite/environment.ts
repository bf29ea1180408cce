import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The version of an installed package, as seen from a folder; this repository when left out. */
export function versionOf(name: string, from = root): string {
	let folder = from;
	for (;;) {
		const file = join(folder, "node_modules", name, "package.json");
		if (existsSync(file)) return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
		if (dirname(folder) === folder) throw new Error(`${name} is not installed`);
		folder = dirname(folder);
	}
}

/** A package's own entry, found from a folder. */
export const requireFrom = (folder: string): NodeJS.Require => createRequire(join(folder, "package.json"));

function commit(): string {
	try {
		const git = (...args: string[]) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
		return git("status", "--porcelain") === "" ? git("rev-parse", "--short", "HEAD") : `${git("rev-parse", "--short", "HEAD")} and changes`;
	} catch {
		return "unknown";
	}
}

/** The machine and the versions of a run. */
export function environment() {
	const [{ model }] = cpus();
	return {
		date: new Date().toISOString().slice(0, 10),
		commit: commit(),
		node: process.version,
		system: `${platform()} ${release()} ${arch()}`,
		processor: `${model.trim()}, ${cpus().length} threads, ${Math.round(totalmem() / 2 ** 30)} GiB`,
		packages: Object.fromEntries(["@hushgrad/tensor", "webgpu", "tsx"].map((name) => [name, versionOf(name)])),
	};
}
