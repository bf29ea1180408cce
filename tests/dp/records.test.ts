import { createHash } from "node:crypto";
import { Batcher, type Encode, type HostRecord } from "@hushgrad/dp";
import { data, foldIn, key, ones, type Tensor } from "@hushgrad/tensor";
import { insideOf } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { recordKey, tensorsOf } from "../../packages/dp/src/records.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const wrong = (v: unknown): never => v as never;
const upload = (records: readonly unknown[], indices = records.map((_, i) => i), k = key(3)) =>
	new Batcher(device()).upload(Int32Array.from(indices), ((i: number) => records[i]) as Encode<HostRecord>, k);
const numbers = async (t: unknown) => [...(await data(t as Tensor))];

describe("a batch of records", () => {
	it("has a row for every number asked for, zeros for padding, in the type of each value", async () => {
		const record = (i: number) => ({
			scalar: i + 0.5,
			f32: Float32Array.of(i, 2),
			nested: { i32: Int32Array.of(-i), u32: Uint32Array.of(2 ** 32 - 1 - i), deep: { u8: Uint8Array.of(255, i) } },
			shaped: { values: [i, 1, 0, 1], shape: [2, 2], dtype: "bool" },
			half: { values: [i], shape: [], dtype: "bf16" },
		});
		const all = [0, 1, 2].map((i) => ({ ...record(i), shaped: { values: [i % 2, 1, 0, 1], shape: [2, 2], dtype: "bool" } }));
		const { record: r, weights, isOneRecord } = upload(all, [2, -1, 0]);
		const got = r as Record<string, Tensor> & { nested: Record<string, Tensor> & { deep: Record<string, Tensor> } };
		const tensors = [got.scalar, got.f32, got.nested.i32, got.nested.u32, got.nested.deep.u8, got.shaped, got.half];
		expect(tensors.map((t) => [t.dtype, t.shape])).toEqual([
			["f32", [3]],
			["f32", [3, 2]],
			["i32", [3, 1]],
			["u32", [3, 1]],
			["u8", [3, 2]],
			["bool", [3, 2, 2]],
			["bf16", [3]],
		]);
		expect(await Promise.all(tensors.map(numbers))).toEqual([
			[2.5, 0, 0.5],
			[2, 2, 0, 0, 0, 2],
			[-2, 0, 0],
			[2 ** 32 - 3, 0, 2 ** 32 - 1],
			[255, 2, 0, 0, 255, 0],
			[0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1],
			[2, 0, 0],
		]);
		expect([await numbers(weights), isOneRecord, Object.keys(got)]).toEqual([
			[1, 0, 1],
			false,
			["scalar", "f32", "nested", "shaped", "half"],
		]);
	});

	it("has the dropout key that follows from each record's own values, zeros for padding", async () => {
		const records = [{ x: Float32Array.of(1, 2) }, { x: Float32Array.of(3, 4) }, { x: Float32Array.of(1, 2) }];
		const { keys } = upload(records, [0, -1, 1, 2]);
		const own = records.map((r) => recordKey(key(3), r));
		expect(keys.shape).toEqual([4, 2]);
		expect(await numbers(keys)).toEqual([own[0], { k0: 0, k1: 0 }, own[1], own[2]].flatMap(({ k0, k1 }) => [k0, k1]));
		expect(own[0]).toEqual(own[2]);
		expect(own[0]).not.toEqual(own[1]);
		expect(recordKey(key(4), records[0])).not.toEqual(own[0]);
	});

	it("hashes values by FNV-1a over their words in float64", () => {
		let hash = 0x811c9dc5;
		for (const word of new Uint32Array(Float64Array.of(1, 0.5, -2).buffer)) hash = Math.imul(hash ^ word, 0x01000193);
		expect(recordKey(key(5), { a: Float32Array.of(1, 0.5), b: -2 })).toEqual(foldIn(key(5), hash >>> 0));
	});

	it("tells when encode() gives one and the same object, and the same numbers, again and again", () => {
		const same = { x: Float32Array.of(1, -0) };
		expect(upload([same, same]).isOneRecord).toBe(true);
		expect(upload([same, same], [0, -1]).isOneRecord).toBe(false);
		expect(upload([same]).isOneRecord).toBe(false);
		expect(upload([same, { ...same }]).isOneRecord).toBe(false);
		let calls = 0;
		const changing = new Batcher(device()).upload(
			Int32Array.of(0, 1),
			() => {
				same.x[0] = calls++;
				return same;
			},
			key(1),
		);
		expect(changing.isOneRecord).toBe(false);
	});

	it("is of no record where there is none", async () => {
		const { record, weights, keys, isOneRecord } = upload([], [-1, -1]);
		expect([record, await numbers(weights), await numbers(keys), isOneRecord]).toEqual([{}, [0, 0], [0, 0, 0, 0], false]);
	});
	it("tells of one record by each of its values, and of records alone, not of padding behind them", () => {
		const one = { a: 1, b: Float32Array.of(2, 3) };
		const given = (change: (call: number) => void, indices: readonly number[]) => {
			let calls = 0;
			const encode = () => {
				change(calls++);
				return one;
			};
			return new Batcher(device()).upload(Int32Array.from(indices), encode, key(1)).isOneRecord;
		};
		expect(given(() => {}, [4, 5, -1, -1])).toBe(true);
		const last = (call: number) => {
			one.b[1] = call;
		};
		expect(given(last, [4, 5])).toBe(false);
		const first = (call: number) => {
			one.a = call;
		};
		expect(given(first, [4, 5])).toBe(false);
	});
});

