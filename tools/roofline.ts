/**
 * `npm run roofline -- --adapter h100 --model vaultgemma-1b -B 8 -T 128`: what a training step would cost on a GPU that is not
 * there. The step is recorded and not run; every kernel is run for its cost alone, as WGSL on data that is not there, and timed by
 * the adapter's public figures. `--adapter this` measures the present device instead, predicts steps of small models, runs them, and
 * prints both. `--measure` runs the step on the present device, and lays its kernels beside the prediction for `--adapter`. `--document FILE` writes the predictions of two GPUs, and the comparison, as docs/roofline.md.
 */
import { writeFileSync } from "node:fs";
import type { Plan } from "@hushgrad/tensor";
import { readFlags } from "./flags.mjs";
import { ceilingsOf, type Present, presentDevice, timeProbes } from "./roofline/ceilings.ts";
import { compare, STEPS } from "./roofline/compare.ts";
import { FIGURES, machineOf } from "./roofline/machines.ts";
import { measure, measuredSection } from "./roofline/measure.ts";
import { document } from "./roofline/page.ts";
import { comparison, type Predicted, section, sources } from "./roofline/report.ts";
import { costed, recordStep, recordToken, rowsBy } from "./roofline/step.ts";
import { configOf, type Subject } from "./roofline/subject.ts";

const HELP = `npm run roofline -- [flags]
  --adapter h100          the GPU: ${Object.keys(FIGURES).join(", ")}, or "this": the present one, measured
  --model vaultgemma-1b   or the folder of a model
  -B, --batch 8           records of a step
  -T, --length 128        tokens of a record
  --plain                 the step without privacy
  --measure               runs the step on the present device, beside the prediction for --adapter
  --plan matrix           kernels of --measure, where they are not those that the library picks: cpu, gpu, matrix
  --rounds 5              runs of each kernel that is measured
  --json FILE             writes the numbers
  --document FILE         writes docs/roofline.md`;
const values = readFlags(HELP, {
	adapter: { type: "string", default: "h100" },
	model: { type: "string", default: "vaultgemma-1b" },
	batch: { type: "string", short: "B", default: "8" },
	length: { type: "string", short: "T", default: "128" },
	plain: { type: "boolean", default: false },
	measure: { type: "boolean", default: false },
	plan: { type: "string" },
	rounds: { type: "string", default: "5" },
	json: { type: "string" },
	document: { type: "string" },
});

const whole = (name: string, text: string): number => {
	const value = Number(text);
	if (Number.isInteger(value) && value > 0) return value;
	throw new Error(`${name} is ${text}, expected a whole number above 0`);
};

/** The model with one layer less, to see what a layer adds. */
function withoutLayer(subject: Subject): Subject {
	const { num_hidden_layers: layers, layer_types: types, ...rest } = subject.config;
	const kept = Array.isArray(types) ? { layer_types: types.slice(1) } : {};
	return { ...subject, config: { ...rest, ...kept, num_hidden_layers: Number(layers) - 1 } };
}

/** A training step and a token on a machine. */
async function predicted(adapter: string, subject: Subject, model: string): Promise<Predicted[]> {
	const machine = machineOf(adapter);
	const layers = Number(subject.config.num_hidden_layers);
	const less = layers > 1 ? withoutLayer(subject) : undefined;
	const { batch, length, plain, config } = subject;
	const step = await recordStep(machine, subject);
	const token = await recordToken(machine, config, length);
	const all = costed(machine, token.dispatches);
	const ms = all.reduce((n, c) => n + c.prediction.milliseconds, 0);
	return [
		{
			title: `A ${plain ? "plain" : "private"} step of ${model}, B = ${batch}, T = ${length}`,
			recording: step,
			all: costed(machine, step.dispatches),
			layers,
			oneLayerLess: less === undefined ? 0 : (await recordStep(machine, less)).dispatches.length,
		},
		{
			title: `One token of ${model} after ${length} others: ${(1000 / ms).toFixed(1)} tokens/s`,
			recording: token,
			all,
			layers,
			oneLayerLess: less === undefined ? 0 : (await recordToken(machine, less.config, length)).dispatches.length,
		},
	];
}

async function probed(present: Present, rounds: number): Promise<number[][]> {
	const times: number[][] = [];
	for (let i = 0; i < rounds; i++) times.push(await timeProbes(present));
	return times;
}

async function onThisDevice(): Promise<string> {
	const present = await presentDevice();
	const { found, compared } = await compare(present, STEPS, whole("--rounds", values.rounds));
	if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ found, compared }, null, "\t"));
	present.device.destroy();
	return comparison(present, found, compared);
}

const subject: Subject = {
	config: configOf(values.model),
	batch: whole("-B", values.batch),
	length: whole("-T", values.length),
	plain: values.plain,
};

if (values.measure) {
	const present = await presentDevice(values.plan as Plan | undefined);
	const rounds = whole("--rounds", values.rounds);
	const machine =
		values.adapter === "this" ? (await ceilingsOf(present, await probed(present, rounds))).machine : machineOf(values.adapter);
	const measured = await measure(present, machine, subject, rounds);
	const { name } = present.adapter;
	if (values.json !== undefined)
		writeFileSync(values.json, JSON.stringify({ adapter: name, plan: present.device.plan, subject, measured }, null, "\t"));
	console.log([`## ${name}, plan ${present.device.plan}`, ...measured.map(measuredSection)].join("\n\n"));
	present.device.destroy();
} else if (values.document !== undefined) {
	const here = await onThisDevice();
	const parts: string[] = [];
	for (const name of ["h100", "rtx4060"]) {
		const sections = (await predicted(name, subject, values.model)).map((part) => section(FIGURES[name], part));
		parts.push(sources(FIGURES[name]), ...sections);
	}
	writeFileSync(values.document, document([...parts, here]));
} else if (values.adapter === "this") {
	console.log(await onThisDevice());
} else {
	const parts = await predicted(values.adapter, subject, values.model);
	console.log([sources(FIGURES[values.adapter]), ...parts.map((part) => section(FIGURES[values.adapter], part))].join("\n"));
	if (values.json !== undefined) {
		const kernels = parts.map(({ title, all }) => ({ title, kernels: rowsBy(all, (c) => `${c.work.kernel} ${c.shape}`) }));
		writeFileSync(values.json, JSON.stringify({ figures: FIGURES[values.adapter], parts: kernels }, null, "\t"));
	}
}
