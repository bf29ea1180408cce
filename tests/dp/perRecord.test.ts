import { Parameter, SGD } from "@hushgrad/nn";
import { DropoutKey, data, dropout, key, linear, mul, ones, sum, type Tensor } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import type { RecordGradient } from "../../packages/dp/src/clip/blocks.ts";
import { GradientColumns } from "../../packages/dp/src/clip/gradientColumns.ts";
import { type Part, PerRecord, type PerRecordOptions, type Program } from "../../packages/dp/src/perRecord.ts";
import { recordKey } from "../../packages/dp/src/records.ts";
import { useDevice } from "../support/device.ts";
import { leftBehind, NOTHING } from "./problem.ts";

/* Records run through a program: what comes out of each physical batch, of which records, and what the program may touch. */

const device = useDevice();
const wrong = (v: unknown): never => v as never;

interface Row {
	readonly x: Tensor;
}
const record = (i: number) => ({ x: Float32Array.of(i + 1, -i, 0.5) });

/** A trained weight [2, 3] of a linear layer, all ones. */
function problem(options: Partial<PerRecordOptions> = {}) {
	const w = new Parameter([2, 3]);
	w.name = "w";
	w.assign(ones(device(), [2, 3]));
	const optimizer = new SGD([w], { lr: 1 });
	const own = new PerRecord(optimizer.vector, { model: undefined, gradients: "auto", replay: "off", ...options });
	/** The loss of a record: Σ w x, whose gradient is x in both rows. */
	const loss = ({ x }: Row): Tensor => sum(linear(x, w.value));
	return { own, w, loss, optimizer };
}

const program = <D>(loss: Program<D>["loss"], more: Partial<Program<D>> = {}): Program<D> => ({
	...{ name: "a", step: 1, isDue: false, rows: 2, key: key(3), encode: record, identities: undefined, loss },
	...more,
});

const read = async (g: RecordGradient): Promise<number[]> => [...(await data(g instanceof GradientColumns ? g.read(0, g.columns) : g))];

/** What of each batch can be read later. */
async function facts(run: (use: (part: Part) => void) => void) {
	const found: { readonly part: Part; readonly tensors: Promise<number[][]> }[] = [];
	run((part) => {
		const tensors = [part.losses, part.weights, ...part.grads].map(read);
		found.push({ part, tensors: Promise.all(tensors) });
	});
	return Promise.all(
		found.map(async ({ part: { part, indices, isOneRecord }, tensors }) => {
			const [losses, weights, ...grads] = await tensors;
			return { part, indices: [...indices], isOneRecord, losses, weights, grads };
		}),
	);
}

const gradient = (i: number) => [i + 1, -i || 0, 0.5, i + 1, -i || 0, 0.5];
const nothing = [0, 0, 0, 0, 0, 0];

describe("records that are run", () => {
	it.each(["auto", "instantiated", "streamed"] as const)(
		"have losses and gradients of their own, %s, batch by batch",
		async (gradients) => {
			const { own, loss } = problem({ gradients });
			const parts = await facts((use) =>
				own.run(Int32Array.of(5, 0, 7), program(loss), (part) => {
					expect(part.grads.map((g) => g instanceof GradientColumns)).toEqual([gradients === "streamed"]);
					use(part);
				}),
			);
			expect(parts).toEqual([
				{ ...{ part: 0, indices: [5, 0], isOneRecord: false, weights: [1, 1] }, losses: [3, 3], grads: [[...gradient(5), ...gradient(0)]] },
				{ ...{ part: 1, indices: [7, -1], isOneRecord: false, weights: [1, 0] }, losses: [3, 0], grads: [[...gradient(7), ...nothing]] },
			]);
			expect(await facts((use) => own.run(new Int32Array(), program(loss), use))).toEqual([]);
		},
	);

	it("may be run again, others in their place", async () => {
		const { own, loss } = problem();
		const again: Promise<number[][]>[] = [];
		own.run(Int32Array.of(5, 0), program(loss), (part) => {
			const { grads, weights } = part.again(Int32Array.of(-1, 2));
			again.push(Promise.all([...grads, weights].map(read)));
		});
		expect(await Promise.all(again)).toEqual([
			[
				[...nothing, ...gradient(2)],
				[0, 1],
			],
		]);
	});

	it("drop by the key that follows from the step's and from what they hold", async () => {
		const { own, w } = problem();
		const loss = ({ x }: Row, k?: DropoutKey): Tensor => sum(dropout(linear(x, w.value), 0.5, k));
		const all = [0, 1, 2, 3, 4, 5, 6, 7];
		for (const k of [key(3), key(4)]) {
			const [{ losses }] = await facts((use) => own.run(Int32Array.from(all), program(loss, { rows: 8, key: k }), use));
			const alone = all.map((i) => loss({ x: device().fromHost(record(i).x, [3]) }, DropoutKey.of(device(), recordKey(k, record(i)))));
			expect(losses).toEqual((await Promise.all(alone.map(read))).flat());
			expect(new Set(losses).size).toBe(3);
		}
	});

	it("are told apart from one record that is given for several", async () => {
		const { own, loss } = problem();
		const one = record(3);
		const parts = await facts((use) => own.run(Int32Array.of(5, 0), program(loss, { encode: () => one }), use));
		expect(parts.map(({ isOneRecord }) => isOneRecord)).toEqual([true]);
	});

	it("are those that they were, where that is told", () => {
		const { own, loss } = problem();
		const identities = own.identities(3, record);
		expect(identities).toHaveLength(3);
		expect(new Set(identities).size).toBe(3);
		const run = (shift: number) => own.run(Int32Array.of(0, 1), program(loss, { identities, encode: (i) => record(i + shift) }), () => {});
		run(0);
		expect(() => run(1)).toThrow(expect.objectContaining({ code: "privacy/records-changed" }));
	});

	it("leave nothing behind", async () => {
		const { own, loss } = problem();
		own.run(Int32Array.of(1, 2, 3), program(loss), () => {});
		expect(await leftBehind(device(), async () => own.run(Int32Array.of(1, 2, 3), program(loss), () => {}))).toEqual(NOTHING);
	});
});

