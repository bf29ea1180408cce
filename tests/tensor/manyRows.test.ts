import {
	add,
	amax,
	argmax,
	cumsum,
	data,
	exp,
	gather,
	layerNorm,
	logsumexp,
	matmul,
	mul,
	rmsNorm,
	slice,
	softmax,
	sort,
	sum,
	type Tensor,
	transpose,
} from "@hushgrad/tensor";
import { fromFloat16, toFloat16 } from "@hushgrad/tensor/author";
import { expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const ROWS = 70_001;
const WIDTH = 3;

/** The rows of a large operand; row i depends on i alone. */
const rows = (first: number, count: number): Tensor =>
	device().fromHost(fromFloat16(toFloat16(Float32Array.from({ length: count * WIDTH }, (_, k) => Math.sin(first * WIDTH + k)))), [
		count,
		WIDTH,
	]);

const ids = (count: number): Tensor => device().fromHost(new Int32Array(count).fill(2), [count, 1]);
const ones = (): Tensor => device().fromHost([1, 1, 1], [WIDTH]);

/** Each works on every row by itself, so that the last rows of many must equal the same rows alone. */
const OPERATIONS: Record<string, (x: Tensor) => Tensor> = {
	exp: (x) => exp(x),
	"add of a column": (x) => add(x, slice(x, 1, 1, 2)),
	sum: (x) => sum(x, [1]),
	amax: (x) => amax(x, [1]),
	argmax: (x) => argmax(x, 1),
	softmax: (x) => softmax(x),
	logsumexp: (x) => logsumexp(x, [1]),
	cumsum: (x) => cumsum(x, 1),
	sort: (x) => sort(x).values,
	layerNorm: (x) => layerNorm(x),
	rmsNorm: (x) => rmsNorm(x, ones()),
	gather: (x) => gather(x, 1, ids(x.shape[0])),
	matmul: (x) => matmul(x, device().fromHost([1, 2, 3, 4, 5, 6], [WIDTH, 2])),
	transpose: (x) => transpose(mul(transpose(x), 2)),
};

it.each(Object.entries(OPERATIONS))("%s: the last of 70,001 rows are those computed alone", async (_, operation) => {
	const last = 5;
	const part = async (x: () => Tensor, from: number): Promise<number[]> => {
		const y = device().scope<Tensor>(() => {
			const all = operation(x());
			return slice(all, 0, from, from + last);
		});
		const values = [...(await data(y))];
		y.dispose();
		return values;
	};
	const whole = await part(() => rows(0, ROWS), ROWS - last);
	expect(whole).toEqual(await part(() => rows(ROWS - last, last), 0));
	expect(whole.some((v) => v !== 0)).toBe(true);
});

it("element-wise operations number more than 65,535 workgroups", async () => {
	const n = 65_536 * 64 * 4 + 5;
	const y = device().scope<Tensor>(() => {
		const x = device().fromHost(
			Float32Array.from({ length: n }, (_, i) => i % 1024),
			[n],
		);
		return slice(add(x, x), 0, n - 4, n);
	});
	expect([...(await data(y))]).toEqual([1, 2, 3, 4].map((k) => 2 * ((n - 5 + k) % 1024)));
	y.dispose();
});
