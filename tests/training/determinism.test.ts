import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const script = fileURLToPath(new URL("determinism.run.ts", import.meta.url));

it("the same seed gives the same adapter, bit for bit, in three processes", async () => {
	const run = async (): Promise<string> => {
		const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", "-C", "@hushgrad/source", script]);
		return stdout.trim();
	};
	const hashes = [await run(), ...(await Promise.all([run(), run()]))];
	expect(hashes[0]).toMatch(/^[0-9a-f]{64}$/);
	expect(new Set(hashes).size).toBe(1);
});
