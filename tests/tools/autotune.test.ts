import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { matmul, requestDevice, type Tuning, zeros } from "@hushgrad/tensor";
import { describe, expect, test } from "vitest";
import { TILES } from "../../packages/tensor/src/ops/gemm.tiled.kernel.ts";
import { prepared, productsOf } from "../../tools/autotune/products.ts";
import { search, TILES as TIMED, tuningOf } from "../../tools/autotune/search.ts";
import { DriverClock } from "../../tools/roofline/clock.ts";
import { DryDevice } from "../../tools/roofline/dryDevice.ts";
import { machineOf } from "../../tools/roofline/machines.ts";
import { recordStep } from "../../tools/roofline/step.ts";
import { configOf } from "../../tools/roofline/subject.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const subject = { config: configOf("tiny"), batch: 2, length: 16, plain: false };
const { adapter } = machineOf("h100");

describe("the table of adapters", () => {
	const COLUMNS = [1024, 6912, 16384, 32768];

	/** The tile of a product of 128 rows over 8, by so many columns. */
	async function tileOn(dry: DryDevice, columns: number): Promise<string> {
		dry.device.scope<void>(() => dry.device.keep(matmul(zeros(dry.device, [128, 8]), zeros(dry.device, [8, columns]))));
		await dry.device.flush();
		return productsOf(dry.take().dispatches)[0].tile;
	}
	async function tilesOn(vendor: string, architecture: string): Promise<string[]> {
		const tiles: string[] = [];
		for (const columns of COLUMNS) tiles.push(await tileOn(new DryDevice({ ...adapter, vendor, architecture }), columns));
		return tiles;
	}
	const OTHERS = ["32x32", "32x32", "64x64", "128x128"];
	const APPLE = ["32x32", "64x64", "128x128", "128x128"];
	const IN_PROCESSORS = ["64x64", "128x128", "128x128", "128x128"];

	test.each([
		["nvidia", "", OTHERS],
		["nvidia", "lovelace", OTHERS],
		["amd", "rdna-3", OTHERS],
		["intel", "xe-2hpg", OTHERS],
		["intel", "gen-12hp", OTHERS],
		["intel", "", OTHERS],
		["", "", OTHERS],
		["apple", "metal-3", APPLE],
		["intel", "gen-9", IN_PROCESSORS],
		["intel", "gen-12lp", IN_PROCESSORS],
		["intel", "xe-2lpg", IN_PROCESSORS],
	])("gives a product larger tiles where there are few units: %s %s", async (vendor, architecture, tiles) => {
		expect(await tilesOn(vendor, architecture)).toEqual(tiles);
	});

	test.each([
		["h100", OTHERS],
		["m2", APPLE],
		["intel-xe", IN_PROCESSORS],
	])("is that of the adapter that a roofline is for: %s", async (name, tiles) => {
		const { vendor = "", architecture = "" } = machineOf(name).adapter;
		expect(await tilesOn(vendor, architecture)).toEqual(tiles);
	});
});

describe("the search", () => {
	test("knows the tiles that there are", () => {
		expect(TIMED).toEqual(Object.keys(TILES));
	});

	test("runs the products of a step as the step does: their kernels, workgroups and name", async () => {
		const products = productsOf((await recordStep({ adapter }, subject)).dispatches);
		const dry = new DryDevice(adapter);
		for (const product of products) {
			const { run, dispose } = prepared(dry.device, product);
			await dry.device.flush();
			dry.take();
			run();
			await dry.device.flush();
			const [again] = productsOf(dry.take().dispatches);
			dispose();
			const { name, tile, flops, kernel } = product;
			expect(again).toMatchObject({ name, tile, flops, kernel });
		}
		const parts = products.filter(({ params: { K, run } }) => K > run);
		const updates = products.filter(({ kernel }) => kernel.includes("update"));
		expect(Math.min(parts.length, updates.length)).toBeGreaterThan(0);
		expect(dry.device.memory().liveBuffers).toBe(0);
	});

	test("takes another tile where it is faster by 5 %, and no other", async () => {
		const device = await requestDevice({ plan: "gpu" });
		const of = (name: string, best: string, milliseconds: Readonly<Record<string, number>>) => ({
			...{ name, calls: 1, today: "64x64", best, milliseconds },
		});
		const measured = [
			of("1x64x64x1", "32x32", { "64x64": 1.05, "32x32": 1 }),
			of("1x64x64x2", "32x32", { "64x64": 1.04, "32x32": 1 }),
			of("1x64x64x3", "64x64", { "64x64": 1, "32x32": 2 }),
		];
		expect(tuningOf(device, measured).tiles).toEqual({ "1x64x64x1": "32x32" });
		device.destroy();
	});

	test("of one product gives the time of each tile that fits it", async () => {
		const clock = new DriverClock();
		const device = await requestDevice({ plan: "gpu" });
		const dry = new DryDevice(adapter);
		dry.device.scope<void>(() => dry.device.keep(matmul(zeros(dry.device, [40, 8]), zeros(dry.device, [8, 20]))));
		await dry.device.flush();
		const products = productsOf(dry.take().dispatches);
		const [{ name, calls, today, best, milliseconds }] = await search(device, clock, products, 1);
		expect({ name, calls, today }).toEqual({ name: "1x40x20x8", calls: 1, today: "32x32" });
		expect(Object.keys(milliseconds)).toEqual(["32x32", "64x16"]);
		expect(milliseconds[best]).toBe(Math.min(...Object.values(milliseconds)));
		device.destroy();
	});
});

test("npm run autotune writes what requestDevice takes", async () => {
	const folder = mkdtempSync(join(tmpdir(), "autotune-"));
	const out = join(folder, "deeper", "tuning.json");
	const args = ["--model", "tiny", "-B", "1", "-T", "8", "--plan", "gpu", "--products", "1", "--rounds", "1", "--out", out];
	const program = ["--import", "tsx", "-C", "@hushgrad/source", "tools/autotune.ts", ...args];
	const { stdout } = await promisify(execFile)(process.execPath, program, { cwd: root });
	expect(stdout).toContain("| product | calls | today |");
	expect(stdout).toMatch(/\| `\d+x\d+x\d+x\d+` \| \d+ \| \d+x\d+ \| [\d.]+ \| \d+x\d+ \| [\d.]+ \| [\d.]+ \|/);
	const tuning = JSON.parse(readFileSync(out, "utf8")) as Tuning;
	const device = await requestDevice({ plan: "gpu", tuning });
	const { vendor, architecture, device: name, description } = device.info;
	expect(tuning).toMatchObject({ adapter: [vendor, architecture, name].join(" "), driver: description, plan: "gpu" });
	expect([...(device.tiles ?? [])]).toEqual(Object.entries(tuning.tiles));
	device.destroy();
	rmSync(folder, { recursive: true });
});
