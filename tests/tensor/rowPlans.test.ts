import * as t from "@hushgrad/tensor";
import { type Device, data, type Tensor } from "@hushgrad/tensor";
import { runtimeOf } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { expectWithin } from "../support/bounds.ts";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

/* Kernels on rows in plan gpu, where a workgroup has a row, held against plan cpu, where an invocation has, which the property tests hold against float64. */

const gpu = useDevice({ plan: "gpu", debug: { memory: true } });
const cpu = useDevice({ plan: "cpu" });

const upload = (on: Device, shape: readonly number[], seed: number): Tensor => {
	const next = numbers(seed, 0);
	return on.fromHost(
		Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => 2 * next() - 1),
		shape,
	);
};

/** The result of f and its gradients for a random cotangent. */
const withGradients = (f: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor[] => {
	const y = f(...inputs);
	const { value, grads } = t.vjp(f, inputs, upload(y.device, y.shape, 9));
	return [value, ...grads];
};

/** What each operation makes of three rows of n values. */
const OPERATIONS: Readonly<Record<string, (x: Tensor, n: number) => Tensor[]>> = {
	sum: (x) => [t.sum(x, [1])],
	"sum of integers": (x) => [t.sum(t.cast(t.mul(x, 9), "i32"), [1])],
	prod: (x) => [t.prod(t.add(t.mul(x, 0.01), 1), [1])],
	"amax, amin": (x) => [t.amax(x, [1]), t.amin(x, [1])],
	"argmax, argmin among equals": (x) => {
		const equals = t.cast(t.mul(x, 3), "i32");
		return [t.argmax(equals, 1), t.argmin(equals, 1), t.argmax(x, 1), t.argmin(x, 1)];
	},
	softmax: (x) => [t.softmax(x), t.softmax(t.mul(x, 90))],
	logSoftmax: (x) => [t.logSoftmax(x)],
	logsumexp: (x) => [t.logsumexp(x, [1])],
	layerNorm: (x) => withGradients((v) => t.layerNorm(v), [x]),
	rmsNorm: (x, n) => withGradients((v, w) => t.rmsNorm(v, w, { offset: 1 }), [x, upload(x.device, [n], 3)]),
	attentionSoftmax: (x) => withGradients((v) => t.attentionSoftmax(v), [x]),
	"attentionSoftmax behind a mask": (x, n) => {
		const options = { causal: true, window: Math.ceil(n / 2), offset: Math.max(0, n - 3), scale: 0.7 };
		return withGradients((v) => t.attentionSoftmax(v, options), [x]);
	},
	"attentionSoftmax with a cap": (x) => withGradients((v) => t.attentionSoftmax(v, { softcap: 0.8 }), [x]),
	linearCrossEntropy: (x, n) => {
		const w = upload(x.device, [n, 4], 5);
		const labels = x.device.fromHost(Int32Array.of(n - 1, t.IGNORE_INDEX, 0), [3]);
		return withGradients((h) => t.linearCrossEntropy(h, w, labels), [upload(x.device, [3, 4], 4)]);
	},
};

/** Less than a subgroup, one and its rest, what a workgroup does at once and a rest, many turns; two passes and two chunks of a loss. */
const LENGTHS = [1, 2, 31, 32, 33, 256, 257, 1000, 17_000, 17_001];

describe.each(Object.entries(OPERATIONS))("%s", (_, operation) => {
	it.each(LENGTHS)("of rows of %i values is what it is in plan cpu", async (n) => {
		const [here, there] = [gpu(), cpu()].map((on) => on.scope<Tensor[]>(() => operation(upload(on, [3, n], n), n)));
		for (const [i, y] of here.entries()) {
			const expected = Float64Array.from(await data(there[i]));
			expectWithin(await data(y), expected, { ulp: 16, abs: 1e-6 * Math.sqrt(n), why: "the same sums in another order" });
		}
		for (const y of [...here, ...there]) y.dispose();
		await gpu().flush();
	});

	it("passes NaN on where plan cpu does", async () => {
		const run = (on: Device): Tensor[] =>
			on.scope<Tensor[]>(() => {
				const next = numbers(1, 0);
				const values = Float32Array.from({ length: 210 }, (_, i) => (i === 139 ? Number.NaN : 2 * next() - 1));
				return operation(on.fromHost(values, [3, 70]), 70);
			});
		const [here, there] = [run(gpu()), run(cpu())];
		for (const [i, y] of here.entries()) {
			const nans = async (v: Tensor): Promise<boolean[]> => Array.from(await data(v), Number.isNaN);
			expect(await nans(y)).toEqual(await nans(there[i]));
		}
		for (const y of [...here, ...there]) y.dispose();
	});
});

it("rows have 32 or 256 invocations in plan gpu, and one in plan cpu", () => {
	const keys = (on: Device): string[] => {
		on.scope<void>(() => {
			for (const n of [10, 301]) for (const name of ["softmax", "rmsNorm", "attentionSoftmax"]) OPERATIONS[name](upload(on, [3, n], n), n);
		});
		const all = runtimeOf(on).pipelines.kernels();
		return all.flatMap(({ key }) => /^(?:softmaxRows\/softmax|rmsNorm|attentionSoftmax)(?:\/\d+)?$/.exec(key) ?? []).sort();
	};
	const names = ["attentionSoftmax", "rmsNorm", "softmaxRows/softmax"];
	expect(keys(cpu())).toEqual(names);
	expect(keys(gpu())).toEqual(names.flatMap((name) => [`${name}/256`, `${name}/32`]));
});
