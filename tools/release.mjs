/**
 * `npm run release`: proves that what is committed can be published, builds and packs it, and stops there. Publishing is left
 * to the release workflow, which runs this first and signs where the packages come from.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFlags } from "./flags.mjs";
import { packages, root } from "./packages.mjs";

/**
 * What stands in the way of a release.
 * @param {{ branch: string, changes: string, changesets: readonly string[], versions: readonly string[], tags: readonly string[] }} state
 *   changes as `git status --porcelain` prints them
 * @returns {readonly string[]}
 */
export function obstacles({ branch, changes, changesets, versions, tags }) {
	const [version] = versions;
	return [
		...(branch === "main" ? [] : [`this is the branch ${branch}; releases are made from main`]),
		...(changes === "" ? [] : [`there are changes that are not committed:\n${changes.trimEnd()}`]),
		...(changesets.length === 0 ? [] : [`${changesets.join(", ")} not applied yet: npm run version-packages, then commit`]),
		...(versions.every((v) => v === version) ? [] : [`the packages have several versions: ${versions.join(", ")}`]),
		...(tags.includes(tagOf(version))
			? [`${tagOf(version)} is tagged already: describe the changes with npx changeset, then npm run version-packages`]
			: []),
	];
}

/** The tag that changesets sets when it has published. */
const tagOf = (/** @type {string} */ version) => `@hushgrad/tensor@${version}`;

const git = (/** @type {string[]} */ ...args) => spawnSync("git", args, { cwd: root, encoding: "utf8" }).stdout;

function readState() {
	return {
		branch: git("branch", "--show-current").trim(),
		changes: git("status", "--porcelain"),
		changesets: readdirSync(join(root, ".changeset")).filter((name) => name.endsWith(".md") && name !== "README.md"),
		versions: packages.map(({ version }) => version),
		tags: git("tag").split("\n"),
	};
}

function npm(/** @type {readonly string[]} */ ...args) {
	console.log(`\n> npm ${args.join(" ")}`);
	return spawnSync("npm", args, { cwd: root, stdio: "inherit", shell: process.platform === "win32" }).status === 0;
}

function main() {
	readFlags("npm run release   proves that what is committed can be published, and publishes nothing", {});
	const state = readState();
	const found = obstacles(state);
	if (found.length > 0) {
		console.error(`Not ready for a release:\n${found.map((o) => `  - ${o}`).join("\n")}`);
		return 1;
	}
	const workspaces = packages.flatMap(({ name }) => ["-w", name]);
	const isProven = npm("run", "check") && npm("test") && npm("run", "build") && npm("publish", "--dry-run", ...workspaces);
	if (!isProven) return 1;
	console.log(`\n${state.versions[0]} is ready. Nothing was published: push main, and approve the run of the release workflow.`);
	return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exit(main());
