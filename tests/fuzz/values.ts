import * as dp from "@hushgrad/dp";
import * as models from "@hushgrad/models";
import * as nn from "@hushgrad/nn";
import * as t from "@hushgrad/tensor";
import type { World } from "./world.ts";

/** Makes an argument, or the arguments of a call; what it makes on the device is released after it. */
export type Make<T = unknown> = (w: World) => T;

export const f32 = (w: World, ...shape: number[]): t.Tensor => t.full(w.device, shape, 0.5);
export const ids = (w: World, ...shape: number[]): t.Tensor => t.zeros(w.device, shape, "i32");
export const mask = (w: World, ...shape: number[]): t.Tensor => {
	const n = shape.reduce((a, b) => a * b, 1);
	return w.device.fromHost(
		Array.from({ length: n }, (_, i) => i % 2),
		shape,
		"bool",
	);
};
export const record = (i: number) => ({ x: Float32Array.of(i, 1), y: Float32Array.of(1, 0, i) });
export const lossBy =
	(p: nn.Parameter) =>
	({ x, y }: { readonly x: t.Tensor; readonly y: t.Tensor }): t.Tensor =>
		t.sum(t.square(t.sub(t.linear(x, p.value), y)));
export const config = () => nn.loraConfig({ r: 2, lora_alpha: 4, target_modules: "all-linear" });
export const noise = (): dp.NoiseSource => dp.insecureNoiseForTests(1);
export const history = [{ sampleRate: 0.1, noiseMultiplier: 1, steps: 2 }];
export const mechanism = () => new dp.GaussianMechanism({ length: 6, maxGradNorm: 1, noiseMultiplier: 1, expectedBatchSize: 2 });
export const measures = () => new dp.PrivateMeasures({ loss: 1, records: 2, meanNorm: 1, clipped: 0 });
export const store = (): dp.LedgerStore => ({ read: async () => "", append: async () => {} });
export const planOptions = { targetEpsilon: 8, targetDelta: 1e-4, datasetSize: 40, expectedBatchSize: 10, steps: 5, maxGradNorm: 1 };
export const engineOptions = (w: World) => {
	const { optimizer, noise: source } = w.problem();
	return { ...planOptions, optimizer, noise: source, physicalBatchSize: 4 };
};
export const quantState = () => nn.quantizeNF4(new Float32Array(128).fill(0.5), [2, 64]);
export const example = { ids: Int32Array.of(2, 5, 6, 1), start: 2 };
export const cache = (w: World): models.KVCache => {
	const x = ids(w, 2);
	const { logits, cache: made } = w.causal().step(x);
	for (const used of [x, logits]) used.dispose();
	return made;
};

/** The same, with room for more. */
export const roomyCache = (w: World): models.StaticCache => {
	const from = cache(w);
	const roomy = w.owned(new models.StaticCache(from, 8));
	models.disposeCache(from);
	return roomy;
};
export const bytes = (): Uint8Array => {
	const parts = nn.encodeSafetensors(new Map([["a", { dtype: "F32" as const, shape: [1], data: new Uint8Array(4) }]]) as never);
	return Uint8Array.from(parts.flatMap((p) => [...p]));
};
export const source = () => {
	const all = bytes();
	return { path: "a.safetensors", size: all.length, read: async (a: number, b: number) => all.slice(a, b), close: async () => {} };
};