describe("a batch that is written again", () => {
	it("holds what was staged, in rows as many, and its weights are written where they are others", async () => {
		const batcher = new Batcher(device());
		const stage = (...indices: readonly number[]) =>
			batcher.stage(Int32Array.from(indices), (i) => ({ x: i, deep: { y: Int32Array.of(i, -i) } }), key(3));
		const [first, same, shorter] = [stage(1, 2), stage(5, 4), stage(6, -1)];
		expect([first.rows, shorter.rows]).toEqual([2, 2]);
		const batch = first.upload(device());
		const { x, deep } = batch.record as { readonly x: Tensor; readonly deep: { readonly y: Tensor } };
		const holds = () => Promise.all([x, deep.y, batch.keys, batch.weights].map(numbers));
		const wanted = (staged: typeof first) => {
			const { record, keys, weights } = staged.upload(device()) as typeof batch & { readonly record: { x: Tensor; deep: { y: Tensor } } };
			return Promise.all([record.x, record.deep.y, keys, weights].map(numbers));
		};
		const writes = () => insideOf(batch.weights).storage.writes;
		const before = writes();
		same.write(batch, first);
		expect(await holds()).toEqual(await wanted(same));
		expect((await holds())[0]).toEqual([5, 4]);
		expect(writes()).toBe(before);
		shorter.write(batch, same);
		expect(await holds()).toEqual(await wanted(shorter));
		expect((await holds())[3]).toEqual([1, 0]);
		expect(writes()).toBe(before + 1);
		first.write(batch, shorter);
		expect(await holds()).toEqual(await wanted(first));
		expect(tensorsOf(batch)).toEqual([x, deep.y, batch.keys, batch.weights]);
	});
});

