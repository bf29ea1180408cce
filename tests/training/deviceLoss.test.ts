import { AdamW, Parameter } from "@hushgrad/nn";
import {
	checkFinite,
	crossEntropy,
	type Device,
	type DeviceError,
	data,
	gelu,
	key,
	linear,
	normalValues,
	requestDevice,
	type Tensor,
	valueAndGrad,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { destroyAtDispatch } from "../support/lostDevice.ts";

const STEPS = 6;
const SHAPES = [
	[16, 8],
	[8, 16],
	[4, 8],
];

/** What a run needs to go on: parameters and the steps behind them. */
interface Checkpoint {
	readonly steps: number;
	readonly values: readonly Float32Array[];
}

const START: Checkpoint = { steps: 0, values: SHAPES.map((s, i) => normalValues(key(i), s[0] * s[1]).map((v) => 0.3 * v)) };

/** Plain gradient descent from a checkpoint; every step ends by reading the status word. */
class Run {
	readonly device: Device;
	readonly parameters: Parameter[];
	steps: number;

	constructor(device: Device, { steps, values }: Checkpoint) {
		this.device = device;
		this.steps = steps;
		this.parameters = SHAPES.map((shape, i) => {
			const p = new Parameter(shape);
			p.assign(device.fromHost(values[i], shape));
			return p;
		});
	}

	async step(): Promise<number> {
		const { device, parameters } = this;
		const loss = device.scope<Tensor>(() => {
			const x = device.fromHost(normalValues(key(100 + this.steps), 5 * 8), [5, 8]);
			const labels = device.fromHost(Int32Array.of(0, 1, 2, 3, this.steps % 4), [5]);
			const { value, grads } = valueAndGrad(() => {
				const h = parameters.slice(0, 2).reduce((t, w) => gelu(linear(t, w.value)), x);
				return crossEntropy(linear(h, parameters[2].value), labels);
			}, parameters);
			const optimizer = new AdamW(parameters, { lr: 0.01, weightDecay: 0 });
			optimizer.step(grads);
			optimizer.dispose();
			checkFinite(value, "the loss");
			return value;
		});
		await device.flush();
		this.steps++;
		const [value] = await data(loss);
		loss.dispose();
		return value;
	}

	async checkpoint(): Promise<Checkpoint> {
		const values = await Promise.all(this.parameters.map(async (p) => (await data(p.value)) as Float32Array));
		return { steps: this.steps, values };
	}
}

/** Settles like the promise, or rejects when it has not within five seconds. */
function withinFiveSeconds<T>(promise: Promise<T>): Promise<T> {
	const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error("pending after 5 s")), 5000).unref());
	return Promise.race([promise, late]);
}

describe("a device that is lost in the middle of a step", () => {
	it("at 20 points: the step rejects in time, is not counted, and a new device goes on to the same end", async () => {
		const whole = await requestDevice();
		const uninterrupted = new Run(whole, START);
		const before = whole.counters().dispatches;
		for (let i = 0; i < STEPS; i++) await uninterrupted.step();
		const perStep = (whole.counters().dispatches - before) / STEPS;
		const expected = await uninterrupted.checkpoint();
		whole.destroy();

		for (let trial = 0; trial < 20; trial++) {
			const device = await requestDevice();
			const run = new Run(device, START);
			const done = trial % STEPS;
			for (let i = 0; i < done; i++) await run.step();
			const saved = await run.checkpoint();
			destroyAtDispatch(device, Math.floor((normalValues(key(trial), 1)[0] ** 2 * 7919) % perStep));
			const pending: Promise<unknown>[] = [data(run.parameters[0].value), device.flush()];
			const waiting = pending.map((p) => withinFiveSeconds(p).catch((e: unknown) => e));
			const error = await withinFiveSeconds(run.step()).then(
				() => undefined,
				(e: DeviceError) => e,
			);
			expect(error).toMatchObject({ name: "DeviceError", code: "device/lost", hint: expect.stringContaining("checkpoint") });
			expect(run.steps).toBe(done);
			for (const p of waiting) expect((await p) instanceof Error && ((await p) as Error).message).not.toBe("pending after 5 s");
			await expect(withinFiveSeconds(run.step())).rejects.toMatchObject({ code: "device/lost" });
			await expect(withinFiveSeconds(device.flush())).rejects.toMatchObject({ code: "device/lost" });

			const fresh = await requestDevice();
			const resumed = new Run(fresh, saved);
			while (resumed.steps < STEPS) await resumed.step();
			expect(await resumed.checkpoint()).toEqual(expected);
			fresh.destroy();
			device.destroy();
		}
	});

	it("says that it was destroyed when we did it ourselves", async () => {
		const device = await requestDevice();
		const x = device.fromHost([1], [1]);
		device.destroy();
		await expect(withinFiveSeconds(data(x))).rejects.toMatchObject({ code: "device/destroyed" });
	});
});
