/** The process in which jax-js runs, on its WebGPU backend: `--packages DIR [--adapter NAME]`. */

import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { requireFrom, versionOf } from "../suite/environment.ts";
import { type Maker, serve } from "../suite/serve.ts";
import { openGpu } from "./gpu.ts";

/** What is used of an array of it. A call takes its operands away; `ref` keeps them for one more. */
interface A {
	readonly ref: A;
	readonly shape: number[];
	data(): Promise<Float32Array | Int32Array>;
	dispose(): void;
	/** Starts what is pending, and takes the array away. */
	gpuBufferSync(): GPUBuffer;
	blockUntilReady(): Promise<A>;
	add(b: A | number): A;
	sub(b: A | number): A;
	mul(b: A | number): A;
	div(b: A | number): A;
	neg(): A;
	transpose(order?: number[]): A;
	reshape(shape: number[]): A;
	sum(axis?: number): A;
	mean(axis?: number): A;
}
type Fn = (...args: A[]) => A | A[];
interface Jax {
	init(device: string): Promise<string[]>;
	defaultDevice(device: string): string;
	getWebGPUDevice(): GPUDevice;
	jit<F extends Fn>(fn: F): F & { dispose(): void };
	grad(fn: Fn, options?: { argnums: number[] }): (...args: A[]) => A[];
	vjp(fn: Fn, primals: A[]): [A, (dy: A) => A[]];
	vmap(fn: Fn, inAxes: (number | null)[]): (...args: A[]) => A[];
	numpy: Readonly<Record<string, (...args: unknown[]) => A>>;
	nn: Readonly<Record<string, (...args: unknown[]) => A>>;
	lax: Readonly<Record<string, (...args: unknown[]) => A>>;
}

const { values: flags } = parseArgs({ options: { adapter: { type: "string" }, packages: { type: "string", default: "." } } });

const REASONS: Readonly<Record<string, string>> = {
	nf4: "no weights in four bits",
	nf4Transposed: "no weights in four bits",
	capturedAdds: "jit makes one kernel of the chain: no replay of 200",
	privateTail: "no differential privacy",
};

