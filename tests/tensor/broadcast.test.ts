import { add, data, expand, mul, slice, type Tensor, transpose, where } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";
import { part } from "../support/environment.ts";

const device = useDevice();
const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Element of `values`, of a shape that repeats to `full`, at number i of it. */
function at(values: ArrayLike<number>, shape: readonly number[], full: readonly number[], i: number): number {
	let [rest, index, step] = [i, 0, 1];
	for (let k = full.length - 1, j = shape.length - 1; j >= 0; k--, j--) {
		if (shape[j] !== 1) index += (rest % full[k]) * step;
		rest = Math.floor(rest / full[k]);
		step *= shape[j];
	}
	return values[index];
}

/** How an operand lies in memory: by itself, behind others, as the transpose of another, or repeated by an axis of stride 0. */
type Lie = "own" | "behind" | "transposed";
interface Operand {
	readonly shape: readonly number[];
	readonly values: Float32Array;
	readonly tensor: Tensor;
}

function operand(shape: readonly number[], lie: Lie, seed: number): Operand {
	const next = numbers(seed, 5);
	const values = Float32Array.from({ length: sizeOf(shape) }, () => Math.fround(next() - 0.5));
	const rank = shape.length;
	if (lie === "behind" && rank > 0) {
		// Rows of a larger tensor, from the second one on.
		const row = sizeOf(shape.slice(1));
		const whole = new Float32Array(values.length + row);
		whole.set(values, row);
		const large = device().fromHost(whole, [shape[0] + 1, ...shape.slice(1)]);
		return { shape, values, tensor: slice(large, 0, 1, shape[0] + 1) };
	}
	if (lie === "transposed" && rank > 1) {
		const [m, n] = shape.slice(-2);
		const turned = values.map((_, i) => {
			const [lead, place] = [Math.floor(i / (m * n)) * m * n, i % (m * n)];
			return values[lead + (place % m) * n + Math.floor(place / m)];
		});
		return { shape, values, tensor: transpose(device().fromHost(turned, [...shape.slice(0, -2), n, m])) };
	}
	return { shape, values, tensor: device().fromHost(values, shape) };
}

async function check(full: readonly number[], operands: readonly Operand[]): Promise<void> {
	const [a, b, c] = operands;
	const read = (o: Operand, i: number): number => at(o.values, o.shape, full, i);
	const size = sizeOf(full);
	const sum = (await data(device().scope(() => add(a.tensor, b.tensor)))) as Float32Array;
	for (let i = 0; i < size; i++) {
		if (sum[i] !== Math.fround(read(a, i) + read(b, i))) throw new Error(`sum, element ${i} is ${sum[i]}`);
	}
	const three = device().scope(() => expand(mul(mul(a.tensor, c.tensor), 1), full));
	const product = (await data(three)) as Float32Array;
	for (let i = 0; i < size; i++) {
		if (product[i] !== Math.fround(read(a, i) * read(c, i))) throw new Error(`product, element ${i} is ${product[i]}`);
	}
	for (const t of [a.tensor, b.tensor, c.tensor, three]) t.dispose();
}

describe("operands that repeat", () => {
	const extent = fc.constantFrom(1, 2, 3, 4, 8, 12);
	const lie = fc.constantFrom<Lie>("own", "behind", "transposed");
	it("give every element its own, wherever they lie", async () => {
		const cases = fc.array(extent, { minLength: 0, maxLength: 4 }).chain((full) =>
			fc.record({
				full: fc.constant(full),
				repeated: fc.array(fc.array(fc.boolean(), { minLength: full.length, maxLength: full.length }), { minLength: 2, maxLength: 2 }),
				cut: fc.nat({ max: full.length }),
				lies: fc.tuple(lie, lie, lie),
				seed: fc.nat({ max: 1000 }),
			}),
		);
		await fc.assert(
			fc.asyncProperty(cases, async ({ full, repeated: [b, c], cut, lies, seed }) => {
				const of = (mask: readonly boolean[], from: number) => full.map((d, i) => (mask[i] ? 1 : d)).slice(from);
				const shapes = [full, of(b, cut), of(c, 0)];
				await check(
					full,
					shapes.map((shape, i) => operand(shape, lies[i], seed + i)),
				);
			}),
			part(0.3),
		);
	});

	// More lines than are begun at once: an invocation goes on to others, of which the last may be fewer.
	it.each([
		[[70_001, 4], [4], [70_001, 1]],
		[
			[3, 23_333, 4],
			[23_333, 1],
			[3, 1, 1],
		],
		[[9, 20_000], [20_000], [9, 1]],
		[[262_148], [1], [262_148]],
		[
			[5, 7, 9, 12],
			[7, 1, 12],
			[5, 1, 9, 1],
		],
	])("%j beside %j and %j", async (full, b, c) => {
		await check(
			full,
			[full, b, c].map((shape, i) => operand(shape, "own", i)),
		);
	});

	it("choose by a condition of another type as before", async () => {
		const condition = device().fromHost(Uint32Array.of(1, 0, 0, 1), [4], "bool");
		const [a, b] = [operand([2, 4], "own", 1), operand([4], "own", 2)];
		const chosen = (await data(where(condition, a.tensor, b.tensor))) as Float32Array;
		expect([...chosen]).toEqual([...chosen].map((_, i) => (i % 4 === 0 || i % 4 === 3 ? a.values[i] : b.values[i % 4])));
	});
});
