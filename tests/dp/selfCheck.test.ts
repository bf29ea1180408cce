import { type HostRecord, insecureNoiseForTests, type Loss, type PrivacyEngine } from "@hushgrad/dp";
import type { Parameter } from "@hushgrad/nn";
import { data, linear, mul, square, sum, type Tensor } from "@hushgrad/tensor";
import { defineKernel, definePrimitive, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { leftBehind, lossBy, N, NOTHING, problem, record, type Settings } from "./problem.ts";

const device = useDevice();

interface Row {
	readonly x: Tensor;
	readonly y: Tensor;
}
type Encode = (i: number) => HostRecord;

/** An engine that takes all records in every step, in batches of four, and trains one weight. */
const allOf = (options: Settings = {}) => problem(device(), { expectedBatchSize: N, steps: 12, ...options });

/** Scales the features of a record by a number from the host. */
const scaled = (i: number, factor: number) => ({ ...record(i), x: record(i).x.map((v) => v * factor) });

/** Each encode carries something from record to record, on the host. */
const encodes: readonly (readonly [string, () => Encode])[] = [
	[
		"a running mean of all records so far",
		() => {
			let [total, count] = [0, 0];
			return (i) => {
				total += record(i).x[0];
				return { ...record(i), x: record(i).x.map((v) => v - total / ++count) };
			};
		},
	],
	[
		"a running mean that starts anew with every batch",
		() => {
			let [total, last] = [0, N];
			return (i) => {
				if (i <= last) total = 0;
				last = i;
				total += record(i).x[0];
				return scaled(i, 1 / (1 + Math.abs(total)));
			};
		},
	],
	[
		"the number of records so far",
		() => {
			let count = 0;
			return (i) => scaled(i, 1 + 0.01 * count++);
		},
	],
	[
		"the record before, in every batch anew",
		() => {
			let [before, last] = [record(0).x, N];
			return (i) => {
				if (i <= last) before = record(i).x;
				last = i;
				const x = before;
				before = record(i).x;
				return { ...record(i), x };
			};
		},
	],
	[
		"the first record of every batch in its place",
		() => {
			let [first, last] = [record(0), N];
			return (i) => {
				if (i <= last) first = record(i);
				last = i;
				return { x: first.x.slice(), y: first.y.slice() };
			};
		},
	],
	[
		"random numbers of its own",
		() => {
			let state = 1;
			return (i) => {
				state = (state * 48271) % 2147483647;
				return scaled(i, state / 2147483647);
			};
		},
	],
];

/** Each loss carries something from one batch to the next, on the host. */
const losses: readonly (readonly [string, (w: Parameter) => Loss<Row>])[] = [
	[
		"a counter that scales the loss",
		(w) => {
			let count = 0;
			return (row) => mul(lossBy(w)(row), 1 + 0.1 * count++);
		},
	],
	[
		"a switch that turns with every call",
		(w) => {
			let isOdd = false;
			return (row) => {
				isOdd = !isOdd;
				return isOdd ? lossBy(w)(row) : sum(square(linear(row.x, w.value)));
			};
		},
	],
];

const nextRowKernel = defineKernel("test/nextRow", {
	params: { n: "u32", B: "u32", W: "u32", step: "u32" },
	buffers: { x: reads("f32"), y: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
y_set(index, x_at((index / p.W + p.step) % p.B * p.W + index % p.W));`,
});

/** A kernel of a user's own that gives each record the numbers of another one: `step` rows further on. */
const otherRow = definePrimitive({
	name: "test.nextRow",
	signature: "x[W] -> y[W]",
	attrs: { step: 1 },
	forward: ({ runtime, inputs: { x }, B, axes: { W }, attrs: { step } }) => {
		const y = runtime.empty([B, W]);
		nextRowKernel.run({ x, y }, { n: B * W, B, W, step: (step + B) % B }, B * W);
		return [y];
	},
	grad: { x: "none" },
	reference: ({ x }) => [x],
});

/** What must hold of a step in which records meet: it names a parameter, is counted, moves nothing and leaves nothing. */
async function expectFound(make: (w: Parameter) => { readonly encode: Encode; readonly loss: Loss<Row> }, options: Settings = {}) {
	const { w, engine } = allOf(options);
	const { encode, loss } = make(w);
	const before = await data(w.value);
	const left = await leftBehind(device(), async () => {
		await expect(engine.step(encode as typeof record, loss)).rejects.toMatchObject({
			name: "PrivacyError",
			code: "privacy/records-mix",
			path: "w",
			message: expect.stringContaining("gradient by w"),
			hint: expect.stringContaining("on the host"),
		});
	});
	expect(left).toEqual(NOTHING);
	expect(engine.steps).toBe(1);
	expect(engine.getEpsilon()).toBeGreaterThan(0);
	expect(await data(w.value)).toEqual(before);
	// Found again as often as it is tried; and with honest functions the run goes on.
	await expect(engine.step(encode as typeof record, loss)).rejects.toMatchObject({ code: "privacy/records-mix" });
	await engine.step(record, lossBy(w));
	expect(engine.steps).toBe(3);
	expect(await data(w.value)).not.toEqual(before);
}

describe("the self-check finds what encode() carries from record to record", () => {
	it.each(encodes)("%s", (_, make) => expectFound((w) => ({ encode: make(), loss: lossBy(w) })));

	it.each(encodes.filter(([name]) => !name.includes("batch")))("in batches of one record: %s", (_, make) =>
		expectFound((w) => ({ encode: make(), loss: lossBy(w) }), { physicalBatchSize: 1 }),
	);

	it("the largest number so far as the unit, while it still grows", async () => {
		let largest = 0;
		const encode = (i: number) => {
			largest = Math.max(largest, ...record(i).x.map(Math.abs));
			return scaled(i, 1 / largest);
		};
		const { engine, loss } = allOf();
		await expect(engine.step(encode, loss)).rejects.toMatchObject({ code: "privacy/records-mix", path: "w" });
	});

	it.each([2, 5, N])("in batches of %i records, too", (physicalBatchSize) =>
		expectFound((w) => ({ encode: encodes[0][1](), loss: lossBy(w) }), { physicalBatchSize }),
	);

	it("the first record, kept for all numbers", async () => {
		const { w, engine, loss } = allOf();
		let kept: ReturnType<typeof record> | undefined;
		const encode = (i: number) => {
			kept ??= record(i);
			return kept;
		};
		const before = await data(w.value);
		const left = await leftBehind(device(), async () => {
			await expect(engine.step(encode, loss)).rejects.toMatchObject({
				name: "PrivacyError",
				code: "privacy/records-mix",
				message: expect.stringContaining("one and the same record for the numbers 0, 1, 2, 3"),
				hint: expect.stringContaining("keep the first"),
			});
		});
		expect(left).toEqual(NOTHING);
		expect(engine.steps).toBe(1);
		expect(await data(w.value)).toEqual(before);
	});
});

describe("the self-check finds what the loss carries from batch to batch", () => {
	it.each(losses)("%s", (_, make) => expectFound((w) => ({ encode: record, loss: make(w) })));

	it.each([1, -1, 2])("a kernel that reads the row %i further on", (step) =>
		expectFound((w) => ({ encode: record, loss: ({ x, y }) => lossBy(w)({ x: otherRow.apply([x], { step })[0], y }) })),
	);
});

describe("when it checks", () => {
	/** An honest encode that mixes from a step on. */
	const mixingFrom = (first: number, engine: PrivacyEngine): Encode => {
		let count = 0;
		return (i) => (engine.steps < first ? record(i) : scaled(i, 1 + 0.1 * count++));
	};

	it.each([
		{ selfCheckEvery: 1, found: 5 },
		{ selfCheckEvery: 2, found: 5 },
		{ selfCheckEvery: 3, found: 7 },
		{ selfCheckEvery: 5, found: 6 },
	])("in the first step and in every k-th after it: %j", async ({ selfCheckEvery, found }) => {
		const { engine, loss } = allOf({ selfCheckEvery });
		const encode = mixingFrom(5, engine) as typeof record;
		for (let step = 1; step < found; step++) expect((await engine.step(encode, loss)).step).toBe(step);
		await expect(engine.step(encode, loss)).rejects.toMatchObject({ code: "privacy/records-mix" });
		expect(engine.steps).toBe(found);
	});

	it("another program at once, whatever was asked", async () => {
		const { w, engine, loss } = allOf();
		await engine.step(record, loss);
		let count = 0;
		await expect(engine.step(record, (row: Row) => mul(lossBy(w)(row), 1 + count++))).rejects.toMatchObject({
			code: "privacy/records-mix",
		});
		await expect(engine.step((i: number) => scaled(i, 1 + count++), loss)).rejects.toMatchObject({ code: "privacy/records-mix" });
		expect((await engine.step(record, loss)).step).toBe(4);
	});

	it("as soon as two records meet, when the first samples are smaller", async () => {
		const { engine, loss } = problem(device(), { expectedBatchSize: 0.7, steps: 200, noise: insecureNoiseForTests(3) });
		const encode = encodes[2][1]() as typeof record;
		const sizes: number[] = [];
		const run = async () => {
			for (let i = 0; i < 200; i++) sizes.push((await engine.step(encode, loss)).private.reveal().records);
		};
		await expect(run()).rejects.toMatchObject({ code: "privacy/records-mix" });
		expect(sizes).toContain(1);
		for (const n of sizes) expect(n).toBeLessThan(2);
	});
});
