import { PlainTrainer, type PlainTrainerOptions } from "@hushgrad/dp";
import { SGD } from "@hushgrad/nn";
import { data, foldIn, full, key, mul, permutation, requestDevice, sqrt, sum, type Tensor, valueAndGrad, zeros } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { afterEach, describe, expect, it, vi } from "vitest";
import { checkLoss, checkTrainedLoss } from "../../packages/dp/src/trainer.ts";
import { useDevice } from "../support/device.ts";
import { weight } from "./problem.ts";

const device = useDevice();
afterEach(() => vi.restoreAllMocks());
const any = (v: unknown): never => v as never;
type Row = { readonly x: Tensor };

/** A trainer of one weight of 15 numbers. */
function trainerOf(options: Partial<PlainTrainerOptions> = {}, lr = 0.5) {
	const w = weight(device());
	const optimizer = new SGD([w], { lr });
	const trainer = new PlainTrainer({ optimizer, datasetSize: 9, batchSize: 4, physicalBatchSize: 4, replay: "off", ...options });
	const loss = ({ x }: Row): Tensor => mul(sum(w.value), x);
	return { w, optimizer, trainer, loss };
}
const encode = (i: number) => ({ x: 2 ** i });
/** The records of a step, by definition. */
const drawn = (step: number, count = 9, size = 4, of = key(0)) => [...permutation(count, foldIn(foldIn(of, step), 0))].slice(0, size);
/** Mean over the records of what `encode` gives. */
const meanOf = (records: readonly number[]) => records.reduce((s, i) => s + 2 ** i, 0) / records.length;
const totalOf = async (w: { readonly value: Tensor }) => Array.from(await data(w.value)).reduce((s, v) => s + v, 0);

describe("a loss", () => {
	const refused = (message: string, hint: string) =>
		expect.objectContaining({ name: "PrivacyError", code: "privacy/loss", message: expect.stringContaining(message), hint });

	it("is one f32 number a record", () => {
		device().scope<void>(() => {
			const one = full(device(), [], 3);
			expect(checkLoss(one)).toBe(one);
			const reduce = "reduce it to one f32 number a record, with sum() or mean()";
			for (const t of [zeros(device(), [1]), zeros(device(), [2, 2]), device().fromHost([1], [], "i32")]) {
				expect(() => checkLoss(t)).toThrow(refused(`the loss of a record is ${t}`, reduce));
			}
			for (const [value, text] of [
				[undefined, "undefined"],
				[null, "null"],
				[3, "of type number"],
				["3", "of type string"],
				[{ rank: 0, dtype: "f32" }, "of type object"],
			] as const) {
				expect(() => checkLoss(any(value))).toThrow(refused(`the loss of a record is ${text}`, "return the loss"));
			}
		});
	});

	it("is no promise, and nobody hears how that ends", async () => {
		const error = refused("the loss of a record is a promise", "a loss computes and returns; encode() is where records are prepared");
		const unheard = vi.fn();
		process.on("unhandledRejection", unheard);
		expect(() => checkLoss(any(Promise.reject(new Error("own"))))).toThrow(error);
		await new Promise((done) => setTimeout(done, 5));
		process.off("unhandledRejection", unheard);
		expect(unheard).not.toHaveBeenCalled();
	});

	it("of training follows from what is trained", () => {
		const w = weight(device());
		const error = refused(
			"the loss of a record is a constant",
			"it depends on no parameter that the optimiser trains: does the model hold other ones?",
		);
		device().scope<void>(() => {
			expect(() => checkTrainedLoss(full(device(), [], 1))).toThrow(error);
			expect(() => checkTrainedLoss(any(3))).toThrow(refused("of type number", "return the loss"));
			let seen: Tensor | undefined;
			const own = valueAndGrad(() => {
				seen = checkTrainedLoss(sum(w.value));
				return seen;
			}, [w]);
			expect(own.value.shape).toEqual([]);
			expect(seen).toBeDefined();
		});
	});
});

