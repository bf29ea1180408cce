import {
	add,
	capture,
	type Device,
	data,
	full,
	item,
	mul,
	requestDevice,
	reshape,
	sub,
	sum,
	type Tensor,
	tanh,
	valueAndGrad,
	write,
} from "@hushgrad/tensor";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { RUNS } from "../support/environment.ts";

const MEGABYTE = 2 ** 20;
/** Elements of a tensor of 256 kB. */
const QUARTER = 2 ** 16;
/** Tensors that may lie outside of scopes before garbage is collected. */
const LIMIT = 1024;
/** What may be left of more than 16 MB: handles that the machine's stack still holds. */
const MOST_LEFT = 4 * MEGABYTE;

const devices: Device[] = [];
afterEach(() => {
	for (const d of devices.splice(0)) d.destroy();
});

/** A device, and what it says. A quarter of the budget may lie outside of scopes. */
async function open(memoryBudget = 64 * MEGABYTE, debug = {}) {
	const lines: string[] = [];
	const device = await requestDevice({ memoryBudget, debug: { ...debug, log: (text) => lines.push(text) } });
	devices.push(device);
	return { device, lines };
}

/** x + 1, `length` times. */
function chain(x: Tensor, length: number): Tensor {
	let y = x;
	for (let i = 0; i < length; i++) y = add(y, 1);
	return y;
}

/** What is dropped to see that a collection has been, a pair each time: older than what it is to find, since young ones go first. */
const witnesses: object[] = Array.from({ length: 4 }, () => ({}));

/** Makes the engine collect garbage, and run finalizers. */
async function collectGarbage(): Promise<void> {
	// The first collection may have begun before.
	for (let time = 0; time < 2; time++) {
		let isCollected = false;
		const registry = new FinalizationRegistry(() => {
			isCollected = true;
		});
		registry.register(witnesses.pop() as object, undefined);
		for (let i = 0; i < 100 && !isCollected; i++) {
			Array.from({ length: 3 }, () => new ArrayBuffer(1024 * MEGABYTE));
			await new Promise((resolve) => setTimeout(resolve));
		}
		expect(isCollected).toBe(true);
	}
	// Other finalizers may run in a task of their own.
	await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("memory between the first and the last use", () => {
	it("a chain in a scope uses three buffers, whatever its length", async () => {
		const { device } = await open();
		const x = full(device, [QUARTER], 0);
		const y = device.scope(() => chain(x, 200));
		expect((await data(y))[7]).toBe(200);
		expect(device.memory()).toMatchObject({ peakBytes: 3 * 4 * QUARTER, heldBuffers: 3, liveBuffers: 2 });
	});

	it("a gradient needs what its rules read, and no more", async () => {
		const { device } = await open();
		const x = { value: full(device, [QUARTER], 0.5) };
		const { value, grads } = device.scope(() => valueAndGrad(() => sum(chain(tanh(chain(x.value, 50)), 50)), [x]));
		expect((await data(grads[0]))[3]).toBeCloseTo(0, 6);
		expect(await item(value)).toBeGreaterThan(50 * QUARTER);
		expect(device.memory().peakBytes).toBeLessThan(8 * 4 * QUARTER);
	});

	it("equal steps get equal buffers: the second creates none, and no bind group", async () => {
		const { device } = await open();
		const x = full(device, [256], 0.5);
		const step = async (): Promise<void> => {
			device.scope<void>(() => {
				sub(chain(x, 10), tanh(mul(chain(x, 3), 2)));
			});
			await device.flush();
		};
		await step();
		const { heldBuffers } = device.memory();
		const { bindGroups } = device.counters();
		for (let i = 0; i < 5; i++) await step();
		expect(device.memory().heldBuffers).toBe(heldBuffers);
		expect(device.counters().bindGroups).toBe(bindGroups);
	});

	it.each([false, true])("no tensor is overwritten that can still be read, with guards around each: %s", async (memory) => {
		const { device } = await open(Number.POSITIVE_INFINITY, { memory });
		const action = fc.record({
			kind: fc.constantFrom("add", "upload", "write", "drop", "scope", "flush", "read"),
			at: fc.nat(),
			by: fc.nat(),
		});
		const before = device.memory();
		await fc.assert(
			fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 60 }), async (actions) => {
				let next = 1;
				const alive: { readonly t: Tensor; value: number }[] = [];
				const upload = (): void => {
					alive.push({ t: device.fromHost([next, next], [2]), value: next++ });
				};
				const reads: { readonly got: Promise<ArrayLike<number>>; readonly value: number }[] = [];
				upload();
				for (const { kind, at, by } of actions) {
					const [a, b] = [alive[at % alive.length], alive[by % alive.length]];
					if (kind === "add" && a !== b) alive.push({ t: add(a.t, b.t), value: a.value + b.value });
					else if (kind === "upload") upload();
					else if (kind === "write") {
						write(a.t, [next, next]);
						a.value = next++;
					} else if (kind === "drop" && alive.length > 1) {
						a.t.dispose();
						alive.splice(alive.indexOf(a), 1);
					} else if (kind === "scope") {
						const length = 1 + (by % 5);
						alive.push({ t: device.scope(() => chain(a.t, length)), value: a.value + length });
					} else if (kind === "flush") await device.flush();
					else if (kind === "read") reads.push({ got: data(a.t), value: a.value });
				}
				for (const { got, value } of reads) expect([...Array.from(await got)]).toEqual([value, value]);
				for (const { t, value } of alive) {
					expect([...(await data(t))]).toEqual([value, value]);
					t.dispose();
				}
				await device.flush();
			}),
			{ numRuns: Math.max(20, RUNS) },
		);
		expect(device.memory()).toMatchObject({ liveBytes: before.liveBytes, liveBuffers: before.liveBuffers });
	});

	it("more than the budget is refused when it is asked for, and memory that fits is found", async () => {
		const { device } = await open(4 * MEGABYTE);
		const held = Array.from({ length: 8 }, () => full(device, [QUARTER], 1));
		await device.flush();
		for (const t of held) t.dispose();
		const large = Array.from({ length: 2 }, () => full(device, [2 * QUARTER], 2));
		const rest = Array.from({ length: 12 }, () => full(device, [QUARTER], 3));
		expect(() => full(device, [1], 0)).toThrow(expect.objectContaining({ code: "device/budget" }));
		expect((await data(large[1]))[5]).toBe(2);
		expect((await data(rest[11]))[5]).toBe(3);
		expect(device.memory().heldBytes).toBeLessThanOrEqual(4 * MEGABYTE);
	});
});

