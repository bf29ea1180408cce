import { numberText } from "../cli/units.ts";
import { coverageText, evaluationRows } from "../evaluation/table.ts";
import { typed } from "../settings/names.ts";
import { settingsSchema } from "../settings/schema.ts";
import { type Chart, figure } from "./chart.ts";
import { budget, guaranteeSection } from "./guarantee.ts";
import { type Html, html, nothing, trusted } from "./html.ts";
import type { RunFacts } from "./runFacts.ts";
import { STYLE } from "./style.ts";
import { columnTable, leaves, type Pair, pairTable, section } from "./tables.ts";

/** What a report shows beside what is public. */
export interface ReportOptions {
	/** Also show evaluations on private records, which ε does not cover: such a page is not to be published. False when left out. */
	readonly withPrivateResults?: boolean | undefined;
}

/** The whole page of a run: one file that needs nothing else. */
export async function reportPage(facts: RunFacts, options: ReportOptions = {}): Promise<string> {
	const { name } = facts;
	const body = [
		trainedSection(facts),
		await guaranteeSection(facts),
		await trainingSection(facts),
		evaluationSection(facts, options),
		answersSection(facts),
		auditSection(facts),
		settingsSection(facts),
		environmentSection(facts),
		againSection(facts),
	];
	const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Privacy report: ${name}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<header>
<h1>Privacy report: ${name}</h1>
<p class="soft">A language model fine-tuned with Hushgrad. ${progressText(facts)}</p>
${shortFacts(facts)}</header>
<main>
${body}</main>
<footer><p>Made from the public files of the run, by hushgrad report. Everything on this page is in this file: it loads nothing.</p></footer>
</body>
</html>
`;
	return page.text;
}

function progressText({ steps, settings }: RunFacts): string {
	const done = steps.at(-1)?.step ?? 0;
	if (done >= settings.steps) return "The run is finished.";
	return done === 0 ? "The run has taken no step yet." : `The run is not finished: ${done} of ${settings.steps} steps are taken.`;
}

function shortFacts({ plan, steps, settings }: RunFacts): Html {
	const done = steps.at(-1);
	const fact = (term: string, value: string) => html`<div><dt>${term}</dt><dd>${value}</dd></div>\n`;
	const guarantee =
		plan === undefined
			? [fact("privacy", settings.private ? "not begun" : "none")]
			: [
					fact("ε spent", budget(done?.epsilon ?? 0)),
					fact("of at most", String(plan.targetEpsilon ?? budget(plan.epsilon))),
					fact("δ", numberText(plan.targetDelta)),
				];
	return html`<dl class="facts">\n${guarantee}${fact("steps", `${done?.step ?? 0} of ${settings.steps}`)}${fact("records, declared", settings.private ? settings.records.toLocaleString("en") : "not declared")}</dl>\n`;
}

function trainedSection({ settings, environment }: RunFacts): Html {
	const {
		model,
		rank,
		alpha,
		targetModules,
		quantization,
		records,
		unit,
		maxUnitRecords,
		template,
		maxLength,
		private: isPrivate,
	} = settings;
	const base = leaves(environment).find(([name]) => name.endsWith("sha256 base"))?.[1];
	const pairs: Pair[] = [
		["Base model", fileName(model)],
		...(base === undefined ? [] : [["SHA-256 of the base", base] as const]),
		["What is trained", `LoRA of rank ${rank}, α = ${alpha}, beside ${targetModules.join(", ")}`],
		["The base meanwhile", quantization === "nf4" ? "unchanged, its linear layers in four bits (NF4)" : "unchanged"],
		["Data", fileName(settings.data)],
		["Records", isPrivate ? `N = ${records}, declared, not counted: the true number stays private` : "not declared"],
		["Who is protected", unit === undefined ? "a single record" : `all records of one ${unit}, ${maxUnitRecords} at most`],
		["Form of a text", `${template === "plain" || template === "gemma" ? template : "an own template"}, ${maxLength} tokens at most`],
	];
	return section(
		"trained",
		"What was trained on what",
		pairTable("Public facts only: nothing in this table was taken from a record.", pairs),
	);
}

/** A path without the folders, which may name a person or a place. */
const fileName = (path: string): string =>
	path
		.split(/[/\\]/)
		.filter((part) => part !== "")
		.at(-1) ?? path;

async function trainingSection({ steps, settings }: RunFacts): Promise<Html> {
	if (steps.length === 0) return nothing;
	const charts: Chart[] = [
		{
			label: `Curve of the learning rate over ${steps.length} steps.`,
			caption: "Learning rate of each step.",
			x: { title: "step", domain: [0, Math.max(settings.steps, 1)], format: "d" },
			y: { title: "learning rate" },
			points: steps.flatMap(({ step, lr }) => (lr === undefined ? [] : [{ x: step, y: lr }])),
		},
		{
			label: "Curve of the loss over the steps.",
			caption: "Mean loss of the records of each step. A run with privacy has no such curve: it would say something of its records.",
			x: { title: "step", domain: [0, Math.max(settings.steps, 1)], format: "d" },
			y: { title: "loss, nats" },
			points: steps.flatMap(({ step, loss }) => (loss === undefined ? [] : [{ x: step, y: loss }])),
		},
	];
	const figures: Html[] = [];
	for (const chart of charts) if (chart.points.length > 0) figures.push(await figure(chart));
	return section("training", "Training", html`<div class="figures">${figures}</div>\n`);
}

function evaluationSection({ evaluation }: RunFacts, { withPrivateResults = false }: ReportOptions): Html {
	const rows = evaluationRows(evaluation);
	const measured = evaluation.after ?? evaluation.before;
	if (measured !== undefined && measured.isPublic !== true && !withPrivateResults) {
		return section(
			"evaluation",
			"Evaluation",
			html`<p>The run was evaluated on private records, which no ε covers: the numbers are left out here. <code>hushgrad eval --public-eval</code> measures on public ones.</p>\n`,
		);
	}
	if (measured === undefined || rows.length === 0)
		return section("evaluation", "Evaluation", html`<p>Nothing was measured yet: <code>hushgrad eval</code> does.</p>\n`);
	return section(
		"evaluation",
		"Evaluation",
		html`<p class="note${measured.isPublic === true ? " good" : ""}">${coverageText(measured)}</p>\n`,
		columnTable(
			`${measured.records} records that were not trained on. ↓ less is better, ↑ more is better.`,
			["Measured", "Base", "With the adapter"],
			rows.map(({ name, before, after }) => [name, before || "–", after || "–"]),
		),
		html`<p class="soft">One answer in four is right by chance. The public text is about other things: a loss that rises there is what was forgotten.</p>\n`,
	);
}

function answersSection({ evaluation: { before, after } }: RunFacts): Html {
	const examples = after?.examples ?? [];
	if (examples.length === 0) return nothing;
	const shown = examples.map(({ prompt, response, answer }, i) => {
		const earlier = before?.examples?.[i]?.answer;
		const base = earlier === undefined ? nothing : html`<dt>base</dt><dd>${earlier || "(no answer)"}</dd>`;
		return html`<dl class="answer"><dt>asked</dt><dd><strong>${prompt}</strong></dd>${base}<dt>with the adapter</dt><dd>${answer || "(no answer)"}</dd><dt>expected</dt><dd>${response}</dd></dl>\n`;
	});
	const whose = after?.isPublic === true ? "public records" : "records whose owners agreed";
	return section("answers", "Answers", html`<p>The likeliest answers to prompts of ${whose}.</p>\n`, html`${shown}`);
}

function auditSection({ audit }: RunFacts): Html {
	if (audit === undefined) return nothing;
	const { canaries, included, steps, epsilonLower, epsilon, significance, exposure, withData } = audit;
	const holds = epsilonLower <= (epsilon ?? Number.POSITIVE_INFINITY);
	const pairs: Pair[] = [
		["ε that the attack proves, at least", epsilonLower.toFixed(2)],
		["ε that is guaranteed, at most", epsilon === undefined ? "∞: the run is not private" : budget(epsilon)],
		["Canaries", `${canaries}, of which a coin took ${included} into training`],
		["Steps of the copy", String(steps)],
		["The lower bound may be wrong with probability", String(significance)],
		[
			"Exposure of a canary, mean",
			`${exposure.mean.toFixed(2)} bits; ${exposure.byChance.toFixed(2)} by chance, ${exposure.possible.toFixed(2)} at most`,
		],
		["Exposure, most of all", `${exposure.most.toFixed(2)} bits`],
	];
	const verdict = holds
		? html`<p class="note good">The attack stayed below the guarantee, as it must. An attack that finds little proves little: it is the guarantee that counts.</p>\n`
		: html`<p class="note"><strong>The attack found more than is guaranteed.</strong> Either this is the chance of one in ${Math.round(1 / significance)}, or the guarantee does not hold. Please report it.</p>\n`;
	return section(
		"audit",
		"Audit",
		html`<p>A copy of the run was trained on made-up records, canaries${withData ? ", and on its data" : " alone"}. Whether each was there had to be guessed from the trained model.</p>\n`,
		verdict,
		pairTable("What the attack could tell", pairs),
	);
}

const SECTIONS = { data: "Data", model: "Model", privacy: "Privacy", training: "Training", output: "Output" } as const;

function settingsSection({ settings }: RunFacts): Html {
	const all = Object.entries(settingsSchema.shape);
	const tables = Object.entries(SECTIONS).map(([id, title]) => {
		const own = all.filter(([name, schema]) => schema.meta()?.section === id && settings[name as keyof typeof settings] !== undefined);
		return pairTable(
			title,
			own.map(([name]): Pair => [typed(name), valueText(name, settings[name as keyof typeof settings])]),
		);
	});
	return section("settings", "Settings", html`${tables}`);
}

const PATHS: readonly string[] = ["data", "model", "output", "ledger"];

const valueText = (name: string, value: unknown): string => {
	if (typeof value === "string" && PATHS.includes(name)) return fileName(value);
	return Array.isArray(value)
		? value.join(", ")
		: typeof value === "boolean"
			? value
				? "yes"
				: "no"
			: typeof value === "number"
				? numberText(value)
				: String(value);
};

const environmentSection = ({ environment }: RunFacts): Html =>
	environment === undefined ? nothing : section("environment", "Environment", pairTable("What it was computed with", leaves(environment)));

function againSection({ settings }: RunFacts): Html {
	const noise = settings.private
		? "The privacy noise comes from the platform's generator and is never kept, so that another run gives another adapter, with the same guarantee. It spends ε again."
		: "The same settings, data, base and driver give the same adapter.";
	return section(
		"again",
		"How to do it again",
		html`<p>With the versions above, the same data and the same base:</p>\n<pre><code>npx hushgrad train --config settings.json --output another-run\nnpx hushgrad eval another-run\nnpx hushgrad report another-run</code></pre>\n<p>settings.json lies in the folder of the run. ${noise}</p>\n`,
	);
}