describe("what a record is", () => {
	const records = [{ x: Float32Array.of(1, -0) }, { x: Float32Array.of(1, 0) }, { x: Float32Array.of(1, -0) }];

	it("is told by SHA-256 of its form and of its values in float64", () => {
		const identities = new Batcher(device()).identities(3, (i) => records[i]);
		const identity = (...values: readonly number[]) =>
			createHash("sha256").update("x f32[2]\n").update(Float64Array.from(values)).digest("hex");
		expect(identities).toEqual([identity(1, -0), identity(1, 0), identity(1, -0)]);
	});

	it("is of one form", () => {
		const batcher = new Batcher(device());
		expect(batcher.identities(0, () => ({}))).toEqual([]);
		expect(() => batcher.identities(2, (i) => (i === 0 ? { x: 1 } : { y: 1 }))).toThrow("record 1 is y f32[], the first was x f32[]");
		expect(() => batcher.identities(wrong(-1), () => ({}))).toThrow("Batcher.identities: count is -1, expected");
		expect(() => batcher.identities(1, wrong(3))).toThrow("Batcher.identities: encode is 3, expected a function");
	});

	it("stays the same where it is told who all are", () => {
		const batcher = new Batcher(device());
		const identities = batcher.identities(3, (i) => records[i]);
		const stage = (shift: number) => batcher.stage(Int32Array.of(2, -1, 0), (i) => records[i + shift], key(1), identities);
		expect(stage(0).rows).toBe(3);
		expect(() => batcher.stage(Int32Array.of(1, 0), () => records[2], key(1), identities)).toThrow(
			expect.objectContaining({
				...{ name: "PrivacyError", code: "privacy/records-changed" },
				message: expect.stringContaining("record 1 is not what it was before"),
			}),
		);
	});

	it("may have names that those of values with a shape have", async () => {
		const shaped = { values: Float32Array.of(1, 2), shape: 3, dtype: 4 };
		const { record } = upload([{ x: shaped }]) as { readonly record: { readonly x: Record<keyof typeof shaped, Tensor> } };
		const { values, shape, dtype } = record.x;
		expect(await Promise.all([values, shape, dtype].map(numbers))).toEqual([[1, 2], [3], [4]]);
		for (const [name, what] of [
			["x.values gives undefined", { values: undefined, shape: [1], dtype: "f32" }],
			["x.values gives null", { values: null, shape: [1], dtype: "f32" }],
			["x.shape gives an object of class Array", { values: 1, shape: [1], dtype: 3 }],
			["x.dtype gives f32, a string", { values: 1, shape: 1, dtype: "f32" }],
		] as const) {
			expect(() => upload([{ x: what }])).toThrow(`record 0: ${name}`);
		}
		expect(() => recordKey(key(1), wrong(undefined))).toThrow("recordKey: record 0: encode gives undefined");
	});
});

