/**
 * What a private LoRA step costs beside the plain one of the same model, batch and optimiser.
 *
 *     node --import tsx -C @hushgrad/source bench/privateOverPlain.ts [--rows 8,16] [--hidden 96 --layers 3 --length 80] [--steps 15]
 *
 * Private and plain steps are taken in turn in one process, so that whatever slows the machine slows both; each pair gives one ratio,
 * and the medians of the ratios are told: of the process's time (user and system: on a software GPU the GPU's work, too), of the main
 * thread's until it first waits (issuing), of wall time, and of the kernels' own times where the device has a clock. Prints Markdown.
 */
import { requestDevice } from "@hushgrad/tensor";
import { readFlags, whole } from "../tools/flags.mjs";
import { Counters, mainThreadMs } from "./support/counters.ts";
import { plainTraining, privateTraining } from "./support/loraSteps.ts";

const HELP = `npm run bench:private -- [flags]
  --rows 8,16         records of a step, one measurement each
  --hidden 96         width of the model
  --layers 3
  --length 80         tokens of a record
  --vocabulary 2048
  --steps 15          pairs of steps that are measured`;
const flags = readFlags(HELP, {
	rows: { type: "string", default: "8,16" },
	hidden: { type: "string", default: "96" },
	layers: { type: "string", default: "3" },
	length: { type: "string", default: "80" },
	vocabulary: { type: "string", default: "2048" },
	steps: { type: "string", default: "15" },
});
const [hidden, layers, length, vocabulary, steps] = (["hidden", "layers", "length", "vocabulary", "steps"] as const).map((name) =>
	whole(name, flags[name]),
);

const device = await requestDevice();
const counters = new Counters(device);

interface Cost {
	readonly cpu: number;
	readonly issue: number;
	readonly wall: number;
}

async function costOf(step: () => Promise<unknown>): Promise<Cost> {
	const [cpu, main, wall] = [process.cpuUsage(), mainThreadMs(), performance.now()];
	counters.firstMap = undefined;
	await step();
	await device.flush();
	const { user, system } = process.cpuUsage(cpu);
	const issue = (counters.firstMap ?? Number.NaN) - main;
	return { cpu: (user + system) / 1000, issue, wall: performance.now() - wall };
}

async function kernelsOf(step: () => Promise<unknown>): Promise<number> {
	return (await device.profile(step)).milliseconds;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];

/** The steps of both kinds for a batch of so many rows. */
function stepsOf(rows: number) {
	const sizes = { hidden, layers, length, vocabulary, rows };
	const plain = plainTraining(device, sizes);
	return { parameters: plain.parameters, plain: plain.step, private: privateTraining(device, sizes).step };
}

console.log(`${device.info.description}; hidden ${hidden}, ${layers} layers, ${length} tokens, LoRA r=8 on NF4; ${steps} pairs of steps\n`);
console.log(
	"| rows | trained | plain CPU, ms | private CPU, ms | private / plain: CPU | issuing | wall | kernels |\n|---|---|---|---|---|---|---|---|",
);
for (const rows of flags.rows.split(",").map(Number)) {
	const run = stepsOf(rows);
	for (const step of [run.plain, run.private, run.plain, run.private]) await costOf(step);
	const pairs: [Cost, Cost][] = [];
	const kernels: number[] = [];
	for (let s = 0; s < steps; s++) pairs.push([await costOf(run.plain), await costOf(run.private)]);
	for (let s = 0; s < 5; s++) {
		const plain = await kernelsOf(run.plain);
		kernels.push((await kernelsOf(run.private)) / plain);
	}
	const ratio = (pick: (c: Cost) => number): string => median(pairs.map(([a, b]) => pick(b) / pick(a))).toFixed(3);
	const ms = (i: 0 | 1): string => median(pairs.map((p) => p[i].cpu)).toFixed(0);
	const ratios = [ratio((c) => c.cpu), ratio((c) => c.issue), ratio((c) => c.wall), median(kernels).toFixed(3)];
	console.log(`| ${[rows, run.parameters, ms(0), ms(1), ...ratios].join(" | ")} |`);
}
device.destroy();
