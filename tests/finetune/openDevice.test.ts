import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const PROGRAM = `
	import { writeSync } from "node:fs";
	import { openDevice } from "${join(root, "packages/finetune/src/cli/openDevice.ts")}";
	process.stderr.write("before\\n");
	const device = await openDevice();
	process.stderr.write("after\\n");
	writeSync(2, "native\\n");
	process.stdout.write(\`\${device.info.vendor !== ""}\n\`);
	device.destroy();
`;
const BEFORE_AND_AFTER = "before\nafter\nnative\n";

let folder: string;
let file: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "hushgrad-"));
	file = join(folder, "open.mts");
	writeFileSync(file, PROGRAM);
});
afterAll(() => rmSync(folder, { recursive: true }));

const command = () => [process.execPath, "--import", "tsx", "-C", "@hushgrad/source", file] as const;

it("keeps Dawn's warnings from a pipe, and nothing else", () => {
	const log = join(folder, "piped");
	execFileSync("bash", ["-c", `"$@" 2>&1 >/dev/null | cat > "$0"`, log, ...command()], { cwd: root });
	expect(readFileSync(log, "utf8")).toBe(BEFORE_AND_AFTER);
});

it("leaves a socket, which no path leads to, as it is", () => {
	const [node, ...args] = command();
	const { stdout, stderr, status } = spawnSync(node, args, { cwd: root, encoding: "utf8" });
	expect({ stdout, status }).toEqual({ stdout: "true\n", status: 0 });
	expect(stderr.replaceAll(/^Warning: maxDynamic.*\n/gm, "")).toBe(BEFORE_AND_AFTER);
});

/** What stands in a file after the program, and another one after it, wrote to it. */
function written(redirection: string): string {
	const log = join(folder, "log");
	writeFileSync(log, "first\n");
	execFileSync("bash", ["-c", `( "$@"; echo second >&2 ) ${redirection}`, log, ...command()], { cwd: root });
	return readFileSync(log, "utf8");
}

it("keeps them from a file that is appended to", () => {
	expect(written('2>> "$0" >/dev/null')).toBe(`first\n${BEFORE_AND_AFTER}second\n`);
	expect(written('>> "$0" 2>&1')).toBe(`first\n${BEFORE_AND_AFTER}true\nsecond\n`);
});

it("loses nothing in a file that is not appended to, where all who write share one place", () => {
	const kept = (log: string) => log.replaceAll(/^Warning: maxDynamic.*\n/gm, "");
	expect(kept(written('2> "$0" >/dev/null'))).toBe(`${BEFORE_AND_AFTER}second\n`);
	expect(kept(written('> "$0" 2>&1'))).toBe(`${BEFORE_AND_AFTER}true\nsecond\n`);
});

it("keeps them from a terminal", () => {
	const quoted = command()
		.map((word) => `'${word}'`)
		.join(" ");
	const { stdout } = spawnSync("script", ["-qec", quoted, "/dev/null"], { cwd: root, encoding: "utf8" });
	expect(stdout.replaceAll("\r", "")).toBe(`before\nafter\nnative\ntrue\n`);
});
