import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, inject, it } from "vitest";
import { run } from "./install.ts";

const project = inject("project");

/** Most bytes, minified and gzipped, of what a page loads; a package without those that it depends on. */
const LIMITS = {
	"@hushgrad/tensor": 119_700,
	"@hushgrad/nn": 42_900,
	"@hushgrad/dp": 44_100,
	"@hushgrad/models": 16_900,
} as const;
const TEN = "add, data, grad, matmul, mul, requestDevice, softmax, sub, sum, tanh";
const TEN_LIMIT = 59_600;

async function sizeOf(code: string, external: readonly string[]): Promise<number> {
	const { outputFiles } = await build({
		stdin: { contents: code, resolveDir: project },
		...{ bundle: true, minify: true, format: "esm", platform: "browser", write: false, logLevel: "silent" },
		external: ["node:*", ...external],
	});
	return gzipSync(outputFiles[0].contents, { level: 9 }).length;
}

describe("minified and gzipped", () => {
	it.each(Object.entries(LIMITS))("%s is at most %d bytes", async (name, limit) => {
		const others = Object.keys(LIMITS).filter((other) => other !== name);
		const size = await sizeOf(`export * from "${name}";`, [...others, "sentencepiece-js", "@huggingface/jinja"]);
		console.log(`${name}: ${size} bytes gzip`);
		expect(size).toBeLessThanOrEqual(limit);
	});

	it("methods of tensors are there where they are imported, and nowhere else", async () => {
		const code = `import { ${TEN} } from "@hushgrad/tensor"; globalThis.ten = { ${TEN} };`;
		const [without, others] = [await sizeOf(code, []), await sizeOf(`import "@hushgrad/tensor/methods"; ${code}`, [])];
		console.log(`methods: ${others - without} bytes gzip`);
		expect(others).toBeGreaterThan(without + 5000);
	});

	it(`a program of ten functions is at most ${TEN_LIMIT} bytes`, async () => {
		const size = await sizeOf(`import { ${TEN} } from "@hushgrad/tensor"; globalThis.ten = { ${TEN} };`, []);
		console.log(`ten functions: ${size} bytes gzip`);
		expect(size).toBeLessThanOrEqual(TEN_LIMIT);
	});
});

describe("bundled by esbuild", () => {
	const bundle = async (platform: "node" | "browser"): Promise<string> => {
		const outfile = join(project, `${platform}.mjs`);
		await build({
			entryPoints: [join(project, "train.js")],
			bundle: true,
			minify: true,
			format: "esm",
			platform,
			outfile,
			logLevel: "silent",
		});
		return outfile;
	};

	it("for Node, the program trains", async () => {
		expect(run(process.execPath, [await bundle("node")], project)).toMatch(/^Differential privacy: /);
	});

	it("for browsers, it says in Node what is wrong", async () => {
		const browserBundle = await bundle("browser");
		writeFileSync(join(project, "wrong.mjs"), `await import(${JSON.stringify(browserBundle)}).catch((e) => console.log(String(e)));`);
		const said = run(process.execPath, ["wrong.mjs"], project);
		expect(said).toContain("DeviceError: the part of @hushgrad/tensor that is for browsers was loaded into Node");
		expect(said).toContain("Hint: the bundler resolves packages without the condition `node`");
	});
});
