import { type HostRecord, type Loss, PrivacyEngine } from "@hushgrad/dp";
import { Linear, Module, SGD } from "@hushgrad/nn";
import { cast, data, HushgradError, mul, requestDevice, sum, type Tensor, zeros } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { fill } from "../nn/parameters.ts";
import { useDevice } from "../support/device.ts";
import { IN, leftBehind, lossBy, N, NOTHING, OUT, problem, record, weight } from "./problem.ts";

const device = useDevice();

interface Row {
	readonly x: Tensor;
	readonly y: Tensor;
}
type Problem = ReturnType<typeof problem>;

const all = () => problem(device(), { expectedBatchSize: N, steps: 9, selfCheckEvery: 1 });

/** A step that must fail: what it throws has a code, a place and a cure; it is counted, moves nothing and leaves nothing. */
async function refused(p: Problem, encode: (i: number) => unknown, loss: (row: Row) => unknown): Promise<HushgradError> {
	const before = await data(p.w.value);
	const { steps } = p.engine;
	let error: unknown;
	const attempt = async () => {
		error = await p.engine.step(encode as typeof record, loss as Loss<Row>).then(
			() => "no error",
			(e: unknown) => e,
		);
	};
	await attempt();
	expect(await leftBehind(device(), attempt)).toEqual(NOTHING);
	expect(error).toBeInstanceOf(HushgradError);
	expect(p.engine.steps).toBe(steps + 2);
	expect(await data(p.w.value)).toEqual(before);
	return error as HushgradError;
}

/** The device and the engine work as if nothing had been. */
async function expectUsable(p: Problem): Promise<void> {
	const before = await data(p.w.value);
	await p.engine.step(record, p.loss);
	expect(await data(p.w.value)).not.toEqual(before);
	await device().flush();
}

describe("a loss that is no scalar of one record", () => {
	const cases: readonly (readonly [string, string, (p: Problem) => (row: Row) => unknown])[] = [
		[
			"a vector",
			"Tensor(f32 [3], one of 4 records)",
			() =>
				({ y }) =>
					y,
		],
		[
			"one number in brackets",
			"Tensor(f32 [1], one of 4 records)",
			({ w }) =>
				({ x }) =>
					sum(mul(x, sum(w.value)), [0], { keepDim: true }),
		],
		[
			"a vector of parameters",
			"Tensor(f32 [3, 5]",
			({ w }) =>
				() =>
					w.value,
		],
		[
			"whole numbers",
			"Tensor(i32 []",
			({ loss }) =>
				(row) =>
					cast(loss(row), "i32"),
		],
		[
			"nothing",
			"undefined",
			({ loss }) =>
				(row) =>
					void loss(row),
		],
		["null", "null", () => () => null],
		["a number", "of type number", () => () => 3],
		["a text", "of type string", () => () => "loss"],
		[
			"a list of losses",
			"of type object",
			({ loss }) =>
				(row) => [loss(row)],
		],
		[
			"a promise",
			"a promise",
			({ loss }) =>
				async (row) =>
					loss(row),
		],
		[
			"a constant",
			"a constant",
			() =>
				({ x }) =>
					sum(x),
		],
		["a constant of its own", "a constant", () => () => zeros(device(), [])],
	];

	it.each(cases)("%s", async (_, what, make) => {
		const p = all();
		const error = await refused(p, record, make(p));
		expect(error).toMatchObject({ name: "PrivacyError", code: "privacy/loss" });
		expect(error.message).toContain(`the loss of a record is ${what}`);
		expect(error.hint?.length).toBeGreaterThan(10);
		await expectUsable(p);
	});

	it("a tensor that left the records and comes back", async () => {
		for (const returns of [true, false]) {
			const p = all();
			let kept: Tensor | undefined;
			const error = await refused(p, record, (row) => {
				if (returns) {
					kept ??= device().keep(p.loss(row));
					return kept;
				}
				kept ??= device().keep(mul(row.x, row.x));
				return mul(p.loss(row), sum(kept));
			}).finally(() => kept?.dispose());
			expect(error).toMatchObject({ code: "vmap/kept", hint: expect.stringContaining("as an argument") });
			await expectUsable(p);
		}
	});

	it("a tensor of another device, one that was released, and one of an outer computation", async () => {
		const other = await requestDevice();
		const foreign = other.fromHost([1], []);
		const released = zeros(device(), []);
		released.dispose();
		const outside = zeros(device(), [IN]);
		const cases: readonly (readonly [string, Tensor])[] = [
			["op/device", foreign],
			["tensor/disposed", released],
			["privacy/outside-read", outside],
		];
		for (const [code, t] of cases) {
			const p = all();
			const error = await refused(p, record, (row) => mul(p.loss(row), sum(t)));
			expect([error.code, error.hint !== undefined]).toEqual([code, true]);
			await expectUsable(p);
		}
		other.destroy();
	});

	it("an error of its own comes out as it is", async () => {
		const p = all();
		const own = new RangeError("mine");
		const fails = (f: Promise<unknown>) => expect(f).rejects.toBe(own);
		const throwing = (): never => {
			throw own;
		};
		const left = await leftBehind(device(), async () => {
			await fails(p.engine.step(record, (row: Row) => mul(p.loss(row), throwing())));
			await fails(p.engine.step((i: number) => (i > 5 ? throwing() : record(i)), p.loss));
		});
		expect(left).toEqual(NOTHING);
		await expectUsable(p);
	});
});

