import {
	add,
	cast,
	type Device,
	type DType,
	movedim,
	mul,
	type Slot,
	square,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import type { LinearOp, NdArray } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cotangent, dot, dotSize, expectSame, expectWithin } from "./bounds.ts";
import { extents, type Layout, layouts, numbers, stacked, upload } from "./cases.ts";
import { useDevice } from "./device.ts";
import { part } from "./environment.ts";
import { entry, read, readAll, type Values } from "./reading.ts";

const FLOATS: readonly DType[] = ["f32", "f16", "bf16"];
const RECORDS = 3;

/** Least value, number of values, and step: every type holds them exactly, and casts between floats change none. */
const VALUES: Readonly<Partial<Record<DType, readonly [number, number, number]>>> = {
	f32: [-16, 33, 1 / 8],
	i32: [-9, 19, 1],
	u32: [0, 10, 1],
	bool: [0, 2, 1],
};

/** Element types of the operands: operations that only move values take truth values too. */
const typesOf = ({ spec }: LinearOp): readonly DType[] =>
	spec.test.abs === undefined ? ["f32", "i32", "u32", "bool"] : ["f32", "i32", "u32"];

interface Draw {
	readonly seed: number;
	readonly shape: readonly number[];
	readonly type: number;
	readonly layout: Layout;
	/** Which operands have records, as bits, and where their axis is. */
	readonly subset: number;
	readonly axis: number;
}

const draws: fc.Arbitrary<Draw> = fc.record({
	seed: fc.nat(2 ** 31 - 1),
	shape: fc.array(fc.oneof(extents(5), fc.integer({ min: 1, max: 3 })), { maxLength: 4 }),
	type: fc.nat(),
	layout: layouts,
	subset: fc.nat(),
	axis: fc.nat(),
});

/** The arguments of a call, undefined where the shape allows none. */
const argsOf = ({ spec }: LinearOp, { seed, shape }: Pick<Draw, "seed" | "shape">): unknown => spec.test.draw(shape, numbers(seed, 0));

/** Whether shapes allow calls. The two ends of `vmap`, and the sum over its records, are called by it alone. */
export const isDrawable = (op: LinearOp): boolean => argsOf(op, { seed: 1, shape: [2, 2] }) !== undefined;

/** One random call. */
class Call {
	readonly draw: Draw;
	readonly args: unknown;
	readonly dtype: DType;
	readonly shapes: readonly (readonly number[])[];
	readonly #device: Device;
	readonly #op: LinearOp;

