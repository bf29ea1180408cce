/**
 * How good the demo's model answers, by ε: trains with hushgrad's own `train` on the shipped cards and evaluates, a line of JSON for each run.
 *
 *     npm run evaluation -- --seeds 0,1,2,3,4                   makes the runs that bench/results/evaluation.jsonl does not have
 *     npm run evaluation -- --table bench/results/evaluation.jsonl   prints docs/evaluation.md's table
 *
 * The noise comes from a seed: runs repeat, and none is private.
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insecureNoiseForTests } from "@hushgrad/dp";
import { type Evaluation, evaluate, readRecords, readSettings, runFiles, textForm, tokenizeRecords, train } from "@hushgrad/finetune";
import { fromPretrained, loadAdapter, SentencePieceTokenizer } from "@hushgrad/models";
import { requestDevice } from "@hushgrad/tensor";
import { readFlags } from "../tools/flags.mjs";

const HELP = `npm run evaluation -- [flags]
  --seeds 0,1,2,3,4        seeds of the runs
  --kinds base,1,3,8,none  what is evaluated: the base, a run with an ε, one without privacy
  --out FILE               where a line is kept for each run; runs that are there are not made again
  --table FILE             only prints the table of a file`;
const flags = readFlags(HELP, {
	seeds: { type: "string", default: "0" },
	kinds: { type: "string", default: "base,1,3,8,none" },
	out: { type: "string", default: "bench/results/evaluation.jsonl" },
	table: { type: "string" },
});
const MODEL = "assets/tiny-vaultgemma";

/** What was trained: nothing, with privacy to an ε, or without. */
type Kind = "base" | "none" | `${number}`;
interface Line {
	readonly kind: Kind;
	readonly seed: number;
	readonly evaluation: Evaluation;
}

const linesOf = (path: string): Line[] =>
	existsSync(path)
		? readFileSync(path, "utf8")
				.trim()
				.split("\n")
				.map((line) => JSON.parse(line) as Line)
		: [];

async function measure(kind: Kind, seed: number): Promise<Evaluation> {
	const folder = mkdtempSync(join(tmpdir(), "evaluation-"));
	const output = join(folder, "run");
	const given = {
		data: "assets/flashcards.json",
		model: MODEL,
		template: "gemma",
		records: "400",
		steps: "16",
		"batch-size": "100",
		output,
	};
	const privacy = kind === "none" ? ["--no-private"] : ["--epsilon", kind === "base" ? "8" : kind, "--ledger", join(folder, "ledger")];
	const args = Object.entries({ ...given, seed: `${seed}` }).flatMap(([name, value]) => [`--${name}`, value]);
	const { settings } = await readSettings([...args, ...privacy]);
	try {
		if (kind !== "base") await train(settings, { noise: insecureNoiseForTests(1000 + seed) });
		const tokenizer = await SentencePieceTokenizer.fromFile(join(MODEL, "tokenizer.model"));
		const { heldOut } = tokenizeRecords(tokenizer, await readRecords(settings), settings);
		const device = await requestDevice();
		const model = await fromPretrained(MODEL, { device, quantization: "nf4" });
		if (kind !== "base") await loadAdapter(model, runFiles(output).adapter, device);
		const form = textForm(tokenizer, settings.template);
		const evaluation = await evaluate(model, tokenizer, heldOut, {
			form,
			isPublic: true,
			keptExamples: heldOut.length,
			physicalBatchSize: 16,
		});
		device.destroy();
		return evaluation;
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

type Column = readonly [name: string, digits: number, read: (evaluation: Evaluation, base: Evaluation | undefined) => number | undefined];

const COLUMNS: readonly Column[] = [
	["loss per response token", 4, (e) => e.lossPerToken],
	[
		"less than the base's",
		4,
		(e, base) => (base === undefined || base === e ? undefined : (base.lossPerToken ?? Number.NaN) - (e.lossPerToken ?? Number.NaN)),
	],
	["right of four", 3, (e) => e.multipleChoice?.accuracy],
	["the same, per token", 3, (e) => e.multipleChoice?.accuracyPerToken],
	["the same, by what the question adds", 3, (e) => e.multipleChoice?.accuracyMutualInfo],
	["token F1", 3, (e) => e.answers?.tokenF1],
	["exact match", 3, (e) => e.answers?.exactMatch],
	["empty", 3, (e) => e.answers?.empty],
	["garbled", 3, (e) => e.answers?.garbled],
	["loss of public text", 4, (e) => e.publicText?.lossPerToken],
];

/** Mean over the seeds ± its standard error; nothing where there is none. */
function cell(values: readonly number[], digits: number): string {
	if (values.length === 0) return "";
	const mean = values.reduce((a, b) => a + b, 0) / values.length;
	if (values.length < 2) return mean.toFixed(digits);
	const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1);
	return `${mean.toFixed(digits)} ± ${Math.sqrt(variance / values.length).toFixed(digits)}`;
}

function tableOf(lines: readonly Line[]): string {
	const baseOf = new Map(lines.flatMap(({ kind, seed, evaluation }) => (kind === "base" ? [[seed, evaluation] as const] : [])));
	const rows = [...new Set(lines.map(({ kind }) => kind))].map((kind) => {
		const own = lines.filter((line) => line.kind === kind);
		const name = kind === "base" ? "base" : kind === "none" ? "not private" : `ε = ${kind}`;
		const cells = COLUMNS.map(([, digits, read]) =>
			cell(
				own.flatMap(({ seed, evaluation }) => read(evaluation, baseOf.get(seed)) ?? []),
				digits,
			),
		);
		return `| ${[name, String(own.length), ...cells].join(" | ")} |`;
	});
	const heads = ["trained", "seeds", ...COLUMNS.map(([name]) => name)];
	return [`| ${heads.join(" | ")} |`, `| ${heads.map(() => "---").join(" | ")} |`, ...rows].join("\n");
}

if (flags.table !== undefined) console.log(tableOf(linesOf(flags.table)));
else {
	const known = new Set(linesOf(flags.out).map(({ kind, seed }) => `${kind} ${seed}`));
	for (const seed of flags.seeds.split(",").map(Number)) {
		for (const kind of flags.kinds.split(",") as Kind[]) {
			if (known.has(`${kind} ${seed}`)) continue;
			const line: Line = { kind, seed, evaluation: await measure(kind, seed) };
			appendFileSync(flags.out, `${JSON.stringify(line)}\n`);
			console.log(tableOf([line]).split("\n")[2]);
		}
	}
}
