import { Batcher, type ReplayMode } from "@hushgrad/dp";
import { add, type Device, data, full, key, mul, type Tensor, write } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Batch, StagedBatch } from "../../packages/dp/src/records.ts";
import { type BatchProgram, checkReplayMode, type Occasion, Replays } from "../../packages/dp/src/replays.ts";
import { useDevice } from "../support/device.ts";
import { leftBehind, NOTHING } from "./problem.ts";

const device = useDevice();
afterEach(() => vi.restoreAllMocks());

/** A batch of records of one number each; NaN is padding. */
const staged = (...numbers: readonly number[]): StagedBatch =>
	new Batcher(device()).stage(
		Int32Array.from(numbers, (v, i) => (Number.isNaN(v) ? -1 : i)),
		(i) => ({ x: numbers[i] }),
		key(0),
	);
const xOf = ({ record }: Batch): Tensor => (record as { readonly x: Tensor }).x;

/** Runs a program by replays; tells what it gave, and how often it was called for that. */
function runner(mode: ReplayMode, run: BatchProgram<Tensor>["run"], open?: BatchProgram<Tensor>["open"], d: Device = device()) {
	const replays = new Replays<Tensor>(d, mode);
	let calls = 0;
	const program: BatchProgram<Tensor> = {
		run(...given) {
			calls++;
			return run(...given);
		},
		...(open && { open }),
	};
	const gives = async (batch: StagedBatch, occasion: Partial<Occasion> = {}, meanwhile = () => {}) => {
		const before = calls;
		const all = { name: "a program", step: 1, isDue: false, staged: batch, ...occasion };
		const { values } = d.scope(() => ({
			values: replays.run(all, program, (y) => {
				meanwhile();
				return data(y);
			}),
		}));
		return { values: Array.from(await values), calls: calls - before };
	};
	return { gives, replays, program };
}

const twice = (batch: Batch): Tensor => mul(xOf(batch), 2);
const of = (calls: number, ...values: readonly number[]) => ({ values, calls });

describe("a program", () => {
	it("is called for the first two batches, to check the third, and once a step from then on", async () => {
		const { gives } = runner("checked", twice);
		expect(await gives(staged(1, 2))).toEqual(of(1, 2, 4));
		expect(await gives(staged(3, 4))).toEqual(of(1, 6, 8));
		expect(await gives(staged(5, 6))).toEqual(of(1, 10, 12));
		expect(await gives(staged(7, 8))).toEqual(of(0, 14, 16));
		expect(await gives(staged(9, 1), { isDue: true })).toEqual(of(0, 18, 2));
		expect(await gives(staged(1, 2), { step: 2 })).toEqual(of(1, 2, 4));
		expect(await gives(staged(3, 4), { step: 2 })).toEqual(of(0, 6, 8));
	});

	it("unchecked, is called for the first replay, and where a check is due", async () => {
		const { gives } = runner("unchecked", twice);
		for (let i = 0; i < 3; i++) expect(await gives(staged(i))).toEqual(of(1, 2 * i));
		for (const step of [1, 2, 3]) expect(await gives(staged(step), { step })).toEqual(of(0, 2 * step));
		expect(await gives(staged(7), { step: 4, isDue: true })).toEqual(of(1, 14));
		expect(await gives(staged(8), { step: 4, isDue: true })).toEqual(of(0, 16));
		expect(await gives(staged(9), { step: 5 })).toEqual(of(0, 18));
	});

	it("is called for every batch where replays are off, or others still use what was replayed", async () => {
		const off = runner("off", twice);
		for (let i = 0; i < 4; i++) expect(await off.gives(staged(i))).toEqual(of(1, 2 * i));
		const { gives } = runner("unchecked", twice);
		for (let i = 0; i < 4; i++) expect(await gives(staged(i), { mayReplay: false })).toEqual(of(1, 2 * i));
		// Those do not count.
		for (const calls of [1, 1, 1, 0]) expect(await gives(staged(5), { mayReplay: true })).toEqual(of(calls, 10));
		expect(await gives(staged(6), { mayReplay: false })).toEqual(of(1, 12));
	});

	it("is told by its name and the rows of a batch", async () => {
		const { gives } = runner("unchecked", twice);
		for (const name of ["one", "other"]) {
			for (const batch of [staged(3), staged(3, 4)]) {
				for (const calls of [1, 1, 1, 0]) expect((await gives(batch, { name })).calls).toBe(calls);
			}
		}
		expect(await gives(staged(1), { name: "one" })).toEqual(of(0, 2));
		expect(await gives(staged(1, 5), { name: "other" })).toEqual(of(0, 2, 10));
	});

	it("is called where another one is in use, and while a profile is taken", async () => {
		const { gives, replays, program } = runner("unchecked", twice);
		for (let i = 0; i < 4; i++) await gives(staged(i));
		let inner: Promise<ArrayLike<number>>[] = [];
		const run = vi.spyOn(program, "run");
		const nested = await gives(staged(5), {}, () => {
			const occasion = { name: "a program", step: 1, isDue: false, staged: staged(6) };
			inner = [1, 2].map(() => replays.run(occasion, program, (y) => data(y)));
		});
		expect([nested.values, nested.calls, run.mock.calls.length]).toEqual([[10], 2, 2]);
		expect(await Promise.all(inner)).toEqual([Float32Array.of(12), Float32Array.of(12)]);
		expect(await gives(staged(7))).toEqual(of(0, 14));
		if (!device().has("timestamp-query")) return;
		let calls = 0;
		await device().profile(async () => {
			calls = (await gives(staged(8))).calls;
		});
		expect(calls).toBe(1);
	});

	it("sees which rows are padding, whatever was before", async () => {
		const { gives } = runner("unchecked", (batch) => add(mul(batch.weights, 100), xOf(batch)));
		for (let i = 0; i < 3; i++) await gives(staged(1, 2));
		expect(await gives(staged(3, Number.NaN))).toEqual(of(0, 103, 0));
		expect(await gives(staged(4, 5))).toEqual(of(0, 104, 105));
		expect(await gives(staged(6, Number.NaN))).toEqual(of(0, 106, 0));
	});
});

