import { GaussianMechanism, insecureNoiseForTests, PrivacyEngine } from "@hushgrad/dp";
import { type AdamW, Parameter, ParameterVector, SGD } from "@hushgrad/nn";
import { capture, type Device, data, full, mul, ones, sum, type Tensor, valueAndGrad, vmap, write, zeros } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { type Attack, attempt, D, expectBounded, expectRefused, Lab, N, ROWS } from "./harness.ts";

const device = useDevice();

/** An engine over parameters of a model with this optimiser. */
const engineOf = (optimizer: SGD | AdamW, options: object = {}): PrivacyEngine =>
	PrivacyEngine.makePrivateWithEpsilon({
		optimizer,
		datasetSize: N,
		expectedBatchSize: N,
		physicalBatchSize: ROWS,
		targetEpsilon: 8,
		targetDelta: 1e-3,
		steps: 4,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(1),
		...options,
	});

const weight = (d: Device, size = D): Parameter => {
	const p = new Parameter([size]);
	p.assign(full(d, [size], 0.5));
	return p;
};
const encode = (i: number) => ({ x: Float32Array.from({ length: D }, (_, k) => Math.sin(i + k)) });

describe("A11: losses that train nothing", () => {
	const losses: Readonly<Record<string, Attack>> = {
		"a constant": ({ device: d }) => ({ loss: () => full(d, [], 1) }),
		"the record alone": () => ({ loss: ({ x }) => sum(x) }),
		"a frozen weight": ({ model }) => ({ loss: ({ x }) => sum(mul(x, model.frozen.value)) }),
		"another model's weight": ({ device: d }) => {
			const other = new Lab();
			other.w.assign(full(d, [D], 1));
			return { loss: ({ x }) => other.call(x), options: { model: other } };
		},
		nothing: () => ({ loss: () => undefined as never }),
		"a number": () => ({ loss: () => 1 as never }),
		"a vector": ({ model }) => ({ loss: ({ x }) => mul(x, model.w.value) }),
		"a promise": ({ model }) => ({ loss: (async ({ x }: { x: Tensor }) => model.call(x)) as never }),
	};

	it.each(Object.keys(losses))("%s is refused", async (name) => {
		await expectRefused(device(), losses[name], "privacy/loss");
	});
});

