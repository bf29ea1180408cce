import { execFileSync } from "node:child_process";
import { cpSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "./contender.ts";
import { UsageError } from "./usage.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = join(root, "out/bench-base");

/** What of this checkout is the yardstick: both checkouts are measured by it. */
const YARDSTICK = ["bench", "tools/roofline/clock.ts"];

const git = (...args: string[]): string =>
	execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim();

/**
 * Checks a commit out in out/bench-base and installs what it needs; what was there before is replaced unless it is that commit. Its
 * library is measured by this checkout's benchmark.
 * @throws UsageError for what is no commit, or cannot be installed.
 */
export function checkOut(ref: string): Pick<Command, "script" | "cwd"> {
	const commit = commitOf(ref);
	const isThere = existsSync(FOLDER) && execFileSync("git", ["rev-parse", "HEAD"], { cwd: FOLDER, encoding: "utf8" }).trim() === commit;
	try {
		if (!isThere) {
			removeBase();
			git("worktree", "add", "--force", "--detach", FOLDER, commit);
		}
		if (!existsSync(join(FOLDER, "node_modules"))) {
			const npm = { cwd: FOLDER, stdio: ["ignore", "ignore", "pipe"] as const, shell: process.platform === "win32" };
			execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--prefer-offline"], { ...npm, stdio: [...npm.stdio] });
		}
		for (const path of YARDSTICK) {
			rmSync(join(FOLDER, path), { recursive: true, force: true });
			cpSync(join(root, path), join(FOLDER, path), { recursive: true });
		}
	} catch (error) {
		throw new UsageError(`--base ${ref} cannot be checked out: ${(error as Error).message.split("\n").slice(0, 3).join(" ")}`);
	}
	return { script: join(FOLDER, "bench/contenders/ours.ts"), cwd: FOLDER };
}

function commitOf(ref: string): string {
	try {
		return git("rev-parse", "--verify", "--end-of-options", `${ref}^{commit}`);
	} catch {
		throw new UsageError(`--base ${ref}: there is no such commit`);
	}
}

function removeBase(): void {
	rmSync(FOLDER, { recursive: true, force: true });
	git("worktree", "prune");
}
