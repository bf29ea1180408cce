import { spawnSync } from "node:child_process";

const run = (command: string, ...args: string[]): boolean => spawnSync(command, args, { stdio: "ignore" }).status === 0;

/** Mounts a file system in memory at a folder, with options of mount: how to take it away; undefined where this process may not. */
export function mountTmpfs(folder: string, options: string): (() => void) | undefined {
	if (!run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)) return undefined;
	return () => void run("umount", folder);
}

/** What comes before a command whose process obeys permission bits; undefined where none does. Root obeys once it may not override them. */
export function obeying(): readonly string[] | undefined {
	if (process.getuid?.() !== 0) return process.platform === "win32" ? undefined : [];
	const prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] as const;
	return run(...prefix, "true") ? prefix : undefined;
}

/** Makes what was mounted at a folder read-only. */
export const remountReadOnly = (folder: string): void => void run("mount", "-o", "remount,ro", folder);
