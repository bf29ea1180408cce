/** The process in which TensorFlow.js runs, on its WebGPU backend: `--packages DIR [--adapter NAME]`. */
import { parseArgs } from "node:util";
import { requireFrom, versionOf } from "../suite/environment.ts";
import { type Maker, serve } from "../suite/serve.ts";
import { openGpu } from "./gpu.ts";

/** What is used of a tensor of it, whose operations are methods. */
interface T {
	readonly shape: number[];
	data(): Promise<Float32Array | Int32Array>;
	dispose(): void;
	add(b: T | number): T;
	sub(b: T | number): T;
	mul(b: T | number): T;
	div(b: T | number): T;
	maximum(b: T): T;
	tanh(): T;
	abs(): T;
	sqrt(): T;
	rsqrt(): T;
	square(): T;
	relu(): T;
	neg(): T;
	sum(axis?: number, keepDims?: boolean): T;
	mean(axis?: number, keepDims?: boolean): T;
	softmax(): T;
	logSoftmax(): T;
	gather(ids: T): T;
	slice(begin: number[], size: number[]): T;
	reshape(shape: number[]): T;
}
interface TensorFlow {
	tensor(values: Float32Array | Int32Array, shape: readonly number[], dtype: string): T;
	matMul(a: T, b: T, transposeA?: boolean, transposeB?: boolean): T;
	where(condition: T, a: T, b: T): T;
	gatherND(x: T, indices: T): T;
	stack(parts: T[], axis: number): T;
	concat(parts: T[], axis: number): T;
	oneHot(ids: T, depth: number): T;
	range(from: number, to: number, step: number, dtype: string): T;
	fill(shape: number[], value: number): T;
	linalg: { bandPart(x: T, lower: number, upper: number): T };
	tidy<R>(fn: () => R): R;
	keep(x: T): T;
	variable(x: T): T;
	grads(fn: (...xs: T[]) => T): (xs: T[], dy?: T) => T[];
	train: Readonly<Record<"sgd" | "adam", (lr: number) => { minimize(f: () => T): unknown; applyGradients(g: Record<string, T>): void }>>;
	env(): { set(flag: string, value: unknown): void };
	setBackend(name: string): Promise<boolean>;
	ready(): Promise<void>;
	backend(): { device: GPUDevice; ensureCommandEncoderReady(): void; endComputePassEncoder(): void; submitQueue(): void };
}

const { values: flags } = parseArgs({ options: { adapter: { type: "string" }, packages: { type: "string", default: "." } } });

const REASONS: Readonly<Record<string, string>> = {
	nf4: "no weights in four bits",
	nf4Transposed: "no weights in four bits",
	capturedAdds: "no capture and replay",
	clipSum: "no gradients of single records",
	perSample: "no gradients of single records",
	privateTail: "no differential privacy",
};

