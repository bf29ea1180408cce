import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { type Browser, chromium as playwright } from "playwright";
import { build as viteBuild, createServer as viteServer } from "vite";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import webpack from "webpack";
import { chromium, required } from "../../tools/browser.mjs";

const project = inject("project");
const ENTRY = "page.ts";
const PAGE = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><pre></pre><script type="module" src="/${ENTRY}"></script>`;
/** The program of 20 lines, with the console on the page. */
const SCRIPT = `
const shown = document.querySelector("pre")!;
console.log = (text: string) => { shown.textContent = text; };
try { await import("./train.ts"); } catch (error) { shown.textContent = String(error); }
`;

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript" };

async function serve(folder: string): Promise<{ readonly url: string; readonly server: Server }> {
	const server = createServer(({ url = "/" }, response) => {
		const path = join(folder, url === "/" ? "index.html" : url);
		response.setHeader("content-type", TYPES[extname(path)] ?? "text/plain").end(readFileSync(path));
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

const open = (...args: string[]): Promise<Browser> =>
	playwright.launch({ executablePath: required(chromium(), "Chromium"), args: ["--no-sandbox", ...args] });

interface How {
	readonly host?: string;
	/** Runs in the page before its own script. */
	readonly before?: () => void;
}

/** What the page shows in the end. */
async function shown(browser: Browser, url: string, before?: () => void): Promise<string> {
	const page = await browser.newPage();
	if (before !== undefined) await page.addInitScript(before);
	try {
		await page.goto(url);
		await page.waitForFunction(() => document.querySelector("pre")?.textContent !== "", undefined, { timeout: 60_000 });
		return (await page.textContent("pre")) ?? "";
	} finally {
		await page.close();
	}
}

async function shownFrom(folder: string, browser: Browser, { host = "127.0.0.1", before }: How = {}): Promise<string> {
	const { url, server } = await serve(folder);
	try {
		return await shown(browser, url.replace("127.0.0.1", host), before);
	} finally {
		server.close();
	}
}

const QUIET = { root: project, logLevel: "error", configFile: false } as const;

async function withVite(name: string, conditions?: string[]): Promise<string> {
	const outDir = join(project, name);
	await viteBuild({ ...QUIET, ...(conditions && { resolve: { conditions } }), build: { outDir, target: "es2022" } });
	return outDir;
}

async function withWebpack(name: string, conditionNames?: string[]): Promise<string> {
	const path = join(project, name);
	const stats = await new Promise<webpack.Stats | undefined>((resolve, reject) =>
		webpack(
			{
				context: project,
				mode: "production",
				target: "web",
				entry: "./page.webpack.js",
				output: { path, filename: "page.js" },
				...(conditionNames && { resolve: { conditionNames } }),
				performance: { hints: false },
			},
			(error, result) => (error === null ? resolve(result) : reject(error)),
		),
	);
	expect(stats?.toString({ all: false, errors: true, warnings: true })).toBe("");
	writeFileSync(join(path, "index.html"), PAGE.replace(ENTRY, "page.js"));
	return path;
}

const STATEMENT = /^Differential privacy: \(ε = 2, δ = 1e-5\)\n/;

beforeAll(() => {
	writeFileSync(join(project, "index.html"), PAGE);
	writeFileSync(join(project, ENTRY), SCRIPT);
	writeFileSync(
		join(project, "page.webpack.js"),
		SCRIPT.replace("!;", ";").replaceAll("(text: string)", "(text)").replace("train.ts", "train.js"),
	);
});

describe("in Chromium", () => {
	let browser: Browser;
	beforeAll(async () => {
		browser = await open("--enable-unsafe-webgpu", "--host-resolver-rules=MAP hushgrad.example 127.0.0.1");
	});
	afterAll(() => browser.close());

	it("a page built by Vite trains", async () => expect(await shownFrom(await withVite("vite"), browser)).toMatch(STATEMENT));
	it("a page built by webpack trains", async () => expect(await shownFrom(await withWebpack("webpack"), browser)).toMatch(STATEMENT));
	it("a page of Vite's development server trains", async () => {
		const server = await viteServer({ ...QUIET, server: { port: 0 } });
		try {
			await server.listen();
			expect(await shown(browser, server.resolvedUrls?.local[0] ?? "")).toMatch(STATEMENT);
		} finally {
			await server.close();
		}
	});

	it.each([
		["Vite", withVite],
		["webpack", withWebpack],
	])("a page for which %s took the Node entry says so", async (name, bundle) => {
		const text = await shownFrom(await bundle(`${name}-node`, ["node", "import"]), browser);
		expect(text).toContain("DeviceError: the part of @hushgrad/tensor that is for Node was loaded into a page");
		expect(text).toContain("Hint: the bundler resolves packages under the condition `node`");
	});

	it("a page that is not secure says so", async () => {
		const text = await shownFrom(join(project, "vite"), browser, { host: "hushgrad.example" });
		expect(text).toContain("DeviceError: this browser offers no WebGPU");
		expect(text).toContain("Hint: WebGPU is for secure pages only");
	});

	it("a page of a browser without WebGPU says so", async () => {
		const before = () => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined });
		const text = await shownFrom(join(project, "vite"), browser, { before });
		expect(text).toContain("DeviceError: this browser offers no WebGPU");
		expect(text).toContain("Hint: use Chrome or Edge 113");
	});
});

it("a page in Chromium without an adapter says so", async () => {
	const browser = await open("--disable-gpu", "--disable-software-rasterizer");
	const text = await shownFrom(join(project, "vite"), browser);
	await browser.close();
	expect(text).toContain("DeviceError: WebGPU found no adapter");
	expect(text).toContain("Hint: chrome://gpu tells why");
});
