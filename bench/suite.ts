/** `npm run bench`: what this library costs, row by row; beside its rivals, or beside another of its commits. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { checkOut } from "./suite/base.ts";
import { chart } from "./suite/chart.ts";
import { type Command, Contender } from "./suite/contender.ts";
import { environment } from "./suite/environment.ts";
import { type Options, readOptions } from "./suite/options.ts";
import { page } from "./suite/page.ts";
import { install } from "./suite/peers.ts";
import { type Report, reportOf } from "./suite/report.ts";
import { CEILINGS } from "./suite/rows.ts";
import { runRows } from "./suite/run.ts";
import { line, summaryLines } from "./suite/table.ts";
import { UsageError } from "./suite/usage.ts";

const OURS = fileURLToPath(new URL("./contenders/ours.ts", import.meta.url));
const adapterArgs = ({ adapter }: Options): string[] => (adapter === undefined ? [] : ["--adapter", adapter]);

/** Contenders of a run, and what could not take part. */
async function contendersOf(options: Options): Promise<{ commands: Command[]; faults: string[] }> {
	const args = adapterArgs(options);
	const commands: Command[] = [{ name: "hushgrad", script: OURS, args }];
	const faults: string[] = [];
	if (options.base !== undefined) commands.push({ name: options.base, args, ...checkOut(options.base) });
	if (options.peers) {
		const { peers, failed } = install();
		commands.push(...peers.map((peer) => ({ ...peer, args: [...args, ...peer.args] })));
		faults.push(...failed);
	}
	return { commands, faults };
}

async function bench(options: Options): Promise<number> {
	const { commands, faults } = await contendersOf(options);
	const all = commands.map((command) => new Contender(command));
	const contenders: Contender[] = [];
	const libraries: Report["libraries"] = {};
	try {
		for (const contender of all) {
			try {
				libraries[contender.name] = await contender.ask({ ask: "describe" });
				contenders.push(contender);
			} catch (error) {
				const text = `${contender.name} does not start: ${(error as Error).message}`;
				if (contender === all[0]) throw new UsageError(text);
				faults.push(text);
			}
		}
		for (const fault of faults) console.error(fault);
		const [ours] = contenders;
		console.log(`${libraries[ours.name].adapter}; ${contenders.map((c) => `${c.name} ${libraries[c.name].version}`).join(", ")}\n`);
		const ceilings = await runRows(Object.values(CEILINGS), [ours], options.settings, () => {});
		const rows = await runRows(options.rows, contenders, options.settings, (result) => console.log(line(result, ceilings, libraries)));
		const report = reportOf({ environment: environment(), settings: options.settings, libraries, ceilings, rows, faults });
		console.log(summaryLines(report).join("\n"));
		if (options.json !== undefined) write(options.json, `${JSON.stringify(report, null, "\t")}\n`);
		if (options.document !== undefined) {
			const picture = `${options.document.replace(/\.md$/, "")}.svg`;
			write(options.document, page(report, picture));
			write(picture, chart(report));
		}
		return report.failures.length === 0 ? 0 : 1;
	} finally {
		for (const contender of all) contender.stop();
	}
}

function write(file: string, text: string): void {
	mkdirSync(dirname(file), { recursive: true });
	writeFileSync(file, text);
}

try {
	const options = readOptions(process.argv.slice(2));
	if (typeof options === "string") process.stdout.write(options);
	else process.exitCode = await bench(options);
} catch (error) {
	if (!(error instanceof UsageError)) throw error;
	console.error(error.message);
	process.exitCode = 2;
}
