import type { HostRecord } from "@hushgrad/dp";
import { assign, data, mul, write, zeros } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { type Attack, attempt, D, expectBounded, expectRefused, N, type Scene } from "./harness.ts";

const device = useDevice();

describe("A1: arrays that are handed over", () => {
	it("a loss sees tensors of its record and a dropout key, no array and no batch", async () => {
		const seen: unknown[] = [];
		await expectBounded(device(), ({ model }) => ({
			loss: (...args) => {
				seen.push([args.length, Object.keys(args[0]), args[0].x.shape, args[1]?.words.shape]);
				return model.call(args[0].x);
			},
		}));
		for (const what of seen) expect(what).toEqual([2, ["x"], [D], [2]]);
	});

	it("weights of importance are part of the record, and clipped with it", async () => {
		for (const factor of [4, 1e6]) {
			await expectBounded(device(), ({ model, records }) => ({
				encode: (i) => ({ x: records[i], weight: factor }),
				loss: ({ x, weight }) => mul(model.call(x), weight),
			}));
		}
	});

	it("an array that encode() gave is changed later: the copy is not", async () => {
		await expectBounded(device(), ({ model, records }) => {
			const given: Float32Array[] = [];
			return {
				encode: (i) => {
					const x = records[i].slice();
					for (const earlier of given) earlier.fill(1e6);
					given.push(x);
					return { x };
				},
				loss: ({ x }) => {
					for (const earlier of given) earlier.fill(-1e6);
					return model.call(x);
				},
			};
		});
	});

	it("one array for all records, filled anew each time", async () => {
		await expectBounded(device(), ({ model, records }) => {
			const x = new Float32Array(D);
			return {
				encode: (i) => {
					x.set(records[i]);
					return { x };
				},
				loss: ({ x: own }) => model.call(own),
			};
		});
	});

	it("memory shared with a worker is copied like any other", async () => {
		await expectBounded(device(), ({ model, records }) => {
			const shared = new Float32Array(new SharedArrayBuffer(4 * D * N));
			records.forEach((r, i) => {
				shared.set(r, i * D);
			});
			return {
				encode: (i) => ({ x: shared.subarray(i * D, (i + 1) * D) }),
				loss: ({ x }) => {
					shared.fill(1e6);
					records.forEach((r, i) => {
						shared.set(r, i * D);
					});
					return model.call(x);
				},
			};
		});
	});
});

describe("records that are no plain values", () => {
	it("a getter is read once: it cannot give one thing to the check and another to the batch", async () => {
		await expectBounded(device(), ({ model, records }) => ({
			encode: (i) => {
				let reads = 0;
				return {
					get x() {
						expect(reads++).toBe(0);
						return records[i];
					},
				};
			},
			loss: ({ x }) => model.call(x),
		}));
	});

	it("values that grow after they were measured do not reach the next row", async () => {
		const growing: Attack = ({ model, records }) => ({
			encode: (i) => {
				let reads = 0;
				const values = new Proxy([...records[i], ...new Array(D).fill(1e6)], {
					get: (target, name) => (name === "length" ? (reads++ === 0 ? D : 2 * D) : Reflect.get(target, name)),
				});
				return { x: { values, shape: [D], dtype: "f32" } };
			},
			loss: ({ x }) => model.call(x),
		});
		await expectRefused(device(), growing, "record/tensor");
	});

	it("a Proxy of a record counts as the record it shows", async () => {
		await expectBounded(device(), ({ model, records }) => ({
			encode: (i) => new Proxy({ x: records[i] }, {}),
			loss: ({ x }) => model.call(x),
		}));
	});

	const refused: Readonly<Record<string, readonly [code: string, encode: (scene: Scene) => (i: number) => unknown]>> = {
		"a promise": [
			"record/value",
			({ records }) =>
				async (i) => ({ x: records[i] }),
		],
		"an object of a class": [
			"record/value",
			({ records }) =>
				(i) =>
					Object.assign(Object.create({ mean: 0 }), { x: records[i] }),
		],
		"a tensor": [
			"record/value",
			({ raw }) => {
				const all = raw();
				return () => ({ x: all });
			},
		],
		"another form than the first": [
			"record/form",
			({ records }) =>
				(i) =>
					i === 3 ? { x: records[i].subarray(1) } : { x: records[i] },
		],
		"more names than the first": [
			"record/form",
			({ records }) =>
				(i) =>
					i === 3 ? { x: records[i], y: 1 } : { x: records[i] },
		],
		"a shape with a negative extent": [
			"shape/extent",
			({ records }) =>
				(i) => ({ x: { values: records[i], shape: [-2, -2], dtype: "f32" } }),
		],
		nothing: ["record/empty", () => () => ({})],
	};

	it.each(Object.keys(refused))("%s is refused", async (name) => {
		const [code, encode] = refused[name];
		const outcome = await attempt(device(), (scene) => ({
			encode: encode(scene) as (i: number) => HostRecord,
			loss: ({ x }) => scene.model.call(x),
		}));
		expect(outcome).toEqual({ refused: code });
	});
});

