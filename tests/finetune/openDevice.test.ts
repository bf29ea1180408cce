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

it("keeps them from a file that stderr goes to", () => {
	const log = join(folder, "log");
	execFileSync("bash", ["-c", `echo first > "$0"; "$@" 2>> "$0"`, log, ...command()], { cwd: root });
	expect(readFileSync(log, "utf8")).toBe(`first\n${BEFORE_AND_AFTER}`);
	execFileSync("bash", ["-c", `"$@" 2> "$0"`, log, ...command()], { cwd: root });
	expect(readFileSync(log, "utf8")).toBe(BEFORE_AND_AFTER);
});

it("loses nothing where stdout goes to the same file", () => {
	const log = join(folder, "both");
	execFileSync("bash", ["-c", `"$@" > "$0" 2>&1`, log, ...command()], { cwd: root });
	expect(readFileSync(log, "utf8").replaceAll(/^Warning: maxDynamic.*\n/gm, "")).toBe(`${BEFORE_AND_AFTER}true\n`);
});

it("keeps them from a terminal", () => {
	const quoted = command()
		.map((word) => `'${word}'`)
		.join(" ");
	const { stdout } = spawnSync("script", ["-qec", quoted, "/dev/null"], { cwd: root, encoding: "utf8" });
	expect(stdout.replaceAll("\r", "")).toBe(`before\nafter\nnative\ntrue\n`);
});
