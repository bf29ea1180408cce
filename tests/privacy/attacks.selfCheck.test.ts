import { full, fullLike, mean, mul, sub, sum, type Tensor } from "@hushgrad/tensor";
import { defineKernel, definePrimitive, packed, reads, wgsl, writes } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { type AnyLoss, type Attack, attempt, D, expectRefused, N, ROWS } from "./harness.ts";

const device = useDevice();
const MIX = "privacy/records-mix";
const minus = (a: ArrayLike<number>, b: ArrayLike<number>): Float32Array => Float32Array.from(a, (v, k) => v - b[k]);

describe("A12: arithmetic on the host, found by running a batch again", () => {
	const carriers: Readonly<Record<string, Attack>> = {
		"the mean of the records encoded so far": ({ model, records }) => {
			const total = new Float32Array(D);
			let count = 0;
			return {
				encode: (i) => {
					records[i].forEach((v, k) => {
						total[k] += v;
					});
					count++;
					return {
						x: minus(
							records[i],
							total.map((v) => v / count),
						),
					};
				},
				loss: ({ x }) => model.call(x),
			};
		},
		"the record before, forgotten at the start of each run": ({ model, records }) => {
			let last: { number: number; x: Float32Array } = { number: -1, x: new Float32Array(D) };
			return {
				encode: (i) => {
					const before = i > last.number ? last.x : new Float32Array(D);
					last = { number: i, x: records[i] };
					return { x: minus(records[i], before) };
				},
				loss: ({ x }) => model.call(x),
			};
		},
		"the first record of the batch": ({ model, records }) => {
			let at = { number: Number.POSITIVE_INFINITY, first: 0 };
			return {
				encode: (i) => {
					at = { number: i, first: i <= at.number ? i : at.first };
					return { x: minus(records[i], records[at.first]) };
				},
				loss: ({ x }) => model.call(x),
			};
		},
		"a number in the loss, computed from the records of the batch": ({ model, records }) => {
			let total = 0;
			return {
				encode: (i) => {
					total += records[i][0];
					return { x: records[i] };
				},
				loss: ({ x }) => mul(model.call(x), Math.sin(total)),
			};
		},
		"the same by way of full()": ({ model, records }) => {
			let batch: number[] = [];
			return {
				encode: (i) => {
					if (i <= Math.max(...batch)) batch = [];
					batch.push(i);
					return { x: records[i] };
				},
				loss: ({ x }) => {
					const centre = batch.reduce((s, i) => s + records[i][0], 0) / batch.length;
					return model.call(sub(x, fullLike(x, centre)));
				},
			};
		},
		"the last record, by way of full()": ({ model, records }) => {
			let last = 0;
			return {
				encode: (i) => {
					last = i;
					return { x: records[i] };
				},
				loss: ({ x }) => model.call(sub(x, full(x.device, [], records[last][1]))),
			};
		},
		"the number of records in the batch": ({ model, records }) => {
			let batch: number[] = [];
			return {
				encode: (i) => {
					if (i <= Math.max(...batch)) batch = [];
					batch.push(i);
					return { x: records[i] };
				},
				loss: ({ x }) => mul(model.call(x), 0.1 * batch.length),
			};
		},
		"how often the loss was called": ({ model }) => {
			let calls = 0;
			return { loss: ({ x }) => mul(model.call(x), calls++ % 2 === 0 ? 0.3 : -0.3) };
		},
		"random numbers that depend on nothing": ({ model, records }) => ({
			encode: (i) => ({ x: records[i].map((v) => v + 0.01 * Math.random()) }),
			loss: ({ x }) => model.call(x),
		}),
	};

	it.each(Object.keys(carriers))("%s", async (name) => {
		for (const removed of [0, 2, N - 1]) await expectRefused(device(), carriers[name], MIX, { removed });
	});

	it.each(Object.keys(carriers).filter((name) => !/first|last|number of/.test(name)))("%s, one record at a time", async (name) => {
		const attack: Attack = (scene) => ({ ...carriers[name](scene), options: { physicalBatchSize: 1 } });
		for (const removed of [0, 2, N - 1]) await expectRefused(device(), attack, MIX, { removed });
	});

	it("one and the same record in every row", async () => {
		await expectRefused(
			device(),
			({ model, records }) => {
				const first = { x: records[0] };
				return { encode: () => first, loss: ({ x }) => model.call(x) };
			},
			MIX,
		);
	});

	it("a kernel of one's own that mixes rows, forwards or backwards", async () => {
		for (const step of [1, -1]) {
			const kernel = defineKernel(`neighbour${step}`, {
				params: { n: "u32", size: "u32", step: "i32" },
				buffers: { x: reads("f32"), y: writes("f32") },
				workgroup: 64,
				body: wgsl`
if (index >= p.n) { return; }
let origin = i32(index) - p.step * i32(p.size);
y_set(index, x_at(index) + select(0.0, x_at(u32(max(origin, 0))), origin >= 0 && u32(origin) < p.n));`,
			});
			const neighbour = definePrimitive({
				name: `neighbour${step}`,
				signature: "x[N] -> y[N]",
				attrs: {},
				forward: ({ runtime, inputs, axes }) => {
					const x = packed(inputs.x);
					const y = runtime.empty(x.shape);
					kernel.run({ x, y }, { n: y.size, size: axes.N, step }, y.size);
					return [y];
				},
				grad: { x: "missing" },
				reference: ({ x }) => [x],
			});
			await expectRefused(device(), ({ model }) => ({ loss: ({ x }) => model.call(neighbour.apply([x])[0]) }), MIX);
		}
	});

	it("raw access to the GPU is outside of the contract; what mixes rows of an upload is found all the same", async () => {
		const { queue } = device().gpu;
		const own = queue.writeBuffer;
		queue.writeBuffer = (buffer, offset, source, ...rest) => {
			const [from, bytes] = rest as [number, number];
			if (source instanceof ArrayBuffer && bytes === 4 * 4 * D) {
				const rows = new Float32Array(source, from, bytes / 4);
				for (let k = 0; k < rows.length; k++) rows[k] += rows[k % D];
			}
			own.call(queue, buffer, offset, source as ArrayBuffer, ...rest);
		};
		await expectRefused(device(), ({ model }) => ({ loss: ({ x }) => model.call(x) }), MIX).finally(() => {
			queue.writeBuffer = own;
		});
	});
});

