import { insecureNoiseForTests, PlainTrainer, PrivacyEngine } from "@hushgrad/dp";
import { AdamW, Dropout, Module, Parameter } from "@hushgrad/nn";
import { add, type Device, type DropoutKey, foldIn, key, mul, normalValues, square, sum, type Tensor, tanh } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { BufferUsage } from "../../packages/tensor/src/gpu/flags.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const WIDTH = 16;
const N = 8;

/** A chain of small tensors, so many of them. */
class Chain extends Module {
	readonly weights: Parameter[];
	readonly drop = new Dropout(0.1);

	constructor(d: Device, count: number) {
		super();
		this.weights = Array.from({ length: count }, (_, i) => {
			const w = new Parameter([WIDTH]);
			w.assign(
				d.fromHost(
					normalValues(foldIn(key(0), i), WIDTH).map((v) => 0.1 * v),
					[WIDTH],
				),
			);
			return w;
		});
	}

	forward(x: Tensor, dropout?: DropoutKey): Tensor {
		return this.weights.reduce((t, w) => add(t, mul(t, tanh(w.value))), this.drop.call(x, dropout));
	}
}

interface Calls {
	submits: number;
	maps: number;
	buffers: number;
	writes: number;
	bindGroups: number;
}

/** What the library asks of the GPU while `act` runs. */
async function calls(d: Device, act: () => Promise<unknown>): Promise<Calls> {
	const found: Calls = { submits: 0, maps: 0, buffers: 0, writes: 0, bindGroups: 0 };
	const { gpu } = d;
	const probe = gpu.createBuffer({ size: 4, usage: BufferUsage.COPY_DST });
	const buffers = Object.getPrototypeOf(probe) as GPUBuffer;
	probe.destroy();
	const undo: (() => void)[] = [];
	const every = (): boolean => true;
	const count = <T extends object>(
		target: T,
		name: keyof T & string,
		kind: keyof Calls,
		isCounted: (first: unknown) => boolean = every,
	): void => {
		const own = Object.getOwnPropertyDescriptor(target, name);
		const before = target[name] as (...args: unknown[]) => unknown;
		Object.defineProperty(target, name, {
			configurable: true,
			writable: true,
			value(this: unknown, ...args: unknown[]) {
				if (isCounted(args[0])) found[kind]++;
				return before.apply(this, args);
			},
		});
		undo.push(() => (own === undefined ? delete target[name] : Object.defineProperty(target, name, own)));
	};
	count(gpu.queue, "submit", "submits");
	count(gpu.queue, "writeBuffer", "writes", (to) => (to as GPUBuffer).label !== "parameters");
	count(gpu, "createBuffer", "buffers");
	count(gpu, "createBindGroup", "bindGroups");
	count(buffers, "mapAsync", "maps");
	try {
		await act();
	} finally {
		for (const f of undo) f();
	}
	return found;
}

const encode = (i: number) => ({ x: normalValues(foldIn(key(7), i), WIDTH) });

/** The calls of each of some steps, after the first ones. */
async function stepsOf(
	trainer: { step(e: typeof encode, l: (r: { x: Tensor }, k?: DropoutKey) => Tensor): Promise<unknown> },
	model: Chain,
) {
	const loss = ({ x }: { readonly x: Tensor }, dropout?: DropoutKey): Tensor => sum(square(model.call(x, dropout)));
	for (let i = 0; i < 3; i++) await trainer.step(encode, loss);
	const found: Calls[] = [];
	for (let i = 0; i < 3; i++) found.push(await calls(device(), () => trainer.step(encode, loss)));
	return found;
}

const privately = (model: Chain, physicalBatchSize: number) =>
	PrivacyEngine.makePrivateWithEpsilon({
		optimizer: new AdamW(model.trainableParameters(), { lr: 0.01 }),
		model,
		datasetSize: N,
		expectedBatchSize: N,
		physicalBatchSize,
		targetEpsilon: 8,
		targetDelta: 1e-3,
		steps: 10,
		maxGradNorm: 1,
		noise: insecureNoiseForTests(1),
	});

const plainly = (model: Chain, physicalBatchSize: number) =>
	new PlainTrainer({
		optimizer: new AdamW(model.trainableParameters(), { lr: 0.01 }),
		datasetSize: N,
		batchSize: N,
		physicalBatchSize,
	});

describe("a step asks as little of the GPU with 60 trainable tensors as with 3", () => {
	it.each([
		["privately, in one physical batch", privately, N, { submits: 3, maps: 3 }],
		["privately, in four", privately, N / 4, { submits: 6, maps: 3 }],
		// One read more than it needs: losses and gradients are looked at before the parameters move. What is replayed goes out at once.
		["plainly, in one", plainly, N, { submits: 4, maps: 3 }],
	] as const)("%s", async (_, trainerOf, physicalBatchSize, most) => {
		const found: Calls[][] = [];
		for (const count of [3, 60]) {
			const model = new Chain(device(), count);
			expect(model.trainableParameters().size).toBe(count);
			found.push(await stepsOf(trainerOf(model, physicalBatchSize), model));
		}
		const [few, many] = found;
		// Commands are submitted 256 kernels at a time: a longer loss has more submits, and more of nothing else.
		const others = (steps: readonly Calls[]) => steps.map(({ submits, ...rest }) => rest);
		expect(others(many)).toEqual(others(few));
		for (const step of few) expect(step.submits).toBeLessThanOrEqual(most.submits);
		for (const step of many) {
			expect(step.submits).toBeLessThanOrEqual(most.submits + 4);
			expect(step.maps).toBeLessThanOrEqual(most.maps);
			expect(step.buffers).toBe(0);
			expect(step.bindGroups).toBe(0);
		}
	});
});