describe("a plain trainer", () => {
	it("refuses by name what it cannot train with", () => {
		const refused = (code: string, message: string) => expect.objectContaining({ code, message: expect.stringContaining(message) });
		expect(() => new PlainTrainer(any(3))).toThrow(refused("call/argument", "PlainTrainer: options is 3"));
		expect(() => trainerOf({ optimizer: any(3) })).toThrow(refused("call/argument", "PlainTrainer: optimizer is 3"));
		for (const name of ["physicalBatchSize", "datasetSize"] as const) {
			const error = { code: `dp/${name}`, op: "PlainTrainer", message: expect.stringContaining(`${name} must be an integer in 1..`) };
			for (const value of [0, 1.5]) expect(() => trainerOf({ [name]: value })).toThrow(expect.objectContaining(error));
		}
		const steps = { code: "dp/stepsTaken", op: "PlainTrainer", message: expect.stringContaining("stepsTaken must be an integer in 0..") };
		expect(() => trainerOf({ stepsTaken: -1 })).toThrow(expect.objectContaining(steps));
		expect(() => trainerOf({ replay: any("ghost") })).toThrow(refused("call/argument", 'PlainTrainer: replay is "ghost"'));
		for (const batchSize of [0, 10, 1.5, any("4")]) {
			const message = `PlainTrainer: batchSize is ${batchSize}, expected 1 to 9`;
			expect(() => trainerOf({ batchSize })).toThrow(refused("trainer/batch", message));
		}
		for (const batchSize of [1, 9]) expect(() => trainerOf({ batchSize })).not.toThrow();
	});

	it("takes two functions, and as many records as a batch needs", async () => {
		const { trainer, loss } = trainerOf();
		const refused = (op: string, message: string) => ({ op, message: expect.stringContaining(`${op}: ${message}`) });
		await expect(trainer.step(any(3), loss)).rejects.toMatchObject(refused("PlainTrainer.step", "encode is 3"));
		await expect(trainer.step(encode, any(3))).rejects.toMatchObject(refused("PlainTrainer.step", "loss is 3"));
		await expect(trainer.stepOn(any(3), encode, loss)).rejects.toMatchObject(refused("PlainTrainer.stepOn", "records is 3"));
		await expect(trainer.stepOn([1], any(3), loss)).rejects.toMatchObject(refused("PlainTrainer.stepOn", "encode is 3"));
		await expect(trainer.stepOn([1], encode, any(3))).rejects.toMatchObject(refused("PlainTrainer.stepOn", "loss is 3"));
		await expect(trainer.stepOn([1, 2, 3], encode, loss)).rejects.toMatchObject({
			code: "trainer/batch",
			message: "PlainTrainer.stepOn: 3 records for a batchSize of 4",
		});
		const empty = () => ({});
		await expect(trainer.step(any(empty), loss)).rejects.toMatchObject({ code: "record/empty", op: "PlainTrainer.step" });
		await expect(trainer.stepOn([1, 2, 3, 4], any(empty), loss)).rejects.toMatchObject({ code: "record/empty", op: "PlainTrainer.stepOn" });
	});

	it("steps on the mean of the records that the key of the step draws", async () => {
		const { w, trainer, loss } = trainerOf({ physicalBatchSize: 3 });
		let total = await totalOf(w);
		for (const step of [1, 2, 3]) {
			const report = await trainer.step(encode, loss);
			const mean = meanOf(drawn(step));
			expect(report.step).toBe(step);
			// The loss is the sum of the weight times x, so that its gradient is x in each of 15 coordinates.
			expect(Math.abs(report.loss - total * mean)).toBeLessThan(1e-4 * mean * (1 + Math.abs(total)));
			total -= 15 * 0.5 * mean;
			expect(Math.abs((await totalOf(w)) - total)).toBeLessThan(1e-5 * Math.abs(total));
		}
		const other = trainerOf({ key: key(7), stepsTaken: 5 });
		const before = await totalOf(other.w);
		expect((await other.trainer.step(encode, other.loss)).step).toBe(6);
		const mean = meanOf(drawn(6, 9, 4, key(7)));
		expect(Math.abs((await totalOf(other.w)) - (before - 7.5 * mean))).toBeLessThan(1e-3);
	});

	it("draws from the records that are handed over, of which there may be just enough", async () => {
		const { w, trainer, loss } = trainerOf();
		for (const [step, handed] of [
			[1, [3, 1, 4, 5]],
			[2, [0, 2, 3, 8, 1, 1, 2, 5, 7, 6, 4]],
		] as const) {
			const before = await totalOf(w);
			await trainer.stepOn(handed, encode, loss);
			const mean = meanOf(drawn(step, handed.length).map((i) => handed[i]));
			expect(Math.abs((await totalOf(w)) - (before - 7.5 * mean))).toBeLessThan(1e-3);
		}
	});

	it("calls the loss as a replay asks for, and for every batch while another step runs", async () => {
		const { trainer, loss } = trainerOf({ replay: "unchecked" });
		const own = vi.fn(loss);
		const calls = async (steps: number) => {
			own.mockClear();
			await Promise.all(Array.from({ length: steps }, () => trainer.step(encode, own)));
			return own.mock.calls.length;
		};
		const seen: number[] = [];
		for (const steps of [1, 1, 1, 1, 1, 2, 1]) seen.push(await calls(steps));
		// Two at a time: the second finds the first under way.
		expect(seen).toEqual([1, 1, 1, 0, 0, 1, 0]);
		// After an error it is captured anew.
		await expect(
			trainer.step(
				any(() => ({})),
				own,
			),
		).rejects.toThrow();
		seen.length = 0;
		for (let i = 0; i < 3; i++) seen.push(await calls(1));
		expect(seen).toEqual([1, 1, 0]);
	});

	it("tells losses by their text, and replays by default, checked", async () => {
		const { w, trainer, loss } = trainerOf({ replay: undefined });
		const calls: number[] = [];
		for (let i = 0; i < 5; i++) {
			const own = vi.fn(loss);
			await trainer.step(encode, own);
			calls.push(own.mock.calls.length);
		}
		expect(calls).toEqual([1, 1, 1, 1, 1]);
		const before = await totalOf(w);
		await trainer.step(encode, ({ x }: Row) => mul(sum(mul(w.value, 3)), x));
		expect(Math.abs((await totalOf(w)) - (before - 3 * 7.5 * meanOf(drawn(6))))).toBeLessThan(1e-2);
	});

	it("copies the sums of a batch where others follow, and not where it is alone", async () => {
		const dispatches: number[] = [];
		for (const batchSize of [2, 4, 6]) {
			const { trainer, loss } = trainerOf({ batchSize, physicalBatchSize: 2 });
			await trainer.step(encode, loss);
			const before = device().counters().dispatches;
			await trainer.step(encode, loss);
			dispatches.push(device().counters().dispatches - before);
		}
		const [one, two, three] = dispatches;
		expect(two - one - (three - two)).toBe(2);
	});

	it("says which step was not finite, and what of it", async () => {
		const { w, trainer } = trainerOf({}, 1e38);
		const before = await data(w.value);
		await trainer.step(encode, () => mul(sum(w.value), 0));
		await expect(
			trainer.step(
				() => ({ x: Number.NaN }),
				({ x }: Row) => mul(sum(w.value), x),
			),
		).rejects.toMatchObject({
			name: "NumericError",
			code: "trainer/not-finite",
			op: "PlainTrainer.step",
			message: expect.stringMatching(/^PlainTrainer\.step: the loss of step 2 is NaN, so the run stops$/m),
			hint: "the parameters are as before the step; lower the rate, or see whether the tokenizer belongs to the model",
		});
		expect(await data(w.value)).toEqual(before);
		// sqrt(0) is finite, its derivative is not.
		const steep = trainer.step(encode, () => sqrt(mul(sum(w.value), 0)));
		await expect(steep).rejects.toMatchObject({ name: "NumericError", message: expect.stringContaining("the gradient holds") });
		expect(await data(w.value)).toEqual(before);
		// A finite gradient, at a rate that overflows.
		const wide = trainer.step(
			() => ({ x: 100 }),
			({ x }: Row) => mul(sum(w.value), x),
		);
		await expect(wide).rejects.toMatchObject({ name: "NumericError", message: expect.stringContaining("the parameters holds") });
	});

	it("hands on what is wrong with the device", async () => {
		const own = await requestDevice();
		const w = weight(own);
		const trainer = new PlainTrainer({ optimizer: new SGD([w], { lr: 1 }), datasetSize: 2, batchSize: 2 });
		const lost = trainer.step(
			(i) => ({ x: i }),
			({ x }: Row) => {
				own.gpu.destroy();
				return mul(sum(w.value), x);
			},
		);
		await expect(lost).rejects.toMatchObject({ name: "DeviceError" });
		own.destroy();
	});

	it("looks at no loss where a kernel wrote elsewhere", async () => {
		const { trainer, w } = trainerOf();
		vi.spyOn(runtimeOf(device()).status, "read").mockResolvedValueOnce({ strayWrite: "its memory", notFinite: undefined });
		const step = trainer.step(
			() => ({ x: Number.NaN }),
			({ x }: Row) => mul(sum(w.value), x),
		);
		await expect(step).rejects.toMatchObject({ name: "DeviceError", code: "device/stray-write" });
		await device()
			.flush()
			.catch(() => {});
	});
});