function programsOf(jax: Jax): Record<string, Maker<A>> {
	const { numpy: np, nn, jit } = jax;
	/** Results that were started: the library computes when asked for them. */
	const started = (out: A | A[]): A[] => {
		const all = Array.isArray(out) ? out : [out];
		for (const a of all) a.ref.gpuBufferSync();
		return all;
	};
	/** A compiled function of the inputs named. */
	const compiled =
		(names: string, fn: (attrs: Readonly<Record<string, unknown>>) => Fn): Maker<A> =>
		(inputs, attrs) => {
			const f = jit(fn(attrs));
			return { run: () => started(f(...names.split(" ").map((n) => inputs[n].ref))), dispose: () => f.dispose() };
		};
	const of = (names: string, fn: Fn): Maker<A> => compiled(names, () => fn);
	const square = (x: A): A => np.square(x);
	const normalized = (x: A, weight: A, bias: A): A => {
		const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
		const scale = np.reciprocal(np.sqrt(np.mean(square(centred.ref), -1, { keepdims: true }).add(1e-5)));
		return centred.mul(scale).mul(weight).add(bias);
	};
	const rms = (x: A, weight: A): A => x.ref.mul(np.reciprocal(np.sqrt(np.mean(square(x), -1, { keepdims: true }).add(1e-6)))).mul(weight);
	/** Its own attention wants [B, T, H, K]. */
	const attention = (q: A, k: A, v: A): A => {
		const t = q.shape[2];
		const scores = np.matmul(q.ref.mul(q.shape[3] ** -0.5), np.matrixTranspose(k));
		q.dispose();
		const mask = np.tri(t, t).sub(1).mul(1e9);
		return np.matmul(nn.softmax(scores.add(mask), -1), v);
	};
	const rotated = (x: A, cos: A, sin: A): A => {
		const [lo, hi] = np.split(x, 2, -1) as unknown as [A, A];
		const y = [lo.ref.mul(cos.ref).sub(hi.ref.mul(sin.ref)), hi.mul(cos).add(lo.mul(sin))];
		return np.concatenate(y, -1);
	};
	const losses = (logits: A, targets: A): A => {
		const n = targets.shape[0];
		return np
			.takeAlongAxis(nn.logSoftmax(logits, -1), targets.reshape([n, 1]), -1)
			.reshape([n])
			.neg();
	};
	/** With a gradient: that of a lookup it does not compile. */
	const smoothLosses = (logits: A, targets: A): A => {
		const hot = nn.oneHot(targets, logits.shape[1]);
		return np.sum(nn.logSoftmax(logits, -1).mul(hot), -1).neg();
	};
	const meanLoss = (logits: A, targets: A): A => np.mean(smoothLosses(logits, targets));
	const head = (x: A, w: A, targets: A): A => losses(np.matmul(x, np.matrixTranspose(w)), targets);
	const squares = (x: A, w1: A, b1: A, w2: A, b2: A): A => np.sum(square(np.matmul(np.tanh(np.matmul(x, w1).add(b1)), w2).add(b2)));
	return {
		matmul: of("a b", (a, b) => np.matmul(a, b)),
		linear: of("x w", (x, w) => np.matmul(x, np.matrixTranspose(w))),
		softmax: of("x", (x) => nn.softmax(x, -1)),
		layerNorm: of("x weight bias", normalized),
		rmsNorm: of("x weight", rms),
		rope: of("x cos sin", rotated),
		attention: of("q k v", attention),
		attentionGrad: of("q k v dy", (q, k, v, dy) => jax.vjp(attention, [q, k, v])[1](dy)),
		crossEntropy: of("logits targets", losses),
		linearCrossEntropy: of("x w targets", head),
		linearCrossEntropyGrad: of("x w targets", (x, w, targets) =>
			jax.grad((h) => np.sum(smoothLosses(np.matmul(h, np.matrixTranspose(w)), targets)))(x),
		),
		sum: compiled(
			"x",
			({ axis }) =>
				(x) =>
					np.sum(x, axis),
		),
		add: of("x y", (x, y) => x.add(y)),
		chain: of("x", (x) => np.sqrt(np.absolute(np.tanh(x.ref.mul(1.1).add(0.5)).mul(x.ref)).add(1)).sub(x)),
		broadcastChain: of("x scale bias column", (x, scale, bias, column) => {
			const y = np.tanh(x.ref.mul(scale.ref).add(bias.ref).mul(column.ref)).mul(scale).add(bias);
			return np.maximum(y, x.sub(column));
		}),
		embedding: of("table ids", (table, ids) => np.take(table, ids, 0)),
		embeddingGrad: of("table ids dy", (table, ids, dy) => jax.vjp((t) => np.take(t, ids, 0), [table])[1](dy)),
		adamw: ({ w, g }, { lr }) => {
			const step = jit((w0: A, g0: A, m0: A, v0: A): A[] => {
				const m = m0.mul(0.9).add(g0.ref.mul(0.1));
				const v = v0.mul(0.999).add(square(g0).mul(0.001));
				const update = m.ref.div(0.1).div(np.sqrt(v.ref.div(0.001)).add(1e-8));
				return [w0.mul(1 - Number(lr) * 0.01).sub(update.mul(Number(lr))), m, v];
			});
			let state = [w.ref, np.zeros(w.shape), np.zeros(w.shape)];
			const run = (): A[] => {
				const [w0, m0, v0] = state;
				state = started(step(w0, g.ref, m0, v0));
				return [];
			};
			return {
				run,
				dispose: () => {
					for (const a of state) a.dispose();
					step.dispose();
				},
			};
		},
		clipSum: compiled("g", ({ clip }) => (g) => {
			const factor = np.minimum(np.reciprocal(np.sqrt(np.sum(square(g.ref), -1))).mul(Number(clip)), 1);
			return np.sum(g.mul(factor.reshape([g.shape[0], 1])), 0);
		}),
		adds: ({ x, y }, { count }) => {
			const run = (): A[] => {
				let z = x.ref;
				for (let i = 0; i < Number(count); i++) z = z.add(y.ref);
				return started(z);
			};
			return run;
		},
		mlpStep: ({ x, targets, ...weights }, { lr }) => {
			const loss = (w1: A, b1: A, w2: A, b2: A): A => meanLoss(np.matmul(nn.relu(np.matmul(x.ref, w1).add(b1)), w2).add(b2), targets.ref);
			const step = jit((...own: A[]): A[] => {
				const grads = jax.grad(loss, { argnums: [0, 1, 2, 3] })(...own.map((w) => w.ref));
				return own.map((w, i) => w.sub(grads[i].mul(Number(lr))));
			});
			let own = ["w1", "b1", "w2", "b2"].map((name) => weights[name].ref);
			const run = (): A[] => {
				own = started(step(...own));
				return [];
			};
			return {
				run,
				dispose: () => {
					for (const a of own) a.dispose();
					step.dispose();
				},
			};
		},
		perSample: of("x w1 b1 w2 b2", (...args) =>
			jax.vmap(jax.grad(squares, { argnums: [1, 2, 3, 4] }), [0, null, null, null, null])(...args),
		),
	};
}

await serve<A>(async () => {
	const { adapter, isSoftware, done } = await openGpu(flags.adapter);
	const load = requireFrom(flags.packages);
	// It uses methods of iterators that Node has from version 22 on.
	if (!("map" in Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]())))) load("core-js/actual/iterator");
	const jax = (await import(pathToFileURL(load.resolve("@jax-js/jax")).href)) as Jax;
	await jax.init("webgpu");
	jax.defaultDevice("webgpu");
	return {
		description: { library: "jax-js", version: versionOf("@jax-js/jax", flags.packages), adapter, isSoftware },
		upload: (values, shape) =>
			jax.numpy.array(values, { shape, dtype: values instanceof Int32Array ? "int32" : "float32" }).blockUntilReady(),
		programs: programsOf(jax),
		cannot: (work) => REASONS[work] ?? "a program of this repository",
		wait: () => done(jax.getWebGPUDevice().queue),
		read: async (a) => Float32Array.from(await a.ref.data()),
		release: (arrays) => {
			for (const a of arrays) a.dispose();
		},
	};
});
