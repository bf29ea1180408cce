/**
 * What a private step costs and what it computes.
 *
 *     node --import tsx -C @hushgrad/source bench/privateStep.ts > report.md
 *
 * Without arguments it runs every part in processes of its own (so that none warms up the JIT or the driver for
 * another) and prints a report in Markdown. `--beside SCRIPT` measures the steps of another version in turn with this
 * one's: of another checkout's bench/privateStep.ts. A single part prints JSON:
 *
 *     ... privateStep.ts --part steps --tensors 42    cost of a step with 12, 42 or 364 trainable tensors
 *     ... privateStep.ts --part golden [--save FILE]  losses and gradients of single records of the golden model
 *     ... privateStep.ts --part weights --dropout 0 [--save FILE]   weights after 3 private steps, 42 tensors
 *     ... privateStep.ts --part size                  lines and exported names of the packages
 *
 * `--save` writes the raw tensors as safetensors: where a later hash differs, they tell by how much.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { GaussianMechanism, type StepReport } from "@hushgrad/dp";
import { fromPretrained, type TrainingRecord } from "@hushgrad/models";
import { applyLora, encodeSafetensors, loraConfig, type TensorData } from "@hushgrad/nn";
import { data, key, normal, requestDevice, stack, valueAndGrad, vmap } from "@hushgrad/tensor";
import { readFlags, refuse } from "../tools/flags.mjs";
import { COUNTED, Counters, type Counts, mainThreadMs } from "./support/counters.ts";
import { CONFIGURATIONS, DROPOUT, LEARNED, LENGTH, PROJECTIONS, privateRun, RANK, RECORDS, ROWS, recordOf } from "./support/privateRun.ts";

const WARM_UP = 3;
const MEASURED = 15;

interface StepCost {
	readonly counts: Counts;
	readonly wallMs: number;
	/** User and system time of the whole process: with a software GPU, its work too. */
	readonly cpuMs: number;
	readonly mainMs: number;
	/** The part of it before the first mapAsync. */
	readonly recordMs: number;
}

async function steps(tensors: number) {
	const device = await requestDevice();
	const counters = new Counters(device);
	const { engine, parameters, step } = await privateRun(device, tensors, DROPOUT);
	const costs: StepCost[] = [];
	for (let i = 0; i < WARM_UP + MEASURED; i++) {
		const [counts, cpu, main, wall] = [counters.now(), process.cpuUsage(), mainThreadMs(), performance.now()];
		counters.firstMap = undefined;
		await step();
		const { user, system } = process.cpuUsage(cpu);
		costs.push({
			wallMs: performance.now() - wall,
			cpuMs: (user + system) / 1000,
			mainMs: mainThreadMs() - main,
			recordMs: (counters.firstMap ?? Number.NaN) - main,
			counts: counters.since(counts),
		});
	}
	const elements = [...parameters.values()].reduce((n, p) => n + p.size, 0);
	const { peakBytes, heldBuffers } = device.memory();
	const { description, device: name } = device.info;
	device.destroy();
	return {
		adapter: `${name} ${description}`,
		tensors,
		elements,
		noiseMultiplier: engine.plan.noiseMultiplier,
		peakBytes,
		heldBuffers,
		first: costs[0],
		costs: costs.slice(WARM_UP),
	};
}
type Steps = Awaited<ReturnType<typeof steps>>;

const bytesOf = (v: ArrayBufferView): Uint8Array => new Uint8Array(v.buffer, v.byteOffset, v.byteLength);
const sha256 = (...parts: readonly ArrayBufferView[]): string => {
	const hash = createHash("sha256");
	for (const p of parts) hash.update(bytesOf(p));
	return hash.digest("hex");
};
/** Nine digits tell every f32 from its neighbours. */
const digits = (values: ArrayLike<number>, count = values.length): string[] =>
	Array.from({ length: count }, (_, i) => values[i].toPrecision(9));