describe("modules that the tree does not show, in a private step", () => {
	it("a hidden module and a module twice: refused with their names", async () => {
		const w = weight(device());
		class Hiding extends Module {
			readonly w = w;
			readonly #inner = fill(new Linear(IN, OUT, { bias: false }), device());
			forward(x: Tensor): Tensor {
				return this.#inner.call(x);
			}
		}
		class Twice extends Module {
			readonly w = w;
			readonly a = new Linear(IN, OUT, { bias: false });
			readonly b = this.a;
			forward(x: Tensor): Tensor {
				return this.b.call(x);
			}
		}
		const optimizer = new SGD([w], { lr: 0.1 });
		for (const [model, code] of [
			[new Hiding(), "module/hidden"],
			[new Twice(), "module/twice"],
		] as const) {
			const p = problem(device(), { optimizer, model, expectedBatchSize: N });
			const error = await refused({ ...p, w }, record, ({ x }) => sum(model.call(x)));
			expect(error).toMatchObject({ code, hint: expect.any(String) });
			await device().flush();
		}
	});
});

describe("an encode that gives no record", () => {
	const cases: readonly (readonly [string, string, string, (i: number) => unknown])[] = [
		["a promise", "record/value", "record 0: encode gives a promise", async (i) => record(i)],
		["nothing", "record/value", "record 0: encode gives undefined", () => undefined],
		["null", "record/value", "record 0: encode gives null", () => null],
		["a list", "record/value", "record 0: encode gives an object of class Array", (i) => [record(i).x]],
		["a text", "record/value", "record 0: encode gives text, a string", () => "text"],
		["an object of a class", "record/value", "record 0: encode gives an object of class Date", () => new Date(0)],
		["an object without a class", "record/value", "record 0: encode gives an object of class unknown", () => Object.create(null)],
		["a promise inside", "record/value", "record 0: x gives a promise", (i) => ({ ...record(i), x: Promise.resolve(record(i).x) })],
		["a text inside", "record/value", "record 0: meta.inner.y gives", (i) => ({ x: record(i).x, meta: { inner: { y: "3" } } })],
		["nothing inside", "record/value", "record 0: y gives undefined", (i) => ({ x: record(i).x, y: undefined })],
		["a list inside", "record/value", "record 0: y gives an object of class Array", (i) => ({ x: record(i).x, y: [1, 2, 3] })],
		[
			"64-bit floats",
			"record/value",
			"record 0: y gives an object of class Float64Array",
			(i) => ({ x: record(i).x, y: Float64Array.of(1, 2, 3) }),
		],
		["truth", "record/value", "record 0: y gives true", (i) => ({ x: record(i).x, y: true })],
		[
			"values of null",
			"record/value",
			"record 0: y.values gives null",
			(i) => ({ x: record(i).x, y: { values: null, shape: [3], dtype: "f32" } }),
		],
		["a tensor", "record/value", "record 0: y gives an object of class Tensor", (i) => ({ x: record(i).x, y: KEPT.tensor })],
		["an empty record", "record/empty", "record 0 holds nothing", () => ({})],
		["a record of empty ones", "record/empty", "record 0 holds nothing", () => ({ a: {}, b: { c: {} } })],
		["too few values", "record/tensor", "record 0: y has 2 values for the shape [3]", tensorOf([1, 2], "f32")],
		["no element type", "record/tensor", "record 0: y is of f64; there are f32, f16, i32, u32, bool, bf16, u8", tensorOf([1, 2, 3], "f64")],
		["a name of Object's prototype", "record/tensor", "record 0: y is of toString", tensorOf([1, 2, 3], "toString")],
		["a fraction for a whole number", "record/tensor", "record 0: y holds 2.5 at element 1, which is no i32", tensorOf([1, 2.5, 3], "i32")],
		["NaN for a whole number", "record/tensor", "record 0: y holds NaN at element 2, which is no u32", tensorOf([1, 2, Number.NaN], "u32")],
		["too large for a byte", "record/tensor", "record 0: y holds 256 at element 0, which is no u8", tensorOf([256, 2, 3], "u8")],
		["negative for a u32", "record/tensor", "record 0: y holds -1 at element 0, which is no u32", tensorOf([-1, 2, 3], "u32")],
		["2 for a truth value", "record/tensor", "record 0: y holds 2 at element 1, which is no bool", tensorOf([1, 2, 0], "bool")],
		["a text among floats", "record/tensor", "record 0: y holds 2 at element 1, which is no f32", tensorOf([1, "2", 3], "f32")],
	];

	function tensorOf(values: readonly unknown[], dtype: string) {
		return (i: number) => ({ x: record(i).x, y: { values, shape: [3], dtype } });
	}

	it.each(cases)("%s", async (_, code, message, encode) => {
		KEPT.tensor ??= zeros(device(), [OUT]);
		const p = all();
		const error = await refused(p, encode, p.loss);
		expect(error).toMatchObject({ code, op: "PrivacyEngine.step", hint: expect.stringMatching(/.{20}/) });
		expect(error.message).toContain(`PrivacyEngine.step: ${message}`);
		await expectUsable(p);
	});

	const KEPT: { tensor?: Tensor } = {};

	const forms: readonly (readonly [string, string, (i: number) => HostRecord])[] = [
		[
			"another length",
			"record 2 is x f32[6], y f32[3], the first was x f32[5], y f32[3]",
			(i) => ({ ...record(i), x: new Float32Array(i === 2 ? 6 : 5) }),
		],
		["another type", "record 2 is x f32[5], y i32[3]", (i) => ({ ...record(i), y: i === 2 ? new Int32Array(3) : record(i).y })],
		["a field less", "record 2 is x f32[5], the first", (i) => (i === 2 ? { x: record(i).x } : record(i))],
		["a field more", "record 2 is x f32[5], y f32[3], z f32[]", (i) => (i === 2 ? { ...record(i), z: 1 } : record(i))],
		["another order", "record 2 is y f32[3], x f32[5]", (i) => (i === 2 ? { y: record(i).y, x: record(i).x } : record(i))],
		["another depth", "record 2 is x.v f32[5]", (i) => (i === 2 ? { x: { v: record(i).x }, y: record(i).y } : record(i))],
		[
			"another shape of as many",
			"record 2 is x f32[5, 1]",
			(i) => ({ ...record(i), x: i === 2 ? { values: record(i).x, shape: [IN, 1], dtype: "f32" } : record(i).x }),
		],
	];

	it.each(forms)("records of two forms: %s", async (_, message, encode) => {
		const p = all();
		const error = await refused(p, encode, p.loss);
		expect(error).toMatchObject({
			name: "PrivacyError",
			code: "record/form",
			op: "PrivacyEngine.step",
			hint: expect.stringContaining("one fixed size"),
		});
		expect(error.message).toContain(message);
		await expectUsable(p);
	});

	it("a form that changes from one step to the next", async () => {
		const p = all();
		await p.engine.step(record, p.loss);
		const error = await refused(p, (i) => ({ ...record(i), x: new Float32Array(7) }), p.loss);
		expect(error).toMatchObject({ code: "record/form" });
		await expectUsable(p);
	});

	it("one that uploads, or reads another record from the device", async () => {
		const d = device();
		for (const encode of [
			(i: number) => ({ ...record(i), y: d.fromHost(record(i).y, [OUT]) }),
			(i: number) => ({ ...record(i), y: data(zeros(d, [OUT])) }),
		]) {
			const p = all();
			expect(await refused(p, encode, p.loss)).toMatchObject({ code: "privacy/outside-data" });
			await expectUsable(p);
		}
	});
});

it("an engine whose optimiser has nothing to train cannot be made", () => {
	const options = { datasetSize: N, expectedBatchSize: 1, targetEpsilon: 1, targetDelta: 1e-4, steps: 1, maxGradNorm: 1 };
	expect(() => PrivacyEngine.makePrivateWithEpsilon({ ...options, optimizer: new SGD([], { lr: 1 }) })).toThrow(
		expect.objectContaining({ code: "optim/empty" }),
	);
	const w = weight(device());
	const first = new SGD([w], { lr: 1 });
	PrivacyEngine.makePrivateWithEpsilon({ ...options, optimizer: first });
	expect(() => PrivacyEngine.makePrivateWithEpsilon({ ...options, optimizer: new SGD([w], { lr: 1 }) })).toThrow(
		expect.objectContaining({ code: "parameter/bound", message: expect.stringContaining("w is trained by SGD") }),
	);
	expect(lossBy(w)).toBeTypeOf("function");
});