	constructor(device: Device, op: LinearOp, draw: Draw, dtype: DType) {
		this.args = argsOf(op, draw);
		this.shapes = op.spec.test.operands?.(draw.shape, this.args) ?? [draw.shape];
		[this.#device, this.#op, this.draw, this.dtype] = [device, op, draw, dtype];
	}

	/** Values of the operands. */
	inputs(seed = this.draw.seed): NdArray[] {
		const [low, count, step] = VALUES[this.dtype] as readonly [number, number, number];
		return this.shapes.map((shape, i) => {
			const next = numbers(seed, 1 + i);
			return {
				shape,
				data: Float64Array.from({ length: shape.reduce((n, d) => n * d, 1) }, () => (low + Math.floor(count * next())) * step),
			};
		});
	}

	upload(inputs: readonly NdArray[]): Tensor[] {
		return inputs.map((x) => upload(this.#device, x, this.dtype, this.draw.layout));
	}

	expected(inputs: readonly NdArray[]): NdArray {
		return this.#op.spec.reference(inputs, this.args);
	}

	run(operands: readonly Tensor[]): Tensor {
		return this.#op.apply(operands, this.args);
	}

	/** Whether the result does not follow the operands: a cast to whole numbers. */
	isConstant(): boolean {
		return this.#device.scope<boolean>(() => this.#op.spec.constant?.(this.upload(this.inputs()), this.args) ?? false);
	}

	/** Weights v of a random functional <v, of(A x)>. */
	get weights(): NdArray {
		const { shape, data } = this.expected(this.inputs());
		return { shape, data: cotangent(this.draw.seed, data.length) };
	}

	functional(operands: readonly Tensor[], of = (y: Tensor) => y): Tensor {
		return sum(mul(of(cast(this.run(operands), "f32")), upload(this.#device, this.weights, "f32")));
	}

	/** Gradients of the functional by all operands. */
	gradients(operands: readonly Tensor[], of?: (y: Tensor) => Tensor): readonly Tensor[] {
		const slots = operands.map((value): Slot => ({ value }));
		return valueAndGrad(
			() =>
				this.functional(
					slots.map((s) => s.value),
					of,
				),
			slots,
		).grads;
	}
}

/** <gradients, others>, and the size of its terms. */
function product(gradients: Values, others: readonly NdArray[]): { readonly value: number; readonly size: number } {
	const total = (f: typeof dot): number => gradients.reduce((s, g, i) => s + f(g, others[i].data), 0);
	return { value: total(dot), size: 1 + total(dotSize) };
}

/** The properties that every linear operation has to have. */
export function testLinearOps(ops: readonly LinearOp[]): void {
	const device = useDevice({ debug: { memory: true } });

	describe.each(ops.map((op) => [op.spec.name, op] as const))("%s", (_, op) => {
		/** Runs a property on calls with operands of `types`. */
		const holds = async (fraction: number, types: readonly DType[], property: (call: Call) => Promise<void>): Promise<void> => {
			await fc.assert(
				fc.asyncProperty(draws, async (draw) => {
					fc.pre(argsOf(op, draw) !== undefined);
					await property(new Call(device(), op, draw, types[draw.type % types.length]));
				}),
				part(fraction),
			);
			await device().flush();
		};

		it("equals its float64 reference on any view, writes nothing beside its result and reads nothing unwritten", () =>
			holds(0.4, typesOf(op), async (call) => {
				const expected = call.expected(call.inputs());
				const y = device().scope<Tensor>(() => call.run(call.upload(call.inputs())));
				const [abs, shape] = [FLOATS.includes(y.dtype) ? (op.spec.test.abs ?? 0) : 0, y.shape];
				const [values] = await read([y]);
				expect(shape).toEqual(expected.shape);
				expectWithin(values, expected.data, { abs, why: "the order of a sum" });
			}));

		it("has its transpose as gradient, <A x, v> = <x, A^T v>, and none where it is constant", () =>
			holds(0.15, ["f32"], async (call) => {
				const gradients = await read(device().scope<Tensor[]>(() => [...call.gradients(call.upload(call.inputs()))]));
				expect(gradients.map((g) => g.length)).toEqual(call.inputs().map((x) => x.data.length));
				const others = call.inputs(call.draw.seed + 1);
				const { value, size } = product(gradients, others);
				const expected = call.isConstant() ? 0 : dot(call.expected(others).data, call.weights.data);
				expect(Math.abs(value - expected), `${value} against ${expected}`).toBeLessThan(1e-5 * size);
			}));

		it("can be differentiated again: u^T H u = 2 <v, (A u)^2> for <v, (A x)^2>", () =>
			holds(0.08, ["f32"], async (call) => {
				if (call.isConstant()) return;
				const others = call.inputs(call.draw.seed + 1);
				const gradients = await read(
					device().scope<Tensor[]>(() => {
						const slots = call.upload(call.inputs()).map((value): Slot => ({ value }));
						const us = others.map((u) => upload(device(), u, "f32"));
						const slope = () =>
							call
								.gradients(
									slots.map((s) => s.value),
									square,
								)
								.map((g, i) => sum(mul(g, us[i])))
								.reduce((a, b) => add(a, b));
						return [...valueAndGrad(slope, slots).grads];
					}),
				);
				const { value, size } = product(gradients, others);
				const expected = call.expected(others).data.reduce((s, y, i) => s + 2 * call.weights.data[i] * y ** 2, 0);
				expect(Math.abs(value - expected), `${value} against ${expected}`).toBeLessThan(1e-5 * size);
			}));

		it("with records on any operands gives each of them what it gives alone, bit for bit", () =>
			holds(0.1, typesOf(op), async (call) => {
				const { seed, subset, axis } = call.draw;
				const hasRecords = call.shapes.map((_, i) => (((1 + (subset % (2 ** call.shapes.length - 1))) >> i) & 1) === 1);
				const program = (operands: readonly Tensor[]): Tensor[] => [
					call.run(operands),
					...(call.dtype === "f32" ? call.gradients(operands) : []),
				];
				const shared = call.inputs();
				const valuesOf = (s: number): NdArray[] => call.inputs(s).map((x, i) => (hasRecords[i] ? x : shared[i]));
				const alone = (s: number): Tensor[] => device().scope<Tensor[]>(() => program(call.upload(valuesOf(s))));
				const together = (seeds: readonly number[]): Tensor[] =>
					device().scope<Tensor[]>(() => {
						const inAxes = call.shapes.map((shape, i) => (hasRecords[i] ? axis % (shape.length + 1) : null));
						const operands = inAxes.map((at, i) => {
							if (at === null) return call.upload([shared[i]])[0];
							return movedim(call.upload([stacked(seeds.map((s) => valuesOf(s)[i]))])[0], 0, at);
						});
						return vmap((...xs: Tensor[]) => program(xs), { inAxes })(...operands);
					});
				const seeds = Array.from({ length: RECORDS }, (_, b) => seed + 1 + b);
				const kept = seed % RECORDS;
				const others = seeds.map((s, b) => (b === kept ? s : s + 1000));
				const [all, mixed, ...singles] = await readAll([together(seeds), together(others), ...seeds.map(alone)]);
				singles.forEach((single, b) => {
					for (const [k, values] of entry(all, RECORDS, b).entries()) expectSame(values, single[k], `record ${b}, result ${k}`);
				});
				for (const [k, values] of entry(mixed, RECORDS, kept).entries()) {
					expectSame(values, singles[kept][k], `record ${kept} among others, result ${k}`);
				}
			}));
	});
}
