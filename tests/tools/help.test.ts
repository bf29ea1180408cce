import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { readonly scripts: Readonly<Record<string, string>> };

/** Scripts of this repository that are programs of its own: what `node` runs, by their names. */
const programs = Object.entries(scripts).flatMap(([name, line]) =>
	line.startsWith("node ") ? [{ name, args: line.split(" ").slice(1) }] : [],
);

interface Ended {
	readonly code: number;
	readonly out: string;
	readonly err: string;
}

const run = (args: readonly string[]): Promise<Ended> =>
	new Promise((resolve) => {
		const child = execFile(process.execPath, args, { cwd: root, timeout: 60_000 }, (_, out, err) =>
			resolve({ code: child.exitCode ?? -1, out, err }),
		);
	});

describe("each program of the repository", () => {
	it.concurrent.each(programs)("$name refuses a flag that it does not have, in one message", async ({ args }) => {
		const { code, out, err } = await run([...args, "--nonsense"]);
		expect({ code: code === 1 || code === 2, out }, err).toEqual({ code: true, out: "" });
		expect(err).toContain("--nonsense");
		expect(err).not.toMatch(/\n\s+at /);
		expect(err.trim().split("\n").length).toBeLessThanOrEqual(3);
	});

	it.concurrent.each(programs.filter(({ name }) => ["evaluation", "test", "kills:run", "build"].includes(name)))(
		"$name explains itself",
		async ({ name, args }) => {
			const { code, out, err } = await run([...args, "--help"]);
			expect({ code, err }).toEqual({ code: 0, err: "" });
			expect(out).toContain(name === "test" ? "npm test" : `npm run ${name}`);
		},
	);
});
