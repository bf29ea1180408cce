import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A source file, its path relative to the root. */
export interface Source {
	readonly path: string;
	readonly text: string;
}

/** Every TypeScript and JavaScript source that git knows or would add. */
export function readSources(root: string): Source[] {
	const list = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts", "*.mjs"], {
		cwd: root,
		encoding: "utf8",
	});
	const paths = list.split("\n").filter((p) => p !== "" && existsSync(join(root, p)));
	return paths.map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}