describe("a program that does more than compute", () => {
	const told = () => vi.spyOn(device().debug, "log").mockImplementation(() => {});
	const SLOW = "a loss is called for every physical batch, which takes the host longer than a replay: ";

	it("another thing in its first replay is called for every batch from then on, which is told once", async () => {
		const log = told();
		let factor = 2;
		const { gives } = runner("unchecked", (batch) => mul(xOf(batch), factor));
		const { liveBuffers } = device().memory();
		for (let i = 0; i < 2; i++) await gives(staged(1));
		factor = 3;
		expect(await gives(staged(2))).toEqual(of(2, 6));
		expect(log).toHaveBeenCalledTimes(1);
		expect(log.mock.calls[0][0]).toMatch(new RegExp(`^${SLOW}\\w`));
		await device().flush();
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		for (let i = 0; i < 3; i++) expect(await gives(staged(i))).toEqual(of(1, 3 * i));
		// Of another name it is tried again, and not told.
		for (let i = 0; i < 2; i++) await gives(staged(1), { name: "other" });
		factor = 4;
		expect(await gives(staged(2), { name: "other" })).toEqual(of(2, 8));
		expect(await gives(staged(2), { name: "other" })).toEqual(of(1, 8));
		expect(log).toHaveBeenCalledTimes(1);
	});

	it("another thing in a later step is called anew, and captured again", async () => {
		const log = told();
		let factor = 2;
		const { gives } = runner("checked", (batch) => mul(xOf(batch), factor));
		for (let i = 0; i < 4; i++) await gives(staged(1));
		factor = 3;
		expect(await gives(staged(2), { step: 2 })).toEqual(of(2, 6));
		expect(await gives(staged(3), { step: 2 })).toEqual(of(1, 9));
		expect(await gives(staged(4), { step: 2 })).toEqual(of(1, 12));
		expect(await gives(staged(5), { step: 2 })).toEqual(of(0, 15));
		expect(log).not.toHaveBeenCalled();
	});

	it("an upload cannot be captured: it is recorded, and nothing is left behind", async () => {
		const log = told();
		const { gives } = runner("checked", (batch) => mul(xOf(batch), device().fromHost([2], [])));
		await gives(staged(1));
		const left = await leftBehind(device(), async () => {
			expect(await gives(staged(2))).toEqual(of(2, 4));
		});
		expect(left).toEqual(NOTHING);
		expect(await gives(staged(3))).toEqual(of(1, 6));
		expect(log).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(new RegExp(`^${SLOW}\\w`)));
	});

	it("a read is called for every batch", async () => {
		const log = told();
		const seen: Promise<ArrayLike<number>>[] = [];
		const own = full(device(), [1], 7);
		const { gives } = runner("unchecked", (batch) => {
			seen.push(data(own));
			return twice(batch);
		});
		expect(await gives(staged(0))).toEqual(of(1, 0));
		await device().flush();
		const { liveBuffers } = device().memory();
		for (let i = 1; i < 4; i++) expect(await gives(staged(i))).toEqual(of(1, 2 * i));
		await device().flush();
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		expect((await Promise.all(seen)).map((v) => v[0])).toEqual([7, 7, 7, 7]);
		expect(log).toHaveBeenCalledExactlyOnceWith(`${SLOW}it reads a tensor`);
	});

	it("an error of its own comes out, and nothing is left behind", async () => {
		const log = told();
		let error: Error | undefined;
		const { gives } = runner("checked", (batch) => {
			if (error !== undefined) throw error;
			return twice(batch);
		});
		await gives(staged(1));
		const broken = [new Error("own"), Object.assign(new Error("own"), { code: "capture/read" })];
		const { DeviceError } = await import("@hushgrad/tensor");
		for (const e of [
			...broken,
			new DeviceError("my-capture/own", "own"),
			new DeviceError("device/budgets", "own"),
			new DeviceError("own/device/budget", "own"),
		]) {
			error = e;
			const left = await leftBehind(device(), () => expect(gives(staged(2))).rejects.toBe(e));
			expect(left).toEqual(NOTHING);
		}
		error = undefined;
		for (const calls of [1, 1, 0]) expect(await gives(staged(2))).toEqual(of(calls, 4));
		expect(log).not.toHaveBeenCalled();
		for (const code of ["capture/read", "device/budget"]) {
			const other = runner("checked", (batch) => {
				if (error === undefined) return twice(batch);
				const thrown = error;
				error = undefined;
				throw thrown;
			});
			await other.gives(staged(1));
			error = new DeviceError(code, "too much");
			expect(await other.gives(staged(2))).toEqual(of(2, 4));
			expect(await other.gives(staged(3))).toEqual(of(1, 6));
			expect(log).toHaveBeenLastCalledWith(`${SLOW}too much`);
		}
	});
});