describe("memory outside of scopes", () => {
	it("of a chain that is read, what nobody can reach needs no memory", async () => {
		const { device } = await open();
		expect((await data(chain(full(device, [QUARTER], 0), 200)))[7]).toBe(200);
		const { peakBytes, liveBytes } = device.memory();
		expect(peakBytes).toBeLessThan(MOST_LEFT + MEGABYTE);
		expect(liveBytes).toBeLessThanOrEqual(MOST_LEFT);
	});

	it("a loop that waits stays flat, and is told once where it makes its tensors, and what to write", async () => {
		const { device, lines } = await open();
		const w = { value: full(device, [8], 1) };
		for (let i = 0; i < 1000; i++) {
			const { value, grads } = valueAndGrad(() => sum(tanh(w.value)), [w]);
			w.value = sub(w.value, mul(grads[0], 1e-3));
			await item(value);
		}
		expect(device.memory().heldBuffers).toBeLessThan(2 * LIMIT + 100);
		expect(lines).toHaveLength(1);
		expect(lines[0]).toMatch(/^memory: \d+ tensors \(\d+\.\d MB\) made outside of every scope waited for the garbage collector/);
		expect(lines[0]).toMatch(/, such as f32 \[8?\], made\n.*memory\.test\.ts\S*:\d+:\d+\)?\n/);
		expect(lines[0]).toContain("device.scope(");
	});

	it("a loop that never waits is told too: nothing can be collected meanwhile", async () => {
		const { device, lines } = await open();
		const x = full(device, [1], 0);
		for (let i = 0; i < 4 * LIMIT; i++) add(x, i);
		expect(lines).toEqual([expect.stringMatching(/^memory: 4097 tensors .* made outside of every scope are alive.*\n.*memory\.test\.ts/)]);
	});

	it("what is referred to, or kept by a living object, stays, and is no fault", async () => {
		const { device, lines } = await open();
		// Together with what is kept they would be told: more than four times the limit.
		const list = Array.from({ length: 2 * LIMIT + 10 }, (_, i) => full(device, [1], i));
		const views = list.map((t) => device.keep(device.scope(() => add(t, 1))));
		for (let i = 0; i < 3; i++) await device.flush();
		const values = await Promise.all([...list, ...views].map((t) => item(t)));
		expect(values).toEqual([...list.map((_, i) => i), ...list.map((_, i) => i + 1)]);
		expect(lines).toEqual([]);
	});

	it.each([
		["behind a scope", (device: Device, make: () => Tensor) => device.keep(device.scope(make))],
		["inside of it", (device: Device, make: () => Tensor) => device.scope<void>(() => void device.keep(make()))],
	])("tensors kept %s whose owner was forgotten are released, without a word", async (_, keep) => {
		const { device, lines } = await open();
		const forget = (): void => {
			for (let i = 0; i < 5; i++) keep(device, () => full(device, [16 * QUARTER], i));
		};
		forget();
		await device.flush();
		expect(device.memory().liveBytes).toBeLessThanOrEqual(MOST_LEFT);
		expect(lines).toEqual([]);
	});

	it("below the limit nothing depends on when garbage is collected", async () => {
		const { device, lines } = await open();
		const forget = (): void => {
			for (let i = 0; i < 100; i++) full(device, [64], i);
		};
		forget();
		await device.flush();
		const before = device.memory();
		await collectGarbage();
		await device.flush();
		expect(device.memory()).toEqual(before);
		expect(lines).toEqual([]);
	});

	it("what was released counts no more towards the limit", async () => {
		const { device } = await open();
		const forget = (): void => {
			for (let i = 0; i < 3 * LIMIT; i++) full(device, [1], i).dispose();
			for (let i = 0; i < 100; i++) full(device, [64], i);
		};
		forget();
		const { liveBuffers } = device.memory();
		await device.flush();
		expect(device.memory().liveBuffers).toBe(liveBuffers);
	});

	it("no garbage is collected again before there is twice what the last time left", async () => {
		const { device } = await open();
		const list = Array.from({ length: 2 * LIMIT }, (_, i) => full(device, [1], i));
		await device.flush();
		const forget = (): void => {
			for (let i = 0; i < 100; i++) full(device, [64], i);
		};
		forget();
		const { liveBuffers } = device.memory();
		await device.flush();
		expect(device.memory().liveBuffers).toBe(liveBuffers);
		expect(await item(list[7])).toBe(7);
	});

	it("what is known to be garbage makes way before the budget refuses", async () => {
		const { device } = await open(4 * MEGABYTE);
		const forget = (): void => {
			for (let i = 0; i < 3; i++) full(device, [QUARTER], i);
		};
		forget();
		await device.flush();
		await collectGarbage();
		const t = full(device, [15 * QUARTER], 1);
		expect((await data(t))[0]).toBe(1);
	});

	it("time after time at debug level 1, where the search for leaks keeps nothing alive", { repeats: 7 }, async () => {
		const { device } = await open(64 * MEGABYTE, { level: 1 });
		await data(chain(full(device, [QUARTER], 0), 100));
		expect(device.memory().liveBytes).toBeLessThanOrEqual(MOST_LEFT);
		expect(device.leaks().reduce((n, l) => n + l.bytes, 0)).toBeLessThanOrEqual(MOST_LEFT);
	});
});