describe("when batches are run again", () => {
	/** Mixes by a number of the host from its second step on. */
	const late =
		(options: object): Attack =>
		({ model, records }) => {
			let total = 0;
			let calls = 0;
			return {
				options,
				encode: (i) => {
					total += records[i][0];
					return { x: records[i] };
				},
				loss: ({ x }: { x: Tensor }) => mul(model.call(x), calls++ < 4 ? 1 : Math.sin(total)),
			};
		};

	it("a program that begins to mix later is found by selfCheckEvery", async () => {
		await expectRefused(device(), late({ selfCheckEvery: 1 }), MIX, { steps: 2 });
	});

	it("and is not found without: no rule can see it", async () => {
		const outcome = await attempt(device(), late({}), { steps: 2 });
		expect((outcome as { sensitivity: number }).sensitivity).toBeGreaterThan(1);
	});

	it("another loss in a later step is another program", async () => {
		await expectRefused(
			device(),
			({ model, records }) => {
				let total = 0;
				return {
					encode: (i) => {
						total += records[i][0];
						return { x: records[i] };
					},
					loss: ({ x }) => model.call(x),
					run: async (engine, encode, loss) => {
						await engine.step(encode, loss);
						const other: AnyLoss = ({ x }) => mul(model.call(x), Math.sin(total));
						await engine.step(encode, other);
					},
				};
			},
			MIX,
			{ steps: 2 },
		);
	});

	it("a program that was refused is refused again", async () => {
		const codes: unknown[] = [];
		await attempt(
			device(),
			({ model, records }) => {
				let total = 0;
				return {
					encode: (i) => {
						total += records[i][0];
						return { x: records[i] };
					},
					loss: ({ x }) => mul(model.call(x), Math.sin(total)),
					run: async (engine, encode, loss) => {
						for (let s = 0; s < 3; s++) await engine.step(encode, loss).catch((error) => codes.push(error.code));
					},
				};
			},
			{ steps: 3 },
		);
		expect(codes).toEqual(new Array(6).fill(MIX));
	});

	it("an honest program is run again once, whatever the split", async () => {
		for (const [physicalBatchSize, calls] of [
			[1, N + 1],
			[3, 3 + 2],
			[ROWS, 2 + 2],
			[N, 1 + 2],
		]) {
			let count = 0;
			await attempt(device(), ({ model }) => ({
				options: { physicalBatchSize, replay: "off" },
				loss: ({ x }) => {
					count++;
					return sum(mul(model.call(x), mean(x)));
				},
			}));
			const [larger, smaller] = [N, N - 1].map((n) => calls - Math.ceil(N / physicalBatchSize) + Math.ceil(n / physicalBatchSize));
			expect(count).toBe(larger + smaller);
		}
	});
});

describe("what no rule can see: data that the script itself declares public, or the record of another", () => {
	const limits: Readonly<Record<string, Attack>> = {
		"a statistic of the whole data set, taken before": ({ model, records }) => {
			const centre = Float32Array.from({ length: D }, (_, k) => records.reduce((s, r) => s + r[k], 0) / records.length);
			return { encode: (i) => ({ x: minus(records[i], centre) }), loss: ({ x }) => model.call(x) };
		},
		"the same record under every number, each time a new object": ({ model, records }) => ({
			encode: () => ({ x: records[0].slice() }),
			loss: ({ x }) => model.call(x),
		}),
		"two records under one number": ({ model, records }) => ({
			encode: (i) => ({ x: records[i].map((v, k) => v + records[(i + 1) % records.length][k]) }),
			loss: ({ x }) => model.call(x),
		}),
		"a buffer of the model that was filled from the records": ({ model, raw, records }) => {
			model.table.assign(mean(raw(), [0]));
			return { encode: (i) => ({ x: records[i] }), loss: ({ x }) => model.call(sub(x, model.table.value)) };
		},
		"the loss that an earlier step reported": ({ model, records }) => {
			let reported = 1;
			return {
				loss: ({ x }) => mul(model.call(x), Math.sin(30 * reported)),
				encode: (i) => ({ x: records[i] }),
				run: async (engine, encode, loss) => {
					reported = (await engine.step(encode, loss)).private.reveal().loss;
					await engine.step(encode, loss);
				},
				options: { targetEpsilon: 1e9 },
			};
		},
	};

	it.each(Object.keys(limits))("%s", async (name) => {
		const outcome = await attempt(device(), limits[name], { steps: 2 });
		expect((outcome as { sensitivity: number }).sensitivity).toBeGreaterThan(1.2);
	});
});
