import { add, type Device, type DType, movedim, mul, type Slot, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import type { NdArray, Primitive } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { expect, it } from "vitest";
import { cotangent, expectSame, expectWithin } from "./bounds.ts";
import { arbitraryDraw, asDtype, type Case, caseOf, type Draw, dtypeOf, otherTypes, stacked, typeIn, upload } from "./cases.ts";
import { part } from "./environment.ts";
import { entry, readAll } from "./reading.ts";
import { isElementwise } from "./registry.ts";

const FLOATS: readonly DType[] = ["f32", "f16", "bf16"];

/** How a batch is made up. */
interface Choice {
	/** Which operands have records, as bits. */
	readonly subset: number;
	/** Where their record axis is. */
	readonly axis: number;
	readonly type: number;
	readonly count: number;
	/** Whether operands that are one for all records are read from outside, or passed with axis null. */
	readonly closedOver: boolean;
}

const choices: fc.Arbitrary<Choice> = fc.record({
	subset: fc.nat(),
	axis: fc.nat(),
	type: fc.nat(),
	count: fc.constantFrom(3, 3, 3, 3, 3, 3, 3, 1),
	closedOver: fc.boolean(),
});

/** Operands that may have records. */
const openOf = (p: Primitive) => (p.inPlace ? [] : p.signature.inputs.filter((o) => !o.frozen));

/** One random batch for a primitive: record number s is the one whose values are drawn from seed s. */
class Batch {
	readonly dtype: DType;
	/** Operands to differentiate by. */
	readonly wanted: readonly number[];
	readonly #device: Device;
	readonly #p: Primitive;
	readonly #draw: Draw;
	readonly #choice: Choice;
	/** Operands with records. */
	readonly #own: ReadonlySet<number>;
	/** What is the same for all records: operands without them, and attributes. */
	readonly #shared: Case;
	/** The axis of each operand that counts the records. */
	readonly #axes: readonly (number | null)[];

	constructor(device: Device, p: Primitive, draw: Draw, choice: Choice) {
		const { inputs } = p.signature;
		const open = openOf(p);
		const types: readonly DType[] = ["f32", ...otherTypes(p)];
		const bits = 1 + (choice.subset % (2 ** open.length - 1));
		this.dtype = types[choice.type % types.length];
		this.#own = new Set(open.filter((_, k) => (bits >> k) & 1).map((o) => inputs.indexOf(o)));
		this.wanted = [...inputs.keys()].filter((i) => {
			const rule = p.spec.grad[inputs[i].name];
			const isBuilt = typeof rule === "object" || (rule === "missing" && p.spec.composite !== undefined);
			return isBuilt && FLOATS.includes(typeIn(p, inputs[i].name, this.dtype));
		});
		[this.#device, this.#p, this.#draw, this.#choice] = [device, p, draw, choice];
		this.#shared = this.#case(draw.seed);
		this.#axes = inputs.map(({ name }, i) => (this.#own.has(i) ? choice.axis % (this.#shared.inputs[name].shape.length + 1) : null));
	}

	#case(values: number): Case {
		return asDtype(this.#p, caseOf(this.#p, this.#draw, { values }), this.dtype);
	}

	/** The operands of one record. */
	#operands(seed: number): readonly NdArray[] {
		const own = this.#case(seed);
		return this.#p.signature.inputs.map(({ name }, i) => (this.#own.has(i) ? own : this.#shared).inputs[name]);
	}

	#upload(x: NdArray, i: number): Tensor {
		return upload(this.#device, x, typeIn(this.#p, this.#p.signature.inputs[i].name, this.dtype), this.#draw.layout);
	}

	/** A random functional of the results that have a gradient. */
	#functional(operands: readonly Tensor[]): Tensor {
		const results = this.#p.apply(operands, this.#shared.attrs).slice(0, this.#p.spec.traced ?? 1);
		const weighted = results.map((y, i) => sum(mul(y, this.#device.fromHost([...cotangent(this.#draw.seed + i, y.size)], y.shape))));
		return weighted.reduce((a, b) => add(a, b));
	}

	/** The program for one record: results, and the gradients of the functional. */
	#program(operands: readonly Tensor[]): Tensor[] {
		const results = this.#p.apply(operands, this.#shared.attrs);
		if (this.wanted.length === 0) return results;
		const slots = operands.map((value): Slot => ({ value }));
		const loss = () => this.#functional(slots.map((s) => s.value));
		const { grads } = valueAndGrad(
			loss,
			this.wanted.map((i) => slots[i]),
		);
		return [...results, ...grads];
	}

	/** What a record gives by itself. */
	alone(seed: number): Tensor[] {
		return this.#device.scope<Tensor[]>(() => this.#program(this.#operands(seed).map((x, i) => this.#upload(x, i))));
	}

	#batch(seeds: readonly number[]): Tensor[] {
		const records = seeds.map((s) => this.#operands(s));
		return this.#axes.map((axis, i) =>
			axis === null ? this.#upload(records[0][i], i) : movedim(this.#upload(stacked(records.map((r) => r[i])), i), 0, axis),
		);
	}

	#vmap<R>(given: readonly Tensor[], f: (operands: readonly Tensor[]) => R): R {
		const passed = [...given.keys()].filter((i) => this.#own.has(i) || !this.#choice.closedOver);
		const run = vmap((...xs: Tensor[]) => f(given.map((t, i) => (passed.includes(i) ? xs[passed.indexOf(i)] : t))), {
			inAxes: passed.map((i) => this.#axes[i]),
		});
		return run(...passed.map((i) => given[i]));
	}

	/** What the records give together. */
	together(seeds: readonly number[]): Tensor[] {
		return this.#device.scope<Tensor[]>(() => this.#vmap(this.#batch(seeds), (operands) => this.#program(operands)));
	}

	/** Whether operand number i has records. */
	isOwn(i: number): boolean {
		return this.#own.has(i);
	}

	/**
	 * Gradients of the sum of the functionals of all records: [records, ...] by operands that have them. None of a
	 * composite: where its operands do not fit each other, a sum can be far smaller than its terms, and as inexact as they.
	 */
	plain(seeds: readonly number[]): Tensor[] {
		if (this.wanted.length === 0 || this.#p.spec.composite !== undefined) return [];
		return this.#device.scope<Tensor[]>(() => {
			const slots = this.#batch(seeds).map((value): Slot => ({ value }));
			const total = () =>
				sum(
					this.#vmap(
						slots.map((s) => s.value),
						(operands) => this.#functional(operands),
					),
				);
			const { grads } = valueAndGrad(
				total,
				this.wanted.map((i) => slots[i]),
			);
			return grads.map((g, k) => {
				const axis = this.#axes[this.wanted[k]];
				return axis === null ? g : movedim(g, axis, 0);
			});
		});
	}
}

