import * as dp from "@hushgrad/dp";
import { Batcher, BoundedSum, GaussianMechanism, PrivacyEngine, PrivacyLedger, secureNoise } from "@hushgrad/dp";
import { Linear, Module } from "@hushgrad/nn";
import { assign, capture, Device, key, mean, reshape, square, sub, sum, Tensor, zeros } from "@hushgrad/tensor";
import { Kernel, KernelFamily, Physical, Primitive, runtimeOf } from "@hushgrad/tensor/author";
import { registry } from "@hushgrad/tensor/registry";
import { describe, expect, it } from "vitest";
import { problem } from "../dp/problem.ts";
import { useDevice } from "../support/device.ts";
import { type Attack, attempt, D, expectBounded, expectRefused, ROWS } from "./harness.ts";

const device = useDevice();

describe("what is frozen", () => {
	const writes: Readonly<Record<string, Attack>> = {
		"the shape of a record: a longer one would reach into the next": ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				(x.shape as number[])[0] = 2 * D;
				return model.call(sum(reshape(x, [2, D]), [0]));
			},
		}),
		"another shape in its place": ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				Object.defineProperty(x, "shape", { value: [2 * D] });
				return model.call(sum(reshape(x, [2, D]), [0]));
			},
		}),
		"its element type": ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				(x as { dtype: string }).dtype = "bf16";
				return model.call(x);
			},
		}),
		"its size": ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				Object.defineProperty(x, "size", { value: 2 * D });
				return model.call(sum(reshape(x, [2, D]), [0]));
			},
		}),
		"the size of all tensors": ({ model }) => ({
			loss: ({ x }: { x: Tensor }) => {
				Object.defineProperty(Tensor.prototype, "size", { get: () => 2 * D });
				return model.call(sum(reshape(x, [2, D]), [0]));
			},
		}),
		"uploads of the device": ({ model, device: d }) => {
			const seen: Tensor[] = [];
			const own = d.fromHost.bind(d);
			d.fromHost = (...args) => {
				seen.push(own(...args));
				return seen[seen.length - 1];
			};
			return { loss: ({ x }) => model.call(sub(x, mean(seen[0], [0]))) };
		},
		"uploads of all devices": ({ model }) => {
			Device.prototype.fromHost = () => {
				throw new Error("not reached");
			};
			return { loss: ({ x }) => model.call(x) };
		},
		"the plan": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async (engine) => {
				(engine.plan as { noiseMultiplier: number }).noiseMultiplier = 0;
			},
		}),
		"the plan's place": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async (engine) => {
				Object.defineProperty(engine, "plan", { value: {} });
			},
		}),
		"the epsilon that a statement prints": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async (engine) => {
				engine.getEpsilon = () => 0;
			},
		}),
		"the noise of a source": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				secureNoise().fillNormals = (out) => void out.fill(0);
			},
		}),
		"the noise of all sources": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				Object.getPrototypeOf(secureNoise()).fillNormals = (out: Float64Array) => void out.fill(0);
			},
		}),
		"what a secure source gives in place of noise": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				Object.assign(secureNoise().study, { noise: (_: number, length: number) => new Float64Array(length) });
			},
		}),
		"the noise of all draws": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				const draw = new GaussianMechanism({ length: D, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1 }).draw(secureNoise());
				Object.getPrototypeOf(draw).take = () => new Float64Array(D + 1);
			},
		}),
		"whose a draw is: that of a mechanism with less noise in place of it": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				const of = (noiseMultiplier: number) => new GaussianMechanism({ length: D, maxGradNorm: 1, noiseMultiplier, expectedBatchSize: 1 });
				Object.assign(of(0).draw(secureNoise()), { mechanism: of(1) });
			},
		}),
		"the batches of all records": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				const own = Batcher.prototype.stage;
				Batcher.prototype.stage = function (indices, ...others) {
					return own.call(this, indices.fill(indices[0]), ...others);
				};
			},
		}),
		"the uploads of all batches": ({ model, device: d, records }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				const staged = new Batcher(d).stage(Int32Array.of(0, 1), (i) => ({ x: records[i] }), key(1));
				Object.getPrototypeOf(staged).upload = () => staged.upload(d);
			},
		}),
		"the sum of a mechanism": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				BoundedSum.prototype.read = async () => new Float64Array(D + 1);
			},
		}),
		"the epsilon of all plans": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async (engine) => {
				Object.getPrototypeOf(engine.plan).epsilonAfter = () => 0;
			},
		}),
		"what a ledger has noted": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				PrivacyLedger.prototype.runsOn = () => [];
			},
		}),
		"the epsilon of all statements": ({ model }) => ({
			loss: ({ x }) => model.call(x),
			run: async () => {
				PrivacyEngine.prototype.getEpsilon = () => 0;
			},
		}),
	};

	it.each(Object.keys(writes))("%s", async (name) => {
		await expectRefused(device(), writes[name], "frozen");
	});

	it("every class that an engine works with, and what its objects give", async () => {
		const { engine, encode, loss } = problem(device());
		const report = await engine.step(encode, loss);
		const mechanism = new GaussianMechanism({ length: D, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1 });
		const objects = [engine.plan, report, report.private, mechanism.draw(secureNoise()), secureNoise()];
		const classes = Object.values(dp).filter((v) => typeof v === "function" && Object.getOwnPropertyNames(v.prototype ?? {}).length > 1);
		expect(classes.length).toBeGreaterThan(6);
		for (const c of classes)
			if (c !== dp.PlainTrainer) expect(Object.isFrozen((c as { prototype: object }).prototype), String(c)).toBe(true);
		for (const o of objects)
			expect([Object.isFrozen(o), Object.isFrozen(Object.getPrototypeOf(o))], o.constructor.name).toEqual([true, true]);
	});

	it("every operation and kernel that a program is run by", () => {
		const { primitives, numbered, derived, kernels } = registry;
		const all = [...primitives, ...numbered, ...derived];
		expect(all.length).toBeGreaterThan(100);
		const specs = [...all.flatMap(({ spec }) => [spec, spec.grad]), ...kernels.flatMap((k) => (k instanceof Kernel ? [k.spec] : []))];
		for (const o of [...all, ...kernels, ...specs]) expect(Object.isFrozen(o), String(o)).toBe(true);
		for (const c of [Primitive, Kernel, KernelFamily, Physical, runtimeOf(device()).constructor])
			expect(Object.isFrozen(c.prototype), c.name).toBe(true);
	});

	it("no source is made through the class of another one", () => {
		const { constructor: Source } = secureNoise() as unknown as { constructor: new (...args: unknown[]) => never };
		const zero = (): number => 0;
		for (const args of [
			[zero, { secure: true }],
			[Symbol("made here"), zero, { secure: true }],
		]) {
			expect(() => new Source(...args)).toThrow(expect.objectContaining({ code: "privacy/noise-source" }));
		}
	});

	it("a program with the text of another one is not that program", async () => {
		await expectRefused(
			device(),
			({ model, records }) => {
				let seen = 0;
				const honest = (i: number) => ({ x: records[i] });
				const mixing = (i: number) => ({ x: records[i].map((v) => v * ++seen) });
				for (const f of [honest, mixing]) f.toString = () => "the same";
				return {
					loss: ({ x }) => model.call(x),
					run: async (engine, _, loss) => {
						await engine.step(honest, loss);
						await engine.step(mixing, loss);
					},
				};
			},
			"privacy/records-mix",
			{ steps: 2 },
		);
	});

	it("options that change after planning change nothing", async () => {
		await expectBounded(device(), ({ model }) => {
			const options = { physicalBatchSize: ROWS, maxGradNorm: 1 };
			return {
				options,
				loss: ({ x }) => {
					Object.assign(options, { maxGradNorm: 1e6, noise: secureNoise(), model: undefined, datasetSize: 1 });
					return model.call(x);
				},
			};
		});
	});

	it("a tensor that only looks like one is none", async () => {
		for (const fake of [(x: Tensor) => Object.create(x), (x: Tensor) => new Proxy(x, {}), (x: Tensor) => ({ ...x })]) {
			await expect(attempt(device(), ({ model }) => ({ loss: ({ x }) => model.call(fake(x)) }))).resolves.toEqual({
				refused: "call/argument",
			});
		}
	});

	it("a class that overrides how a model is called has no more rights than a loss", async () => {
		class Spy extends Module {
			readonly inner = new Linear(D, 1, { bias: false });
			forward(x: Tensor): Tensor {
				return square(sum(this.inner.call(x)));
			}
		}
		await expectRefused(
			device(),
			({ model, raw }) => {
				const all = raw();
				const own = model.forward.bind(model);
				model.forward = (x: Tensor) => own(sub(x, mean(all, [0])));
				return { loss: ({ x }) => model.call(x) };
			},
			"privacy/outside-read",
		);
		expect(() => new Spy().call(zeros(device(), [D]))).toThrow(expect.objectContaining({ code: "parameter/empty" }));
	});

	it("a replayed step neither runs inside a loss nor outlives the memory it writes", async () => {
		const centred = (x: Tensor) => capture(x.device, () => assign(x, sub(x, mean(x, [0]))));
		const plant = (d: Device) => {
			const [first, x] = [zeros(d, [ROWS, D]), zeros(d, [ROWS, D])];
			const rest = Array.from({ length: 60 }, () => zeros(d, [ROWS, D]));
			const step = centred(x);
			for (const t of [first, x]) t.dispose();
			return { step, rest };
		};
		await expectRefused(
			device(),
			({ model, device: d }) => {
				const { step } = plant(d);
				return {
					loss: ({ x }) => {
						step.replay();
						return model.call(x);
					},
				};
			},
			"capture/inside",
		);
		// Between the upload of a batch and its program, where the engine asks the model for its public tensors.
		await expectBounded(
			device(),
			({ model, device: d }) => {
				const { step, rest } = plant(d);
				let asked = 0;
				const own = model.stateTensors.bind(model);
				model.stateTensors = function* () {
					if (rest.length > 0 && asked++ > 3) step.replay();
					yield* own();
				};
				return { loss: ({ x }) => model.call(x) };
			},
			{ steps: 2 },
		);
	});
});
