import { recordLosses } from "@hushgrad/dp";
import { Dropout } from "@hushgrad/nn";
import { type DropoutKey, data, sum, type Tensor } from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { IN, leftBehind, lossBy, NOTHING, OUT, record, weight } from "./problem.ts";

const device = useDevice();

interface Row {
	readonly x: Tensor;
	readonly y: Tensor;
}

it("recordLosses gives every record's loss, those of single records bit for bit, whatever a physical batch holds", async () => {
	const w = weight(device());
	const values = await data(w.value);
	const alone: number[] = [];
	for (let i = 0; i < 11; i++) alone.push((await recordLosses({ device: device(), count: 1 }, () => record(i), lossBy(w)))[0]);
	for (const physicalBatchSize of [1, 3, 8, 11, 20]) {
		const losses = await recordLosses({ device: device(), count: 11, physicalBatchSize }, record, lossBy(w));
		expect([...losses]).toEqual(alone);
	}
	for (const [i, loss] of alone.entries()) {
		const { x, y } = record(i);
		const errors = [...y].map((v, o) => x.reduce((s, f, k) => s + f * values[o * IN + k], 0) - v);
		expect(errors).toHaveLength(OUT);
		expect(loss).toBeCloseTo(
			errors.reduce((s, e) => s + e * e, 0),
			4,
		);
	}
});

it("drops nothing, keeps nothing, and takes no records at all", async () => {
	const w = weight(device());
	const drop = new Dropout(0.5);
	const loss = ({ x, y }: Row, dropout?: DropoutKey) => lossBy(w)({ x: drop.forward(x, dropout), y });
	const left = await leftBehind(device(), async () => {
		const options = { device: device(), count: 9 };
		expect(await recordLosses(options, record, loss)).toEqual(await recordLosses(options, record, lossBy(w)));
		expect(await recordLosses({ device: device(), count: 0 }, record, loss)).toEqual(new Float32Array());
	});
	expect(left).toEqual(NOTHING);
});

it("takes a loss without parameters, and refuses one that is no scalar of one record", async () => {
	const options = { device: device(), count: 5, physicalBatchSize: 2 };
	expect(
		await recordLosses(
			options,
			(i) => ({ x: i }),
			({ x }) => x,
		),
	).toEqual(Float32Array.of(0, 1, 2, 3, 4));
	const left = await leftBehind(device(), async () => {
		for (const loss of [({ x }: Row) => x, ({ x }: Row) => sum(x, [0], { keepDim: true }), () => 3, async ({ x }: Row) => sum(x)]) {
			await expect(recordLosses(options, record, loss as (row: Row) => Tensor)).rejects.toMatchObject({ code: "privacy/loss" });
		}
	});
	expect(left).toEqual(NOTHING);
});

it("refuses by its name what it cannot evaluate, whoever would refuse it inside", async () => {
	const options = { device: device(), count: 2 };
	const loss = ({ x }: Row) => sum(x);
	const of = (own: unknown, encode: unknown = record, by: unknown = loss) =>
		recordLosses(own as typeof options, encode as typeof record, by as typeof loss);
	for (const [refused, text] of [
		[of(3), "options is 3"],
		[of(options, 3), "encode is 3"],
		[of(options, record, 3), "loss is 3"],
		[of({ ...options, device: 3 }), "device is 3"],
		[of({ ...options, count: -1 }), "count is -1"],
		[of({ ...options, physicalBatchSize: 0 }), "physicalBatchSize must be an integer in 1.."],
		[of(options, () => ({})), "record 0 holds nothing"],
	] as const) {
		await expect(refused).rejects.toMatchObject({ op: "recordLosses", message: expect.stringContaining(`recordLosses: ${text}`) });
	}
	await expect(of({ ...options, physicalBatchSize: 0 })).rejects.toMatchObject({ code: "dp/physicalBatchSize" });
});