describe("encode() runs in a closed world", () => {
	const actions: Readonly<Record<string, readonly [code: string, act: (i: number, scene: Scene) => unknown]>> = {
		"writes its record into a buffer": ["privacy/outside-data", (i, { model, records }) => write(model.table.value, records[i])],
		"writes its record into the trained vector": [
			"privacy/outside-data",
			(i, { optimizer, records }) => write(optimizer.vector.tensor, records[i]),
		],
		"uploads its record": ["privacy/outside-data", (i, { device: d, records }) => d.fromHost(records[i], [D])],
		"copies a tensor into a buffer": ["privacy/outside-read", (_, { model }) => assign(model.table.value, model.frozen.value)],
		"writes a constant into a buffer": ["privacy/outside-write", (_, { model, device: d }) => assign(model.table.value, zeros(d, [D]))],
		"reads a weight": ["privacy/outside-data", (_, { model }) => void data(model.w.value)],
	};

	it.each(Object.keys(actions))("%s", async (name) => {
		const [code, act] = actions[name];
		await expectRefused(
			device(),
			(scene) => ({
				encode: (i) => {
					act(i, scene);
					return { x: scene.records[i] };
				},
				loss: ({ x }) => scene.model.call(mul(x, scene.model.table.value)),
			}),
			code,
		);
	});

	/** Records of which reading runs a program: `act` is what it does. */
	const traps: Readonly<Record<string, (values: Float32Array, act: () => void) => unknown>> = {
		"a getter": (values, act) => ({
			get x() {
				act();
				return values;
			},
		}),
		"a Proxy of the record": (values, act) =>
			new Proxy(
				{ x: values },
				{
					ownKeys: (target) => {
						act();
						return Reflect.ownKeys(target);
					},
				},
			),
		"a Proxy of its values": (values, act) => ({
			x: new Proxy(values, {
				get: (target, name) => {
					act();
					const own = Reflect.get(target, name, target);
					return typeof own === "function" ? own.bind(target) : own;
				},
			}),
		}),
		"values that give themselves": (values, act) => ({
			x: {
				shape: [D],
				dtype: "f32",
				values: {
					*[Symbol.iterator]() {
						act();
						yield* values;
					},
				},
			},
		}),
		"an extent that is an object": (values, act) => {
			const extent = {
				valueOf: () => {
					act();
					return D;
				},
			};
			return { x: { values, shape: [extent], dtype: "f32" } };
		},
		"a number that is an object": (values, act) => {
			const first = {
				valueOf: () => {
					act();
					return values[0];
				},
			};
			const all = Object.assign([first, ...values.subarray(1)]);
			return {
				x: new Proxy(values, {
					get: (target, name) => {
						const own = Reflect.get(all, name);
						return typeof own === "function" ? own.bind(all) : (own ?? Reflect.get(target, name, target));
					},
				}),
			};
		},
	};

	it.each(Object.keys(traps))("%s is read inside: what it does is refused, what it gives is copied", async (name) => {
		await expectRefused(
			device(),
			({ model, records }) => ({
				encode: (i) => traps[name](records[i], () => write(model.table.value, records[i])) as HostRecord,
				loss: ({ x }) => model.call(mul(x, model.table.value)),
			}),
			"privacy/outside-data",
		);
		await expectBounded(device(), ({ model, records }) => ({
			encode: (i) => traps[name](records[i], () => undefined) as HostRecord,
			loss: ({ x }) => model.call(x),
		}));
	});
});
