import { GaussianMechanism, insecureNoiseForTests } from "@hushgrad/dp";
import { AdamW, NF4Parameter, Parameter, SGD } from "@hushgrad/nn";
import { registry } from "@hushgrad/nn/registry";
import {
	abs,
	add,
	capture,
	crossEntropy,
	type Device,
	embedding,
	full,
	grad,
	layerNorm,
	linear,
	linearCrossEntropy,
	matmul,
	maximum,
	mul,
	relu,
	rmsNorm,
	rope,
	scaledDotProductAttention,
	softmax,
	sqrt,
	sub,
	sum,
	type Tensor,
	tanh,
	valueAndGrad,
	vjp,
	vmap,
} from "@hushgrad/tensor";
import { defineKernel, type Physical, physicalOf, reads, writes } from "@hushgrad/tensor/author";
import { drawnNF4 } from "../suite/draw.ts";
import type { Maker, Program } from "../suite/serve.ts";

type Named = Readonly<Record<string, Tensor>>;

/** Four vectors an invocation: a workgroup costs a driver on the processor more than a vector does. */
const copyKernel = defineKernel("ceiling/copy", {
	params: { n: "u32", step: "u32" },
	buffers: { x: reads("f32", 4), y: writes("f32", 4) },
	workgroup: 64,
	body: "for (var at = index; at < p.n; at += p.step) { y_set4(at, x_at4(at)); }",
});
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];
const multiplyAddKernel = defineKernel("ceiling/multiplyAdd", {
	params: { n: "u32", turns: "u32", f: "f32" },
	buffers: { y: writes("f32") },
	workgroup: 64,
	body: `if (index >= p.n) { return; }
${EIGHT.map((i) => `var a${i} = vec4f(f32(index + ${i}u));`).join(" ")}
for (var t = 0u; t < p.turns; t++) { ${EIGHT.map((i) => `a${i} += a${i} * p.f;`).join(" ")} }
y_set(index, ${EIGHT.map((i) => `a${i}.x`).join(" + ")});`,
});

/** The NF4 weight of a row, on the device. */
function nf4(device: Device, n: number, k: number): NF4Parameter {
	const { scales: _, ...state } = drawnNF4(n, k);
	const parameter = new NF4Parameter([n, k]);
	parameter.loadQuantized(device, { ...state, shape: [n, k], blocksize: 64, dtype: "F32" });
	return parameter;
}

const nf4Transposed = registry.primitives.find(({ spec }) => spec.name === "nf4Linear.dx");

/** Eight operations of one operand. */
const chain = (x: Tensor): Tensor => sub(sqrt(add(abs(mul(tanh(add(mul(x, 1.1), 0.5)), x)), 1)), x);
/** Eight operations, of which five repeat a row or a column. */
const broadcastChain = ({ x, scale, bias, column }: Named): Tensor =>
	maximum(add(mul(tanh(mul(add(mul(x, scale), bias), column)), scale), bias), sub(x, column));
const attend = (q: Tensor, k: Tensor, v: Tensor): Tensor => scaledDotProductAttention(q, k, v, { isCausal: true });

function repeated({ x, y }: Named, count: unknown): Tensor {
	let z = x;
	for (let i = 0; i < Number(count); i++) z = add(z, y);
	return z;
}

