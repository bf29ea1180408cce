import { type Device, requestDevice, type Tuning } from "@hushgrad/tensor";
import { type DriverClock, medianOf, stopwatchOf } from "../roofline/clock.ts";
import { type Prepared, type Product, prepared } from "./products.ts";

/** The tiles that there are, as the library names them. */
export const TILES: readonly string[] = ["128x128", "64x64", "32x32", "64x16", "16x64", "4x256"];
/** A sample is as many runs as take about so long. */
const SAMPLE_MS = 20;
const WARM_UP = 2;
/** What another tile has to be faster by. */
export const LEAST = 1.05;

/** What was measured of a product: milliseconds of all its calls, by tile. */
export interface Measured {
	readonly name: string;
	readonly calls: number;
	readonly today: string;
	readonly best: string;
	readonly milliseconds: Readonly<Record<string, number>>;
}

/** The tile that the library takes, and those that are not mostly empty. */
const tilesFor = ({ tile, params: { M, N } }: Product): string[] =>
	TILES.filter((other) => {
		const [rows, columns] = other.split("x").map(Number);
		return other === tile || (rows < 2 * M && columns < 2 * N);
	});

/** A tuning of the device, without tiles. */
const blankTuning = ({ info: { vendor, architecture, device, description }, plan }: Device): Tuning => ({
	adapter: `${vendor} ${architecture} ${device}`,
	driver: description,
	plan,
	date: new Date().toISOString().slice(0, 10),
	tiles: {},
});

/**
 * Times products on the adapter of `device` with each tile that fits, in turn: medians of as many rounds. `clock` was made before the device.
 */
export async function search(device: Device, clock: DriverClock, products: readonly Product[], rounds: number): Promise<Measured[]> {
	const tuning = blankTuning(device);
	const devices = new Map<string, Device>();
	const found = new Map<string, Measured>();
	for (const tile of TILES) {
		const tiles = Object.fromEntries(products.map(({ name }) => [name, tile]));
		devices.set(tile, await requestDevice({ plan: device.plan, tuning: { ...tuning, tiles } }));
	}
	for (const product of products) {
		const { name, tile, calls } = product;
		const ran = await timed(product, devices, clock, rounds);
		const before = found.get(name);
		const milliseconds = Object.fromEntries(Object.entries(ran).map(([of, ms]) => [of, calls * ms + (before?.milliseconds[of] ?? 0)]));
		const [best] = Object.entries(milliseconds).reduce((a, b) => (b[1] < a[1] ? b : a));
		found.set(name, { name, calls: calls + (before?.calls ?? 0), today: tile, best, milliseconds });
	}
	for (const opened of devices.values()) opened.destroy();
	return [...found.values()];
}

/** Milliseconds of one run of a product, by tile. */
async function timed(
	product: Product,
	devices: ReadonlyMap<string, Device>,
	clock: DriverClock,
	rounds: number,
): Promise<Record<string, number>> {
	const runners: { readonly tile: string; readonly sample: (runs: number) => Promise<number>; readonly of: Prepared }[] = [];
	for (const tile of tilesFor(product)) {
		const device = devices.get(tile) as Device;
		const of = prepared(device, product);
		for (let i = 0; i < WARM_UP; i++) of.run();
		await device.flush();
		clock.begin();
		const { time } = stopwatchOf(device, clock);
		const sample = (runs: number): Promise<number> =>
			time(() => {
				for (let i = 0; i < runs; i++) of.run();
			});
		runners.push({ tile, sample, of });
	}
	const first = await runners[0].sample(1);
	const runs = Math.max(1, Math.ceil(SAMPLE_MS / Math.max(first, SAMPLE_MS / 1000)));
	const samples = runners.map((): number[] => []);
	for (let round = 0; round < rounds; round++) {
		for (const [i, { sample }] of runners.entries()) samples[i].push((await sample(runs)) / runs);
	}
	for (const { of } of runners) of.dispose();
	return Object.fromEntries(runners.map(({ tile }, i) => [tile, medianOf(samples[i])]));
}

/** The tuning that what was measured gives: of other tiles, those that are faster by `LEAST`. */
export function tuningOf(device: Device, measured: readonly Measured[]): Tuning {
	const faster = measured.filter(({ today, best, milliseconds }) => milliseconds[today] >= LEAST * milliseconds[best]);
	return { ...blankTuning(device), tiles: Object.fromEntries(faster.map(({ name, best }) => [name, best])) };
}
