/**
 * Where the time of a private training step goes: tokens per second of one physical batch, and the kernels by the time
 * they take alone. `node --import tsx -C @hushgrad/source bench/trainingStep.ts --hidden 96 --layers 3`
 */
import type { TrainingRecord } from "@hushgrad/models";
import { checkFinite, DropoutKey, key, requestDevice, splitKey, valueAndGrad, vmap } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { readFlags } from "../tools/flags.mjs";
import { loraModel } from "./support/loraModel.ts";

const HELP = `node --import tsx -C @hushgrad/source bench/trainingStep.ts [flags]
  --hidden 96         width of the model
  --layers 3
  --vocabulary 2048
  --rows 16           records of the step
  --length 80         tokens of a record
  --repeats 8         steps that are measured`;
const flags = readFlags(HELP, {
	hidden: { type: "string", default: "96" },
	layers: { type: "string", default: "3" },
	vocabulary: { type: "string", default: "2048" },
	rows: { type: "string", default: "16" },
	length: { type: "string", default: "80" },
	repeats: { type: "string", default: "8" },
});
const [hidden, layers, vocabulary, rows, length, repeats] = [
	flags.hidden,
	flags.layers,
	flags.vocabulary,
	flags.rows,
	flags.length,
	flags.repeats,
].map(Number);

const device = await requestDevice();
const model = loraModel(device, { hidden, layers, length, vocabulary });
const parameters = [...model.trainableParameters().values()];
const grid = (first: number) =>
	device.fromHost(
		Int32Array.from({ length: rows * length }, (_, i) => (7 * i + first) % vocabulary),
		[rows, length],
	);

function step(): void {
	device.scope<void>(() => {
		const batch = { ids: grid(0), targets: grid(1), weight: device.fromHost(new Float32Array(rows).fill(1 / length), [rows]) };
		const words = Uint32Array.from(splitKey(key(4), rows).flatMap(({ k0, k1 }) => [k0, k1]));
		vmap((record: TrainingRecord, own: DropoutKey["words"]) => {
			const loss = () => model.loss(record, { dropout: new DropoutKey(own) });
			return valueAndGrad(loss, parameters).grads;
		})(batch, device.fromHost(words, [rows, 2]));
	});
}

/** Milliseconds that `body` and the GPU work it asks for take. */
async function time(body: () => void): Promise<number> {
	const start = performance.now();
	body();
	await device.flush();
	return performance.now() - start;
}

/** Kernels of one step, each timed alone: its name, calls and milliseconds. */
async function kernels(): Promise<[name: string, calls: number, ms: number][]> {
	const { recorder } = runtimeOf(device);
	const dispatch = recorder.dispatch.bind(recorder);
	const seen: Parameters<typeof dispatch>[] = [];
	recorder.dispatch = (...args) => {
		seen.push(args);
		dispatch(...args);
	};
	step();
	await device.flush();
	recorder.dispatch = dispatch;
	const idle = Math.min(...(await Promise.all([0, 1, 2].map(() => time(() => {})))));
	const totals = new Map<string, [number, number]>();
	for (const args of seen) {
		const ms = (await time(() => dispatch(...args))) - idle;
		const [calls, sum] = totals.get(args[0].pipeline.key) ?? [0, 0];
		totals.set(args[0].pipeline.key, [calls + 1, sum + ms]);
	}
	return [...totals].map(([name, [calls, ms]]) => [name, calls, ms]);
}

/** The step, and in the end the checks that a training step makes of its parameters. */
function checkedStep(): void {
	step();
	for (const [i, p] of parameters.entries()) checkFinite(p.value, `parameter ${i}`);
}

const medianOf = (times: number[]): number => times.sort((a, b) => a - b)[times.length >> 1];

await time(checkedStep);
const plain: number[] = [];
const checked: number[] = [];
for (let i = 0; i < repeats; i++) {
	plain.push(await time(step));
	checked.push(await time(checkedStep));
}
const ratios = checked.map((t, i) => t / plain[i]);
const median = medianOf([...plain]);
console.log(
	`${rows} x ${length} tokens: ${median.toFixed(0)} ms, ${((1000 * rows * length) / median).toFixed(0)} tokens/s (median of ${repeats})`,
);
console.log(`checks of ${parameters.length} parameters: ${(100 * (medianOf(ratios) - 1)).toFixed(2)} % (median of ${repeats} pairs)`);
for (const [name, calls, ms] of (await kernels()).sort((a, b) => b[2] - a[2]).slice(0, 20)) {
	console.log(`  ${name.padEnd(28)}${String(calls).padStart(5)} calls ${ms.toFixed(1).padStart(8)} ms`);
}
device.destroy();