function programsOf(tf: TensorFlow): Record<string, Maker<T>> {
	type Named = Readonly<Record<string, T>>;
	const one =
		(fn: (inputs: Named, attrs: Readonly<Record<string, unknown>>) => T): Maker<T> =>
		(inputs, attrs) =>
		() => [tf.tidy(() => fn(inputs, attrs))];
	const several =
		(fn: (inputs: Named) => T[]): Maker<T> =>
		(inputs) =>
		() =>
			tf.tidy(() => fn(inputs));
	/** A program that needs something made before. */
	const with1 =
		(make: (inputs: Named) => T, fn: (inputs: Named, made: T) => T[]): Maker<T> =>
		(inputs) => {
			const made = make(inputs);
			return { run: () => tf.tidy(() => fn(inputs, made)), dispose: () => made.dispose() };
		};
	const normalized = (x: T, weight: T, bias: T): T => {
		const centred = x.sub(x.mean(-1, true));
		return centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt()).mul(weight).add(bias);
	};
	/** 0 where a query may see a key, else far below. */
	const causal = ({ q }: Named): T =>
		tf.tidy(() =>
			tf.linalg
				.bandPart(tf.fill([q.shape[2], q.shape[2]], 1), -1, 0)
				.sub(1)
				.mul(1e9),
		);
	const attention = (q: T, k: T, v: T, mask: T): T =>
		tf.matMul(
			tf
				.matMul(q, k, false, true)
				.mul(q.shape[3] ** -0.5)
				.add(mask)
				.softmax(),
			v,
		);
	const rotated = ({ x, cos, sin }: Named): T => {
		const [b, h, t, k] = x.shape;
		const lo = x.slice([0, 0, 0, 0], [b, h, t, k / 2]);
		const hi = x.slice([0, 0, 0, k / 2], [b, h, t, k / 2]);
		return tf.concat([lo.mul(cos).sub(hi.mul(sin)), hi.mul(cos).add(lo.mul(sin))], 3);
	};
	const losses = (logits: T, targets: T): T => {
		const at = tf.stack([tf.range(0, targets.shape[0], 1, "int32"), targets], 1);
		return tf.gatherND(logits.logSoftmax(), at).neg();
	};
	/** With a gradient: that of gatherND there is none of. */
	const meanLoss = (logits: T, targets: T): T => logits.logSoftmax().mul(tf.oneHot(targets, logits.shape[1])).sum().div(-logits.shape[0]);
	const headLoss = (h: T, w: T, targets: T): T => tf.matMul(h, w, false, true).logSoftmax().mul(tf.oneHot(targets, w.shape[0])).sum().neg();
	return {
		matmul: one(({ a, b }) => tf.matMul(a, b)),
		linear: one(({ x, w }) => tf.matMul(x, w, false, true)),
		softmax: one(({ x }) => x.softmax()),
		layerNorm: one(({ x, weight, bias }) => normalized(x, weight, bias)),
		rmsNorm: one(({ x, weight }) => x.mul(x.square().mean(-1, true).add(1e-6).rsqrt()).mul(weight)),
		rope: one(rotated),
		attention: with1(causal, ({ q, k, v }, mask) => [attention(q, k, v, mask)]),
		attentionGrad: with1(causal, ({ q, k, v, dy }, mask) => tf.grads((a, b, c) => attention(a, b, c, mask))([q, k, v], dy)),
		crossEntropy: one(({ logits, targets }) => losses(logits, targets)),
		linearCrossEntropy: one(({ x, w, targets }) => losses(tf.matMul(x, w, false, true), targets)),
		linearCrossEntropyGrad: several(({ x, w, targets }) => tf.grads((h) => headLoss(h, w, targets))([x])),
		sum: one(({ x }, { axis }) => x.sum(Number(axis))),
		add: one(({ x, y }) => x.add(y)),
		chain: one(({ x }) => x.mul(1.1).add(0.5).tanh().mul(x).abs().add(1).sqrt().sub(x)),
		broadcastChain: one(({ x, scale, bias, column }) =>
			x.mul(scale).add(bias).mul(column).tanh().mul(scale).add(bias).maximum(x.sub(column)),
		),
		embedding: one(({ table, ids }) => table.gather(ids)),
		embeddingGrad: several(({ table, ids, dy }) => tf.grads((t) => t.gather(ids))([table], dy)),
		adamw: ({ w, g }, { lr }) => {
			const variable = tf.variable(w) as T & { name: string };
			const optimizer = tf.train.adam(Number(lr));
			const run = (): T[] => {
				tf.tidy(() => optimizer.applyGradients({ [variable.name]: g }));
				return [];
			};
			return { run, dispose: () => variable.dispose() };
		},
		adds: one(({ x, y }, { count }) => {
			let z = x;
			for (let i = 0; i < Number(count); i++) z = z.add(y);
			return z;
		}),
		mlpStep: ({ x, targets, ...weights }, { lr }) => {
			const [w1, b1, w2, b2] = ["w1", "b1", "w2", "b2"].map((name) => tf.variable(weights[name]));
			const optimizer = tf.train.sgd(Number(lr));
			const run = (): T[] => {
				tf.tidy(() => optimizer.minimize(() => meanLoss(tf.matMul(tf.matMul(x, w1).add(b1).relu(), w2).add(b2), targets)));
				return [];
			};
			return { run, dispose: () => [w1, b1, w2, b2].forEach((v) => v.dispose()) };
		},
	};
}

await serve<T>(async () => {
	const { adapter, isSoftware, done } = await openGpu(flags.adapter);
	const load = requireFrom(flags.packages);
	const tf = load("@tensorflow/tfjs") as TensorFlow;
	load("@tensorflow/tfjs-backend-webgpu");
	tf.env().set("WEBGPU_CPU_FORWARD", false);
	if (!(await tf.setBackend("webgpu"))) throw new Error("its WebGPU backend does not start");
	await tf.ready();
	const release = (tensors: readonly T[]): void => {
		for (const t of tensors) t.dispose();
	};
	return {
		description: { library: "TensorFlow.js", version: versionOf("@tensorflow/tfjs", flags.packages), adapter, isSoftware },
		upload: async (values, shape) => {
			const t = tf.tensor(values, shape, values instanceof Int32Array ? "int32" : "float32");
			// It uploads when a tensor is first used.
			const used = t.add(0);
			await used.data();
			used.dispose();
			return t;
		},
		programs: programsOf(tf),
		cannot: (work) => REASONS[work] ?? "a program of this repository",
		wait: async () => {
			const backend = tf.backend();
			backend.ensureCommandEncoderReady();
			backend.endComputePassEncoder();
			backend.submitQueue();
			await done(backend.device.queue);
		},
		read: async (t) => Float32Array.from(await t.data()),
		release,
	};
});
