import { type Device, type DType, data, movedim, mul, type Slot, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import type { NdArray, Primitive } from "@hushgrad/tensor/author";
import fc from "fast-check";
import { expect, it } from "vitest";
import { cotangent, expectSame, expectWithin } from "./bounds.ts";
import { arbitraryDraw, asDtype, caseOf, type Draw, dtypeOf, otherTypes, stacked, typeIn, upload } from "./cases.ts";
import { part } from "./environment.ts";

const FLOATS: readonly DType[] = ["f32", "f16", "bf16"];

/** Values of results and gradients, one list a tensor. */
export type Values = readonly ArrayLike<number>[];

export async function read(tensors: readonly Tensor[]): Promise<Values> {
	const values = await Promise.all(tensors.map((t) => data(t)));
	for (const t of tensors) t.dispose();
	return values;
}

/** Entry b of `count` records, of each list. */
export const entry = (all: Values, count: number, b: number): Values =>
	all.map((values) => {
		const width = values.length / count;
		return Array.prototype.slice.call(values, b * width, (b + 1) * width);
	});

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
	count: fc.constantFrom(3, 3, 3, 1),
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
	}

	/** The operands of one record. */
	#operands(seed: number): readonly NdArray[] {
		const [own, shared] = [seed, this.#draw.seed].map((values) => asDtype(this.#p, caseOf(this.#p, this.#draw, { values }), this.dtype));
		return this.#p.signature.inputs.map(({ name }, i) => (this.#own.has(i) ? own : shared).inputs[name]);
	}

	get #attrs() {
		return caseOf(this.#p, this.#draw).attrs;
	}

	#upload(x: NdArray, i: number): Tensor {
		return upload(this.#device, x, typeIn(this.#p, this.#p.signature.inputs[i].name, this.dtype), this.#draw.layout);
	}

	/** A random functional of the first result. */
	#functional(operands: readonly Tensor[]): Tensor {
		const [y] = this.#p.apply(operands, this.#attrs);
		return sum(mul(y, this.#device.fromHost([...cotangent(this.#draw.seed, y.size)], y.shape)));
	}

	/** The program for one record: results, and the gradients of the functional. */
	#program(operands: readonly Tensor[]): Tensor[] {
		const results = this.#p.apply(operands, this.#attrs);
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
	alone(seed: number): Promise<Values> {
		return read(this.#device.scope<Tensor[]>(() => this.#program(this.#operands(seed).map((x, i) => this.#upload(x, i)))));
	}

	/** The axis of each operand that counts the records. */
	get #axes(): readonly (number | null)[] {
		return this.#operands(0).map(({ shape }, i) => (this.#own.has(i) ? this.#choice.axis % (shape.length + 1) : null));
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
	together(seeds: readonly number[]): Promise<Values> {
		return read(this.#device.scope<Tensor[]>(() => this.#vmap(this.#batch(seeds), (operands) => this.#program(operands))));
	}

	/** Gradients of the sum of the functionals of all records: [records, ...] by operands that have them. */
	async plain(seeds: readonly number[]): Promise<{ readonly values: ArrayLike<number>; readonly isOwn: boolean }[]> {
		const grads = this.#device.scope<Tensor[]>(() => {
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
		return (await read(grads)).map((values, k) => ({ values, isOwn: this.#own.has(this.wanted[k]) }));
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
				const singles: Values[] = [];
				for (const seed of seeds) singles.push(await batch.alone(seed));
				const all = await batch.together(seeds);
				for (const b of seeds.keys()) {
					entry(all, count, b).forEach((values, k) => {
						expectSame(values, singles[b][k], `record ${b}, result ${k}`);
					});
				}
				const kept = draw.seed % count;
				const mixed = await batch.together(seeds.map((seed, b) => (b === kept ? seed : seed + 1000)));
				entry(mixed, count, kept).forEach((values, k) => {
					expectSame(values, singles[kept][k], `record ${kept} among others, result ${k}`);
				});
				if (batch.wanted.length === 0) return;
				const first = singles[0].length - batch.wanted.length;
				(await batch.plain(seeds)).forEach(({ values, isOwn }, k) => {
					const parts = singles.map((s) => s[first + k]);
					if (isOwn) {
						for (const [b, g] of parts.entries()) expectSame(entry([values], count, b)[0], g, `plain gradient ${k} of record ${b}`);
						return;
					}
					const total = Float64Array.from(parts[0], (_, i) => parts.reduce((s, g) => s + g[i], 0));
					const size = parts.flatMap((g) => Array.from(g, Math.abs)).reduce((a, b) => Math.max(a, b), 1);
					expectWithin(values, total, { abs: 1e-5 * size, ulp: 84, why: "the records are added in another order" });
				});
			}),
			part(0.1),
		);
		await device().flush();
	});
}