describe("what is no record", () => {
	const hint = "give numbers, typed arrays, { values, shape, dtype }, or plain objects of them";
	class Own {}

	it.each<[string, unknown]>([
		["record 0: encode gives undefined, a undefined", undefined],
		["record 0: encode gives null, a null", null],
		["record 0: encode gives a promise: encode() must not be async", Promise.resolve({ x: 1 })],
		["record 0: x gives abc, a string", { x: "abc" }],
		["record 0: x.y gives true, a boolean", { x: { y: true } }],
		["record 0: x gives an object of class Own", { x: new Own() }],
		["record 0: x gives an object of class Array", { x: [1] }],
		["record 0: x gives an object of class unknown", { x: Object.create({ constructor: undefined }) }],
		["record 0: x gives a promise: encode() must not be async", { x: Promise.resolve(1) }],
	])("is refused: %s", (message, record) => {
		expect(() => upload([record])).toThrow(
			expect.objectContaining({
				name: "ValueError",
				code: "record/value",
				message: expect.stringContaining(message.replace("a null", "a object")),
				hint,
			}),
		);
	});

	it.each<[string, object]>([
		["is of f128; there are f32, f16, i32, u32, bool, bf16, u8", { values: [1], shape: [1], dtype: "f128" }],
		["is of toString; there are", { values: [1], shape: [1], dtype: "toString" }],
		["has 2 values for the shape [3]", { values: [1, 2], shape: [3], dtype: "f32" }],
		["holds 0.5 at element 1, which is no i32", { values: [1, 0.5], shape: [2], dtype: "i32" }],
		["holds 2147483648 at element 0, which is no i32", { values: [2 ** 31], shape: [1], dtype: "i32" }],
		["holds -2147483649 at element 0, which is no i32", { values: [-(2 ** 31) - 1], shape: [1], dtype: "i32" }],
		["holds -1 at element 0, which is no u32", { values: [-1], shape: [1], dtype: "u32" }],
		["holds 256 at element 0, which is no u8", { values: [256], shape: [1], dtype: "u8" }],
		["holds 2 at element 0, which is no bool", { values: [2], shape: [1], dtype: "bool" }],
		["holds a at element 0, which is no f32", { values: ["a"], shape: [1], dtype: "f32" }],
		["holds undefined at element 1, which is no f32", { values: [1, undefined], shape: [2], dtype: "f32" }],
	])("is refused by its element: %s", (message, value) => {
		expect(() => upload([{ x: value }])).toThrow(
			expect.objectContaining({
				...{ name: "ValueError", code: "record/tensor", message: expect.stringContaining(`record 0: x ${message}`) },
				hint: "give as many numbers as the shape has elements, each one that the type holds",
			}),
		);
	});

	it("takes the ends of each type", () => {
		const ends = { i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1], u8: [0, 255], bool: [0, 1] };
		const record = Object.fromEntries(Object.entries(ends).map(([dtype, values]) => [dtype, { values, shape: [2], dtype }]));
		expect(Object.keys(upload([record]).record as object)).toEqual(Object.keys(ends));
	});

	it("is one that holds nothing, or has another form than the first", () => {
		expect(() => upload([{}])).toThrow(
			expect.objectContaining({
				...{ name: "ValueError", code: "record/empty", message: expect.stringContaining("record 0 holds nothing") },
				hint: "return what the loss reads, by name",
			}),
		);
		for (const [second, form] of [
			[{ x: 1, y: { z: Float32Array.of(1, 2) } }, "x f32[], y.z f32[2]"],
			[{ x: 1, y: { z: Int32Array.of(1) } }, "x f32[], y.z i32[1]"],
			[{ x: 1, y: { w: Float32Array.of(1) } }, "x f32[], y.w f32[1]"],
			[{ x: 1 }, "x f32[]"],
		] as const) {
			expect(() => upload([{ x: 1, y: { z: Float32Array.of(1) } }, second])).toThrow(
				expect.objectContaining({
					...{ name: "PrivacyError", code: "record/form" },
					message: expect.stringContaining(`record 1 is ${form}, the first was x f32[], y.z f32[1]`),
					hint: "pad all records to one fixed size: shapes that follow the data would tell records apart",
				}),
			);
		}
	});

	it("keeps its form over batches", () => {
		const batcher = new Batcher(device());
		batcher.upload(Int32Array.of(0), () => ({ x: 1 }), key(1));
		expect(() => batcher.upload(Int32Array.of(7), () => ({ x: Float32Array.of(1) }), key(1))).toThrow(
			"record 7 is x f32[1], the first was x f32[]",
		);
	});

	it("is no promise, and one that fails later harms nobody", async () => {
		const unhandled: unknown[] = [];
		const note = (reason: unknown) => unhandled.push(reason);
		process.on("unhandledRejection", note);
		expect(() => upload([Promise.reject(new Error("later"))])).toThrow("record 0: encode gives a promise: encode() must not be async");
		await new Promise((resolve) => setTimeout(resolve, 10));
		process.off("unhandledRejection", note);
		expect(unhandled).toEqual([]);
	});

	it("is no tensor", () => {
		const t = ones(device(), [1]);
		expect(() => upload([{ x: t }])).toThrow("record 0: x gives an object of class Tensor");
	});

	it("is not uploaded for arguments of the wrong kind", () => {
		expect(() => new Batcher(wrong(3))).toThrow("Batcher: device is 3, expected a device");
		const batcher = new Batcher(device());
		expect(() => batcher.upload(wrong([0]), () => ({ x: 1 }), key(1))).toThrow(
			expect.objectContaining({
				code: "call/argument",
				message: expect.stringContaining("Batcher.upload: indices is [0], expected an Int32Array"),
			}),
		);
		expect(() => batcher.stage(Int32Array.of(0), wrong(3), key(1))).toThrow("Batcher.stage: encode is 3, expected a function");
		expect(() => batcher.upload(Int32Array.of(0), wrong(3), key(1))).toThrow("Batcher.upload: encode is 3, expected a function");
		expect(() => batcher.upload(Int32Array.of(0), () => ({ x: 1 }), wrong(3))).toThrow("Batcher.upload: key is 3, expected a key");
	});
});