describe("the program of a record", () => {
	const run = (own: PerRecord, loss: (row: Row) => Tensor) => () => own.run(Int32Array.of(0, 1), program(loss), () => {});

	it("may touch the record, what is trained, and what of the model is public, asked for in every batch", async () => {
		const frozen = ones(device(), []);
		const asked: number[] = [];
		const model = {
			stateTensors: () => {
				asked.push(asked.length);
				return [frozen];
			},
		};
		const open = problem({ model });
		const losses = await facts((use) =>
			open.own.run(
				Int32Array.of(0, 1, 2),
				program(({ x }: Row) => mul(open.loss({ x }), frozen)),
				use,
			),
		);
		expect(losses.map((part) => part.losses)).toEqual([
			[3, 3],
			[3, 0],
		]);
		expect(asked).toHaveLength(2);
		const closed = problem();
		expect(run(closed.own, ({ x }) => mul(closed.loss({ x }), frozen))).toThrow(expect.objectContaining({ name: "PrivacyError" }));
	});

	it("is a number that depends on what is trained", () => {
		const { own, w } = problem();
		expect(run(own, ({ x }) => sum(x))).toThrow(
			expect.objectContaining({ code: "privacy/loss", message: expect.stringContaining("the loss of a record is a constant") }),
		);
		expect(run(own, ({ x }) => linear(x, w.value))).toThrow(expect.objectContaining({ code: "privacy/loss" }));
	});

	it("keeps the errors that it throws as they are", () => {
		const { own } = problem();
		const fault = new Error("of its own");
		const fail = () => {
			throw fault;
		};
		expect(run(own, fail)).toThrow(fault);
	});

	it("is replayed, as is asked, under its name, and held until it is released", async () => {
		const callsOf = async (replay: PerRecordOptions["replay"]) => {
			const { own, loss } = problem({ replay });
			let calls = 0;
			const counted = (row: Row): Tensor => {
				calls++;
				return loss(row);
			};
			const counts: number[] = [];
			const all: number[][] = [];
			for (const [step, name] of [
				[1, "a"],
				[2, "a"],
				[3, "a"],
				[3, "b"],
			] as const) {
				const parts = await facts((use) => own.run(Int32Array.of(1, 2, 3, 4), program(counted, { step, name }), use));
				all.push(parts.flatMap(({ grads }) => grads[0]));
				counts.push(calls);
				calls = 0;
			}
			const held = device().memory().liveBytes;
			own.release();
			expect(all).toEqual(Array(4).fill([1, 2, 3, 4].flatMap(gradient)));
			return { counts, freed: held - device().memory().liveBytes };
		};
		expect(await callsOf("off")).toEqual({ counts: [2, 2, 2, 2], freed: 0 });
		const checked = await callsOf("checked");
		expect(checked.counts).toEqual([2, 1, 1, 2]);
		expect(checked.freed).toBeGreaterThan(0);
		expect((await callsOf("unchecked")).counts).toEqual([2, 1, 0, 2]);
	});

	it("is run by modes that there are", () => {
		expect(() => problem({ gradients: wrong("some") })).toThrow("PrivacyEngine: gradients is");
		expect(() => problem({ replay: wrong("some") })).toThrow("PrivacyEngine: replay is");
	});
});