/** Operations and small steps. */
export function kernelPrograms(device: Device): Record<string, Maker<Tensor>> {
	/** What an operation leaves beside its result is released at once. */
	const one = (fn: (inputs: Named, attrs: Parameters<Maker<Tensor>>[1]) => Tensor): Maker<Tensor> => {
		return (inputs, attrs) => () => [device.scope(() => fn(inputs, attrs))];
	};
	const several = (fn: (inputs: Named) => Tensor[]): Maker<Tensor> => {
		return (inputs) => () => device.scope(() => fn(inputs));
	};
	/** A kernel that works on so many vectors of a length. */
	const ceiling = (count: number, length: number, launch: (views: Physical[]) => void): Program<Tensor> => {
		const vectors = Array.from({ length: count }, () => full(device, [length], 0));
		const run = () => {
			launch(vectors.map((v) => physicalOf(v, 1)));
			return [];
		};
		return {
			run,
			dispose: () =>
				vectors.forEach((v) => {
					v.dispose();
				}),
		};
	};
	/** A parameter of these values. */
	const owned = (values: Tensor): Parameter => {
		const parameter = new Parameter(values.shape);
		parameter.assign(device.scope(() => add(values, 0)));
		return parameter;
	};
	return {
		copy: (_, { count }) => {
			const n = Number(count) / 4;
			return ceiling(2, 4 * n, ([x, y]) => copyKernel.run({ x, y }, { n, step: n / 4 }, n / 4));
		},
		multiplyAdd: (_, { lanes, turns }) => {
			const n = Number(lanes);
			return ceiling(1, n, ([y]) => multiplyAddKernel.run({ y }, { n, turns: Number(turns), f: 1e-9 }, n));
		},
		matmul: one(({ a, b }) => matmul(a, b)),
		linear: one(({ x, w }) => linear(x, w)),
		nf4: ({ x }, { n, k }) => {
			const weight = nf4(device, Number(n), Number(k));
			return { run: () => [device.scope(() => weight.linear(x))], dispose: () => weight.dispose() };
		},
		nf4Transposed: ({ x }, { n, k }) => {
			const [rows, columns] = [Number(k), Number(n)];
			const weight = nf4(device, rows, columns);
			const { codes, scales, nested, map } = weight.weight;
			const attrs = { n: rows, k: columns, offset: drawnNF4(rows, columns).offset, rounded: 0 };
			const run = () => device.scope(() => nf4Transposed?.apply([x, codes, scales, nested, map], attrs) ?? []);
			return { run, dispose: () => weight.dispose() };
		},
		softmax: one(({ x }) => softmax(x)),
		layerNorm: one(({ x, weight, bias }) => layerNorm(x, { weight, bias })),
		rmsNorm: one(({ x, weight }) => rmsNorm(x, weight)),
		rope: one(({ x, cos, sin }) => rope(x, cos, sin)),
		attention: one(({ q, k, v }) => attend(q, k, v)),
		attentionGrad: several(({ q, k, v, dy }) => [...vjp(attend, [q, k, v], dy).grads]),
		crossEntropy: one(({ logits, targets }) => crossEntropy(logits, targets, { reduction: "none" })),
		linearCrossEntropy: one(({ x, w, targets }) => linearCrossEntropy(x, w, targets)),
		linearCrossEntropyGrad: one(({ x, w, targets }) => grad((h: Tensor) => sum(linearCrossEntropy(h, w, targets)))(x)),
		sum: one(({ x }, { axis }) => sum(x, [Number(axis)])),
		add: one(({ x, y }) => add(x, y)),
		chain: one(({ x }) => chain(x)),
		broadcastChain: one(broadcastChain),
		embedding: one(({ ids, table }) => embedding(ids, table)),
		embeddingGrad: several(({ ids, table, dy }) => [...vjp((t: Tensor) => embedding(ids, t), [table], dy).grads]),
		adamw: ({ w, g }, { lr }) => {
			const parameter = owned(w);
			const optimizer = new AdamW([parameter], { lr: Number(lr) });
			const run = () => {
				optimizer.step(g);
				return [];
			};
			return { run, dispose: () => optimizer.dispose() };
		},
		clipSum: ({ g }, { clip }) => {
			const [rows, length] = g.shape;
			const mechanism = new GaussianMechanism({ length, maxGradNorm: Number(clip), noiseMultiplier: 0, expectedBatchSize: 1 });
			const ones = full(device, [rows], 1);
			const summed = () => {
				const total = mechanism.newSum(device);
				device.scope<void>(() => void total.add([g], ones));
				return total;
			};
			const sums: ReturnType<typeof summed>[] = [];
			const run = () => {
				sums.push(summed());
				return [];
			};
			const release = () => {
				for (const total of sums.splice(0)) total.dispose();
			};
			const outputs = async () => {
				const total = summed();
				const steps = await total.read();
				total.dispose();
				return [Float32Array.from(steps.subarray(0, length), (s) => s * mechanism.grid)];
			};
			return { run, outputs, release };
		},
		privateTail: ({ g, w }, { clip, noise, lr }) => {
			const [rows, length] = g.shape;
			const sizes = { length, maxGradNorm: Number(clip), noiseMultiplier: Number(noise), expectedBatchSize: rows };
			const mechanism = new GaussianMechanism(sizes);
			const source = insecureNoiseForTests(1);
			const ones = full(device, [rows], 1);
			const parameter = owned(w);
			const optimizer = new AdamW([parameter], { lr: Number(lr) });
			const run = async () => {
				const total = mechanism.newSum(device);
				device.scope<void>(() => void total.add([g], ones));
				const { mean } = await total.release(mechanism.draw(source));
				total.dispose();
				optimizer.step(mean);
				mean.dispose();
				return [];
			};
			return { run, dispose: () => optimizer.dispose() };
		},
		adds: one((inputs, { count }) => repeated(inputs, count)),
		capturedAdds: (inputs, { count }) => {
			const step = capture(device, () => repeated(inputs, count));
			const run = () => {
				step.replay();
				return [];
			};
			return { run, dispose: () => step.dispose() };
		},
		mlpStep: ({ x, targets, ...weights }, { lr }) => {
			const parameters = ["w1", "b1", "w2", "b2"].map((name) => owned(weights[name]));
			const [w1, b1, w2, b2] = parameters;
			const optimizer = new SGD(parameters, { lr: Number(lr) });
			const loss = (): Tensor => {
				const h = relu(add(matmul(x, w1.value), b1.value));
				return crossEntropy(add(matmul(h, w2.value), b2.value), targets);
			};
			const run = () => {
				device.scope<void>(() => optimizer.step(valueAndGrad(loss, parameters).grads));
				return [];
			};
			return { run, dispose: () => optimizer.dispose() };
		},
		perSample: several(({ x, w1, b1, w2, b2 }) => {
			const slots = [w1, b1, w2, b2].map((value) => ({ value }));
			/** Of the slots, which stand for each record's own while it is differentiated by them. */
			const loss = (record: Tensor): Tensor => {
				const [u, c, v, d] = slots.map(({ value }) => value);
				const y = add(matmul(tanh(add(matmul(record, u), c)), v), d);
				return sum(mul(y, y));
			};
			return vmap((record: Tensor) => [...valueAndGrad(() => loss(record), slots).grads])(x);
		}),
	};
}
