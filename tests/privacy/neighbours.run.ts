/**
 * `npm run neighbours -- --pairs 200 --seed 71`: takes a private step without noise on pairs of data sets of which one lacks a record, or a
 * unit, and tells how far the sum of each pair moved, what it may move by, and what else changed. `--pair 17` is that pair alone. Exits
 * with 1 where one moved by more, or anything else changed by a bit.
 */
import { requestDevice } from "@hushgrad/tensor";
import { readFlags, whole } from "../../tools/flags.mjs";
import { compare, pairOf } from "./pairs.ts";

const HELP = `npm run neighbours -- [flags]
  --pairs 50   pairs of data sets
  --seed 71    that they follow from
  --pair 17    that pair alone`;
const values = readFlags(HELP, {
	...{ pairs: { type: "string", default: "50" }, seed: { type: "string", default: "71" } },
	pair: { type: "string" },
});
const [count, seed] = [whole("pairs", values.pairs), whole("seed", values.seed, 0)];
const numbers = values.pair === undefined ? Array.from({ length: count }, (_, i) => i) : [whole("pair", values.pair, 0)];
const device = await requestDevice();
let largest = 0;
let failed = 0;
for (const number of numbers) {
	const pair = pairOf(seed, number);
	const { moved, most, othersStay, splitsAgree } = await compare(device, pair, number);
	const isSound = moved <= most && moved > 0 && othersStay && splitsAgree;
	largest = Math.max(largest, moved);
	failed += Number(!isSound);
	const what = pair.maxRecords === undefined ? "record" : `unit of ${pair.units[pair.removed].length}`;
	const faults = [othersStay ? "" : "OTHERS CHANGED", splitsAgree ? "" : "SPLITS DIFFER", moved <= most ? "" : "MOVED TOO FAR"].filter(
		Boolean,
	);
	console.log(
		`${number}  ${what.padEnd(9)}  ${pair.clipping.kind.padEnd(9)}  ${pair.sizes.vocab} words  moved ${moved.toFixed(7)} C of ${most.toFixed(7)}  ${faults.join(", ") || "sound"}`,
	);
}
device.destroy();
console.log(`${numbers.length} pairs of seed ${seed}: the largest difference is ${largest.toFixed(7)} C; ${failed} of them not sound`);
if (failed > 0) process.exitCode = 1;