describe("what a program may touch", () => {
	it("is asked for each batch, and handed on", async () => {
		const opened = [full(device(), [1], 5), full(device(), [1], 6)];
		let asked = 0;
		const { gives } = runner(
			"checked",
			(batch, [a, b]) => add(add(mul(xOf(batch), 2), a), b),
			() => {
				asked++;
				return opened;
			},
		);
		const seen: number[] = [];
		for (let i = 0; i < 5; i++) {
			asked = 0;
			expect((await gives(staged(i), { step: i })).values).toEqual([2 * i + 11]);
			seen.push(asked);
		}
		expect(seen).toEqual([1, 1, 1, 1, 1]);
		write(opened[0], [8]);
		expect((await gives(staged(1), { step: 4 })).values).toEqual([16]);
	});

	it("is nothing by itself", async () => {
		const given: (readonly Tensor[])[] = [];
		const { gives } = runner("checked", (batch, open) => {
			given.push(open);
			return twice(batch);
		});
		for (let i = 0; i < 3; i++) await gives(staged(i));
		expect(given).toEqual([[], [], []]);
	});

	it("is all that a replay touches: with another tensor it is called anew", async () => {
		let [own, open] = [full(device(), [1], 5), [] as Tensor[]];
		open = [own];
		const { gives } = runner(
			"unchecked",
			(batch) => add(xOf(batch), own),
			() => open,
		);
		for (const calls of [1, 1, 1, 0]) expect(await gives(staged(1))).toEqual(of(calls, 6));
		own = full(device(), [1], 7);
		open = [own];
		for (const calls of [1, 1, 1, 0]) expect(await gives(staged(1))).toEqual(of(calls, 8));
		const free = runner("unchecked", (batch) => add(xOf(batch), own));
		for (const calls of [1, 1, 1, 0]) expect(await free.gives(staged(1))).toEqual(of(calls, 8));
	});
});

