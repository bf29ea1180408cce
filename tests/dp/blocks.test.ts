import { type Device, data, key, permute, slice, type Tensor, uniformValues, zeros } from "@hushgrad/tensor";
import { contiguous, definePrimitive, type StreamedGradient } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { type Block, blocksOf, checkGradients, columnsOf, type RecordGradient } from "../../packages/dp/src/clip/blocks.ts";
import { GradientColumns } from "../../packages/dp/src/clip/gradientColumns.ts";
import { inRows } from "../../packages/dp/src/clip/rows.ts";
import { useDevice } from "../support/device.ts";
import { smallDevice } from "../support/smallDevice.ts";

const device = useDevice();

/** A matrix on the host: a row for each record. */
type Rows = readonly Float32Array[];

const random = (seed: number, B: number, P: number): Rows => Array.from({ length: B }, (_, b) => uniformValues(key(100 * seed + b), P));
const held = (rows: Rows, d: Device = device()): Tensor => {
	const values = rows.flatMap((r) => [...r]);
	return d.fromHost(values, [rows.length, rows[0].length]);
};

/** The gradient of a parameter [R, W], computed from what is there, and which of its rows were asked for. */
function streamed(rows: Rows, W: number) {
	const R = rows[0].length / W;
	const asked: (readonly number[])[] = [];
	const values = rows.flatMap((r) => [...r]);
	const share: StreamedGradient["shares"][number] = {
		given: { whole: device().fromHost(values, [rows.length, R, W]) },
		path: "",
		rows: ({ whole }, { from, to }) => {
			asked.push([from, to]);
			return slice(whole, 0, from, to);
		},
	};
	return { gradient: new GradientColumns(device(), { shape: [R, W], shares: [share] }), asked };
}

/** One of any size, of which nothing is read. */
const unread = (R: number, W: number): GradientColumns => new GradientColumns(device(), { shape: [R, W], shares: [] });

/** The columns of each block. */
const widths = (blocks: readonly Block[]): number[] => blocks.map((block) => block.columns);

/** What a block gives. */
async function contentOf(block: Block): Promise<ArrayLike<number>> {
	const own = block.use((g) => device().keep(g));
	const values = await data(own);
	own.dispose();
	return values;
}

/** Columns of rows side by side, as `data` gives them. */
const columns = (parts: readonly Rows[], from: number, to: number): Float32Array =>
	Float32Array.from(parts[0].flatMap((_, b) => parts.flatMap((rows) => [...rows[b]]).slice(from, to)));

describe("blocks of gradients", () => {
	it("hold a gradient of 65,536 columns or more by itself, and smaller ones that are neighbours together", () => {
		device().scope<void>(() => {
			const of = (...sizes: number[]) =>
				widths(
					blocksOf(
						device(),
						sizes.map((P) => held([new Float32Array(P)])),
						1,
						0,
					),
				);
			expect(of(3, 65_535, 65_536, 5, 4)).toEqual([65_538, 65_536, 9]);
			expect(of(65_536, 70_000, 1)).toEqual([65_536, 70_000, 1]);
			expect(of(2)).toEqual([2]);
			expect(of()).toEqual([]);
			expect(of(0)).toEqual([]);
			const two = blocksOf(device(), [held([new Float32Array(3), new Float32Array(3)])], 2, 7);
			expect(widths(two)).toEqual([3]);
			expect(two[0].group).toBe(7);
			const [own] = blocksOf(device(), [unread(2, 3)], 2, 5);
			expect([own.group, own.columns]).toEqual([5, 6]);
		});
	});

	it("begin anew where a binding is full, at a multiple of 256 columns, within a gradient or at its end", async () => {
		const small = await smallDevice(8192);
		const parts = [random(1, 3, 300), random(2, 3, 212), random(3, 3, 700)];
		const grads = parts.map((rows) => held(rows, small));
		// 682 columns of three records are 8184 bytes.
		const blocks = blocksOf(small, grads, 3, 0);
		expect(widths(blocks)).toEqual([512, 512, 188]);
		const found = await Promise.all(blocks.map((block) => data(block.use((g) => g))));
		expect(found).toEqual([columns(parts, 0, 512), columns(parts, 512, 1024), columns(parts, 1024, 1212)]);
		// Of 20 records a binding holds less than 256 columns.
		expect(widths(blocksOf(small, [unread(3, 100)], 20, 0))).toEqual([256, 44]);
		small.destroy();
	});

	it("of gradients that are held are made once, a single one without a copy", async () => {
		const parts = [random(1, 2, 5), random(2, 2, 3)];
		const grads = parts.map((rows) => held(rows));
		const { liveBuffers } = device().memory();
		const [alone] = blocksOf(device(), grads.slice(0, 1), 2, 0);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		const [both] = blocksOf(device(), grads, 2, 0);
		expect(device().memory().liveBuffers).toBe(liveBuffers + 1);
		for (const block of [alone, both]) expect(block.use((g) => g)).toBe(block.use((g) => g));
		expect(await data(alone.use((g) => g))).toEqual(columns(parts.slice(0, 1), 0, 5));
		expect(await data(both.use((g) => g))).toEqual(columns(parts, 0, 8));
	});

	it("with one that is streamed are computed each time that they are used, and released after", async () => {
		const parts = [random(1, 2, 5), random(2, 2, 60)];
		const { gradient, asked } = streamed(parts[1], 3);
		const [block] = blocksOf(device(), [held(parts[0]), gradient], 2, 4);
		expect([asked.length, block.group, block.columns]).toEqual([0, 4, 65]);
		const { liveBuffers } = device().memory();
		for (let time = 1; time <= 2; time++) {
			expect(await contentOf(block)).toEqual(columns(parts, 0, 65));
			expect(asked).toHaveLength(time);
			await device().flush();
			expect(device().memory().liveBuffers).toBe(liveBuffers);
		}
	});

	it("are streamed in 16 MiB, in 8 times what is computed together where that is more, and in no more than a binding", async () => {
		const [small, large] = [await smallDevice(8192), await smallDevice(2 ** 27)];
		const of = (grads: readonly RecordGradient[], B: number, d = large) => widths(blocksOf(d, grads, B, 0));
		// 16 MiB of one record are 4,194,304 columns.
		expect(of([unread(65_536, 100)], 1)).toEqual([4_194_304, 2_359_296]);
		// Of 1000 records they are 4194; 8 rows of 100 are computed together.
		expect(of([unread(1000, 100)], 1000).slice(0, 2)).toEqual([6400, 6400]);
		// 8 · 8 rows of 10 are less than 4096, which is what whole parts of 256 leave of 4194.
		expect(of([unread(10_000, 10)], 1000).slice(0, 2)).toEqual([4096, 4096]);
		// The widest of a group counts, and not what is held.
		const group = [unread(100, 30), unread(500, 100), unread(200, 50)];
		expect(of(group, 1000)).toEqual([...new Array(9).fill(6400), 5400]);
		device().scope<void>(() => {
			const mixed = [held(Array.from({ length: 1000 }, () => new Float32Array(1))), unread(200, 300)];
			expect(of(mixed.slice(0, 1), 1000)).toEqual([1]);
			expect(of(mixed, 1000)).toEqual([19_200, 19_200, 19_200, 2401]);
		});
		expect(of([unread(10, 100)], 2, small)).toEqual([1000]);
		expect(of([unread(25, 100)], 1, small)).toEqual([2048, 452]);
		// What is held costs nothing to read: as much as a binding takes.
		const whole = zeros(large, [1, 2 ** 22 + 1]);
		expect(of([whole], 1)).toEqual([2 ** 22 + 1]);
		for (const d of [small, large]) d.destroy();
	});

	it("take lists of tensors and of columns on demand", () => {
		const g = held(random(1, 2, 12));
		expect(columnsOf(g, 2)).toBe(12);
		expect(columnsOf(unread(3, 5), 2)).toBe(15);
		expect(() => checkGradients("own", [g, unread(1, 1)])).not.toThrow();
		const refused = (text: string) => expect.objectContaining({ code: "call/argument", message: expect.stringContaining(text) });
		expect(() => checkGradients("own", 3 as never)).toThrow(refused("own: grads is 3"));
		expect(() => checkGradients("own", [g, 3] as never)).toThrow(refused("own: grads"));
	});
});

