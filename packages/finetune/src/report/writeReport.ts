import { writeFileAtomic } from "@hushgrad/nn/files";
import { runFiles } from "../run/runFolder.ts";
import { type ReportOptions, reportPage } from "./page.ts";
import { readRunFacts } from "./runFacts.ts";

/**
 * Writes report.html into the folder of a run, from the public files there and nothing else, as far as they have come; gives its path. The
 * page is one file that loads nothing and runs nothing, and every text in it is escaped.
 * @throws FormatError for a folder without a run, and for files that are damaged.
 */
export async function writeReport(folder: string, options: ReportOptions = {}): Promise<string> {
	const path = runFiles(folder).report;
	await writeFileAtomic(path, await reportPage(await readRunFacts(folder), options));
	return path;
}
