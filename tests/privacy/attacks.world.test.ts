import { insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { Parameter, SGD } from "@hushgrad/nn";
import {
	add,
	assign,
	capture,
	checkFinite,
	checkpoint,
	customVjp,
	DropoutKey,
	data,
	fullLike,
	grad,
	item,
	key,
	mean,
	mul,
	normal,
	requestDevice,
	reshape,
	slice,
	square,
	sub,
	sum,
	type Tensor,
	tanh,
	tensor,
	vmap,
	write,
	zeros,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { type Attack, D, expectBounded, expectRefused, N } from "./harness.ts";

const device = useDevice();

/** The mean of the raw records: what no loss may see. */
const centre = (raw: Tensor): Tensor => mean(raw, [0]);

describe("what was made outside", () => {
	const closures: Readonly<Record<string, (raw: Tensor) => Tensor>> = {
		"the raw batch itself": (raw) => slice(raw, 0, 0, 1),
		"a row of it": (raw) => reshape(slice(raw, 0, 3, 4), [D]),
		"a view of a view": (raw) => reshape(reshape(slice(raw, 0, 0, 2), [2 * D]), [2, D]),
		"a mean over it": centre,
		"what vmap made of it": (raw) => vmap((x: Tensor) => mul(x, x))(raw),
		"a gradient by it": (raw) => grad((x: Tensor) => sum(square(mean(x, [0]))))(raw),
		"a loss of it": (raw) => mean(vmap((x: Tensor) => sum(square(x)))(raw)),
	};

	it.each(Object.keys(closures))("%s, closed over, is refused", async (name) => {
		await expectRefused(
			device(),
			({ model, raw }) => {
				const outside = closures[name](raw());
				return { loss: ({ x }) => sum(mul(model.call(x), outside)) };
			},
			"privacy/outside-read",
		);
	});

	it("a frozen weight and a buffer of the model may be read", async () => {
		await expectBounded(device(), ({ model }) => ({
			loss: ({ x }) => model.call(mul(x, add(model.frozen.value, model.table.value))),
		}));
	});

	it("without the model only trained parameters may be read", async () => {
		const attack: Attack = ({ model }) => ({ loss: ({ x }) => model.call(mul(x, model.frozen.value)), options: { model: undefined } });
		await expectRefused(device(), attack, "privacy/outside-read");
	});

	it("a constant made before the program is refused, one made inside is not", async () => {
		await expectRefused(
			device(),
			({ model, device: d }) => {
				const two = d.fromHost([2], []);
				return { loss: ({ x }) => model.call(mul(x, two)) };
			},
			"privacy/outside-read",
		);
		await expectBounded(device(), ({ model }) => ({ loss: ({ x }) => model.call(mul(x, fullLike(x, 2))) }));
	});

	it("a tensor on another device cannot meet the record", async () => {
		const other = await requestDevice();
		const far = other.fromHost(new Float32Array(D), [D]);
		await expectRefused(device(), ({ model }) => ({ loss: ({ x }) => model.call(sub(x, far)) }), "op/device");
		other.destroy();
	});
});

describe("what no kernel reads", () => {
	it("a gradient that customVjp hands over from outside is refused", async () => {
		await expectRefused(
			device(),
			({ model, raw }) => {
				const outside = centre(raw());
				const evil = customVjp({ name: "evil", forward: (w) => ({ value: sum(w) }), backward: () => [outside] });
				return { loss: () => evil(model.w.value) };
			},
			"privacy/outside-read",
		);
	});

	it("so is a view of such a gradient, and one that checkpoint runs", async () => {
		await expectRefused(
			device(),
			({ model, raw }) => {
				const all = raw();
				const evil = customVjp({ name: "evil", forward: (w) => ({ value: sum(w) }), backward: () => [reshape(slice(all, 0, 2, 3), [D])] });
				return { loss: () => checkpoint(evil, [model.w.value]) };
			},
			"privacy/outside-read",
		);
	});

	it("so is a value that customVjp takes from outside", async () => {
		await expectRefused(
			device(),
			({ model, raw }) => {
				const outside = sum(raw());
				const evil = customVjp({
					name: "evil",
					forward: () => ({ value: outside }),
					backward: () => [fullLike(model.w.value, 1)],
				});
				return { loss: () => evil(model.w.value) };
			},
			"privacy/outside-read",
		);
	});

	it("customVjp may close over tensors of the same record", async () => {
		await expectBounded(device(), ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				const scaled = tanh(x);
				const own = customVjp({ name: "own", forward: (w) => ({ value: sum(mul(w, scaled)) }), backward: (dy) => [mul(dy, scaled)] });
				return own(model.w.value);
			},
		}));
	});

	it("a gradient within the program, by a weight that all records share, is that of the record", async () => {
		await expectBounded(device(), ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				const by = (u: Tensor): Tensor => sum(square(mul(u, x)));
				return add(model.call(grad(by)(model.frozen.value)), model.call(grad(by)(model.w.value)));
			},
		}));
	});

	it("a gradient that would be summed over the records is refused", async () => {
		await expectRefused(
			device(),
			({ model }) => ({
				loss: ({ x }: { x: Tensor }) => {
					const constant = customVjp({ name: "constant", forward: (w) => ({ value: fullLike(w, 1) }), backward: (dy) => [dy] });
					return sum(mul(constant(model.w.value), x));
				},
			}),
			"privacy/shared-leaf",
		);
	});

	it("checkpoint reads nothing from outside, in neither run", async () => {
		for (const from of [1, 2]) {
			await expectRefused(
				device(),
				({ model, raw }) => {
					const outside = centre(raw());
					let runs = 0;
					const f = (u: Tensor): Tensor => (++runs >= from ? mul(u, outside) : u);
					return { loss: ({ x }) => sum(mul(x, checkpoint(f, [model.w.value]))) };
				},
				"privacy/outside-read",
			);
		}
	});

	it("a backward pass of customVjp reads nothing from outside", async () => {
		await expectRefused(
			device(),
			({ model, raw }) => {
				const outside = centre(raw());
				const evil = customVjp({ name: "evil", forward: (w) => ({ value: sum(w) }), backward: (dy) => [mul(outside, dy)] });
				return { loss: () => evil(model.w.value) };
			},
			"privacy/outside-read",
		);
	});
});