/** Raw values, by name, for a comparison by magnitude. */
function save(
	path: string | undefined,
	tensors: Readonly<Record<string, { shape: readonly number[]; values: Float32Array | Int32Array }>>,
) {
	if (path === undefined) return;
	const all = Object.entries(tensors).map(([name, { shape, values }]): [string, TensorData] => [
		name,
		{ dtype: values instanceof Int32Array ? "I32" : "F32", shape, data: values instanceof Int32Array ? bytesOf(values) : values },
	]);
	writeFileSync(path, Buffer.concat(encodeSafetensors(new Map(all))));
}

/**
 * The golden model vaultgemma/capped in NF4 with LoRA r = 4, B away from zero, no dropout. Five records of 9 ids, 5 of them
 * learned. Also the exact integer sum of the clipped gradients (C = 1), which does not depend on noise.
 */
async function golden(path: string | undefined) {
	const B = 5;
	const device = await requestDevice();
	const folder = fileURLToPath(new URL("../tests/goldens/vaultgemma/capped", import.meta.url));
	const model = await fromPretrained(folder, { device, quantization: "nf4" });
	const layers = applyLora(model, loraConfig({ r: 4, lora_dropout: 0, target_modules: PROJECTIONS }), { device, key: key(1) });
	[...layers.values()].forEach(({ lora_B: { weight } }, i) => {
		weight.assign(normal(device, weight.shape, key(100 + i), { std: 0.1 }));
	});
	const parameters = model.trainableParameters();
	const names = [...parameters.keys()];
	const records = Array.from({ length: B }, (_, r) => recordOf(r, { length: 9, learned: 5 }));
	const column = (name: "ids" | "targets" | "positions") => stack(records.map((r) => device.fromHost(r[name], [r[name].length])));
	const batch: TrainingRecord = {
		ids: column("ids"),
		targets: column("targets"),
		positions: column("positions"),
		weight: device.fromHost(
			records.map((r) => r.weight),
			[B],
		),
	};
	const { value, grads } = vmap((record: TrainingRecord) => {
		const result = valueAndGrad(() => model.loss(record), [...parameters.values()]);
		return { value: result.value, grads: [...result.grads] };
	})(batch);
	const losses = (await data(value)) as Float32Array;
	const gradients = (await Promise.all(grads.map((g) => data(g)))) as Float32Array[];
	const size = [...parameters.values()].reduce((n, p) => n + p.size, 0);
	const sum = new GaussianMechanism({ length: size, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1 }).newSum(device);
	const norms = (await data(sum.add(grads, device.fromHost(new Float32Array(B).fill(1), [B])).norms)) as Float32Array;
	const clipped = Int32Array.from(await sum.read()).subarray(0, size);
	save(path, {
		losses: { shape: [B], values: losses },
		norms: { shape: [B], values: norms },
		clippedSum: { shape: [clipped.length], values: clipped },
		...Object.fromEntries(names.map((n, i) => [`grad/${n}`, { shape: grads[i].shape, values: gradients[i] }])),
	});
	device.destroy();
	return {
		tensors: names.length,
		elements: size,
		"SHA-256 of the losses": sha256(losses),
		"SHA-256 of the gradients": sha256(...gradients),
		"SHA-256 of losses, then gradients": sha256(losses, ...gradients),
		"SHA-256 of the norms": sha256(norms),
		"SHA-256 of the clipped integer sum": sha256(clipped),
		losses: digits(losses),
		norms: digits(norms),
		clippedSumStart: [...clipped.subarray(0, 3)],
		gradients: Object.fromEntries(names.slice(0, 3).map((n, i) => [n, digits(gradients[i], 3)])),
		largest: Object.fromEntries(names.slice(0, 3).map((n, i) => [n, digits([Math.max(...gradients[i].map(Math.abs))])[0]])),
	};
}

