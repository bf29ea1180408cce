import {
	cast,
	cat,
	cumsum,
	type Device,
	data,
	embedding,
	full,
	layerNorm,
	linear,
	linearCrossEntropy,
	logsumexp,
	mean,
	mul,
	prod,
	reshape,
	rmsNorm,
	scaledDotProductAttention,
	slice,
	softmax,
	sort,
	square,
	sum,
	type Tensor,
	tanh,
	valueAndGrad,
	variance,
	vmap,
} from "@hushgrad/tensor";
import { privateProgram } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const ROWS = 4;

const random = (seed: number, count: number, scale = 1): Float32Array => {
	const next = numbers(seed, 9);
	return Float32Array.from({ length: count }, () => scale * (2 * next() - 1));
};

/** Programs whose sums are long: what could be cut into chunks by the size of a batch. Each reads n numbers and one weight. */
const PROGRAMS: Readonly<
	Record<string, { readonly n: number; readonly weight: readonly number[]; readonly loss: (x: Tensor, w: Tensor) => Tensor }>
> = {
	"a vocabulary of 65,537 that is trained": {
		n: 6,
		weight: [65537, 2],
		loss: (x, w) => sum(linearCrossEntropy(reshape(x, [3, 2]), w, labels(x))),
	},
	"a vocabulary of 65,537 in bf16, with capped logits": {
		n: 6,
		weight: [65537, 2],
		loss: (x, w) => sum(linearCrossEntropy(reshape(x, [3, 2]), cast(w, "bf16"), labels(x), { softcap: 2 })),
	},
	"a sum of 70,000": { n: 70000, weight: [], loss: (x, w) => sum(tanh(mul(x, w))) },
	"sums of a long axis that is not the last": {
		n: 9000,
		weight: [3],
		loss: (x, w) => sum(square(mean(mul(reshape(x, [3000, 3]), w), [0]))),
	},
	"products, variances, exponentials of 3,000": {
		n: 3000,
		weight: [3000],
		loss: (x, w) => {
			const y = mul(x, w);
			const parts = [variance(y), logsumexp(y), mean(cumsum(y, 0)), prod(tanh(mul(y, y)))];
			return sum(cat(parts.map((t) => reshape(t, [1]))));
		},
	},
	"softmax and sort of 3,000": { n: 3000, weight: [3000], loss: (x, w) => sum(mul(softmax(mul(x, w)), sort(x).values)) },
	"norms of 3,000": { n: 6000, weight: [3000], loss: (x, w) => mean(square(rmsNorm(layerNorm(reshape(x, [2, 3000]), { weight: w }), w))) },
	"a product over 3,000": { n: 6000, weight: [5, 3000], loss: (x, w) => sum(tanh(linear(reshape(x, [2, 3000]), w))) },
	"a table of 300 rows, read 500 times": {
		n: 500,
		weight: [300, 4],
		loss: (x, w) => mean(square(embedding(cast(mul(x, full(x.device, [], 299)), "i32"), w))),
	},
	"attention over 130 places": {
		n: 520,
		weight: [4],
		loss: (x, w) => {
			const q = mul(reshape(x, [130, 4]), w);
			return mean(square(scaledDotProductAttention(q, q, q, { isCausal: true })));
		},
	},
};

/** Three labels that follow from the record. */
const labels = (x: Tensor): Tensor => cast(mul(square(slice(x, 0, 0, 3)), full(x.device, [], 65000)), "i32");

/** Loss and gradient of one row of a batch, as bits. */
async function bitsOf(d: Device, name: string, records: readonly Float32Array[], row: number): Promise<Uint32Array> {
	const { n, weight, loss } = PROGRAMS[name];
	const result = d.scope(() => {
		const batch = d.fromHost(
			Float32Array.from({ length: ROWS * n }, (_, i) => records[Math.floor(i / n)][i % n]),
			[ROWS, n],
		);
		const w = {
			value: d.fromHost(
				random(
					500,
					weight.reduce((p, q) => p * q, 1),
				),
				weight,
			),
		};
		const { losses, grads } = privateProgram(d, [batch, w.value], () =>
			vmap((x: Tensor) => {
				const { value, grads } = valueAndGrad(() => loss(x, w.value), [w]);
				return { losses: value, grads: grads[0] };
			})(batch),
		);
		const own = slice(grads, 0, row, row + 1);
		return cat([slice(losses, 0, row, row + 1), reshape(own, [own.size])]);
	});
	const values = await data(result);
	result.dispose();
	return new Uint32Array(values.buffer);
}

describe("A7: no record's rounding follows from its companions", () => {
	it.each(Object.keys(PROGRAMS))("%s", async (name) => {
		const { n } = PROGRAMS[name];
		const kept = random(1, n).map(Math.abs);
		const among = (row: number, other: (i: number) => Float32Array) =>
			Array.from({ length: ROWS }, (_, i) => (i === row ? kept : other(i)));
		const first = await bitsOf(
			device(),
			name,
			among(0, (i) => random(i + 10, n).map(Math.abs)),
			0,
		);
		const gradient = new Float32Array(first.buffer);
		expect(gradient.every(Number.isFinite)).toBe(true);
		expect(gradient.slice(1).some((v) => v !== 0)).toBe(true);
		for (const [row, other] of [
			[3, (i: number) => random(i + 20, n, 1e4)],
			[1, () => new Float32Array(n)],
			[2, () => new Float32Array(n).fill(Number.NaN)],
		] as const) {
			const again = await bitsOf(device(), name, among(row, other), row);
			expect(again.findIndex((v, k) => v !== first[k])).toBe(-1);
		}
	});
});
