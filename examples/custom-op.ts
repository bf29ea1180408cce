/**
 * An operation of your own, with its WGSL and its gradient: the "snake" activation, y = x + sin^2(a x) / a, which keeps a
 * periodic part (Ziyin, Hartwig and Ueda 2020). `npx tsx -C @hushgrad/source examples/custom-op.ts`
 *
 * What is written here once serves as documentation, shape rule, kernel, gradient and test oracle. The frequency a is an
 * attribute: a number that goes to the kernel as a parameter.
 */
import { add, data, grad, mul, requestDevice, sin, sum, type Tensor } from "@hushgrad/tensor";
import { contiguous, defineKernel, definePrimitive, reads, wgsl, writes } from "@hushgrad/tensor/author";

export const snakeKernel = defineKernel("snake", {
	params: { n: "u32", a: "f32" },
	buffers: { x: reads("f32"), y: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let v = x_at(index);
let s = sin(p.a * v);
y_set(index, v + s * s / p.a);`,
});

export const snakePrimitive = definePrimitive({
	name: "snake",
	signature: "x[...] -> y[...]",
	attrs: { a: 1 },
	forward: ({ runtime, inputs, attrs: { a } }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape);
		snakeKernel.run({ x, y }, { n: x.size, a }, x.size);
		return [y];
	},
	// dy/dx = 1 + sin(2 a x): made of differentiable operations, so that it can be differentiated again.
	grad: { x: { saves: ["x"], rule: ({ dy, x }, { a }) => mul(dy, add(sin(mul(x, 2 * a)), 1)) } },
	reference: ({ x }, { a }) => [{ data: x.data.map((v) => v + Math.sin(a * v) ** 2 / a), shape: x.shape }],
	test: { bound: { abs: 2 ** -9, why: "WGSL: sin is within 2^-11" }, variants: [{ a: 1.5 }] },
});

/** x + sin^2(a x) / a. */
export const snake = (x: Tensor, a = 1): Tensor => snakePrimitive.apply([x], { a })[0];

if (process.argv[1]?.endsWith("custom-op.ts")) {
	const device = await requestDevice();
	const x = device.fromHost([-2, -1, 0, 1, 2], [5]);
	const y = snake(x);
	const slope = grad((v: Tensor) => sum(snake(v)))(x);
	const show = async (name: string, t: Tensor): Promise<void> =>
		console.log(name.padEnd(12), [...(await data(t))].map((v) => v.toFixed(4)).join("  "));
	await show("x", x);
	await show("snake(x)", y);
	await show("slope", slope);
	device.destroy();
}
