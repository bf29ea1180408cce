import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataLoader, initialize, Linear, loadStateDict, Module, Sequential, SGD, stateDict } from "@hushgrad/nn";
import { loadFile, saveFile } from "@hushgrad/nn/files";
import { cast, data, key, ones, type Tensor } from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();

describe("loadStateDict", () => {
	const make = (seed: number): Sequential => {
		const model = new Sequential(new Linear(3, 4), new Linear(4, 2, { bias: false }));
		initialize(model, device(), key(seed));
		return model;
	};

	it("copies one model into another, also while an optimiser holds it", async () => {
		const [a, b] = [make(1), make(2)];
		const optimizer = new SGD(b.trainableParameters(), { lr: 1 });
		await data(optimizer.vector.tensor);
		expect(loadStateDict(b, stateDict(a))).toEqual({ missing: [], unexpected: [] });
		const expected = await Promise.all([...stateDict(a).values()].map(data));
		a.dispose();
		expect(await Promise.all([...stateDict(b).values()].map(data))).toEqual(expected);
		expect([...(await data(optimizer.vector.tensor))]).toEqual(expected.flatMap((v) => [...v]));
	});

	it("lists everything that does not fit, and then changes nothing", async () => {
		const model = make(3);
		const before = await Promise.all([...stateDict(model).values()].map(data));
		const state = { "0.weight": ones(device(), [3, 4]), "1.weight": ones(device(), [2, 4]), "9.weight": ones(device(), [1]) };
		const fails = (options: { strict?: boolean }, kind: string, words: string[]): void => {
			let error: unknown;
			try {
				loadStateDict(model, state, options);
			} catch (e) {
				error = e;
			}
			expect(error).toMatchObject({ code: kind === "ShapeError" ? "state/shapes" : "state/names", name: kind });
			for (const word of words) expect((error as Error).message).toContain(word);
		};
		fails({}, "ShapeError", ["missing: 0.bias", "unexpected: 9.weight", "0.weight is [3, 4], expected [4, 3]"]);
		fails({ strict: false }, "ShapeError", ["0.weight"]);
		state["0.weight"] = ones(device(), [4, 3]);
		fails({}, "ValueError", ["missing: 0.bias", "unexpected: 9.weight"]);
		expect(await Promise.all([...stateDict(model).values()].map(data))).toEqual(before);
		expect(loadStateDict(model, state, { strict: false })).toEqual({ missing: ["0.bias"], unexpected: ["9.weight"] });
		expect(new Set(await data(stateDict(model).get("0.weight") as Tensor))).toEqual(new Set([1]));
	});

	it("names a tied weight under each of its names", () => {
		class Tied extends Module {
			readonly a = new Linear(2, 2, { bias: false });
			readonly b = new Linear(2, 2, { bias: false });
		}
		const model = new Tied();
		model.b.weight = model.a.weight;
		initialize(model, device(), key(4));
		expect([...stateDict(model).keys()]).toEqual(["a.weight", "b.weight"]);
	});
});

describe("files", () => {
	let folder = "";
	beforeAll(async () => {
		folder = await mkdtemp(join(tmpdir(), "files-"));
	});
	afterAll(() => rm(folder, { recursive: true }));

	it("come back as they were saved, in every element type", async () => {
		const path = join(folder, "all.safetensors");
		const tensors: Record<string, Tensor> = {
			f32: device().fromHost([1.5, -0, Number.NaN], [3]),
			i32: device().fromHost(Int32Array.of(-7, 8), [2, 1]),
			u32: device().fromHost(Uint32Array.of(4_000_000_000), []),
			u8: device().fromHost(Uint8Array.of(1, 255, 3), [3], "u8"),
			bool: device().fromHost([1, 0, 1], [3], "bool"),
			bf16: cast(device().fromHost([1.25, 3e38, -2], [3]), "bf16"),
		};
		await saveFile(tensors, path, { metadata: { format: "pt" } });
		const loaded = await loadFile(device(), path);
		expect(new Set(loaded.keys())).toEqual(new Set(Object.keys(tensors)));
		for (const [name, t] of loaded) {
			expect([t.dtype, t.shape]).toEqual([tensors[name].dtype, tensors[name].shape]);
			expect(await data(t)).toEqual(await data(tensors[name]));
		}
		expect(await readdir(folder)).toEqual(["all.safetensors"]);
	});

	it("that are missing, or none, are refused by name", async () => {
		await expect(loadFile(device(), join(folder, "none"))).rejects.toMatchObject({ name: "FormatError", code: "file/read" });
		await writeFile(join(folder, "bad"), "x");
		await expect(loadFile(device(), join(folder, "bad"))).rejects.toMatchObject({ name: "FormatError" });
	});
});

describe("DataLoader", () => {
	const collect = async <B>(loader: DataLoader<number, B>): Promise<B[]> => {
		const batches: B[] = [];
		for await (const batch of loader) batches.push(batch);
		return batches;
	};
	const numbers = Array.from({ length: 7 }, (_, i) => i);

	it("gives batches in order, the last one smaller or left out", async () => {
		expect(await collect(new DataLoader(numbers, { batchSize: 3 }))).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
		const loader = new DataLoader(numbers, { batchSize: 3, dropLast: true, collate: async (b) => b.length });
		expect(await collect(loader)).toEqual([3, 3]);
		expect(loader.length).toBe(2);
		expect(() => new DataLoader(numbers, { batchSize: 0 })).toThrow(expect.objectContaining({ code: "data/batch" }));
	});

	it("shuffles each epoch anew, the same for the same key and epoch", async () => {
		const loader = new DataLoader({ length: 7, get: async (i: number) => numbers[i] }, { batchSize: 2, shuffle: key(1) });
		const [first, second] = [await collect(loader), await collect(loader)];
		expect(first.flat().toSorted()).toEqual(numbers);
		expect(first).not.toEqual(second);
		loader.epoch = 0;
		expect(await collect(loader)).toEqual(first);
	});
});