describe("columns on demand", () => {
	it("compute the rows that hold them, eight together, and give their bits", async () => {
		const rows = random(9, 3, 20 * 3);
		const { gradient, asked } = streamed(rows, 3);
		expect([gradient.columns, gradient.together]).toEqual([60, 24]);
		for (const [from, to, ...expected] of [
			[0, 60, 0, 20],
			[0, 24, 0, 8],
			[0, 25, 0, 16],
			[23, 24, 0, 8],
			[24, 25, 8, 16],
			[5, 50, 0, 20],
			[31, 47, 8, 16],
			[59, 60, 16, 20],
		]) {
			const own = gradient.read(from, to);
			expect(own.shape).toEqual([3, to - from]);
			expect(await data(own)).toEqual(columns([rows], from, to));
			own.dispose();
			expect(asked.pop()).toEqual(expected);
		}
	});

	it("read what follows from the record alone", () => {
		const outside = held(random(1, 1, 6));
		const share = { given: { whole: held(random(2, 2, 6)) }, path: "", rows: () => outside };
		const gradient = new GradientColumns(device(), { shape: [6], shares: [share] });
		expect(() => gradient.read(0, 6)).toThrow(expect.objectContaining({ code: "privacy/outside-read" }));
	});

	it("are told from all else, and nobody changes them", () => {
		const own = unread(2, 3);
		expect(own instanceof GradientColumns).toBe(true);
		const forged = Object.create(GradientColumns.prototype);
		for (const other of [forged, { columns: 6, together: 24 }, null, undefined, 3, "columns"] as unknown[]) {
			expect(other instanceof GradientColumns).toBe(false);
		}
		expect([own, GradientColumns.prototype].every(Object.isFrozen)).toBe(true);
		expect(unread(4, 1).columns).toBe(4);
		expect(unread(4, 1).together).toBe(8);
	});
});

it("rows in order, at any distance, are taken as they lie, and others copied", async () => {
	const seen: [boolean, number][] = [];
	const rows = definePrimitive({
		name: "test.inRows",
		signature: "g![B, P] -> y[B, P]",
		attrs: {},
		forward: ({ inputs: { g } }) => {
			const own = inRows(g);
			seen.push([own.g === g, own.row]);
			return [contiguous(own.g)];
		},
		grad: { g: "none" },
		reference: ({ g }) => [g],
	});
	const [g, turned] = [held(random(1, 3, 8)), held(random(2, 8, 3))];
	const over = permute(turned, [1, 0]);
	const views = [g, slice(g, 1, 2, 7), slice(g, 1, 5, 6), slice(g, 1, 0, 8, 2), slice(g, 1, 0, 2, 2), over, slice(over, 1, 0, 1)];
	for (const view of views) {
		const y = device().scope<Tensor>(() => rows.apply([view])[0]);
		expect(await data(y)).toEqual(await data(view));
	}
	expect(seen).toEqual([
		[true, 8],
		[true, 8],
		[true, 8],
		[false, 4],
		[true, 8],
		[false, 8],
		[true, 1],
	]);
});
