import type { ReplayMode } from "@hushgrad/dp";
import { assign, type Device, data, key, mul, normalValues, requestDevice, square, sub, sum, tanh } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AnyLoss, attempt, D, expectRefused, type Scene } from "./harness.ts";

/** What the engine said. */
const said: string[] = [];
let own: Device | undefined;
beforeAll(async () => {
	own = await requestDevice({ debug: { log: (text: string) => said.push(text) } });
});
afterAll(() => own?.destroy());
const device = (): Device => own as Device;

/** Rows of a physical batch: four batches a step. */
const ROWS = 2;
const STEPS = 6;

/** The means that an optimiser is given in each step. */
async function meansOf(replay: ReplayMode, attack: (scene: Scene) => AnyLoss, between?: (scene: Scene, step: number) => void) {
	const given: number[][] = [];
	await attempt(
		device(),
		(scene) => {
			return {
				loss: attack(scene),
				options: { physicalBatchSize: ROWS, replay },
				run: async (engine, encode, loss) => {
					for (let step = 0; step < STEPS; step++) {
						between?.(scene, step);
						await engine.step(encode, loss);
					}
					for (const mean of scene.optimizer.given) given.push([...(await data(mean))]);
				},
			};
		},
		{ steps: STEPS },
	);
	expect(given.length).toBe(2 * STEPS);
	return given;
}

describe("a program that changes is not replayed as it was", () => {
	const changing: Readonly<Record<string, () => { loss: (scene: Scene) => AnyLoss; between?: (scene: Scene, step: number) => void }>> = {
		"a weight of a curriculum": () => {
			let weight = 1;
			return {
				loss:
					({ model }) =>
					({ x }) =>
						mul(square(model.call(x)), weight),
				between: (_, step) => {
					weight = [1, 1, 1, 0.5, 0.5, 0.25][step];
				},
			};
		},
		"another branch": () => {
			let isLate = false;
			return {
				loss:
					({ model }) =>
					({ x }) =>
						isLate ? tanh(model.call(x)) : square(model.call(x)),
				between: (_, step) => {
					isLate = step >= 3;
				},
			};
		},
		"a number that only the batch has whose kernels are kept": () => {
			let calls = 0;
			return {
				loss:
					({ model }) =>
					({ x }) => {
						// One call for the first batch, two for its self-check, one for the second batch.
						calls++;
						return mul(square(model.call(x)), calls % 100 === 4 ? 3 : 1);
					},
				between: (_, step) => {
					if (step === 0) calls = 0;
				},
			};
		},
		"a frozen weight that is replaced": () => ({
			loss:
				({ model }) =>
				({ x }) =>
					square(sub(model.call(x), sum(mul(model.frozen.value, x)))),
			between: ({ model, device: d }, step) => {
				if (step === 3) model.frozen.assign(d.fromHost(normalValues(key(77), D), [D]));
			},
		}),
		"a buffer that is written in place": () => ({
			loss:
				({ model }) =>
				({ x }) =>
					square(sub(model.call(x), sum(mul(model.table.value, x)))),
			between: ({ model, device: d }, step) => {
				if (step > 1) assign(model.table.value, d.fromHost(normalValues(key(step), D), [D]));
			},
		}),
		"the loss that is handed over": () => {
			const losses = [1, 2].map(
				(factor) =>
					({ model }: Scene): AnyLoss =>
					({ x }) =>
						mul(model.call(x), factor),
			);
			let now = 0;
			return {
				loss: (scene) => (record) => losses[now](scene)(record),
				between: (_, step) => {
					now = step % 2;
				},
			};
		},
	};

	it.each(Object.keys(changing))("%s", async (name) => {
		const [off, checked] = [changing[name](), changing[name]()];
		const recorded = await meansOf("off", off.loss, off.between);
		expect(new Set(recorded.slice(0, STEPS).map(String)).size).toBe(STEPS);
		expect(await meansOf("checked", checked.loss, checked.between)).toEqual(recorded);
	});

	it("even unchecked, another tensor is seen", async () => {
		const { loss, between } = changing["a frozen weight that is replaced"]();
		expect(await meansOf("unchecked", loss, between)).toEqual(await meansOf("off", loss, between));
	});
});

describe("what the host carries from record to record is found whether batches are replayed or not", () => {
	const carried: Readonly<Record<string, (scene: Scene) => { encode: (i: number) => { x: Float32Array }; loss: AnyLoss }>> = {
		"from encode() to the loss": ({ model, records }) => {
			let last = 0;
			return {
				encode: (i) => {
					last = records[i][0];
					return { x: records[i] };
				},
				loss: ({ x }) => mul(model.call(x), last),
			};
		},
		"from call to call": ({ model, records }) => {
			let calls = 0;
			return { encode: (i) => ({ x: records[i] }), loss: ({ x }) => mul(model.call(x), 1 + calls++) };
		},
	};
	const modes: readonly ReplayMode[] = ["off", "checked", "unchecked"];
	it.each(Object.keys(carried).flatMap((name) => modes.map((mode) => [name, mode] as const)))("%s (%s)", async (name, replay) => {
		const attack = (scene: Scene) => ({ ...carried[name](scene), options: { physicalBatchSize: ROWS, replay } });
		await expectRefused(device(), attack, "privacy/records-mix", { steps: 3 });
	});

	it("and no number of it is told", () => {
		expect(said.length).toBeGreaterThan(1);
		for (const text of said) expect(text).not.toMatch(/\d\.\d/);
	});
});