/** Raw weights after 3 private steps of the 42-tensor model. */
async function weights(dropout: number, path: string | undefined) {
	const device = await requestDevice();
	const { parameters, engine, step } = await privateRun(device, 42, dropout);
	const read = async () => (await Promise.all([...parameters.values()].map((p) => data(p.value)))) as Float32Array[];
	const before = await read();
	const reports: StepReport[] = [];
	for (let i = 0; i < 3; i++) reports.push(await step());
	const after = await read();
	const names = [...parameters.keys()];
	save(path, Object.fromEntries([...parameters].map(([n, p], i) => [n, { shape: p.shape, values: after[i] }])));
	device.destroy();
	return {
		dropout,
		noiseMultiplier: engine.plan.noiseMultiplier,
		"SHA-256 of the weights before": sha256(...before),
		"SHA-256 of the weights after 3 steps": sha256(...after),
		steps: reports
			.map((r) => r.private.reveal())
			.map((r) => ({ records: r.records, loss: digits([r.loss])[0], meanNorm: digits([r.meanNorm])[0], clipped: r.clipped })),
		weights: Object.fromEntries(names.slice(0, 3).map((n, i) => [n, digits(after[i], 3)])),
	};
}

async function size() {
	const exportsOf = {
		tensor: Object.keys(await import("@hushgrad/tensor")).length,
		nn: Object.keys(await import("@hushgrad/nn")).length,
		dp: Object.keys(await import("@hushgrad/dp")).length,
		models: Object.keys(await import("@hushgrad/models")).length,
	};
	return Object.entries(exportsOf).map(([name, values]) => {
		const src = fileURLToPath(new URL(`../packages/${name}/src/`, import.meta.url));
		const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"));
		// As `wc -l` counts.
		const lines = files.reduce((n, f) => n + readFileSync(join(src, f), "utf8").split("\n").length - 1, 0);
		return { name, files: files.length, lines, exports: values };
	});
}

const median = (values: readonly number[]): number => {
	const sorted = [...values].sort((a, b) => a - b);
	return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};
