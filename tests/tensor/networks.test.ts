import * as t from "@hushgrad/tensor";
import { type Pair, type Slot, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { goldenJson, relativeError } from "../support/goldens.ts";
import { read } from "../support/reading.ts";

/* Losses, convolutions, pooling, normalisations, attention and lookups against torch: values, gradients, gradients of gradients. */

interface Shown {
	readonly shape: readonly number[];
	readonly dtype: "f32" | "i32" | "bool";
	readonly values: readonly number[];
}

interface Case {
	readonly name: string;
	readonly options: Readonly<Record<string, unknown>>;
	readonly inputs: readonly Shown[];
	readonly free: readonly number[];
	readonly y: Shown;
	readonly v: Shown;
	readonly u: readonly Shown[];
	readonly grads: readonly Shown[];
	readonly seconds: readonly Shown[];
}

type Run = (options: never, ...x: Tensor[]) => Tensor;
type Options = Readonly<Record<string, unknown>>;
type Pooling = { readonly kernel: number } & t.AvgPool1dOptions;

/** The functions by the names of the goldens, options first. */
const RUN: Readonly<Record<string, Run>> = {
	mseLoss: (o, x, y) => t.mseLoss(x, y, o),
	l1Loss: (o, x, y) => t.l1Loss(x, y, o),
	huberLoss: (o, x, y) => t.huberLoss(x, y, o),
	smoothL1Loss: (o, x, y) => t.smoothL1Loss(x, y, o),
	bceLoss: (o, x, y) => t.bceLoss(x, y, o),
	bceWithLogits: (o: Options, x, y, posWeight) => t.bceWithLogits(x, y, { ...o, posWeight }),
	klDiv: (o, x, y) => t.klDiv(x, y, o),
	cosineSimilarity: (o, x, y) => t.cosineSimilarity(x, y, o),
	crossEntropy: (o: Options, x, y, weight) => t.crossEntropy(x, y, { ...o, weight }),
	nllLoss: (o: Options, x, y, weight) => t.nllLoss(x, y, { ...o, weight }),
	conv1d: (o: Options, x, w, bias) => t.conv1d(x, w, { ...o, bias }),
	conv2d: (o: Options, x, w, bias) => t.conv2d(x, w, { ...o, bias }),
	maxPool1d: ({ kernel, ...o }: Pooling, x) => t.maxPool1d(x, kernel, o),
	maxPool2d: ({ kernel, ...o }: { kernel: Pair }, x) => t.maxPool2d(x, kernel, o),
	avgPool1d: ({ kernel, ...o }: Pooling, x) => t.avgPool1d(x, kernel, o),
	avgPool2d: ({ kernel, ...o }: { kernel: Pair }, x) => t.avgPool2d(x, kernel, o),
	groupNorm: ({ groups, ...o }: { groups: number }, x, weight, bias) => t.groupNorm(x, groups, { ...o, weight, bias }),
	layerNorm: (o: Options, x, weight, bias) => t.layerNorm(x, { ...o, weight, bias }),
	rmsNorm: (o, x, w) => t.rmsNorm(x, w, o),
	linearCrossEntropy: (o, h, w, labels) => t.linearCrossEntropy(h, w, labels, o),
	embedding: (o, table, ids, factors) => t.mul(t.embedding(ids, table, o), factors),
	attention: (o: Options, q, k, v, mask) => t.scaledDotProductAttention(q, k, v, { ...o, mask }),
};

const device = useDevice({ debug: { memory: true } });
const { cases } = goldenJson<{ cases: readonly Case[] }>("networks.json");
const upload = ({ values, shape, dtype }: Shown): Tensor =>
	device().fromHost(dtype === "i32" ? Int32Array.from(values) : Float32Array.from(values), shape, dtype);

/** The result, <v, y>'s gradients, and the gradients of <u, those>, for one record or for a batch. */
function derivatives({ name, options, free }: Case, x: readonly Tensor[], v: Tensor, u: readonly Tensor[]): Tensor[] {
	const slots = free.map((i): Slot => ({ value: x[i] }));
	const operands = (): Tensor[] => x.map((t, i) => (free.includes(i) ? slots[free.indexOf(i)].value : t));
	const run = (): Tensor => RUN[name](options as never, ...operands());
	const total = (pairs: readonly (readonly [Tensor, Tensor])[]): Tensor => pairs.map(([a, b]) => t.sum(t.mul(a, b))).reduce(t.add);
	const first = (): readonly Tensor[] => valueAndGrad(() => total([[v, run()]]), slots).grads;
	const second = valueAndGrad(() => total(first().map((g, i) => [u[i], g])), slots);
	return [run(), ...first(), ...second.grads];
}

describe.each(cases.map((c, i) => [`${i} ${c.name} ${JSON.stringify(c.options)}`, c] as const))("%s", (_, c) => {
	const expected = [c.y, ...c.grads, ...c.seconds];
	/** f32 against float64: some roundings of sums; second derivatives cancel, and are measured by all of them. */
	const check = (got: readonly ArrayLike<number>[]): void => {
		const scale = Math.max(...c.seconds.flatMap((s) => s.values.map(Math.abs)), 1e-3);
		expected.forEach(({ values }, i) => {
			if (values.every((v) => v === 0) || i > c.grads.length) {
				values.forEach((v, k) => expect(Math.abs(got[i][k] - v)).toBeLessThan(2e-5 * Math.max(1, scale)));
			} else expect(relativeError(got[i], values), `result ${i}`).toBeLessThan(1e-5);
		});
	};

	it("equals torch: value, gradients, gradients of gradients", async () => {
		const all = device().scope<Tensor[]>(() => derivatives(c, c.inputs.map(upload), upload(c.v), c.u.map(upload)));
		expect(all.map((g) => g.shape)).toEqual(expected.map((e) => e.shape));
		check(await read(all));
	});

	it("equals torch for each record of a batch", async () => {
		const twice = (s: Shown): Tensor => upload({ ...s, shape: [2, ...s.shape], values: [...s.values, ...s.values] });
		const batch = device().scope<Tensor[]>(() =>
			vmap((x: Tensor[], v: Tensor, u: Tensor[]) => derivatives(c, x, v, u))(c.inputs.map(twice), twice(c.v), c.u.map(twice)),
		);
		const values = await read(batch);
		for (const half of [0, 1]) check(values.map((a) => Array.from(a).slice((half * a.length) / 2, ((half + 1) * a.length) / 2)));
	});
});
