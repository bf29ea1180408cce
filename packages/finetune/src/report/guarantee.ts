import { type AccountedHistory, truePositiveRate } from "@hushgrad/dp";
import { numberText } from "../cli/units.ts";
import { type Chart, figure, type Point } from "./chart.ts";
import { type Html, html, nothing } from "./html.ts";
import type { PlanRecord, RunFacts } from "./runFacts.ts";
import { columnTable, section } from "./tables.ts";

/** False positive rates at which an attacker is looked at. */
const RATES = [0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.2, 0.35, 0.5, 0.75];
/** Those of them that stand in the table. */
const SHOWN = [0.001, 0.01, 0.1];

/** What the accountants make of the first `steps` steps of a plan. An epoch of random allocation counts as a whole once it has begun. */
export function historyOf(plan: PlanRecord, steps: number): AccountedHistory {
	const { noiseMultiplier, sampleRate } = plan;
	if (steps === 0) return [];
	if (plan.sampling.kind === "poisson") return [{ sampleRate, noiseMultiplier, steps }];
	const stepsPerEpoch = Math.round(1 / sampleRate);
	return [{ sampling: "random-allocation", stepsPerEpoch, noiseMultiplier, epochs: Math.ceil(steps / stepsPerEpoch) }];
}

/** A probability in percent, never rounded down. */
const percent = (p: number): string => {
	const digits = p < 0.01 ? 2 : p > 0.99 ? 3 : 1;
	return `${(Math.min(100, Math.ceil(100 * p * 10 ** digits - 1e-9) / 10 ** digits)).toFixed(digits)} %`;
};

/** ε with at most four digits behind the point, never rounded down. */
export const budget = (epsilon: number): string => String(Math.ceil(epsilon * 1e4 - 1e-9) / 1e4);

/** What is guaranteed, in words, as curves and as the statement of the run. */
export async function guaranteeSection(facts: RunFacts): Promise<Html> {
	const { plan, steps, statement, settings } = facts;
	const whole =
		statement === undefined
			? nothing
			: html`<h3>The statement of the run</h3>\n<pre class="statement">${statement.split("\n").map((line) => html`<span class="${line.startsWith("  - ") ? "entry" : "field"}">${line.replaceAll(" = ", "\u00a0=\u00a0")}\n</span>`)}</pre>\n`;
	if (plan === undefined) {
		const why = settings.private
			? html`<p>The run has planned nothing yet, and so there is nothing to guarantee.</p>\n`
			: html`<p class="note"><strong>None.</strong> This run was made without differential privacy, to compare with. Its adapter may give away the records it was trained on. It is no thing to publish.</p>\n`;
		return section("guarantee", "What is guaranteed", why, whole);
	}
	const spent = steps.at(-1)?.epsilon ?? 0;
	const who = plan.unit === undefined ? "one record" : `all records of one ${plan.unit.name} (${plan.unit.maxRecords} at most)`;
	const done = steps.at(-1)?.step ?? 0;
	const history = historyOf(plan, done);
	const curve = history.length === 0 ? [] : RATES.map((x): Point => ({ x, y: truePositiveRate(history, x) }));
	const isSeeded = statement?.startsWith("NOT PRIVATE") === true;
	const seeded = html`<p class="note"><strong>Not private:</strong> the noise of this run came from a seed. What follows holds only for a run with secure noise.</p>\n`;
	return section(
		"guarantee",
		"What is guaranteed",
		isSeeded ? seeded : nothing,
		html`<p>Training was differentially private, with ε = ${budget(spent)} and δ = ${numberText(plan.targetDelta)}${done < settings.steps ? " so far" : ""}. Whoever sees the adapter, and every checkpoint on the way, learns nearly the same whether ${who} was among the data or not: no event becomes more than e<sup>ε</sup> = ${factor(Math.exp(spent))} times as likely by it, but for a probability of δ.</p>\n`,
		curve.length === 0 ? nothing : attackWords(curve, who),
		html`<div class="figures">${await epsilonFigure(facts, plan)}${curve.length === 0 ? nothing : await attackFigure(curve, who)}</div>\n`,
		html`<h3>What is not covered</h3>\n<ul>\n<li>losses and evaluations on private records, wherever they are shown</li>\n<li>choices made by looking at such results: of settings, of a checkpoint, of when to stop</li>\n<li>people who have more than ${who}</li>\n<li>the base model, whose own training data is another matter</li>\n</ul>\n`,
		whole,
	);
}

const factor = (value: number): string => (value < 100 ? value.toFixed(2) : value.toLocaleString("en", { maximumSignificantDigits: 3 }));

function attackWords(curve: readonly Point[], who: string): Html {
	const rows = curve.filter(({ x }) => SHOWN.includes(x)).map(({ x, y }) => [percent(x), percent(y)]);
	return html`<p>As an attack: somebody who knows everything else guesses whether ${who} was used. However they go about it, the better they avoid false alarms, the less they find.</p>\n${columnTable("The most that any attacker can reach", ["False alarms", "Members found, at most"], rows)}`;
}

function epsilonFigure({ steps, settings }: RunFacts, plan: PlanRecord): Promise<Html> {
	const points = steps.flatMap(({ step, epsilon }): Point[] => (epsilon === undefined ? [] : [{ x: step, y: epsilon }]));
	const last = points.at(-1);
	const target = plan.targetEpsilon ?? plan.epsilon;
	const chart: Chart = {
		label: `Curve of ε over the steps: it ${last === undefined ? "has not begun" : `reaches ${budget(last.y)} at step ${last.x}`}; ${budget(target)} may be spent by step ${settings.steps}.`,
		caption: "ε spent after each step.",
		x: { title: "step", domain: [0, Math.max(settings.steps, 1)], format: "d" },
		y: { title: "ε", domain: [0, Math.max(target, last?.y ?? 0) * 1.05] },
		points: [{ x: 0, y: 0 }, ...points],
		isStaircase: true,
		reference: {
			name: "what may be spent",
			points: [
				{ x: 0, y: target },
				{ x: Math.max(settings.steps, 1), y: target },
			],
		},
	};
	return figure(chart);
}

function attackFigure(curve: readonly Point[], who: string): Promise<Html> {
	const at = curve.find(({ x }) => x === 0.01);
	return figure({
		label: `Curve of the share of members that an attacker finds, at most, over the share of false alarms: at 1 % false alarms ${percent(at?.y ?? 0)}.`,
		caption: `The most an attacker can find of ${who}, at each rate of false alarms (the trade-off of f-differential privacy).`,
		x: { title: "false alarms", domain: [0, 1], format: ".0%" },
		y: { title: "found, at most", domain: [0, 1], format: ".0%" },
		points: [{ x: 0, y: curve[0]?.y ?? 0 }, ...curve, { x: 1, y: 1 }],
		reference: {
			name: "guessing, which is what perfect privacy leaves",
			points: [
				{ x: 0, y: 0 },
				{ x: 1, y: 1 },
			],
		},
	});
}
