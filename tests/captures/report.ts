import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser } from "playwright";

/** Pixels of a phone and of a desk. */
const WIDTHS = [390, 1280];

/** Pictures of a report, whole, at the widths of a phone and a desk on light and dark ground, and its first sheet as it is printed. */
export async function reportPictures(browser: Browser, report: string, folder: string): Promise<void> {
	for (const width of WIDTHS) {
		for (const colorScheme of ["light", "dark"] as const) {
			const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
			await page.goto(pathToFileURL(report).href);
			await page.screenshot({ path: join(folder, `report-${width}-${colorScheme}.png`), fullPage: true });
			await page.close();
		}
	}
	const page = await browser.newPage();
	await page.goto(pathToFileURL(report).href);
	await page.pdf({ path: join(folder, "report.pdf"), format: "A4" });
	await page.close();
}
