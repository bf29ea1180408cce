import { type Device, type Plan, requestDevice } from "@hushgrad/tensor";
import { DriverClock, medianOf, type Stopwatch, stopwatchOf } from "./clock.ts";
import { type DryAdapter, DryDevice } from "./dryDevice.ts";
import { amountsOf, type Costs, type Machine, measuredDevice } from "./predict.ts";
import { probesOf } from "./probes.ts";
import { type Work, Workings } from "./work.ts";

const LIMITS = ["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage"] as const;
const RUNS = 2;
const DISPATCHES = 200;
const MOST_ITERATIONS = 20000;

/** The present device, and the clock that its work is measured by. */
export interface Present extends Stopwatch {
	readonly device: Device;
	/** What a dry device needs to play it. */
	readonly adapter: DryAdapter;
	readonly width: number;
}

/** What a dry device needs to play a device. */
export function adapterOf({ info, gpu: { limits, features }, plan }: Device): DryAdapter {
	const { vendor, architecture, description, device: name, subgroupMinSize, subgroupMaxSize } = info;
	return {
		name: [name || vendor, description].filter((s) => s !== "").join(", "),
		vendor,
		architecture,
		limits: Object.fromEntries(LIMITS.map((n) => [n, limits[n]])),
		features: [...features],
		subgroup: subgroupMinSize === subgroupMaxSize ? subgroupMinSize : undefined,
		plan,
	};
}

/** Opens the present device, with a plan of its own where none is named. Nothing else may have been opened before. */
export async function presentDevice(plan?: Plan): Promise<Present> {
	const clock = new DriverClock();
	const device = await requestDevice({ plan });
	for (const probe of probesOf(device)) probe.run(device);
	await device.flush();
	clock.begin();
	const watch = stopwatchOf(device, clock);
	const width = watch.isProcessorTime ? (/swiftshader/i.test(device.info.device) ? 4 : 8) : 32;
	return { ...watch, device, adapter: adapterOf(device), width };
}

/** Milliseconds of one run of each probe. */
export async function timeProbes({ device, time }: Present): Promise<number[]> {
	const times: number[] = [];
	for (const { name, run } of probesOf(device)) {
		const runs = name === "dispatch" ? DISPATCHES : RUNS;
		const body = () => {
			for (let i = 0; i < runs; i++) run(device);
		};
		times.push((await time(body)) / runs);
	}
	return times;
}

/** What was found about the present device. */
export interface Ceilings {
	readonly costs: Costs;
	readonly machine: Machine;
	/** 10^9 a second: multiply-adds counted as two, bytes read and written by a copy. */
	readonly gflops: number;
	readonly gigabytes: number;
	/** Microseconds of a dispatch that does nothing. */
	readonly dispatch: number;
	/** Of each probe: measured milliseconds, and what the costs make of it. */
	readonly probes: readonly { readonly name: string; readonly measured: number; readonly predicted: number }[];
}

/** Costs that explain the probes best: least squares of the relative errors, no cost below 0. `rounds` are of `timeProbes`. */
export async function ceilingsOf({ adapter, width }: Present, rounds: readonly (readonly number[])[]): Promise<Ceilings> {
	const dry = new DryDevice(adapter);
	const workings = new Workings(width);
	const probes = probesOf(dry.device);
	const measured = probes.map((_, i) => medianOf(rounds.map((r) => r[i])));
	const works: Work[] = [];
	for (const { run } of probes) {
		run(dry.device);
		await dry.device.flush();
		works.push(workings.of(dry.take().dispatches[0]));
	}
	const kinds = Object.keys(amountsOf(works[0], width)) as (keyof Costs)[];
	const rows = works.map((w, i) => kinds.map((k) => amountsOf(w, width)[k] / (measured[i] * 1e6)));
	const found = nonNegative(rows);
	const costs = Object.fromEntries(kinds.map((k, j) => [k, found[j]])) as Record<keyof Costs, number>;
	const machine = measuredDevice(adapter, width, costs);
	const rate = (name: string, amount: (i: number) => number): number => {
		const i = probes.findIndex((p) => p.name === name);
		return amount(i) / (measured[i] * 1e6);
	};
	return {
		costs,
		machine,
		gflops: rate("fma", (i) => works[i].flops),
		gigabytes: rate("copy", (i) => works[i].read + works[i].written),
		dispatch: measured[probes.findIndex((p) => p.name === "dispatch")] * 1000,
		probes: probes.map(({ name }, i) => ({ name, measured: measured[i], predicted: machine.predict(works[i]).milliseconds })),
	};
}

/** x ≥ 0 for which every row times x is nearest to 1, one coordinate after the other. */
export function nonNegative(rows: readonly (readonly number[])[]): number[] {
	const x = rows[0].map(() => 0);
	const rest = rows.map(() => 1);
	for (let n = 0; n < MOST_ITERATIONS; n++) {
		for (let j = 0; j < x.length; j++) {
			let [above, below] = [0, 0];
			for (let i = 0; i < rows.length; i++) {
				above += rows[i][j] * rest[i];
				below += rows[i][j] ** 2;
			}
			const next = below === 0 ? 0 : Math.max(0, x[j] + above / below);
			for (let i = 0; i < rows.length; i++) rest[i] -= rows[i][j] * (next - x[j]);
			x[j] = next;
		}
	}
	return x;
}
