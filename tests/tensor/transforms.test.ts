import {
	add,
	checkpoint,
	customVjp,
	data,
	exp,
	grad,
	hessian,
	hvp,
	jacobian,
	jvp,
	matmul,
	mul,
	sin,
	softmax,
	square,
	sum,
	type Tensor,
	tanh,
	tensor,
	toNested,
	valueAndGrad,
	vjp,
	vmap,
} from "@hushgrad/tensor";
import { definePrimitive, type NdArray, type Physical } from "@hushgrad/tensor/author";
import { describe, expect, expectTypeOf, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const vector = (...values: number[]): Tensor => tensor(device(), values);

/** The identity, with a gradient that has none. */
const identity = { forward: ({ inputs }: { inputs: { x: Physical } }) => [inputs.x], reference: ({ x }: { x: NdArray }) => [x] };
const unbuiltGrad = definePrimitive({ name: "unbuilt.dx", signature: "x[...] -> y[...]", attrs: {}, grad: { x: "missing" }, ...identity });
const unbuilt = definePrimitive({
	name: "unbuilt",
	signature: "x[...] -> y[...]",
	attrs: {},
	grad: { x: { saves: [], rule: ({ dy }) => unbuiltGrad.apply([dy])[0] } },
	...identity,
});

/** Functions of a vector of 3, on the device and in float64. */
const FUNCTIONS: Record<string, { readonly f: (x: Tensor) => Tensor; readonly ref: (x: readonly number[]) => number[] }> = {
	"sin(x) x²": { f: (x) => mul(sin(x), square(x)), ref: (x) => x.map((v) => Math.sin(v) * v * v) },
	softmax: {
		f: (x) => softmax(x),
		ref: (x) => {
			const total = x.reduce((s, v) => s + Math.exp(v), 0);
			return x.map((v) => Math.exp(v) / total);
		},
	},
	"tanh(A x)": {
		f: (x) =>
			tanh(
				matmul(
					tensor(device(), [
						[1, 2, 3],
						[-1, 0.5, 0.25],
					]),
					x,
				),
			),
		ref: ([a, b, c]) => [Math.tanh(a + 2 * b + 3 * c), Math.tanh(-a + 0.5 * b + 0.25 * c)],
	},
};
const AT = [0.3, -0.2, 0.1];
const ALONG = [0.7, -1.1, 0.4];

/** Entries of the derivative of f in float64, by central differences: those of the result first, then those of x. */
const differences = (f: (x: readonly number[]) => number[], x: readonly number[], h = 1e-4): number[][] => {
	const columns = x.map((_, i) => {
		const [up, down] = [h, -h].map((d) => f(x.with(i, x[i] + d)));
		return up.map((v, k) => (v - down[k]) / (2 * h));
	});
	return columns[0].map((_, k) => columns.map((c) => c[k]));
};
const total = (f: (x: readonly number[]) => number[]) => (x: readonly number[]) => [f(x).reduce((s, v, i) => s + v * v * (i + 1), 0)];
/** The same weighted sum of squares on the device. */
const scalarOf = (f: (x: Tensor) => Tensor) => (x: Tensor) => {
	const y = f(x);
	return sum(
		mul(
			square(y),
			tensor(
				device(),
				Array.from({ length: y.size }, (_, i) => i + 1),
			),
		),
	);
};

/** Nested lists, flat. */
const flat = async (x: Tensor): Promise<number[]> => [...(await data(x))];
async function expectClose(x: Tensor, values: readonly number[], within = 2e-4): Promise<void> {
	const got = await flat(x);
	expect(got.length).toBe(values.length);
	got.forEach((v, i) => {
		expect(Math.abs(v - values[i]), `${i}: ${v} against ${values[i]}`).toBeLessThan(within * (1 + Math.abs(values[i])));
	});
}

describe.each(Object.entries(FUNCTIONS))("of %s", (_, { f, ref }) => {
	const J = differences(ref, AT);
	const gradient = (x: readonly number[]) => differences(total(ref), x)[0];
	const H = differences(gradient, AT, 1e-3);
	const apply = (m: readonly (readonly number[])[]) => m.map((row) => row.reduce((s, v, i) => s + v * ALONG[i], 0));

	it("jvp is the change along a direction", async () => {
		const { value, tangent } = jvp(f, [vector(...AT)], [vector(...ALONG)]);
		await expectClose(value, ref(AT));
		await expectClose(tangent, apply(J));
	});

	it("jacobian has all derivatives", async () => {
		const j = jacobian(f)(vector(...AT));
		expect(j.shape).toEqual([J.length, 3]);
		await expectClose(j, J.flat());
	});

	it("hessian and hvp have the second ones, and the value and gradient beside", async () => {
		const scalar = scalarOf(f);
		const h = hessian(scalar)(vector(...AT));
		expect(h.shape).toEqual([3, 3]);
		await expectClose(h, H.flat(), 1e-3);
		const { value, grads, products } = hvp(scalar, [vector(...AT)], [vector(...ALONG)]);
		await expectClose(value, total(ref)(AT));
		await expectClose(grads[0], gradient(AT));
		await expectClose(products[0], apply(H), 1e-3);
	});

	it("each runs for every record under vmap", async () => {
		const points = [AT, ALONG];
		const batch = tensor(device(), points);
		await expectClose(
			vmap((x: Tensor) => jacobian(f)(x))(batch),
			points.flatMap((p) => differences(ref, p).flat()),
		);
		await expectClose(
			vmap((x: Tensor) => jvp(f, [x], [x]).tangent)(batch),
			points.flatMap((p) => differences(ref, p).map((row) => row.reduce((s, v, i) => s + v * p[i], 0))),
		);
		await expectClose(
			vmap((x: Tensor) => hessian(scalarOf(f))(x))(batch),
			points.flatMap((p) => differences((x) => differences(total(ref), x)[0], p, 1e-3).flat()),
			1e-3,
		);
		await expectClose(
			vmap((x: Tensor) => hvp(scalarOf(f), [x], [x]).products[0])(batch),
			points.flatMap((p) => differences((x) => differences(total(ref), x)[0], p, 1e-3).map((r) => r.reduce((s, v, i) => s + v * p[i], 0))),
			1e-3,
		);
	});
});

describe("closed forms", () => {
	it("the Jacobian of a matrix product by its first factor, and its shape", async () => {
		const a = tensor(device(), [
			[1, 2],
			[3, 4],
		]);
		const b = tensor(device(), [[5], [6]]);
		const j = jacobian((x: Tensor, y: Tensor) => matmul(x, y))(a, b);
		expect(j.shape).toEqual([2, 1, 2, 2]);
		expect(await flat(j)).toEqual([5, 6, 0, 0, 0, 0, 5, 6]);
	});

	it("the Hessian of a quadratic form is A + Aᵀ", async () => {
		const A = [
			[1, 2, 0],
			[0, 3, 5],
			[1, 0, -2],
		];
		const form = (x: Tensor) => sum(mul(x, matmul(tensor(device(), A), x)));
		const expected = A.map((row, i) => row.map((v, j) => v + A[j][i]));
		expect(await toNested(hessian(form)(vector(1, 2, 3)))).toEqual(expected);
	});

	it("jvp of two inputs is the sum of both parts: d(a b) = da b + a db", async () => {
		const [a, b, da, db] = [vector(2, 3), vector(5, 7), vector(1, 0), vector(0, 1)];
		expect(await flat(jvp((x, y) => mul(x, y), [a, b], [da, db]).tangent)).toEqual([5, 3]);
	});

	it("hvp over two inputs has the mixed derivatives: f = a² b", async () => {
		const { products } = hvp((a, b) => sum(mul(square(a), b)), [vector(3), vector(5)], [vector(1), vector(10)]);
		expect(await Promise.all(products.map(flat))).toEqual([[2 * 5 + 10 * 2 * 3], [2 * 3]]);
	});

	it("nested: the third derivative of x⁴ is 24 x, of exp exp", async () => {
		const fourth = (x: Tensor) => sum(square(square(x)));
		await expectClose(grad((x: Tensor) => sum(hessian(fourth)(x)))(vector(0.5)), [12], 1e-5);
		const second = (x: Tensor) => jvp((y) => jvp(exp, [y], [vector(1)]).tangent, [x], [vector(1)]).tangent;
		await expectClose(second(vector(0.5)), [Math.exp(0.5)], 1e-5);
		await expectClose(jacobian(jacobian((x: Tensor) => exp(x)))(vector(0.5)), [Math.exp(0.5)], 1e-5);
	});

	it("of a function that does not depend on x, and of nothing", async () => {
		expect(await flat(jacobian(() => vector(1, 2))(vector(3)))).toEqual([0, 0]);
		expect(await flat(jvp(() => vector(1, 2), [vector(3)], [vector(1)]).tangent)).toEqual([0, 0]);
		expect(jacobian((x: Tensor) => x)(vector()).shape).toEqual([0, 0]);
	});

	it("through checkpoint and a gradient of its own", async () => {
		const kept = (x: Tensor) => sum(checkpoint((y) => square(square(y)), [x]));
		await expectClose(hessian(kept)(vector(0.5)), [12 * 0.25], 1e-5);
		const own = customVjp({
			name: "cube",
			forward: (x) => ({ value: mul(x, square(x)), saved: [x] }),
			backward: (dy, [x]) => [mul(dy, add(square(x), add(square(x), square(x))))],
		});
		await expectClose(hessian((x: Tensor) => sum(own(x)))(vector(0.5)), [3], 1e-5);
	});
});

describe("valueAndGrad with more results", () => {
	it("hands on what is beside the value", async () => {
		const w = { value: vector(1, 2) };
		const result = valueAndGrad(() => {
			const prediction = sin(w.value);
			return { value: sum(prediction), aux: { prediction, counts: [3], note: "kept" } };
		}, [w]);
		expectTypeOf(result.aux.note).toEqualTypeOf<string>();
		expectTypeOf(result.grads).toEqualTypeOf<readonly [Tensor]>();
		await expectClose(result.grads[0], [Math.cos(1), Math.cos(2)]);
		await expectClose(result.aux.prediction, [Math.sin(1), Math.sin(2)]);
		expect(result.aux).toMatchObject({ counts: [3], note: "kept" });
	});

	it("releases nothing that is returned, and all else", () => {
		const w = { value: vector(1, 2) };
		const { liveBuffers } = device().memory();
		const { value, grads, aux } = valueAndGrad(() => ({ value: sum(square(w.value)), aux: [sin(w.value)] }), [w]);
		const later = square(aux[0]); // traced by nothing
		for (const x of [value, ...grads, ...aux, later]) x.dispose();
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});

	it("lets an outer gradient pass through what is beside", async () => {
		const outer = (x: Tensor) => {
			const w = { value: x };
			const { aux } = valueAndGrad(() => ({ value: sum(w.value), aux: square(w.value) }), [w]);
			return sum(aux);
		};
		expect(await flat(grad(outer)(vector(1, 2)))).toEqual([2, 4]);
	});

	it("gives each record its own under vmap", async () => {
		const w = { value: vector(1, 2) };
		const { aux } = vmap((x: Tensor) => valueAndGrad(() => ({ value: sum(mul(w.value, x)), aux: mul(w.value, x) }), [w]))(
			tensor(device(), [
				[1, 1],
				[2, 3],
			]),
		);
		expect(await toNested(aux)).toEqual([
			[1, 2],
			[2, 6],
		]);
	});
});

describe("errors", () => {
	const x = () => vector(1, 2);
	const CASES: [string, () => unknown, string, string][] = [
		["jvp without a function", () => jvp(3 as never, [x()], [x()]), "call/argument", "jvp: fn is 3"],
		["jvp with a tensor for the list", () => jvp(sin, x() as never, [x()] as never), "call/argument", "jvp: inputs is Tensor(f32 [2])"],
		["a tangent too few", () => jvp(sin, [x()], [] as never), "grad/tangent", "jvp: 0 tangents for 1 inputs"],
		["a tangent of another shape", () => hvp((a) => sum(a), [x()], [vector(1)]), "grad/tangent", "hvp: tangent 0 is [1]"],
		["hvp of a vector", () => hvp((a) => a, [x()], [x()]), "grad/scalar", "returned [2]"],
		["jacobian of a number", () => jacobian(sin)(3 as never), "call/argument", "jacobian: x is 3"],
		["hessian of nothing", () => hessian(undefined as never), "call/argument", "hessian: fn is undefined"],
		["a slot without a tensor", () => valueAndGrad(() => sum(x()), [{}] as never), "grad/slot", "valueAndGrad: slot 0"],
		["slots that are no list", () => valueAndGrad(() => sum(x()), { value: x() } as never), "call/argument", "slots is an object"],
		[
			"a second derivative that is not built",
			() => hessian((a: Tensor) => sum(square(unbuilt.apply([a])[0])))(x()),
			"grad/order",
			"unbuilt.dx",
		],
		["vjp of a list", () => vjp((a) => sin(a), [x()], [1] as never), "call/argument", "vjp: v is [1]"],
	];
	it.each(CASES)("%s", (_, call, code, text) => {
		const { liveBuffers } = device().memory();
		device().scope<void>(() => {
			expect(call).toThrow(expect.objectContaining({ code, message: expect.stringContaining(text) }));
		});
		expect(device().memory().liveBuffers).toBe(liveBuffers);
	});
});
