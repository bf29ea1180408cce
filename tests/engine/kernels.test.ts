import { type Device, type DType, data, requestDevice, type Tensor } from "@hushgrad/tensor";
import { defineKernel, definePrimitive, type Physical, reads, runtimeOf, wgsl, writes } from "@hushgrad/tensor/author";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
let other: Device;
beforeAll(async () => {
	other = await requestDevice();
});
afterAll(() => other.destroy());

/** y = x * by, elements from number `first` on. */
const scaleKernel = defineKernel("scale", {
	params: { n: "u32", first: "u32", shift: "i32", by: "f32" },
	buffers: { x: reads("f32"), y: writes("f32") },
	workgroup: 64,
	body: wgsl`if (index >= p.n) { return; }\ny_set(index, x_at(index + p.first) * p.by + f32(p.shift));`,
});

/** The kernel as someone calls it whom no compiler helps. */
const scale = scaleKernel as unknown as {
	run(buffers: Readonly<Record<string, unknown>>, numbers: Readonly<Record<string, unknown>>, grid: number): void;
};

const empty = (n = 4, dtype: DType = "f32", on: Device = device()): Physical => runtimeOf(on).empty([1, n], dtype);
const tensor = (): Tensor => device().fromHost([1, 2, 3, 4], [4]);

/** Buffers and numbers that fit, with changes; undefined takes a name away. */
function call(buffers: Readonly<Record<string, unknown>> = {}, numbers: Readonly<Record<string, unknown>> = {}): void {
	const given = (all: Readonly<Record<string, unknown>>) => Object.fromEntries(Object.entries(all).filter(([, v]) => v !== undefined));
	scale.run(given({ x: empty(), y: empty(), ...buffers }), given({ n: 4, first: 0, shift: 0, by: 2, ...numbers }), 4);
}

/** What is wrong, the call, the error's class and code, and what its text names beside the kernel. */
const FAULTS: [string, () => void, string, string, RegExp][] = [
	["a buffer that is missing", () => call({ y: undefined }), "ValueError", "kernel/names", /buffer y is missing/],
	[
		"no buffer at all",
		() => call({ x: undefined, y: undefined }),
		"ValueError",
		"kernel/names",
		/buffer x is missing, buffer y is missing/,
	],
	["a number that is missing", () => call({}, { first: undefined }), "ValueError", "kernel/names", /number first is missing/],
	["a buffer too many", () => call({ z: empty() }), "ValueError", "kernel/names", /it has no buffer z/],
	["a number too many", () => call({}, { stride: 1 }), "ValueError", "kernel/names", /it has no number stride/],
	["a name that objects have", () => call({ toString: empty() }), "ValueError", "kernel/names", /it has no buffer toString/],
	[
		"a buffer by a wrong name",
		() => call({ y: undefined, yy: empty() }),
		"ValueError",
		"kernel/names",
		/buffer y is missing, it has no buffer yy/,
	],
	[
		"a number by a wrong name",
		() => call({}, { first: undefined, frist: 0 }),
		"ValueError",
		"kernel/names",
		/number first is missing, it has no number frist/,
	],
	["a number for a buffer", () => call({ x: 3 }), "ValueError", "kernel/names", /buffer x is 3, not a view/],
	["a tensor in place of a view", () => call({ x: tensor() }), "ValueError", "kernel/names", /buffer x is Tensor\(f32 \[4\]\), not a view/],
	["null for a buffer", () => call({ x: null }), "ValueError", "kernel/names", /buffer x is null/],
	["a view for a number", () => call({}, { n: empty() }), "ValueError", "kernel/names", /number n is .*, expected u32/],
	["text for a number", () => call({}, { n: "4" }), "ValueError", "kernel/names", /number n is 4, expected u32/],
	["NaN for a u32", () => call({}, { first: Number.NaN }), "ValueError", "kernel/names", /number first is NaN, expected u32/],
	["a fraction for a u32", () => call({}, { first: 0.5 }), "ValueError", "kernel/names", /number first is 0.5, expected u32/],
	["a negative u32", () => call({}, { first: -1 }), "ValueError", "kernel/names", /number first is -1, expected u32/],
	["a u32 that is too large", () => call({}, { first: 2 ** 32 }), "ValueError", "kernel/names", /number first is 4294967296, expected u32/],
	["infinity for an i32", () => call({}, { shift: -Infinity }), "ValueError", "kernel/names", /number shift is -Infinity, expected i32/],
	[
		"an i32 that is too large",
		() => call({}, { shift: 2 ** 31 }),
		"ValueError",
		"kernel/names",
		/number shift is 2147483648, expected i32/,
	],
	["another dtype to read", () => call({ x: empty(4, "i32") }), "DTypeError", "kernel/dtype", /x is i32, expected f32/],
	["another dtype to write", () => call({ y: empty(4, "u32") }), "DTypeError", "kernel/dtype", /y is u32, expected f32/],
	["two devices", () => call({ y: empty(4, "f32", other) }), "ValueError", "kernel/names", /buffer y lives on another device/],
	[
		"one buffer to read and to write",
		() => {
			const x = empty();
			call({ x, y: x });
		},
		"ValueError",
		"kernel/overlap",
		/y and x lie in one buffer, and it writes y/,
	],
	[
		"two parts of one buffer",
		() => {
			const whole = empty(8);
			call({ x: whole.view({ shape: [1, 4] }), y: whole.view({ shape: [1, 4], offset: 4 }) });
		},
		"ValueError",
		"kernel/overlap",
		/y and x lie in one buffer/,
	],
];