describe("from one batch to the next", () => {
	const kept: Readonly<Record<string, (x: Tensor) => Tensor>> = {
		"the record": (x) => x,
		"a view of it": (x) => reshape(x, [2, 2]),
		"what was computed from it": (x) => mean(x),
	};

	it.each(Object.keys(kept))("%s of an earlier batch is refused", async (name) => {
		await expectRefused(
			device(),
			({ model, device: d }) => {
				let before: Tensor | undefined;
				return {
					loss: ({ x }: { x: Tensor }) => {
						const own = kept[name](x);
						const y = before === undefined ? x : sub(x, mean(before));
						before = d.keep(own);
						return model.call(y);
					},
				};
			},
			"vmap/kept",
		);
	});

	it("it is refused too when it went through the model, or through a scope", async () => {
		await expectRefused(
			device(),
			({ model, device: d }) => {
				let isFirst = true;
				return {
					loss: ({ x }) => {
						const y = isFirst ? x : sub(x, model.frozen.value);
						isFirst = false;
						model.frozen.value = d.keep(mul(x, 2));
						return model.call(y);
					},
				};
			},
			"vmap/kept",
		);
		await expectRefused(
			device(),
			({ model, device: d }) => {
				const seen: Tensor[] = [];
				return {
					loss: ({ x }) => {
						const own = d.scope(() => [mul(x, 2)]);
						seen.push(d.keep(own[0]));
						return model.call(sub(x, seen[0]));
					},
				};
			},
			"vmap/kept",
		);
	});

	it("a constant of an earlier batch is refused as well", async () => {
		await expectRefused(
			device(),
			({ model, device: d }) => {
				let before: Tensor | undefined;
				return {
					loss: ({ x }: { x: Tensor }) => {
						before ??= d.keep(zeros(d, [D]));
						return model.call(sub(x, before));
					},
				};
			},
			"privacy/outside-read",
		);
	});

	it("a kept record is not read outside either", async () => {
		let kept: Tensor | undefined;
		await expectBounded(device(), ({ model, device: d }) => ({
			loss: ({ x }) => {
				kept = d.keep(x);
				return model.call(x);
			},
		}));
		expect(() => data(kept as Tensor)).toThrow(expect.objectContaining({ code: "vmap/read" }));
		expect(() => mul(kept as Tensor, kept as Tensor)).toThrow(expect.objectContaining({ code: "vmap/kept" }));
		kept?.dispose();
	});
});

