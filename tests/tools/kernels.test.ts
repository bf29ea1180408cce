import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));

it("npm run kernels lists every kernel of the packages, with its variants, and writes their WGSL", () => {
	const directory = mkdtempSync(join(tmpdir(), "hushgrad-wgsl-"));
	try {
		const script = join(root, "tests", "tools", "kernels.run.ts");
		const node = ["--import", "tsx", "-C", "@hushgrad/source", script, "--wgsl", directory];
		const { status, stdout, stderr } = spawnSync(process.execPath, node, { cwd: root, encoding: "utf8" });
		// It fails for a kernel that no registry knows.
		expect(status, stderr).toBe(0);
		for (const line of [
			/^tensor: \d{3} kernels and families$/m,
			/^ {2}crossEntropy\/finish +\d+ lanes +\d+ bytes {2}state:read .*loss:write .* {2}\(.*\)$/m,
			/^ {2}gemm\/… {2}\d+ variants$/m,
			/^ {4}gemm\/k\/n\/f32\/f32\S* +\d+ lanes /m,
			/^ {2}map\/gelu\/… {2}\d+ variants$/m,
			/^nn: \d+ kernels and families$/m,
			/^ {4}adamw\/4 +64 lanes .* {2}g:read numbers:read w:write m:write v:write {2}\(n turns near apart\)$/m,
			/^dp: \d+ kernels and families$/m,
			/^ {2}dp\/addClipped\/… {2}\d+ variants$/m,
			/^derived: \d+ gradients of rows$/m,
			/^ {2}map\/mul\.d\/1 /m,
			/^\d+ kernels and families, \d+ compiled, of \d+ primitives and \d+ linear operations$/m,
		]) {
			expect(stdout).toMatch(line);
		}
		const listed = stdout.split("\n").filter((line) => / lanes /.test(line)).length;
		expect(readdirSync(directory)).toHaveLength(listed);
		expect(readFileSync(join(directory, "adamw-4.wgsl"), "utf8")).toContain("@compute @workgroup_size(64, 1, 1)");
	} finally {
		rmSync(directory, { recursive: true });
	}
});
