import {
	add,
	assign,
	type Device,
	data,
	exp,
	full,
	matmul,
	mul,
	requestDevice,
	type Slot,
	slice,
	sum,
	type Tensor,
	tensor,
	transpose,
	valueAndGrad,
	vmap,
	write,
} from "@hushgrad/tensor";
import { definePrimitive } from "@hushgrad/tensor/author";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { useFlatMemory } from "../support/flatMemory.ts";

const device = useDevice({ debug: { memory: true } });
const isFlat = useFlatMemory(device);
const counting = (...shape: number[]): Tensor =>
	device().fromHost(
		Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
		shape,
	);

describe("what is refused, with a name, and nothing left behind", () => {
	let other: Device;
	const sumOf = (r: Tensor): Tensor => sum(r);
	const cases: [string, string, () => unknown][] = [
		["two counts of records", "vmap/records", () => vmap((a: Tensor, b: Tensor) => mul(a, b))(counting(3, 2), counting(2, 2))],
		["two counts within an argument", "vmap/records", () => vmap((a: Tensor[]) => mul(a[0], a[1]))([counting(3), counting(2)])],
		["a scalar", "vmap/scalar", () => vmap((a: Tensor) => a)(counting())],
		["an axis that is not there", "axis/range", () => vmap(sumOf, { inAxes: 2 })(counting(2, 2))],
		["an axis before the first", "axis/range", () => vmap(sumOf, { inAxes: -3 })(counting(2, 2))],
		["an axis that is no whole number", "axis/range", () => vmap(sumOf, { inAxes: 0.5 })(counting(2, 2))],
		["fewer axes than arguments", "vmap/axes", () => vmap((a: Tensor, _: Tensor) => a, { inAxes: [0] })(counting(2), counting(2))],
		["more axes than arguments", "vmap/axes", () => vmap((a: Tensor) => a, { inAxes: [0, 0] })(counting(2))],
		["no argument with records", "vmap/batch", () => vmap((a: Tensor) => a, { inAxes: null })(counting(2))],
		["no tensors at all", "vmap/batch", () => vmap((n: number) => n)(3)],
		["vmap inside vmap, over the record", "vmap/nested", () => vmap((r: Tensor) => vmap(sumOf)(r))(counting(2, 2))],
		[
			"vmap inside vmap, over a tensor from outside",
			"vmap/nested",
			() => {
				const x = counting(3, 2);
				return vmap((_: Tensor) => vmap(sumOf)(x))(counting(2, 2));
			},
		],
		["an async function", "vmap/async", () => vmap(async (r: Tensor) => sum(r))(counting(2, 2))],
		["an async function that fails", "vmap/async", () => vmap(async (r: Tensor) => data(r))(counting(2, 2))],
		["reading a record", "vmap/read", () => vmap((r: Tensor) => void data(r))(counting(2, 2))],
		["writing into a record", "tensor/write", () => vmap((r: Tensor) => write(r, [1, 2]))(counting(2, 2))],
		[
			"assigning a record to a tensor from outside",
			"assign/operands",
			() => {
				const target = counting(2);
				return vmap((r: Tensor) => assign(target, r))(counting(2, 2));
			},
		],
		["overwriting a record", "op/in-place", () => vmap((r: Tensor) => overwrite.apply([r, full(device(), [2], 1)]))(counting(2, 2))],
		[
			"overwriting a tensor from outside with a record",
			"op/in-place",
			() => {
				const target = counting(2);
				return vmap((r: Tensor) => overwrite.apply([target, r]))(counting(2, 2));
			},
		],
		["a released argument", "tensor/disposed", () => vmap(sumOf)(released())],
		["arguments on two devices", "op/device", () => vmap((a: Tensor, b: Tensor) => [a, b])(counting(2), tensor(other, [1, 2], [2]))],
		[
			"a value with records that is no scalar",
			"grad/scalar",
			() => {
				const w: Slot = { value: counting(2) };
				return vmap((r: Tensor) => valueAndGrad(() => mul(r, w.value), [w]).grads)(counting(3, 2));
			},
		],
	];
	/** An operation in place whose signature does not say that its operands are one for all records. */
	const overwrite = definePrimitive({
		name: "overwrite",
		signature: "target[N], x[N] -> target[N]",
		attrs: {},
		forward: () => [],
		grad: { target: "none", x: "none" },
		reference: ({ x }) => [x],
	});
	function released(): Tensor {
		const t = counting(2, 2);
		t.dispose();
		return t;
	}
	beforeAll(async () => {
		other = await requestDevice();
	});
	afterAll(() => other.destroy());

	it.each(cases)("%s", async (_, code, call) => {
		expect(() => device().scope<void>(() => void call())).toThrow(expect.objectContaining({ code }));
		isFlat();
		const works = device().scope<Tensor>(() => vmap(sumOf)(counting(2, 2)));
		expect([...(await data(works))]).toEqual([1, 5]);
		works.dispose();
	});

	it("the error of a program passes through", () => {
		const stop = () =>
			vmap((r: Tensor) => {
				exp(r);
				throw new Error("stop");
			})(counting(2, 2));
		expect(() => device().scope<void>(() => void stop())).toThrow("stop");
	});
});

describe("a tensor kept from a program for one record", () => {
	const kept = (view: (r: Tensor) => Tensor): Tensor => {
		let inside: Tensor | undefined;
		device().scope<void>(() => {
			vmap((r: Tensor) => {
				inside = device().keep(view(r));
				return sum(r);
			})(counting(3, 2));
		});
		return inside as Tensor;
	};

	it.each<[string, (r: Tensor) => Tensor]>([
		["itself", (r) => mul(r, r)],
		["a view of it", (r) => slice(r, 0, 0, 1)],
		["what it was given", (r) => transpose(matmul(transpose(mulOuter(r)), mulOuter(r)))],
	])("%s is refused outside, in another program, and as an argument", async (_, view) => {
		const t = kept(view);
		const uses: [string, () => unknown][] = [
			["vmap/kept", () => add(t, t)],
			["vmap/kept", () => slice(t, 0, 0, 1)],
			["vmap/kept", () => sum(t)],
			["vmap/kept", () => vmap((r: Tensor) => mul(sum(r), sum(t)))(counting(3, 2))],
			["vmap/kept", () => vmap((r: Tensor) => t ?? r)(counting(3, 2))],
			["vmap/kept", () => vmap((r: Tensor) => r)(t)],
			["vmap/kept", () => vmap((r: Tensor, s: Tensor) => mul(sum(r), sum(s)), { inAxes: [0, null] })(counting(3, 2), t)],
			["vmap/kept", () => valueAndGrad(() => sum(t), [{ value: t }])],
			["vmap/read", () => data(t)],
			["tensor/write", () => write(t, new Float32Array(t.size))],
			["assign/operands", () => assign(counting(...t.shape), t)],
		];
		for (const [code, use] of uses) {
			const { liveBuffers } = device().memory();
			expect(() => device().scope<void>(() => void use()), code).toThrow(expect.objectContaining({ code }));
			expect(device().memory().liveBuffers).toBe(liveBuffers);
		}
		t.dispose();
	});

	/** r r^T of a vector. */
	function mulOuter(r: Tensor): Tensor {
		return mul(transpose(matmul(full(device(), [2, 1], 1), full(device(), [1, 2], 1))), r);
	}
});