const whole = (n: number): string => n.toLocaleString("en-US", { maximumFractionDigits: 0 });
/** One number where all agree, else median and range. */
const spread = (values: readonly number[]): string => {
	const [low, high] = [Math.min(...values), Math.max(...values)];
	return low === high ? whole(low) : `${whole(median(values))} (${whole(low)}-${whole(high)})`;
};
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
	[head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
const json = (value: unknown): string => `\n\`\`\`json\n${JSON.stringify(value, null, 1)}\n\`\`\`\n`;

const OWN = fileURLToPath(import.meta.url);

/** One part in a process of its own. */
async function child<T>(script: string, ...args: string[]): Promise<T> {
	const node = ["--import", "tsx", "-C", "@hushgrad/source", script, ...args];
	const cwd = dirname(script);
	const { stdout } = await promisify(execFile)(process.execPath, node, { cwd, maxBuffer: 2 ** 28 });
	return JSON.parse(stdout) as T;
}

/** The same part in two processes: the result must repeat bit for bit. */
async function twice<T>(...args: string[]): Promise<T> {
	const [a, b] = [await child<T>(OWN, ...args), await child<T>(OWN, ...args)];
	if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${args.join(" ")}: two processes gave two results`);
	return a;
}

/** The processes of one version for one number of tensors. */
interface Column {
	readonly title: string;
	readonly runs: readonly Steps[];
}

async function columns(processes: number, beside: string | undefined): Promise<Column[]> {
	const versions = [...(beside === undefined ? [] : [{ script: beside, title: ", beside" }]), { script: OWN, title: "" }];
	const all: Column[] = [];
	for (const tensors of Object.keys(CONFIGURATIONS)) {
		const runs = versions.map((): Steps[] => []);
		for (let i = 0; i < processes; i++) {
			for (const [v, { script }] of versions.entries()) runs[v].push(await child<Steps>(script, "--part", "steps", "--tensors", tensors));
		}
		versions.forEach(({ title }, v) => {
			all.push({ title: `${tensors} tensors${title}`, runs: runs[v] });
		});
	}
	return all;
}

const TIMED = [
	["wallMs", "wall"],
	["cpuMs", "CPU of the process (user + system)"],
	["mainMs", "... of it on the main thread, polling included"],
	["recordMs", "... of that before the first mapAsync (recording)"],
] as const;

/** Median of all steps (lowest-highest of the processes' medians). */
function milliseconds({ runs }: Column, pick: (typeof TIMED)[number][0]): string {
	const each = runs.map((s) => median(s.costs.map((c) => c[pick])));
	const all = median(runs.flatMap((s) => s.costs.map((c) => c[pick])));
	return `${all.toFixed(1)} (${Math.min(...each).toFixed(1)}-${Math.max(...each).toFixed(1)})`;
}

async function report(processes: number, beside: string | undefined): Promise<void> {
	// Read before the first process starts: the load that others put on the machine.
	const load = loadavg()[0].toFixed(1);
	const all = await columns(processes, beside);
	const [{ adapter, noiseMultiplier }] = all[all.length - 1].runs;
	const head = ["", ...all.map((c) => c.title)];
	const counted = Object.entries(COUNTED) as [keyof Counts, string][];
	const rows = (of: (run: Steps) => readonly Counts[]) =>
		counted.map(([k, title]) => [title, ...all.map((c) => spread(c.runs.flatMap(of).map((counts) => counts[k])))]);
	console.log(`# A private step\n\nAdapter: ${adapter}; Node ${process.version}; ${availableParallelism()} cores, load average ${load}`);
	console.log(`before the start. LoRA r=${RANK}, dropout ${DROPOUT}, NF4 base; ${RECORDS} records in physical batches of ${ROWS},`);
	console.log(`${LENGTH} tokens, ${LEARNED} learned; sampling rate 1; noise multiplier ${noiseMultiplier}.`);
	console.log(`${processes} processes of ${WARM_UP} warm-up and ${MEASURED} measured steps for each column.\n\n## Calls a step\n`);
	const ofAll = (run: Steps) => run.costs.map((c) => c.counts);
	console.log(table(head, rows(ofAll)));
	console.log("\nThe first step of a run, which also runs one batch again and reads the weights before and after:\n");
	const ofFirst = (run: Steps) => [run.first.counts];
	console.log(table(head, rows(ofFirst)));
	console.log("\n## Time a step, in ms: median (lowest-highest of the processes' medians)\n");
	const times = TIMED.map(([k, title]) => [title, ...all.map((c) => milliseconds(c, k))]);
	const peak = ["peak live bytes", ...all.map((c) => spread(c.runs.map((s) => s.peakBytes)))];
	const held = ["buffers held in the end", ...all.map((c) => spread(c.runs.map((s) => s.heldBuffers)))];
	console.log(table(head, [...times, peak, held]));
	console.log("\n## Losses and gradients of single records, vaultgemma/capped");
	console.log(json(await twice("--part", "golden")));
	console.log("## Weights after 3 private steps of 42 tensors");
	for (const dropout of ["0", String(DROPOUT)]) console.log(json(await twice("--part", "weights", "--dropout", dropout)));
	const packages = await size();
	const total = (k: "files" | "lines" | "exports") => whole(packages.reduce((n, p) => n + p[k], 0));
	const sizes = packages.map((p) => [p.name, whole(p.files), whole(p.lines), whole(p.exports)]);
	console.log("## Size\n");
	console.log(
		table(["package", "files", "lines (`wc -l`)", "exported names"], [...sizes, ["all", total("files"), total("lines"), total("exports")]]),
	);
}

const HELP = `npm run bench:step -- [flags]
  --beside SCRIPT   bench/privateStep.ts of another checkout, measured in turn with this one
  --processes 3     of each measurement
  --part NAME       steps, golden, weights or size alone, as JSON
  --tensors 42      trainable tensors of the part steps: 12, 42 or 364
  --dropout 0       of the part weights
  --save FILE       writes the raw tensors of golden and weights`;
const flags = readFlags(HELP, {
	part: { type: "string" },
	tensors: { type: "string", default: "42" },
	dropout: { type: "string", default: "0" },
	save: { type: "string" },
	processes: { type: "string", default: "3" },
	beside: { type: "string" },
});
const parts: Readonly<Record<string, () => Promise<unknown>>> = {
	steps: () => steps(Number(flags.tensors)),
	golden: () => golden(flags.save),
	weights: () => weights(Number(flags.dropout), flags.save),
	size,
};
if (flags.part === undefined) await report(Number(flags.processes), flags.beside && resolve(flags.beside));
else if (!Object.hasOwn(parts, flags.part)) refuse(`--part is ${flags.part}, expected ${Object.keys(parts).join(", ")}`);
else console.log(JSON.stringify(await parts[flags.part]()));