describe("A11: optimisers", () => {
	it("gradients of single records do not go to an optimiser", () => {
		const p = weight(device());
		const sgd = new SGD([p], { lr: 1 });
		device().scope(() => {
			const x = device().fromHost(new Float32Array(ROWS * D), [ROWS, D]);
			const each = vmap((r: Tensor) => valueAndGrad(() => sum(mul(r, p.value)), [p]).grads)(x);
			expect(() => sgd.step(each)).toThrow(expect.objectContaining({ code: "optim/grad-shape" }));
			const within = (r: Tensor): Tensor => {
				sgd.step(valueAndGrad(() => sum(mul(r, p.value)), [p]).grads);
				return r;
			};
			expect(() => vmap(within)(x)).toThrow(expect.objectContaining({ code: "optim/grad-shape" }));
		});
		expect(sgd.steps).toBe(0);
		sgd.dispose();
		p.dispose();
	});

	it("an optimiser whose step moves other tensors than it shows is noticed in the first step", async () => {
		const [shown, moved] = [weight(device()), weight(device())];
		const [a, b] = [new SGD([shown], { lr: 1 }), new SGD([moved], { lr: 1 })];
		const mixed = { lr: 1, vector: a.vector, step: (g: Tensor) => b.step(g) };
		const engine = engineOf(mixed as unknown as SGD);
		await expect(engine.step(encode, ({ x }) => sum(mul(x, shown.value)))).rejects.toMatchObject({ code: "privacy/not-training" });
		for (const o of [a, b]) o.dispose();
		for (const p of [shown, moved]) p.dispose();
	});

	it("a parameter that is added after planning is frozen and public, not trained", async () => {
		await expectBounded(device(), ({ model, device: d }) => {
			const added = Object.assign(model, { added: weight(d) });
			return { loss: ({ x }) => model.call(mul(x, added.added.value)) };
		});
	});

	it("another vector after planning: the engine stays with the one it planned for", async () => {
		await expectBounded(device(), ({ model, optimizer, device: d }) => ({
			loss: ({ x }) => model.call(x),
			run: async (engine, e, loss) => {
				const large = new ParameterVector([weight(d, 1000)], "large");
				const { vector } = optimizer;
				Object.assign(optimizer, { vector: large });
				await engine.step(e, loss);
				Object.assign(optimizer, { vector });
				large.dispose();
			},
		}));
	});

	it("more parameters in the list after planning do not fit the sum", async () => {
		const outcome = await attempt(device(), ({ model, optimizer, device: d }) => ({
			loss: ({ x }) => sum(mul(model.call(x), weight(d).value)),
			run: async (engine, e, loss) => {
				(optimizer.vector.parameters as Parameter[]).push(weight(d));
				await engine.step(e, loss);
			},
		}));
		expect(outcome).toHaveProperty("refused");
	});

	it("two engines on one optimiser: each bounds its own sums and speaks for itself", async () => {
		const other: { engine?: PrivacyEngine } = {};
		await expectBounded(device(), ({ model, optimizer, records }) => {
			other.engine = engineOf(optimizer as unknown as SGD, { datasetSize: records.length, expectedBatchSize: records.length });
			return {
				loss: ({ x }) => model.call(x),
				run: async (engine, e, loss) => {
					await engine.step(e, loss);
					await other.engine?.step(e, loss);
					expect([engine.steps, other.engine?.steps]).toEqual([1, 1]);
				},
			};
		});
		expect(other.engine?.statement()).toMatch(/T = 1 of 4/);
	});

	it("a raw step of the optimiser between two private ones, by whatever way the numbers are written", async () => {
		const ways: Readonly<Record<string, (optimizer: SGD, w: Parameter) => void>> = {
			"a step with a gradient of one's own": (optimizer, w) => optimizer.step([ones(device(), w.shape)]),
			"a replayed step": (optimizer, w) => {
				const g = device().keep(ones(device(), w.shape));
				optimizer.prepare();
				const step = capture(device(), () => optimizer.update([g]));
				step.replay();
				step.dispose();
				g.dispose();
			},
			"another engine": () => {},
			"the vector is written": (optimizer) => write(optimizer.vector.tensor, new Float32Array(D)),
			"the parameter is assigned": (_, w) => w.assign(zeros(device(), w.shape)),
		};
		for (const [name, touch] of Object.entries(ways)) {
			const w = weight(device());
			const optimizer = new SGD([w], { lr: 0.1 });
			const [engine, other] = [engineOf(optimizer), engineOf(optimizer)];
			const loss = ({ x }: { readonly x: Tensor }): Tensor => sum(mul(x, w.value));
			await engine.step(encode, loss);
			await engine.step(encode, loss);
			if (name === "another engine") await other.step(encode, loss);
			device().scope<void>(() => touch(optimizer, w));
			const before = await data(w.value);
			await expect(engine.step(encode, loss), name).rejects.toMatchObject({ name: "PrivacyError", code: "privacy/moved-between" });
			expect(engine.steps, name).toBe(2);
			expect(await data(w.value), name).toEqual(before);
		}
	});

	it("reading the parameters between steps is no touching: evaluation, saving, a captured forward pass", async () => {
		const w = weight(device());
		const optimizer = new SGD([w], { lr: 0.1 });
		const engine = engineOf(optimizer);
		const loss = ({ x }: { readonly x: Tensor }): Tensor => sum(mul(x, w.value));
		for (let step = 0; step < 2; step++) {
			await engine.step(encode, loss);
			const forward = capture(device(), () => sum(w.value));
			forward.replay();
			forward.dispose();
			await data(optimizer.vector.tensor);
		}
		expect(engine.steps).toBe(2);
	});

	it("two steps of one engine at once: both are counted, both are bounded", async () => {
		await expectBounded(
			device(),
			({ model, records }) => {
				const noise = insecureNoiseForTests(5);
				return {
					options: { noise },
					loss: ({ x }) => model.call(x),
					run: async (engine, e, loss) => {
						const first = engine.step(e, loss);
						if (records.length < N) noise.uniform53();
						const both = await Promise.all([first, engine.step(e, loss)]);
						expect(both.map((r) => r.step)).toEqual([1, 2]);
						await expect(engine.step(e, loss)).rejects.toMatchObject({ code: "privacy/plan-spent" });
					},
				};
			},
			{ steps: 2 },
		);
	});

	it("a sum counts a record once, whatever its weight", async () => {
		const mechanism = new GaussianMechanism({ length: D, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 1 });
		const total = mechanism.newSum(device());
		device().scope(() => {
			const g = device().fromHost([10, 0, 0, 0, 0, 10, 0, 0], [2, D]);
			total.add([g], device().fromHost([50, -3], [2]));
		});
		const values = [...(await total.read())].map((v) => v * mechanism.grid);
		expect(values[0]).toBeGreaterThan(0.999999);
		expect(values[0]).toBeLessThanOrEqual(mechanism.sensitivity);
		expect(values.slice(1)).toEqual([0, 0, 0, 0]);
		total.dispose();
	});
});