describe("a kernel called wrongly", () => {
	it.each(FAULTS)("with %s: an error that names both, and nothing is recorded", async (_, wrong, name, code, text) => {
		const x = tensor();
		const doubled = double.apply([x])[0];
		const [memory, before] = [device().memory(), device().counters()];
		expect(() => device().scope<void>(wrong)).toThrow(expect.objectContaining({ name, code, op: "scale" }));
		expect(() => device().scope<void>(wrong)).toThrow(text);
		expect(() => device().scope<void>(wrong)).toThrow(/^kernel scale: /);
		expect(device().counters()).toEqual(before);
		const { liveBuffers, liveBytes } = memory;
		expect(device().memory()).toMatchObject({ liveBuffers, liveBytes });
		await device().flush();
		const again = double.apply([x])[0];
		expect([...(await data(again))]).toEqual([2, 4, 6, 8]);
		for (const t of [x, doubled, again]) t.dispose();
	});

	it("runs when all is right", () => {
		expect(() => device().scope<void>(() => call())).not.toThrow();
	});
});

/** A kernel as an operation of one tensor. */
const opOf = (name: string, run: (x: Physical, y: Physical) => void) =>
	definePrimitive({
		name,
		signature: "x[N] -> y[N]",
		attrs: {},
		forward: ({ runtime, inputs: { x } }) => {
			const y = runtime.empty(x.shape);
			run(x, y);
			return [y];
		},
		grad: { x: "none" },
		reference: ({ x }) => [x],
	});

const double = opOf("double", (x, y) => scaleKernel.run({ x, y }, { n: x.size, first: 0, shift: 0, by: 2 }, x.size));

const fillKernel = (value: string) =>
	defineKernel("fill", {
		params: { n: "u32" },
		buffers: { y: writes("f32") },
		workgroup: 64,
		body: wgsl`if (index < p.n) { y_set(index, ${value}); }`,
	});
const fillFamily = (value: string) =>
	defineKernel("fillAny", ({ twice }: { twice: boolean }) => ({
		params: { n: "u32" },
		buffers: { y: writes("f32") },
		workgroup: 64,
		body: wgsl`if (index < p.n) { y_set(index, ${twice ? `2.0 * ${value}` : value}); }`,
	}));

describe("kernels of one name", () => {
	const results = async (runs: readonly ((y: Physical) => void)[]): Promise<number[]> => {
		const x = tensor();
		const made = runs.map((run) => opOf("fill", (_, y) => run(y)).apply([x])[0]);
		const values = await Promise.all(made.map(async (t) => (await data(t))[3]));
		for (const t of [x, ...made]) t.dispose();
		return values;
	};

	it("stay two", async () => {
		const [a, b] = [fillKernel("1.0"), fillKernel("2.0")];
		const run = (kernel: typeof a) => (y: Physical) => kernel.run({ y }, { n: 4 }, 4);
		expect(await results([run(a), run(b), run(a)])).toEqual([1, 2, 1]);
	});

	it("stay two where their variants look alike", async () => {
		const family = defineKernel("fillPair", ({ tens, ones }: { tens: string; ones: string }) => ({
			params: { n: "u32" },
			buffers: { y: writes("f32") },
			workgroup: 64,
			body: wgsl`if (index < p.n) { y_set(index, 10.0 * ${tens} + ${ones}); }`,
		}));
		const run = (variant: { tens: string; ones: string }) => (y: Physical) => family.of(variant).run({ y }, { n: 4 }, 4);
		const variants = [
			{ tens: "1.0", ones: "2.0" },
			{ ones: "1.0", tens: "2.0" },
			{ tens: "2.0", ones: "1.0" },
		];
		expect(await results(variants.map(run))).toEqual([12, 21, 21]);
	});

	it("stay two in families, and a variant is made once", async () => {
		const [a, b] = [fillFamily("3.0"), fillFamily("5.0")];
		const run = (family: typeof a, twice: boolean) => (y: Physical) => family.of({ twice }).run({ y }, { n: 4 }, 4);
		expect(await results([run(a, false), run(b, false), run(a, true), run(b, true)])).toEqual([3, 5, 6, 10]);
		expect(a.of({ twice: true })).toBe(a.of({ twice: true }));
		expect(a.of({ twice: true })).not.toBe(b.of({ twice: true }));
		expect([a.of({ twice: false }).key, a.of({ twice: true }).key]).toEqual(["fillAny", "fillAny/twice"]);
	});
});

it("a family tells its variants apart by their names, values and types", () => {
	type Any = { one: string | number | boolean; two?: string };
	const family = defineKernel("alike", ({ one, two = "" }: Any) => ({
		params: {},
		buffers: { y: writes("f32") },
		workgroup: 64,
		body: wgsl`// ${typeof one} ${String(one)} ${two}`,
	}));
	const variants: Any[] = [{ one: 1 }, { one: "1" }, { one: true }, { one: "true" }, { one: "a", two: "b" }, { one: "a;two=1:b" }];
	expect(new Set(variants.map((v) => family.of(v))).size).toBe(variants.length);
	for (const v of variants) expect(family.of({ ...v }).spec.body).toBe(`// ${typeof v.one} ${v.one} ${v.two ?? ""}`);
});

it("a family makes one kernel of the same values, in whatever order they are named", () => {
	const family = defineKernel("ordered", ({ width }: { dtype: DType; width: number }) => ({
		params: {},
		buffers: { y: writes("f32") },
		workgroup: 64,
		body: wgsl`if (index < 4u) { y_set(index, f32(${width})); }`,
	}));
	const first = family.of({ dtype: "f32", width: 2 });
	expect(family.of({ width: 2, dtype: "f32" })).toBe(first);
	expect(family.of({ width: 3, dtype: "f32" })).not.toBe(first);
	expect(family.made.map((k) => k.key)).toEqual(["ordered/f32/2", "ordered/3/f32"]);
});
