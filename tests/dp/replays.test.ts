import {
	Batcher,
	type Clipping,
	type GradientMode,
	groupByUnit,
	PlainTrainer,
	PrivacyEngine,
	type ReplayMode,
	research,
	type Transcript,
} from "@hushgrad/dp";
import { fromPretrained, type TrainingRecord } from "@hushgrad/models";
import { AdamW, applyLora, Dropout, Linear, linearDecay, loraConfig, Module, SGD } from "@hushgrad/nn";
import {
	add,
	checkpoint,
	type Device,
	type DropoutKey,
	data,
	foldIn,
	gelu,
	type HostArray,
	key,
	mul,
	normal,
	normalValues,
	requestDevice,
	square,
	sub,
	sum,
	type Tensor,
	zeros,
} from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Replays } from "../../packages/dp/src/replays.ts";
import { useDevice } from "../support/device.ts";
import { goldenPath } from "../support/goldens.ts";

const device = useDevice();
const N = 22;
const [IN, HIDDEN, OUT] = [6, 10, 3];
const MODES: readonly ReplayMode[] = ["off", "checked", "unchecked"];

const encode = (i: number) => ({ x: normalValues(foldIn(key(2), i), IN), y: normalValues(foldIn(key(3), i), OUT) });
type Own = { readonly x: Tensor; readonly y: Tensor };

/** Two layers with dropout between them; the second may be recomputed in the backward pass. */
class Net extends Module {
	readonly fc1 = new Linear(IN, HIDDEN);
	readonly drop = new Dropout(0.3);
	readonly fc2 = new Linear(HIDDEN, OUT);

	forward(x: Tensor, dropout?: DropoutKey): Tensor {
		return this.fc2.call(checkpoint((t: Tensor) => gelu(t), [this.drop.call(this.fc1.call(x), dropout)]));
	}
}

function netOf(d: Device): Net {
	const net = new Net();
	[...net.namedParameters()].forEach(([, p], i) => {
		p.assign(
			d.fromHost(
				normalValues(key(40 + i), p.size).map((v) => 0.4 * v),
				p.shape,
			),
		);
	});
	return net;
}

const lossOf =
	(net: Net) =>
	({ x, y }: Own, dropout?: DropoutKey): Tensor =>
		sum(square(sub(net.call(x, dropout), y)));

interface Setting {
	readonly clipping?: Clipping;
	readonly gradients?: GradientMode;
	readonly steps?: number;
	readonly rows?: number;
}

const planned = {
	datasetSize: N,
	expectedBatchSize: 14,
	noiseMultiplier: 0.8,
	targetDelta: 1e-3,
	maxGradNorm: 1,
	allowMeaninglessEpsilon: true,
} as const;

interface Facts {
	readonly parameters: ArrayLike<number>;
	readonly reports: unknown[];
	readonly transcripts: Transcript[];
	/** Times that the loss was called. */
	readonly calls: number;
}

/** A private run of the network. */
async function privately(replay: ReplayMode, { clipping, gradients, steps = 6, rows = 4 }: Setting = {}): Promise<Facts> {
	const net = netOf(device());
	const transcripts: Transcript[] = [];
	const optimizer = new AdamW(net.trainableParameters(), { lr: 0.03, schedule: linearDecay(10) });
	const engine = PrivacyEngine.makePrivate({
		...planned,
		optimizer,
		model: net,
		clipping,
		gradients,
		replay,
		steps,
		physicalBatchSize: rows,
		noise: research({ seed: 5, transcript: (t) => transcripts.push(t) }),
	});
	const loss = vi.fn(lossOf(net));
	const reports = [];
	for (let i = 0; i < steps; i++) {
		const report = await engine.step(encode, loss);
		reports.push({ ...report.toJSON(), ...report.private.reveal() });
	}
	const parameters = await data(optimizer.vector.tensor);
	optimizer.dispose();
	net.dispose();
	return { parameters, reports, transcripts, calls: loss.mock.calls.length };
}