describe("what a loss may not do", () => {
	const actions: Readonly<Record<string, readonly [code: string, act: (x: Tensor, scene: Parameters<Attack>[0]) => unknown]>> = {
		"write a record into a buffer": ["assign/operands", (x, { model }) => assign(model.table.value, x)],
		"write a constant into a buffer": ["privacy/outside-write", (x, { model }) => assign(model.table.value, zeros(x.device, [D]))],
		"write a record into a parameter": ["assign/operands", (x, { model }) => assign(model.w.value, x)],
		"assign a trained parameter": ["assign/operands", (x, { model }) => model.w.assign(mul(x, 2))],
		"write host values into a buffer": ["privacy/outside-data", (_, { model }) => write(model.table.value, new Float32Array(D))],
		"upload host values": ["privacy/outside-data", (_, { device: d }) => d.fromHost([1], [])],
		"upload by tensor()": ["privacy/outside-data", (_, { device: d }) => tensor(d, [1], [])],
		"draw random numbers on the host": ["privacy/outside-data", (_, { device: d }) => normal(d, [D], key(1))],
		"make a dropout key": ["privacy/outside-data", (_, { device: d }) => DropoutKey.of(d, key(1))],
		"read the record": ["privacy/outside-data", (x) => void data(x)],
		"read a constant": ["privacy/outside-data", (x) => void data(zeros(x.device, [1]))],
		"capture a step": ["capture/inside", (x) => capture(x.device, () => mul(x, x))],
		"read the only element": ["privacy/outside-data", (x) => void item(sum(x))],
		"call vmap": ["vmap/nested", (x) => vmap((y: Tensor) => y)(x)],
		"call vmap over nothing": ["vmap/batch", (x) => vmap((y: Tensor) => y, { inAxes: null })(x)],
	};

	it.each(Object.keys(actions))("%s", async (name) => {
		const [code, act] = actions[name];
		await expectRefused(
			device(),
			(scene) => ({
				loss: ({ x }) => {
					act(x, scene);
					return scene.model.call(x);
				},
			}),
			code,
		);
	});

	it("run a step of an optimiser with its own gradient", async () => {
		const attack: Attack = ({ model, device: d }) => {
			const other = new Parameter([D]);
			other.assign(d.fromHost(new Float32Array(D), [D]));
			const sgd = new SGD([other], { lr: 1 });
			return {
				loss: ({ x }) => {
					sgd.step([x]);
					return model.call(x);
				},
			};
		};
		await expectRefused(device(), attack, "optim/grad-shape");
	});

	it("start a private step, or another engine's", async () => {
		const codes: unknown[] = [];
		await expectBounded(device(), ({ model, optimizer }) => {
			const other = PrivacyEngine.makePrivateWithEpsilon({
				optimizer,
				datasetSize: N,
				expectedBatchSize: N,
				targetEpsilon: 8,
				targetDelta: 1e-3,
				steps: 1,
				maxGradNorm: 1,
				noise: insecureNoiseForTests(1),
			});
			return {
				loss: ({ x }) => {
					other
						.step(
							() => ({ x: new Float32Array(D) }),
							() => model.call(x),
						)
						.catch((error) => codes.push(error.code));
					return model.call(x);
				},
			};
		});
		expect(new Set(codes)).toEqual(new Set(["privacy/started-inside"]));
	});

	it("checks for NaN may look at a record: they change nothing", async () => {
		await expectBounded(device(), ({ model }) => ({
			loss: ({ x }) => {
				checkFinite(x, "the record");
				return model.call(x);
			},
		}));
	});
});