describe("a captured step", () => {
	it("uses few buffers too, and replays with the same values", async () => {
		const { device } = await open();
		const x = device.fromHost([1, 2], [2]);
		const captured = capture(device, () => mul(chain(x, 40), 2));
		expect([...(await data(captured.outputs))]).toEqual([82, 84]);
		write(x, [10, 20]);
		captured.replay();
		expect([...(await data(captured.outputs))]).toEqual([100, 120]);
		expect(device.memory().heldBuffers).toBeLessThan(6);
	});

	it("is not released inside another capture, and stays whole", async () => {
		const { device } = await open();
		const x = device.fromHost([1, 2], [2]);
		const first = capture(device, () => mul(x, 2));
		expect(() => capture(device, () => first.dispose())).toThrow(expect.objectContaining({ code: "capture/nested" }));
		write(x, [3, 4]);
		first.replay();
		expect([...(await data(first.outputs))]).toEqual([6, 8]);
		first.dispose();
		x.dispose();
		expect(device.memory().liveBuffers).toBe(0);
	});

	it("that may not release a tensor leaves it as it was", async () => {
		const { device } = await open();
		const x = device.fromHost([1, 2], [2]);
		expect(() => capture(device, () => x.dispose())).toThrow(expect.objectContaining({ code: "capture/released" }));
		expect(x.disposed).toBe(false);
		expect([...(await data(x))]).toEqual([1, 2]);
		x.dispose();
		expect(device.memory().liveBuffers).toBe(0);
	});
});

describe("a device that is gone", () => {
	it.each<[string, (x: Tensor) => unknown]>([
		["an operation", (x) => add(x, 1)],
		["a view", (x) => reshape(x, [1, 1])],
		["an upload", (x) => x.device.fromHost([1], [1])],
		["a write", (x) => write(x, [3])],
		["a constant", (x) => full(x.device, [1], 1)],
		["a capture", (x) => capture(x.device, () => add(x, 1))],
	])("refuses %s at once after destroy, and lets tensors go", async (_, ask) => {
		const { device } = await open();
		const x = device.fromHost([1], [1]);
		const y = add(x, 1);
		device.destroy();
		expect(() => ask(x)).toThrow(expect.objectContaining({ name: "DeviceError", code: "device/destroyed" }));
		for (const t of [x, y]) t.dispose();
		await expect(device.flush()).rejects.toMatchObject({ code: "device/destroyed" });
	});

	it("rejects all that waits, in a wait for the garbage collector too", async () => {
		const { device } = await open();
		const list = Array.from({ length: LIMIT + 1 }, (_, i) => full(device, [1], i));
		const waiting = [device.flush(), device.trim(), ...list.slice(0, 5).map((t) => data(t))];
		device.gpu.destroy();
		const settled = await Promise.race([
			Promise.allSettled(waiting),
			new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 20_000)),
		]);
		expect(settled).toHaveLength(7);
		for (const s of settled ?? []) expect(s).toMatchObject({ status: "rejected", reason: { code: "device/lost" } });
	});
});