describe("a private run comes out the same bit for bit, whether its batches are recorded or replayed", () => {
	const clippings: readonly Clipping[] = [{ kind: "flat" }, { kind: "automatic" }, { kind: "perLayer" }, { kind: "adaptive" }];
	const gradients: readonly GradientMode[] = ["instantiated", "streamed"];
	it.each(clippings.flatMap((c) => gradients.map((g) => [c.kind, g, c] as const)))("%s clipping, %s gradients", async (_, g, clipping) => {
		const recorded = await privately("off", { clipping, gradients: g });
		expect(new Set(recorded.transcripts.map((t) => t.batch.length)).size).toBeGreaterThan(2);
		expect(new Set(recorded.transcripts.flatMap((t) => [...t.factors])).size).toBeGreaterThan(20);
		for (const mode of ["checked", "unchecked"] as const) {
			const { calls, ...replayed } = await privately(mode, { clipping, gradients: g });
			expect({ ...replayed, calls: recorded.calls }).toEqual(recorded);
			expect(calls).toBeLessThan(recorded.calls);
		}
	});
});

describe("replays", () => {
	it("of a private run call the loss twice, and then once a step or never", async () => {
		const { transcripts, calls } = await privately("off", { rows: 4 });
		const batches = transcripts.map((t) => Math.ceil(t.batch.length / 4));
		// The self-check of the first step runs its first batch twice more.
		expect(calls).toBe(batches.reduce((a, b) => a + b) + 2);
		expect(batches[0]).toBeGreaterThan(2);
		expect((await privately("checked", { rows: 4 })).calls).toBe(2 + 2 + 1 + 5);
		expect((await privately("unchecked", { rows: 4 })).calls).toBe(2 + 2 + 1);
	});

	it("go on from a saved state with the same bits", async () => {
		const states: Float32Array[] = [];
		for (const replay of MODES) {
			const net = netOf(device());
			const optimizer = new AdamW(net.trainableParameters(), { lr: 0.03 });
			const of = () => ({ optimizer, model: net, replay, physicalBatchSize: 4, noise: research({ seed: 5 }) });
			const first = PrivacyEngine.makePrivate({ ...planned, ...of(), clipping: { kind: "adaptive" }, steps: 8 });
			for (let i = 0; i < 4; i++) await first.step(encode, lossOf(net));
			const state = JSON.parse(JSON.stringify(first.state()));
			const second = PrivacyEngine.fromState(state, first.plan, of());
			for (let i = 0; i < 4; i++) await second.step(encode, lossOf(net));
			states.push((await data(optimizer.vector.tensor)) as Float32Array);
		}
		expect(states[1]).toEqual(states[0]);
		expect(states[2]).toEqual(states[0]);
	});

	it("of units, and of records that are handed over", async () => {
		const records = Array.from({ length: 3 * N }, (_, i) => ({ user: i % N, ...encode(i) }));
		const units = groupByUnit(records, (r) => r.user, { maxRecords: 3 });
		const found: unknown[] = [];
		for (const replay of MODES) {
			const [net, other] = [netOf(device()), netOf(device())];
			const of = (model: Net) => ({
				optimizer: new SGD(model.trainableParameters(), { lr: 0.1 }),
				...{ model, replay, physicalBatchSize: 4, noise: research({ seed: 5 }), steps: 4 },
			});
			const engine = PrivacyEngine.makePrivate({ ...planned, ...of(net), unit: { name: "user", maxRecords: 3 } });
			const single = PrivacyEngine.makePrivate({ ...planned, ...of(other) });
			for (let i = 0; i < 4; i++) {
				await engine.stepOnUnits(units, ({ x, y }) => ({ x, y }), lossOf(net));
				await single.stepOn(records.slice(0, N), ({ x, y }) => ({ x, y }), lossOf(other));
			}
			found.push([await data(net.fc1.weight.value), await data(other.fc1.weight.value)]);
		}
		expect(found[1]).toEqual(found[0]);
		expect(found[2]).toEqual(found[0]);
	});

	it.each([1, 2, 3])("of a plain run, with a last batch of another size (%d parts)", async (parts) => {
		const found: unknown[] = [];
		const calls: number[] = [];
		for (const replay of MODES) {
			const net = netOf(device());
			const optimizer = new AdamW(net.trainableParameters(), { lr: 0.03 });
			const trainer = new PlainTrainer({ optimizer, datasetSize: N, batchSize: 4 * parts - 1, physicalBatchSize: 4, replay });
			const loss = vi.fn(lossOf(net));
			const losses: number[] = [];
			for (let i = 0; i < 6; i++) losses.push((await trainer.step(encode, loss)).loss);
			found.push([losses, await data(optimizer.vector.tensor)]);
			calls.push(loss.mock.calls.length);
		}
		expect(found[1]).toEqual(found[0]);
		expect(found[2]).toEqual(found[0]);
		expect(calls[0]).toBe(6 * parts);
		expect(calls[2]).toBeLessThan(calls[0]);
	});

	it.each([true, false])("of a language model, privately and plainly (LoRA on NF4: %s)", async (isLora) => {
		const found: unknown[] = [];
		const record = (i: number) => ({
			ids: Int32Array.from({ length: 12 }, (_, t) => (7 * t + 13 * i + 3) % 101),
			targets: Int32Array.from({ length: 12 }, (_, t) => (7 * t + 13 * i + 10) % 101),
			weight: 1 / 12,
		});
		for (const replay of MODES) {
			const model = await fromPretrained(goldenPath("vaultgemma/capped"), {
				device: device(),
				...(isLora && { quantization: "nf4" as const }),
			});
			if (isLora)
				applyLora(model, loraConfig({ r: 4, lora_dropout: 0.1, target_modules: "all-linear" }), { device: device(), key: key(1) });
			const optimizer = new AdamW(model.trainableParameters(), { lr: 0.01 });
			const loss = vi.fn((own: TrainingRecord, dropout?: DropoutKey) => model.loss(own, { dropout }));
			const noise = research({ seed: 5 });
			const engine = PrivacyEngine.makePrivate({ ...planned, optimizer, model, replay, noise, steps: 5, physicalBatchSize: 4 });
			const reports = [];
			for (let i = 0; i < 5; i++) reports.push((await engine.step(record, loss)).private.reveal());
			const calls = loss.mock.calls.length;
			const trainer = new PlainTrainer({ optimizer, datasetSize: N, batchSize: 6, physicalBatchSize: 4, replay });
			const losses = [];
			for (let i = 0; i < 5; i++) losses.push((await trainer.step(record, loss)).loss);
			found.push([reports, losses, await data(optimizer.vector.tensor)]);
			if (replay === "unchecked") expect(calls).toBe(5);
		}
		expect(found[1]).toEqual(found[0]);
		expect(found[2]).toEqual(found[0]);
	});

	it("are given up where a step throws, and where the memory budget would refuse", async () => {
		const small = await requestDevice({ memoryBudget: 2 ** 20 });
		const net = netOf(small);
		const optimizer = new SGD(net.trainableParameters(), { lr: 0.1 });
		const engine = PrivacyEngine.makePrivate({ ...planned, optimizer, model: net, steps: 9, physicalBatchSize: 4, noise: research() });
		const loss = vi.fn(lossOf(net));
		const held = async (): Promise<number> => {
			await engine.step(encode, loss);
			return small.memory().liveBytes;
		};
		const most = await held();
		await expect(engine.step((i) => ({ x: i }) as never, loss)).rejects.toMatchObject({ code: "record/form" });
		const least = small.memory().liveBytes;
		expect(least).toBeLessThan(most);
		expect(await held()).toBe(most);
		const filler = small.scope(() => Array.from({ length: 7 }, () => zeros(small, [2 ** 15])));
		expect(await held()).toBe(most + 7 * 2 ** 17);
		expect(() => small.scope<void>(() => void zeros(small, [2 ** 15]))).toThrow(expect.objectContaining({ code: "device/budget" }));
		expect(small.memory().liveBytes).toBe(least + 7 * 2 ** 17);
		const { calls } = loss.mock;
		const before = calls.length;
		for (const t of filler) t.dispose();
		expect(await held()).toBe(most);
		expect(calls.length).toBeGreaterThan(before);
		small.destroy();
	});

	it("stay out of two steps at a time, which would compute in one memory", async () => {
		const found: unknown[] = [];
		for (const replay of MODES) {
			const net = netOf(device());
			const optimizer = new SGD(net.trainableParameters(), { lr: 0.05 });
			const trainer = new PlainTrainer({ optimizer, datasetSize: N, batchSize: 4, physicalBatchSize: 4, replay });
			const losses: number[] = [];
			for (let i = 0; i < 4; i++) {
				const both = await Promise.all([trainer.step(encode, lossOf(net)), trainer.step(encode, lossOf(net))]);
				losses.push(...both.map((r) => r.loss));
			}
			found.push([losses, await data(optimizer.vector.tensor)]);
		}
		expect(found[1]).toEqual(found[0]);
		expect(found[2]).toEqual(found[0]);
	});

	it("keep what is in use where memory is short", async () => {
		const replays = new Replays<Tensor>(device(), "checked");
		const staged = new Batcher(device()).stage(Int32Array.of(0, 1), encode, key(0));
		const program = { run: ({ record }: { record: unknown }) => mul((record as Own).x, 2) };
		const run = (): Promise<HostArray> =>
			replays.run({ name: "twice x", step: 1, isDue: false, staged }, program, (x) => {
				runtimeOf(device()).spare.release();
				return data(x);
			});
		const expected = [0, 1].flatMap((i) => [...encode(i).x.map((v) => 2 * v)]);
		for (let i = 0; i < 4; i++) expect([...(await device().scope(() => ({ done: run() })).done)]).toEqual(expected);
	});

	describe("of a plain loss that does more than compute", () => {
		afterEach(() => vi.restoreAllMocks());

		/** A loss by the number of the step, and what it has read. */
		type Doing = (net: Net, stepNow: () => number) => { readonly loss: (own: Own) => Tensor; readonly seen: Promise<number>[] };
		const losses: Readonly<Record<string, Doing>> = {
			"uploads a number": (net, stepNow) => ({
				loss: (own) => mul(lossOf(net)(own), device().fromHost([1 + stepNow()], [])),
				seen: [],
			}),
			"reads a tensor": (net) => {
				const seen: Promise<number>[] = [];
				const loss = (own: Own): Tensor => {
					seen.push(data(net.fc1.weight.value).then(([v]) => v));
					return lossOf(net)(own);
				};
				return { loss, seen };
			},
			"reads a tensor in some of the steps": (net, stepNow) => {
				const seen: Promise<number>[] = [];
				const loss = (own: Own): Tensor => {
					if (stepNow() === 3) seen.push(data(net.fc1.weight.value).then(([v]) => v));
					return lossOf(net)(own);
				};
				return { loss, seen };
			},
			"releases what it kept before": (net) => {
				let last: Tensor | undefined;
				const loss = (own: Own): Tensor => {
					last?.dispose();
					last = device().keep(mul(net.fc1.weight.value, 2));
					return lossOf(net)(own);
				};
				return { loss, seen: [] };
			},
			"draws by a key of the step": (net, stepNow) => ({
				loss: (own) => add(lossOf(net)(own), sum(mul(net.fc1.weight.value, normal(device(), [HIDDEN, IN], key(stepNow()))))),
				seen: [],
			}),
		};

		it.each(Object.keys(losses))("%s", async (name) => {
			const log = vi.spyOn(device().debug, "log").mockImplementation(() => {});
			const found: unknown[] = [];
			for (const replay of ["off", "checked"] as const) {
				const net = netOf(device());
				const optimizer = new SGD(net.trainableParameters(), { lr: 0.03 });
				const trainer = new PlainTrainer({ optimizer, datasetSize: N, batchSize: 8, physicalBatchSize: 4, replay });
				let step = 0;
				const { loss, seen } = losses[name](net, () => step);
				const reports = [];
				for (; step < 5; step++) reports.push((await trainer.step(encode, loss)).loss);
				expect((await Promise.all(seen)).every(Number.isFinite)).toBe(true);
				found.push([reports, await data(optimizer.vector.tensor)]);
			}
			expect(found[1]).toEqual(found[0]);
			expect(log).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/^a loss is called for every physical batch.*: \w/));
		});
	});
});
