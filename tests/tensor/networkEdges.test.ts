import * as t from "@hushgrad/tensor";
import { data, grad, ones, type Tensor, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

/* What networks' operations do at their edges: labels that are none, masks, shapes, f16, single numbers. */

const device = useDevice();
const f32 = (values: readonly number[], shape: readonly number[] = [values.length]): Tensor => device().fromHost(values, shape);
const i32 = (...values: readonly number[]): Tensor => device().fromHost(Int32Array.from(values), [values.length]);
const numbers = async (x: Tensor): Promise<number[]> => [...(await data(x))];
const refuses = (run: () => unknown, name: string, code: string, ...words: readonly string[]): void => {
	let error: unknown;
	try {
		run();
	} catch (e) {
		error = e;
	}
	expect(error).toMatchObject({ name, code });
	for (const word of words) expect((error as Error).message).toContain(word);
};

describe("labels", () => {
	const LABELS = [1, -100, 3, -1, 7, 0] as const;
	const h = (): Tensor =>
		f32(
			Array.from({ length: 12 }, (_, i) => Math.sin(i)),
			[6, 2],
		);
	const w = (): Tensor => f32([0.5, -1, 2, 0.25, -0.5, 1], [3, 2]);

	/** Leaves finite numbers in memory that the next allocations get. */
	const leavePoison = (): void => {
		device().scope<void>(() => {
			for (let i = 0; i < 8; i++) for (const size of [6, 12, 18, 36]) t.full(device(), [size], 1000 + i);
		});
	};

	it("that are no class give NaN, loss and gradient of their row alone, in crossEntropy and linearCrossEntropy alike", async () => {
		const options = { reduction: "none" } as const;
		const forms: readonly ((h: Tensor, labels: Tensor) => Tensor)[] = [
			(h, labels) => t.crossEntropy(t.linear(h, w()), labels, options),
			(h, labels) => t.nllLoss(t.logSoftmax(t.linear(h, w())), labels, options),
			(h, labels) => t.crossEntropy(t.linear(h, w()), labels, { ...options, weight: ones(device(), [3]) }),
			(h, labels) => t.linearCrossEntropy(h, w(), labels),
		];
		const known = LABELS.map((label) => label === -100 || (label >= 0 && label < 3));
		for (const form of forms) {
			leavePoison();
			const losses = await numbers(form(h(), i32(...LABELS)));
			expect(losses.map((v) => !Number.isNaN(v))).toEqual(known);
			expect(losses[1]).toBe(0);
			leavePoison();
			const g = await numbers(grad((x: Tensor) => t.sum(form(x, i32(...LABELS))))(h()));
			expect(g.map((v) => !Number.isNaN(v))).toEqual(known.flatMap((k) => [k, k]));
			expect(g.slice(2, 4)).toEqual([0, 0]);
			// The rows with a label are as they are among good rows.
			const good = await numbers(form(h(), i32(1, -100, 2, 2, 2, 0)));
			for (const row of [0, 1, 5]) expect(losses[row]).toBe(good[row]);
		}
	});

	it("that are left out have gradient 0, even where that of their loss is NaN", async () => {
		const dy = f32([1, Number.NaN, 1, 1, 1, 1], [6]);
		const by = (x: Tensor) => t.sum(t.mul(t.linearCrossEntropy(x, w(), i32(1, -100, 2, 2, 2, 0)), dy));
		expect((await numbers(grad(by)(h()))).every(Number.isFinite)).toBe(true);
	});

	it("of the weight's gradient: one bad label makes it NaN, none does not", async () => {
		const by = (labels: Tensor) => grad((v: Tensor) => t.sum(t.linearCrossEntropy(h(), v, labels)))(w());
		leavePoison();
		expect((await numbers(by(i32(1, 0, 2, -100, 0, 0)))).every(Number.isFinite)).toBe(true);
		expect((await numbers(by(i32(1, 0, 3, -100, 0, 0)))).every(Number.isNaN)).toBe(true);
	});

	it("to leave out may be any i32, also a class", async () => {
		const form = t.linearCrossEntropy(h(), w(), i32(1, 0, 2, 1, 0, 2), { ignoreIndex: 1 });
		const losses = await numbers(form);
		expect([losses[0], losses[3]]).toEqual([0, 0]);
		const whole = await numbers(t.crossEntropy(t.linear(h(), w()), i32(1, 0, 2, 1, 0, 2), { ignoreIndex: 1, reduction: "none" }));
		losses.forEach((v, i) => expect(v).toBeCloseTo(whole[i], 5));
		refuses(() => t.crossEntropy(h(), i32(1, 0, 1, 1, 0, 0), { ignoreIndex: 0.5 }), "ValueError", "loss/ignore", "0.5");
	});

	it("and targets, weights, smoothing that do not fit are refused by name", () => {
		const logits = ones(device(), [2, 3]);
		refuses(() => t.crossEntropy(logits, ones(device(), [3, 2])), "ShapeError", "loss/labels", "crossEntropy", "[3, 2]");
		refuses(() => t.nllLoss(logits, i32(1, 2, 0)), "ShapeError", "loss/labels", "nllLoss", "axis");
		refuses(() => t.crossEntropy(logits, i32(1, 2), { weight: ones(device(), [2]) }), "ShapeError", "loss/weight", "[2]");
		refuses(() => t.crossEntropy(logits, i32(1, 2), { labelSmoothing: 2 }), "ValueError", "loss/smoothing", "2");
		refuses(() => t.crossEntropy(logits, t.cast(i32(1, 2), "u32")), "DTypeError", "op/dtype", "u32");
	});
});

describe("losses", () => {
	it("do not broadcast, and want floats", () => {
		refuses(() => t.mseLoss(f32([1, 2]), ones(device(), [2, 1])), "ShapeError", "loss/shapes", "mseLoss", "[2, 1]");
		refuses(() => t.huberLoss(f32([1]), i32(1)), "DTypeError", "op/dtype", "huberLoss", "target");
		refuses(() => t.l1Loss(f32([1]), f32([1]), { reduction: "avg" as "mean" }), "ValueError", "call/argument", "avg");
		refuses(() => t.bceWithLogits(f32([1]), f32([1]), { posWeight: ones(device(), [2]) }), "ShapeError", "loss/shapes", "posWeight");
	});

	it("stay finite at the ends: probabilities 0 and 1, logits of 1000, zero vectors", async () => {
		const p = f32([0, 1, 0, 1]);
		const y = f32([0, 1, 1, 0]);
		expect((await numbers(t.bceLoss(p, y, { reduction: "none" }))).map(Math.abs)).toEqual([0, 0, 100, 100]);
		expect((await numbers(grad((x: Tensor) => t.bceLoss(x, y))(p))).every(Number.isFinite)).toBe(true);
		expect(await numbers(t.bceWithLogits(f32([1000, -1000, 1000, -1000]), y, { reduction: "none" }))).toEqual([1000, 1000, 0, 0]);
		expect((await numbers(t.bceWithLogits(f32([20]), f32([1]))))[0]).toBeCloseTo(2.0611536e-9, 14);
		const zero = f32([0, 0, 0]);
		expect(await numbers(t.cosineSimilarity(zero, f32([1, 2, 3])))).toEqual([0]);
		expect((await numbers(grad((x: Tensor) => t.cosineSimilarity(x, f32([1, 2, 3])))(zero))).every(Number.isFinite)).toBe(true);
		expect(await numbers(t.klDiv(f32([-1, -2]), f32([0, 1]), { reduction: "none" }))).toEqual([0, 2]);
	});

	it("keep NaN", async () => {
		const nan = f32([Number.NaN]);
		for (const loss of [t.mseLoss, t.l1Loss, t.huberLoss, t.smoothL1Loss, t.bceLoss, t.bceWithLogits, t.klDiv]) {
			expect(await numbers(loss(nan, f32([0.5])))).toEqual([Number.NaN]);
			expect(await numbers(loss(f32([0.5]), nan))).toEqual([Number.NaN]);
		}
	});
});

describe("attention", () => {
	const q = (): Tensor => ones(device(), [2, 3]);

	it("gives 0, and gradient 0, to a query that may see no key, by a bool mask or by minus infinity", async () => {
		const bool = device().fromHost([0, 0, 1, 1], [2, 2], "bool");
		const float = f32([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0], [2, 2]);
		for (const mask of [bool, float]) {
			const attend = (x: Tensor) => t.scaledDotProductAttention(x, q(), q(), { mask });
			expect(await numbers(attend(q()))).toEqual([0, 0, 0, 1, 1, 1]);
			expect(await numbers(grad((x: Tensor) => t.sum(t.square(attend(x))))(q()))).toEqual([0, 0, 0, 0, 0, 0]);
		}
	});

	it("refuses masks of whole numbers, and heads that do not divide, and never advises to cast a mask", () => {
		const mask = device().fromHost(Int32Array.of(1, 0, 1, 1), [2, 2]);
		refuses(() => t.scaledDotProductAttention(q(), q(), q(), { mask }), "DTypeError", "attention/mask", "i32", "added to the scores");
		const heads = (n: number): Tensor => ones(device(), [n, 2, 3]);
		refuses(() => t.scaledDotProductAttention(heads(6), heads(4), heads(4)), "ShapeError", "attention/heads", "6", "4");
	});
});

describe("normalisations", () => {
	it("refuse a weight that would enlarge the result", () => {
		const x = ones(device(), [2, 3]);
		refuses(() => t.layerNorm(x, { weight: ones(device(), [4, 2, 3]) }), "ShapeError", "norm/affine", "weight", "[4, 2, 3]");
		refuses(() => t.layerNorm(ones(device(), [2, 1]), { bias: ones(device(), [3]) }), "ShapeError", "norm/affine", "bias");
		refuses(() => t.groupNorm(x, 3), "ShapeError", "norm/groups", "3 groups of 2");
		refuses(() => t.groupNorm(x, 2, { weight: ones(device(), [3]) }), "ShapeError", "norm/groups", "[3]");
	});

	it("of a single number have its gradient: 0, and of rmsNorm eps r^3", async () => {
		const x = f32([2, -3], [2, 1]);
		expect(await numbers(grad((v: Tensor) => t.sum(t.layerNorm(v)))(x))).toEqual([0, 0]);
		expect(await numbers(t.layerNorm(x))).toEqual([0, 0]);
		const eps = 1e-3;
		const slopes = await numbers(grad((v: Tensor) => t.sum(t.rmsNorm(v, ones(device(), [1]), { eps })))(x));
		[2, -3].forEach((v, i) => expect(slopes[i] / (eps * (v * v + eps) ** -1.5)).toBeCloseTo(1, 5));
		const second = grad((v: Tensor) => t.sum(grad((u: Tensor) => t.sum(t.rmsNorm(u, ones(device(), [1]), { eps })))(v)));
		const curves = await numbers(second(x));
		[2, -3].forEach((v, i) => expect(curves[i] / (-3 * v * eps * (v * v + eps) ** -2.5)).toBeCloseTo(1, 5));
	});
});

it("f16 is computed in f32 by softmax, logSoftmax, logsumexp, layerNorm, rmsNorm, dropout and losses", async () => {
	if (!device().has("shader-f16")) return;
	// Of 4096 equal values the softmax is 2^-12 and their sum 2^18, which f16 does not hold.
	const x = t.cast(t.full(device(), [4096], 64), "f16");
	const [w, keyed] = [ones(device(), [4096]), t.DropoutKey.of(device(), t.key(1))];
	const all: readonly [Tensor, number][] = [
		[t.softmax(x), 2 ** -12],
		[t.logSoftmax(x), -Math.log(4096)],
		[t.logsumexp(x), 64 + Math.log(4096)],
		[t.layerNorm(x), 0],
		[t.rmsNorm(x, w), 1],
		[t.mean(t.dropout(x, 0, keyed)), 64],
		[t.mseLoss(t.mul(x, x), t.zerosLike(x)), 4096 ** 2],
		[t.crossEntropy(x, t.full(device(), [], 3, "i32")), Math.log(4096)],
	];
	for (const [y, expected] of all) {
		expect(y.dtype).toBe("f32");
		for (const v of await data(y)) expect(Math.abs(v - expected)).toBeLessThan(2e-6 * Math.max(1, Math.abs(expected)));
	}
});

describe("dropout", () => {
	it("is the identity without a key, and drops by a mask of another shape", async () => {
		const x = ones(device(), [32, 2, 2]);
		expect(t.dropout(x, 0.5)).toBe(x);
		const key = t.DropoutKey.of(device(), t.key(2));
		const y = await numbers(t.dropout(x, 0.5, key, { shape: [32, 1, 1] }));
		const mask = await numbers(t.dropout(ones(device(), [32]), 0.5, key));
		expect(y).toEqual(mask.flatMap((m) => [m, m, m, m]));
		const g = await numbers(grad((v: Tensor) => t.sum(t.dropout(v, 0.5, key, { shape: [32, 1, 1] })))(x));
		expect(g).toEqual(y);
		refuses(() => t.dropout(x, 0.5, key, { shape: [3, 1, 1] }), "ShapeError", "dropout/shape", "[3, 1, 1]");
	});
});

describe("embedding and linear", () => {
	it("embedding counts a negative paddingIdx from the end, and refuses one that is no row", async () => {
		const table = ones(device(), [3, 2]);
		const g = grad((v: Tensor) => t.sum(t.embedding(i32(0, 2, 2), v, { paddingIdx: -1 })))(table);
		expect(await numbers(g)).toEqual([1, 1, 0, 0, 0, 0]);
		for (const paddingIdx of [-4, 3, 0.5]) {
			refuses(() => t.embedding(i32(0), table, { paddingIdx }), "ValueError", "embedding/padding", `${paddingIdx}`);
		}
	});

	it("linear adds a bias of its outputs alone", async () => {
		const [x, w] = [f32([1, 2]), f32([1, 0, 0, 1, 1, 1], [3, 2])];
		expect(await numbers(t.linear(x, w, f32([10, 20, 30])))).toEqual([11, 22, 33]);
		refuses(() => t.linear(x, w, f32([1])), "ShapeError", "linear/bias", "[1]", "[3]");
	});
});

describe("windows", () => {
	it("that do not fit, and odd options, are refused by name", () => {
		const [x, w] = [ones(device(), [2, 5, 5]), ones(device(), [4, 2, 3, 3])];
		refuses(() => t.conv2d(x, ones(device(), [4, 2, 6, 3])), "ShapeError", "conv/windows", "conv2d", "6 x 3");
		refuses(() => t.conv2d(x, w, { groups: 2 }), "ShapeError", "conv/shapes", "2 groups");
		refuses(() => t.conv2d(x, w, { stride: 0 }), "ValueError", "call/argument", "stride");
		refuses(() => t.conv2d(x, w, { padding: [1, -1] }), "ValueError", "call/argument", "padding");
		refuses(() => t.conv2d(x, w, { bias: ones(device(), [3]) }), "ShapeError", "conv/shapes", "bias[3]");
		refuses(() => t.conv1d(x, w), "ShapeError", "conv/shapes", "conv1d");
		refuses(() => t.maxPool2d(x, 3, { padding: 2 }), "ValueError", "pool/kernel", "maxPool2d");
		refuses(() => t.avgPool1d(ones(device(), []), 2), "ValueError", "axis/range");
	});

	it("of many images are worked through in parts, with the same bits as each alone", async () => {
		// 64 channels of 92 x 92 in windows of 3 x 3 are 4.9 M columns an image: one image a part.
		const images = t.normal(device(), [2, 64, 92, 92], t.key(1));
		const w = t.normal(device(), [2, 64, 3, 3], t.key(2));
		const loss = (x: Tensor, v: Tensor) => t.sum(t.square(t.conv2d(x, v, { padding: 1 })));
		const batch = device().scope<Tensor[]>(() => [
			t.conv2d(images, w, { padding: 1 }),
			...vmap((x: Tensor) => [grad((v: Tensor) => loss(x, v))(w), grad((u: Tensor) => loss(u, w))(x)])(images),
		]);
		const last = device().scope<Tensor[]>(() => {
			const x = t.reshape(t.slice(images, 0, 1, 2), [64, 92, 92]);
			return [t.conv2d(x, w, { padding: 1 }), grad((v: Tensor) => loss(x, v))(w), grad((u: Tensor) => loss(u, w))(x)];
		});
		for (const [i, whole] of batch.entries()) {
			const [all, one] = [await data(whole), await data(last[i])];
			expect(all.subarray(one.length)).toEqual(one);
		}
		// The gradient of all images together is the sum of theirs.
		const [each, joined] = [await data(batch[1]), await data(grad((v: Tensor) => loss(images, v))(w))];
		joined.forEach((v, i) => expect(v).toBe(Math.fround(each[i] + each[i + joined.length])));
	});

	it("maxPool2d gives the gradient of a tie to the first, and takes NaN for the largest", async () => {
		const x = f32([1, 1, Number.NaN, 2], [1, 2, 2]);
		expect(await numbers(t.maxPool2d(x, 2))).toEqual([Number.NaN]);
		expect(await numbers(grad((v: Tensor) => t.sum(t.maxPool2d(v, [1, 2])))(f32([3, 3, 1, 2], [2, 2])))).toEqual([1, 0, 0, 1]);
	});
});
