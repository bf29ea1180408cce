import { PlainTrainer } from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import { checkpoint, customVjp, type Device, data, mul, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { privateProgram } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { type AnyLoss, attempt, D, N, ROWS, type Scene } from "./harness.ts";

const device = useDevice();

/** A turn of the event loop and more: all that waited has run. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Ways to run on after a function has returned, each with a part that runs later. */
const LATE: Readonly<Record<string, (later: () => unknown) => unknown>> = {
	"an async function": async (later) => {
		await undefined;
		later();
	},
	"an object with a then": (later) => ({
		// biome-ignore lint/suspicious/noThenProperty: what an attacker writes
		then: (done: (v: unknown) => void) => done(later()),
	}),
	"a function with a then": (later) =>
		Object.assign(() => 0, {
			// biome-ignore lint/suspicious/noThenProperty: what an attacker writes
			then: (done: (v: unknown) => void) => done(later()),
		}),
	"a then of a getter": (later) => ({
		// biome-ignore lint/suspicious/noThenProperty: what an attacker writes
		get then() {
			return (done: (v: unknown) => void) => done(later());
		},
	}),
	"an async generator": async function* (later) {
		yield later();
	},
	"a generator": function* (later) {
		yield later();
	},
	"a promise in an array": (later) => [1, Promise.resolve().then(later)],
	"a promise in an object in an array": (later) => [{ value: Promise.resolve().then(later) }],
	"a promise in a map": (later) => new Map([["value", Promise.resolve().then(later)]]),
	"a generator in an object": (later) => ({
		values: (function* () {
			yield later();
		})(),
	}),
};

/** Runs what somebody may do with a result that comes later. */
async function drive(result: unknown): Promise<void> {
	if (typeof (result as { next?: unknown } | undefined)?.next === "function") await (result as Generator).next();
	await settled();
}

describe("a private program that runs on", () => {
	it.each(Object.keys(LATE))("%s is refused, and what it made is released", async (name) => {
		const x = device().fromHost([1, 2, 3], [3]);
		const before = device().memory();
		const found: unknown[] = [];
		let result: unknown;
		const program = () => {
			const own = mul(x, 2);
			result = LATE[name](() => {
				try {
					void data(own);
					found.push("read");
				} catch (error) {
					found.push((error as { code?: unknown }).code);
				}
			});
			return result;
		};
		expect(() => privateProgram<unknown>(device(), [x], program)).toThrow(
			expect.objectContaining({ name: "PrivacyError", code: "privacy/async" }),
		);
		expect(device().memory().liveBuffers).toBe(before.liveBuffers);
		await drive(result);
		for (const what of found) expect(what).toBe("tensor/disposed");
		x.dispose();
	});

	it("a promise that fails, wherever it is in the result, troubles nobody else", async () => {
		const failing = async () => Promise.reject(new Error("late"));
		for (const program of [failing, () => [failing()], () => ({ a: failing(), b: failing() })]) {
			expect(() => privateProgram<unknown>(device(), [], program)).toThrow(expect.objectContaining({ code: "privacy/async" }));
		}
		await settled();
	});

	it("what is no promise comes through: arrays, maps, objects, functions", () => {
		const x = device().fromHost([1, 2, 3], [3]);
		const value = privateProgram(device(), [x], () => ({ list: [mul(x, 2)], map: new Map([["x", mul(x, 3)]]), give: () => 4 }));
		expect([value.list[0].disposed, value.map.get("x")?.disposed, value.give()]).toEqual([false, false, 4]);
		for (const t of [x, value.list[0], ...value.map.values()]) t.dispose();
	});
});

/** What the late part of a loss, or of a function in it, tries: it has the record, kept or not, and the whole scene. */
const TRIES: Readonly<Record<string, (x: Tensor, scene: Scene) => unknown>> = {
	"reads the record": (x) => data(x),
	"computes with it": (x) => mul(x, x),
	"computes with a weight": (x, { model }) => mul(x, model.w.value),
	"sums the records": (x, { device: d }) => d.scope<Tensor>(() => sum(x)),
};

/** Losses that run on, and the code that refuses each. */
const LOSSES: Readonly<Record<string, readonly [code: string, loss: (scene: Scene, late: (x: Tensor) => unknown) => AnyLoss]>> = {
	...Object.fromEntries(
		Object.entries(LATE).map(([name, make]) => [
			name,
			[
				"privacy/loss",
				(_: Scene, late: (x: Tensor) => unknown) => (({ x }: { x: Tensor }) => make(() => late(x))) as unknown as AnyLoss,
			] as const,
		]),
	),
	"an async function that fails": [
		"privacy/loss",
		(_, late) =>
			(async ({ x }: { x: Tensor }) => {
				await undefined;
				late(x);
				return data(x);
			}) as unknown as AnyLoss,
	],
	"an async function to differentiate": [
		"grad/value",
		(_, late) =>
			({ x }) => {
				const own = async () => {
					await undefined;
					late(x);
					return data(x);
				};
				return valueAndGrad(own as never, [{ value: x }]).value;
			},
	],
	"a checkpoint that is async when it runs again": [
		"scope/async",
		({ model }, late) => {
			let runs = 0;
			const twice = (y: Tensor) => {
				const again = async () => {
					await undefined;
					late(y);
					return data(y);
				};
				return ++runs % 2 === 1 ? model.call(y) : again();
			};
			return ({ x }) => checkpoint(twice as never, [x]);
		},
	],
	"an async scope": [
		"scope/async",
		({ model, device: d }, late) =>
			({ x }) => {
				d.scope((async () => {
					await undefined;
					late(x);
				}) as never);
				return model.call(x);
			},
	],
	"an async checkpoint": [
		"scope/async",
		(_, late) =>
			({ x }) =>
				checkpoint(
					(async (y: Tensor) => {
						await undefined;
						late(y);
						return sum(y);
					}) as never,
					[x],
				),
	],
	"an async forward of customVjp": [
		"customVjp/value",
		(_, late) => {
			const forward = async (y: Tensor) => {
				await undefined;
				late(y);
				return { value: sum(y) };
			};
			const own = customVjp({ name: "own", forward: forward as never, backward: (dy) => [dy] });
			return ({ x }) => own(x);
		},
	],
	"an async backward of customVjp": [
		"customVjp/gradients",
		({ model }, late) => {
			const backward = async (dy: Tensor) => {
				await undefined;
				late(dy);
				return [dy];
			};
			const own = customVjp({ name: "own", forward: (y) => ({ value: y }), backward: backward as never });
			return ({ x }) => own(model.call(x));
		},
	],
};

describe("a loss that runs on", () => {
	it.each(Object.keys(LOSSES))("%s is refused; later it gets nothing of the record, and no step is taken", async (name) => {
		const [code, make] = LOSSES[name];
		for (const keep of [false, true]) {
			for (const act of Object.values(TRIES)) {
				const codes: unknown[] = [];
				const scenes: Scene[] = [];
				const outcome = await attempt(device(), (scene) => {
					scenes.push(scene);
					const late = (x: Tensor): void => {
						try {
							act(x, scene);
							codes.push("done");
						} catch (error) {
							codes.push((error as { code?: unknown }).code);
						}
					};
					const loss = make(scene, late);
					return {
						loss: (record) => {
							const own = keep ? { x: scene.device.keep(mul(record.x, 1)) } : record;
							return loss(own);
						},
					};
				});
				await settled();
				expect(outcome).toEqual({ refused: code });
				expect(scenes.map((s) => s.optimizer.given.length)).toEqual([0]);
				for (const what of codes) expect(["tensor/disposed", "vmap/read", "vmap/kept"]).toContain(what);
			}
		}
	});

	it("is refused in plain training and by vmap as well", async () => {
		const p = new Parameter([D]);
		p.assign(device().fromHost(new Float32Array(D).fill(0.5), [D]));
		const sgd = new SGD([p], { lr: 1 });
		const encode = (i: number) => ({ x: new Float32Array(D).fill(i) });
		for (const make of Object.values(LATE)) {
			const trainer = new PlainTrainer({ optimizer: sgd, datasetSize: N, batchSize: N, physicalBatchSize: ROWS });
			await expect(trainer.step(encode, (({ x }: { x: Tensor }) => make(() => x.disposed)) as never)).rejects.toMatchObject({
				code: "privacy/loss",
			});
		}
		expect(sgd.steps).toBe(0);
		const xs = device().fromHost(new Float32Array(N * D), [N, D]);
		const generator = function* (x: Tensor) {
			yield sum(x);
		};
		expect(() => vmap(generator)(xs)).toThrow(expect.objectContaining({ code: "scope/async" }));
		expect(() => vmap(async (x: Tensor) => sum(x))(xs)).toThrow(expect.objectContaining({ code: "vmap/async" }));
		xs.dispose();
		sgd.dispose();
		p.dispose();
		await settled();
	});
});

describe("encode() that runs on", () => {
	it.each(Object.keys(LATE))("%s is refused", async (name) => {
		const given: number[] = [];
		const refused = await attempt(device(), (scene: Scene) => ({
			encode: (i) => {
				given.push(scene.optimizer.given.length);
				return LATE[name](() => scene.records[i]) as never;
			},
			loss: ({ x }) => scene.model.call(x),
		}));
		expect(refused).toEqual({ refused: "record/value" });
		expect(given).toEqual([0]);
		await settled();
	});

	it("whose promise fails troubles nobody else", async () => {
		const failing = (d: Device) => async () => ({ x: await data(d.fromHost([1], [1])) });
		const outcome = await attempt(device(), ({ model, device: d }) => ({ encode: failing(d) as never, loss: ({ x }) => model.call(x) }));
		expect(outcome).toEqual({ refused: "record/value" });
		await settled();
	});
});
