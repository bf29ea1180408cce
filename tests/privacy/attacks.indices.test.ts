import {
	crossEntropy,
	data,
	embedding,
	gather,
	indexSelect,
	isnan,
	linearCrossEntropy,
	mul,
	onesLike,
	reshape,
	scatterAdd,
	sum,
	type Tensor,
	takeRows,
	valueAndGrad,
	vmap,
	where,
	zeros,
	zerosLike,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const ROWS = 4;
const N = 6;
/** Numbers that index nothing of a record: its neighbours' elements, where nobody checks. */
const OUTSIDE = [-1, -N, N, N + 1, 2 * N, 1000, 2 ** 31 - 1, -(2 ** 31)];

/** What each record gets by `f` from its N numbers, [ROWS, ...] on the host. */
async function perRecord(f: (x: Tensor, ids: Tensor) => Tensor): Promise<number[][]> {
	const d = device();
	const result = d.scope(() => {
		const x = d.fromHost(
			Float32Array.from({ length: ROWS * N }, (_, i) => 1 + i),
			[ROWS, N],
		);
		const ids = d.fromHost(
			Int32Array.from({ length: ROWS * OUTSIDE.length }, (_, i) => OUTSIDE[i % OUTSIDE.length]),
			[ROWS, OUTSIDE.length],
		);
		return vmap(f)(x, ids);
	});
	const values = [...(await data(result))];
	result.dispose();
	const width = values.length / ROWS;
	return Array.from({ length: ROWS }, (_, i) => values.slice(i * width, (i + 1) * width));
}

const rows = (x: Tensor): Tensor => reshape(x, [N, 1]);

describe("an index outside of a record reaches no other", () => {
	const reads: Readonly<Record<string, (x: Tensor, ids: Tensor) => Tensor>> = {
		gather: (x, ids) => gather(x, 0, ids),
		indexSelect: (x, ids) => indexSelect(x, 0, ids),
		takeRows: (x, ids) => takeRows(rows(x), ids),
		embedding: (x, ids) => embedding(ids, rows(x)),
	};

	it.each(Object.keys(reads))("%s gives NaN", async (name) => {
		for (const row of await perRecord(reads[name])) expect(row).toEqual(OUTSIDE.map(() => Number.NaN));
	});

	it.each(Object.keys(reads))("%s passes no gradient on", async (name) => {
		const gradient = (x: Tensor, ids: Tensor): Tensor => {
			const slot = { value: x };
			const known = (y: Tensor): Tensor => where(isnan(y), zerosLike(y), y);
			return valueAndGrad(() => sum(known(reads[name](slot.value, ids))), [slot]).grads[0];
		};
		for (const row of await perRecord(gradient)) expect(row).toEqual(new Array(N).fill(0));
	});

	it("scatterAdd adds nothing, and its source has no gradient", async () => {
		const add = (x: Tensor, ids: Tensor): Tensor => scatterAdd(zeros(x.device, [N]), 0, ids, mul(sum(x), onesLike(gather(x, 0, ids))));
		for (const row of await perRecord(add)) expect(row).toEqual(new Array(N).fill(0));
		const gradient = (x: Tensor, ids: Tensor): Tensor => {
			const slot = { value: zeros(x.device, ids.shape) };
			return valueAndGrad(() => sum(mul(scatterAdd(x, 0, ids, slot.value), x)), [slot]).grads[0];
		};
		for (const row of await perRecord(gradient)) expect(row).toEqual(OUTSIDE.map(() => 0));
	});

	it("losses give NaN for a label that is none of the classes", async () => {
		const expected = OUTSIDE.map(() => Number.NaN);
		const ones = (x: Tensor): Tensor => zeros(x.device, [OUTSIDE.length, 1]);
		for (const row of await perRecord((x, ids) => linearCrossEntropy(ones(x), rows(x), ids))) expect(row).toEqual(expected);
		const logits = (x: Tensor): Tensor => mul(zeros(x.device, [OUTSIDE.length, N]), x);
		for (const row of await perRecord((x, ids) => crossEntropy(logits(x), ids, { reduction: "none" }))) {
			expect(row).toEqual(OUTSIDE.map(() => Number.NaN));
		}
	});
});