/**
 * Records on any subset of the operands: each gives what it gives alone, bit for bit, whatever its companions; forward
 * and backward, by operands that differ between records and by those that are one for all.
 */
export function testRecords(device: () => Device, p: Primitive): void {
	const { inputs } = p.signature;
	const open = openOf(p);

	if (open.length < inputs.length)
		it("refuses records on what is one for all, and leaves nothing behind", async () => {
			fc.assert(
				fc.property(arbitraryDraw(p, { leading: 2 }), (draw) => {
					const c = caseOf(p, draw);
					const { liveBuffers } = device().memory();
					for (const [i, { name }] of inputs.entries()) {
						if (open.includes(inputs[i])) continue;
						const call = () =>
							device().scope<void>(() => {
								const operands = inputs.map((o) => upload(device(), c.inputs[o.name], dtypeOf(p, o.name)));
								const batch = upload(device(), stacked([c.inputs[name], c.inputs[name]]), dtypeOf(p, name));
								vmap((x: Tensor) => p.apply(operands.with(i, x), c.attrs))(batch);
							});
						const code = expect.stringMatching(/^(vmap\/frozen|op\/in-place)$/);
						const message = expect.stringContaining(`${p.spec.name}: `);
						expect(call).toThrow(expect.objectContaining({ name: "ValueError", code, message }));
					}
					expect(device().memory().liveBuffers).toBe(liveBuffers);
				}),
				part(0.05),
			);
			await device().flush();
		});
	if (open.length === 0) return;

	it("with records on any operands gives each of them what it gives alone, bit for bit", async () => {
		await fc.assert(
			fc.asyncProperty(arbitraryDraw(p, { leading: 3 }), choices, async (draw, choice) => {
				const batch = new Batch(device(), p, draw, choice);
				if (batch.dtype === "f16" && !device().has("shader-f16")) return;
				const { count } = choice;
				const seeds = Array.from({ length: count }, (_, b) => draw.seed + 1 + b);
				const kept = draw.seed % count;
				const others = seeds.map((seed, b) => (b === kept ? seed : seed + 1000));
				const runs = [...seeds.map((seed) => batch.alone(seed)), batch.together(seeds), batch.together(others), batch.plain(seeds)];
				const [plain, mixed, all, ...singles] = (await readAll(runs)).toReversed();
				singles.reverse();
				for (const b of seeds.keys()) {
					entry(all, count, b).forEach((values, k) => {
						expectSame(values, singles[b][k], `record ${b}, result ${k}`);
					});
				}
				entry(mixed, count, kept).forEach((values, k) => {
					expectSame(values, singles[kept][k], `record ${kept} among others, result ${k}`);
				});
				const first = singles[0].length - batch.wanted.length;
				plain.forEach((values, k) => {
					const parts = singles.map((s) => s[first + k]);
					if (batch.isOwn(batch.wanted[k])) {
						for (const [b, g] of parts.entries()) expectSame(entry([values], count, b)[0], g, `plain gradient ${k} of record ${b}`);
						return;
					}
					const total = Float64Array.from(parts[0], (_, i) => parts.reduce((s, g) => s + g[i], 0));
					const size = parts.flatMap((g) => Array.from(g, Math.abs).filter(Number.isFinite)).reduce((a, b) => Math.max(a, b), 1);
					expectWithin(values, total, { abs: 1e-5 * size, ulp: 84, why: "the records are added in another order" });
				});
			}),
			part(isElementwise(p) ? 0.03 : 0.06),
		);
		await device().flush();
	});
}
