import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { packages, root } from "../../tools/packages.mjs";

declare module "vitest" {
	interface ProvidedContext {
		/** An empty project outside of the workspace, with the packed packages installed. */
		project: string;
		/** The packed packages, by name. */
		tarballs: Record<string, string>;
	}
}

/** Runs a command; throws with what it said when it fails. */
export function run(command: string, args: readonly string[], cwd: string): string {
	const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", shell: process.platform === "win32" });
	if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? ""}\n${stdout}\n${stderr}`);
	return stdout;
}

export const npm = (cwd: string, ...args: string[]): string => run("npm", [...args, "--no-audit", "--no-fund", "--loglevel=error"], cwd);

const TO_MODULE = ["--module", "nodenext", "--target", "es2022", "--skipLibCheck", "--types", ""];

/** Builds and packs the packages and installs them into an empty folder. */
export default function setup({ provide }: TestProject): () => void {
	const folder = mkdtempSync(join(tmpdir(), "hushgrad-packages-"));
	const [project, packed] = ["project", "packed"].map((name) => join(folder, name));
	for (const path of [project, packed]) mkdirSync(path);
	run(process.execPath, [join(root, "tools/build.mjs")], root);
	const tarballs = Object.fromEntries(
		packages.map(({ name, folder: from }) => [name, join(packed, npm(from, "pack", "--pack-destination", packed).trim())]),
	);
	writeFileSync(join(project, "package.json"), '{ "name": "project", "private": true, "type": "module" }\n');
	npm(project, "install", ...Object.values(tarballs));
	cpSync(join(root, "tests/packages/train.ts"), join(project, "train.ts"));
	run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...TO_MODULE, "train.ts"], project);
	provide("project", project);
	provide("tarballs", tarballs);
	return () => rmSync(folder, { recursive: true, force: true });
}
