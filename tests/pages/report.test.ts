import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { writeReport } from "@hushgrad/finetune";
import type { AxeResults } from "axe-core";
import { type Browser, chromium as playwright } from "playwright";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromium, required } from "../../tools/browser.mjs";
import { EVIL, type FixtureOptions, withRun } from "../finetune/runFixture.ts";

const AXE = createRequire(import.meta.url).resolve("axe-core");

let browser: Browser;
beforeAll(async () => {
	browser = await playwright.launch({ executablePath: required(chromium(), "Chromium"), args: ["--no-sandbox"] });
});
afterAll(() => browser.close());

interface Look {
	readonly width: number;
	readonly colorScheme?: "light" | "dark";
}

/** What a page does in a browser of so many pixels: what it asks for, says and lets stand out, and which rules of access it breaks. */
async function opened(path: string, { width, colorScheme = "light" }: Look) {
	const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
	const requests: string[] = [];
	const said: string[] = [];
	page.on("request", (r) => requests.push(r.url()));
	page.on("console", (m) => said.push(m.text()));
	page.on("pageerror", (e) => said.push(String(e)));
	try {
		await page.goto(pathToFileURL(path).href);
		const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
		await page.addScriptTag({ path: AXE });
		const { violations } = await page.evaluate(() => (window as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run());
		const broken = violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target}`));
		return { requests, said, overflow, broken };
	} finally {
		await page.close();
	}
}

const RUNS: readonly [string, FixtureOptions][] = [
	["a finished run", { data: `${EVIL}${"long".repeat(60)}.csv` }],
	["a run that goes on", { stepsTaken: 5, isPublic: false }],
	["a run without privacy", { isPrivate: false }],
	["a run that has not begun", { isBare: true }],
];

const LOOKS: readonly Look[] = [{ width: 390 }, { width: 1280 }, { width: 390, colorScheme: "dark" }, { width: 1280, colorScheme: "dark" }];

describe.each(RUNS)("the report of %s", (_, options) => {
	it("asks for nothing, says nothing, fits phone and desk and breaks no rule of access", () =>
		withRun(options, async (folder) => {
			const path = await writeReport(folder);
			for (const look of LOOKS) {
				const { requests, said, overflow, broken } = await opened(path, look);
				expect(requests.slice(0, 2), JSON.stringify(look)).toEqual([pathToFileURL(path).href]);
				expect(said).toEqual([]);
				expect(overflow).toBe(0);
				expect(broken).toEqual([]);
			}
		}));
});