describe("what was captured", () => {
	it("is given up when asked for, and captured again", async () => {
		const { gives, replays } = runner("unchecked", twice);
		await gives(staged(0));
		const { liveBytes } = device().memory();
		for (const calls of [1, 1, 0]) expect((await gives(staged(1))).calls).toBe(calls);
		expect(device().memory().liveBytes).toBeGreaterThan(liveBytes);
		replays.release();
		expect(device().memory().liveBytes).toBe(liveBytes);
		replays.release();
		// It is checked again before it counts.
		for (const calls of [1, 1, 0]) expect(await gives(staged(2))).toEqual(of(calls, 4));
	});

	it("is given up where memory is short, but not while it is in use or captured anew", async () => {
		const { gives, replays } = runner("unchecked", twice);
		for (let i = 0; i < 4; i++) await gives(staged(1));
		const { spare } = runtimeOf(device());
		const release = vi.spyOn(spare, "release");
		expect(await gives(staged(2), {}, () => spare.release())).toEqual(of(0, 4));
		expect(await gives(staged(3))).toEqual(of(0, 6));
		// Two runs, one in the other: the outer one is in use until it ends.
		const inner = () => {
			replays.run({ name: "b", step: 1, isDue: false, staged: staged(1) }, { run: twice }, () => {});
			spare.release();
		};
		expect(await gives(staged(4), {}, inner)).toEqual(of(0, 8));
		expect(await gives(staged(5))).toEqual(of(0, 10));
		spare.release();
		expect((await gives(staged(6))).calls).toBe(1);
		expect(release).toHaveBeenCalledTimes(3);
	});

	it("stays while another program is captured", async () => {
		const { gives } = runner("unchecked", twice);
		for (let i = 0; i < 4; i++) await gives(staged(1));
		const other = runner("unchecked", (batch) => {
			runtimeOf(device()).spare.release();
			return twice(batch);
		});
		await gives(staged(1));
		await other.gives(staged(1), { mayReplay: false });
		expect((await gives(staged(1))).calls).toBe(1);
		for (let i = 0; i < 2; i++) await gives(staged(1));
		const capturing = runner("unchecked", (batch) => {
			if (runtimeOf(device()).recorder.isListening) runtimeOf(device()).spare.release();
			return twice(batch);
		});
		for (let i = 0; i < 2; i++) expect((await capturing.gives(staged(1))).values).toEqual([2]);
		expect(await gives(staged(7))).toEqual(of(0, 14));
	});

	it("goes with whoever it was captured for", async () => {
		const { spare } = runtimeOf(device());
		const living = runner("unchecked", twice);
		let owner: object | undefined;
		vi.stubGlobal(
			"WeakRef",
			class {
				constructor(target: object) {
					owner = target;
				}
				deref() {
					return owner;
				}
			},
		);
		const { gives, replays } = runner("unchecked", twice);
		vi.unstubAllGlobals();
		for (let i = 0; i < 4; i++) for (const g of [gives, living.gives]) await g(staged(1));
		expect(owner).toBe(replays);
		spare.releaseAbandoned();
		expect([(await gives(staged(1))).calls, (await living.gives(staged(1))).calls]).toEqual([0, 0]);
		owner = undefined;
		spare.releaseAbandoned();
		expect([(await gives(staged(1))).calls, (await living.gives(staged(1))).calls]).toEqual([1, 0]);
	});
});

it("know three modes, and refuse others by the name of who asks", () => {
	for (const mode of ["checked", "unchecked", "off"] as const) expect(() => checkReplayMode("Own", mode)).not.toThrow();
	const error = expect.objectContaining({
		code: "call/argument",
		message: expect.stringMatching(/^Own: replay is "ghost".*checked.*unchecked.*off/),
	});
	expect(() => checkReplayMode("Own", "ghost" as ReplayMode)).toThrow(error);
});
