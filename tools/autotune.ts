/**
 * `npm run autotune -- --model vaultgemma-1b -B 8 -T 128`: with which tiles the present adapter computes the products of matrices of a training
 * step fastest. The step is recorded and not run; each of its products is timed with each tile that fits. What is written is for
 * `requestDevice({ tuning })`, and changes no bit of any result. A token's products are not among them: of one row, they have one tile that fits.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { requestDevice } from "@hushgrad/tensor";
import { productsOf } from "./autotune/products.ts";
import { LEAST, type Measured, search, tuningOf } from "./autotune/search.ts";
import { readFlags, refuse, whole } from "./flags.mjs";
import { adapterOf } from "./roofline/ceilings.ts";
import { DriverClock, stopwatchOf } from "./roofline/clock.ts";
import { digits, table } from "./roofline/report.ts";
import { recordStep } from "./roofline/step.ts";
import { configOf } from "./roofline/subject.ts";

const HELP = `npm run autotune -- [flags]
  --model vaultgemma-1b   or tiny, or the folder of a model
  -B, --batch 8           records of a step
  -T, --length 128        tokens of a record
  --plain                 the step without privacy
  --plan gpu              where the library picks "cpu", which has no tiles
  --products 40           how many are measured, those with the most FLOPs
  --rounds 7              samples of each tile
  --out FILE              where the tuning is written; out/tuning.json`;
const values = readFlags(HELP, {
	model: { type: "string", default: "vaultgemma-1b" },
	batch: { type: "string", short: "B", default: "8" },
	length: { type: "string", short: "T", default: "128" },
	plain: { type: "boolean", default: false },
	plan: { type: "string" },
	products: { type: "string", default: "40" },
	rounds: { type: "string", default: "7" },
	out: { type: "string", default: "out/tuning.json" },
});

/** Rows of the table: those that another tile makes faster first. */
const rows = (measured: readonly Measured[]): string[][] =>
	measured
		.map((one) => ({ ...one, ratio: one.milliseconds[one.today] / one.milliseconds[one.best] }))
		.sort((a, b) => b.ratio - a.ratio)
		.map(({ name, calls, today, best, milliseconds, ratio }) => [
			`\`${name}\``,
			...[digits(calls, 0), today, digits(milliseconds[today], 2), best, digits(milliseconds[best], 2), digits(ratio, 2)],
		]);

const subject = {
	config: configOf(values.model),
	batch: whole("batch", values.batch),
	length: whole("length", values.length),
	plain: values.plain,
};
const [most, rounds] = [whole("products", values.products), whole("rounds", values.rounds)];
const { plan } = values;
if (plan !== undefined && plan !== "gpu") refuse(`--plan is ${JSON.stringify(plan)}, expected gpu`);
const clock = new DriverClock();
const device = await requestDevice({ plan });
if (device.plan !== "gpu") refuse(`the plan of ${device} is ${device.plan}, which has no tiles; --plan gpu has`);
const { dispatches } = await recordStep({ adapter: adapterOf(device) }, subject);
const measured = await search(device, clock, productsOf(dispatches).slice(0, most), rounds);
const tuning = tuningOf(device, measured);
mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, `${JSON.stringify(tuning, null, "\t")}\n`);
const time = stopwatchOf(device, clock).isProcessorTime ? "ms of processor time" : "ms";
const head = ["product", "calls", "today", time, "best", time, "ratio"];
console.log(`## ${adapterOf(device).name}, plan ${tuning.plan}

Products of a ${subject.plain ? "plain" : "private"} step of ${values.model}, B = ${subject.batch}, T = ${subject.length}, all calls of each, by tile.

${table(head, rows(measured))}

${Object.keys(tuning.tiles).length} tiles are faster by ${digits(100 * (LEAST - 1), 0)} % or more: ${values.out}, for requestDevice({ tuning }).`);
device.destroy();
