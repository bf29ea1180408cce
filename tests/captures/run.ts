/**
 * `npm run captures`: types the commands of hushgrad at terminals of 60, 80 and 120 columns and writes what a person sees there, on light and
 * on dark ground, and the report of the run at phone and desk width, as pictures below out/captures. Fails where a line is longer than its
 * terminal. Needs `script` of util-linux and Chromium.
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Browser, chromium as playwright } from "playwright";
import { chromium, required } from "../../tools/browser.mjs";
import { readFlags } from "../../tools/flags.mjs";
import { writeCards } from "../finetune/tinyRun.ts";
import { screenPage, THEMES } from "./html.ts";
import { reportPictures } from "./report.ts";
import { Screen } from "./screen.ts";
import { atTerminal, type Doings } from "./terminal.ts";

const HELP = `npm run captures -- [flags]
  --columns 60,80,120   widths of terminals
  --only plan,train     these commands alone; those before them that they need are typed all the same
  --out out/captures    folder of the pictures`;
const flags = readFlags(HELP, {
	columns: { type: "string", default: "60,80,120" },
	only: { type: "string" },
	out: { type: "string", default: "out/captures" },
});

const root = fileURLToPath(new URL("../..", import.meta.url));
const HUSHGRAD = [
	process.execPath,
	"--import",
	import.meta.resolve("tsx"),
	"-C",
	"@hushgrad/source",
	join(root, "packages/finetune/src/bin.ts"),
];
const MODEL = join(root, "assets/tiny-vaultgemma");

interface Scene {
	readonly name: string;
	readonly args: readonly string[];
	readonly doings?: Doings;
}

const RUN = [
	"--data",
	"cards.csv",
	"--model",
	"model",
	"--records",
	"54",
	"--steps",
	"6",
	"--batch-size",
	"16",
	"--physical-batch-size",
	"8",
	"--save-every",
	"2",
];
const SCENES: readonly Scene[] = [
	{ name: "help", args: ["--help"] },
	{ name: "error", args: ["train", "--data", "cards.csv", "--modle", "model", "--lr", "-1", "--epsilom", "3"] },
	{ name: "plan", args: ["plan", ...RUN, "--show-examples"] },
	{ name: "train", args: ["train", ...RUN, "--output", "run"], doings: { typed: [[/step +2\/6/, "\x03"]] } },
	{ name: "resume", args: ["resume", "run"] },
	{ name: "eval", args: ["eval", "run", "--public-eval", "few.csv", "--examples", "2"] },
	{ name: "generate", args: ["generate", "run", "--prompt", "What are the signs of heart failure?", "--temperature", "1.2"] },
	{
		name: "chat",
		args: ["chat", "run", "--temperature", "1.2"],
		doings: {
			typed: [
				[/^>$/m, "What are the signs of heart failure?\n"],
				[/> What are the signs.*^>$/ms, "/quit\n"],
			],
		},
	},
	{ name: "adapters", args: ["adapters", "."] },
	{ name: "report", args: ["report", "run"] },
	{ name: "doctor", args: ["doctor"] },
];

/** Scenes without which others have nothing to show. */
const NEEDED = ["train", "resume"];

const browser = await playwright.launch({ executablePath: required(chromium(), "Chromium"), args: ["--no-sandbox"] });
const faults: string[] = [];
try {
	for (const columns of flags.columns.split(",").map(Number)) await capture(columns);
} finally {
	await browser.close();
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length === 0 ? 0 : 1;

async function capture(columns: number): Promise<void> {
	const folder = join(root, flags.out, `${columns}`);
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	process.chdir(folder);
	renameSync(writeCards(folder, 8), join(folder, "few.csv"));
	writeCards(folder, 60);
	for (const { name, args, doings } of SCENES) {
		const isWanted = flags.only === undefined || flags.only.split(",").includes(name);
		if (!isWanted && !NEEDED.includes(name)) continue;
		const typed = args.map((arg) => (arg === "model" ? MODEL : arg));
		const between: Screen[] = [];
		const { screen, code, silence } = await atTerminal([...HUSHGRAD, ...typed], columns, {
			...doings,
			onProgress: (s) => between.push(copyOf(s)),
		});
		console.log(`${columns} columns, ${name}: exit ${code}, at most ${silence.toFixed(1)} s without a sign`);
		if (screen.broken > 0) faults.push(`${columns} columns, ${name}: ${screen.broken} lines are too long`);
		for (const what of new Set(screen.unknown)) faults.push(`${columns} columns, ${name}: ${what} is written`);
		const command = `hushgrad ${args.map((arg) => (arg.includes(" ") ? `"${arg}"` : arg)).join(" ")}`;
		await pictures(browser, join(folder, name), screen, command);
		const middle = between[Math.floor(between.length / 2)];
		if (name === "report") await reportPictures(browser, join(folder, "run/report.html"), folder);
		if (middle !== undefined) await pictures(browser, join(folder, `${name}-meanwhile`), middle, command);
	}
}

/** What a screen shows now. */
function copyOf(screen: Screen): Screen {
	const copy = new Screen(screen.columns);
	copy.lines.splice(0, copy.lines.length, ...screen.lines.map((line) => [...line]));
	return copy;
}

async function pictures(browser: Browser, path: string, screen: Screen, command: string): Promise<void> {
	for (const [name, theme] of Object.entries(THEMES)) {
		const page = await browser.newPage({ viewport: { width: 200, height: 100 } });
		writeFileSync(`${path}.html`, screenPage(screen, command, theme));
		await page.goto(pathToFileURL(`${path}.html`).href);
		await page.locator("body").screenshot({ path: `${path}-${name}.png` });
		await page.close();
		rmSync(`${path}.html`);
	}
}
