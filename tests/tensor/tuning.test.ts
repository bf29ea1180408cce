import { type Device, data, key, normal, requestDevice, type Tensor, type Tuning, transpose, zeros } from "@hushgrad/tensor";
import { gemm, physicalOf } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { tilesOf } from "../../packages/tensor/src/tuning.ts";
import { expectSame } from "../support/bounds.ts";
import { useDevice } from "../support/device.ts";

const plain = useDevice({ plan: "gpu" });
const [M, K, R] = [36, 20, 4];

const tuningFor = (
	{ info: { vendor, architecture, device, description } }: Device,
	tiles: Readonly<Record<string, string>> = {},
): Tuning => ({
	adapter: `${vendor} ${architecture} ${device}`,
	driver: description,
	plan: "gpu",
	date: "2026-11-27",
	tiles,
});
const open = async (tuning: unknown, plan: "cpu" | "gpu" = "gpu"): Promise<Device> =>
	requestDevice({ plan, tuning: JSON.parse(JSON.stringify(tuning)) as Tuning });

/** The sum of a residual, a product, and low times up. */
async function sumOn(device: Device, N: number): Promise<Float32Array> {
	const sum = zeros(device, [M, N]);
	device.scope<void>(() => {
		const of = (rows: number, columns: number, seed: number): Tensor => normal(device, [rows, columns], key(seed));
		const given = [sum, of(M, K, 1), of(K, N, 2), of(M, N, 3), of(M, R, 4), transpose(of(N, R, 5))];
		const [view, a, b, plus, low, up] = given.map((t) => physicalOf(t, 1));
		gemm(a, b, { view, batchStride: M * N, accumulate: false, plus, update: { low, up } });
	});
	const values = Float32Array.from(await data(sum));
	sum.dispose();
	return values;
}

it("adds a residual, a sum in parts, and low times up as if each came by itself", async () => {
	const [rows, columns, length] = [32, 40, 2100];
	const [together, apart] = [0, 1].map(() => zeros(plain(), [rows, columns]));
	plain().scope<void>(() => {
		const of = (m: number, n: number, seed: number): Tensor => normal(plain(), [m, n], key(seed));
		const given = [of(rows, length, 1), of(length, columns, 2), of(rows, columns, 3), of(rows, R, 4), transpose(of(columns, R, 5))];
		const [a, b, plus, low, up] = given.map((t) => physicalOf(t, 1));
		const target = { batchStride: rows * columns, accumulate: false };
		gemm(a, b, { ...target, view: physicalOf(together, 1), plus, update: { low, up } }, rows);
		gemm(a, b, { ...target, view: physicalOf(apart, 1), plus }, rows);
		gemm(low, up, { ...target, view: physicalOf(apart, 1), accumulate: true });
	});
	expectSame((await data(together)) as Float32Array, [...((await data(apart)) as Float32Array)], "the sum");
	for (const t of [together, apart]) t.dispose();
});

describe("a tuning", () => {
	it.each([
		["128x128", 40],
		["16x64", 38],
	])("decides that a product is computed in tiles of %s, of which no bit differs: %i columns", async (tile, N) => {
		const expected = await sumOn(plain(), N);
		const tuned = await open(tuningFor(plain(), { [`1x${M}x${N}x${K}`]: tile }));
		const { events } = await tuned.profile(async () => expectSame(await sumOn(tuned, N), expected, "sum"));
		expect(events.filter(({ kernel }) => kernel.startsWith("gemm/tiled/") && kernel.includes(tile)).length).toBe(1);
		tuned.destroy();
	});

	it("is told of with the plan", async () => {
		const told: string[] = [];
		const tuning = tuningFor(plain(), { "1x36x40x21": "64x64" });
		const tuned = await requestDevice({ plan: "gpu", tuning, debug: { level: 1, log: (text) => told.push(text) } });
		expect([...(tuned.tiles ?? [])]).toEqual(Object.entries(tuning.tiles));
		expect(told).toEqual([expect.stringContaining("plan gpu, tuned; budget")]);
		expect(plain().tiles).toBeUndefined();
		tuned.destroy();
	});

	it.each([
		[{ adapter: "acme" }, "the tuning is of acme, plan gpu, not "],
		[{ plan: "matrix" }, "plan matrix, not "],
		[{ plan: "cpu" }, "plan cpu, not "],
	])("of another adapter or plan is refused: %j", async (other, text) => {
		await expect(open({ ...tuningFor(plain()), ...other })).rejects.toMatchObject({
			name: "DeviceError",
			code: "device/tuning",
			message: expect.stringContaining(text),
		});
	});

	it.each(["gpu", "cpu"])("of plan %s is refused by plan cpu, which has no tiles", async (plan) => {
		await expect(open({ ...tuningFor(plain()), plan }, "cpu")).rejects.toMatchObject({
			code: "device/tuning",
			message: expect.stringMatching(/, plan cpu$/),
		});
	});

	it("fits where a page hides what a program in Node is told", () => {
		const { info } = plain();
		const tuning = tuningFor(plain(), { "8x1024x1152x256": "32x32" });
		const hidden = { vendor: info.vendor, architecture: info.architecture, device: "", description: "" };
		expect(tilesOf(tuning, hidden, "gpu").get("8x1024x1152x256")).toBe("32x32");
		expect(() => tilesOf(tuning, { ...hidden, vendor: "acme" }, "gpu")).toThrow("the tuning is of");
	});

	it.each([
		["a string", "tuning is", '"{}"'],
		[{ adapter: undefined }, "adapter is undefined", "a string"],
		[{ driver: 1 }, "driver is 1", "a string"],
		[{ plan: null }, "plan is null", "a string"],
		[{ date: 2026 }, "date is 2026", "a string"],
		[{ tiles: [] }, "tiles is", "options in an object"],
		[{ tiles: { "1x36x40x21": 64 } }, 'tiles["1x36x40x21"] is 64', "a tile of products"],
		[{ tiles: { "1x36x40x21": "48x48" } }, 'tiles["1x36x40x21"] is "48x48"', "a tile of products"],
		[{ tiles: { "1x36x40x21": "toString" } }, 'is "toString"', "a tile of products"],
		[{ tiles: { "36x40": "64x64" } }, 'tiles["36x40"] is "64x64"', "a tile of products"],
		[{ split: 2 }, "there is no option split", "adapter, driver"],
	])("that is malformed is refused by its name: %j", async (part, name, words) => {
		const tuning = typeof part === "string" ? "{}" : { ...tuningFor(plain()), ...part };
		const error = await open(tuning).catch((e: unknown) => e);
		expect(error).toMatchObject({ name: "ValueError", code: expect.stringMatching(/^call\//), op: "requestDevice" });
		if (typeof part === "string") expect(error).toMatchObject({ message: expect.stringContaining("options in an object") });
		else expect(error).toMatchObject({ message: expect.stringContaining(words) });
		expect(error).toMatchObject({ message: expect.stringContaining(name) });
	});
});
