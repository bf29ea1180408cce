import {
	add,
	checkpoint,
	customVjp,
	type Device,
	data,
	embedding,
	key,
	linear,
	linearCrossEntropy,
	matmul,
	mean,
	mul,
	normal,
	randint,
	type Slot,
	slice,
	square,
	sub,
	sum,
	type Tensor,
	tanh,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { rowsOf, type StreamedGradient, streamedValueAndGrad } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();
const ALL = () => true;

/** What a record holds. */
interface Row {
	readonly x: Tensor;
	readonly ids: Tensor;
	readonly labels: Tensor;
}

/** A program for one record, by the slots that it is given. */
type Program = (row: Row, slots: readonly Slot[]) => Tensor;

const normals = (d: Device, shape: readonly number[], seed: number): Tensor => normal(d, shape, key(seed));

/** Both gradients of each record by each slot: held, and computed by runs of `step` rows. */
async function bothWays(program: Program, shapes: readonly (readonly number[])[], step: number, B = 3) {
	const d = device();
	const slots: Slot[] = shapes.map((shape, i) => ({ value: normals(d, shape, 40 + i) }));
	const V = shapes[0][0];
	const batch: Row = {
		x: normals(d, [B, 5, shapes[0][1]], 1),
		ids: randint(d, [B, 5], key(2), 0, V),
		labels: randint(d, [B, 5], key(3), -1, V),
	};
	const { held, streamed } = d.scope(() => {
		const held = vmap((row: Row) => valueAndGrad(() => program(row, slots), slots).grads)(batch);
		const lazy = vmap((row: Row) => streamedValueAndGrad(() => program(row, slots), slots, ALL).grads)(batch);
		const streamed = lazy.map((g, i) => {
			if (!("shares" in g)) return undefined;
			const count = shapes[i][0];
			return Array.from({ length: Math.ceil(count / step) }, (_, k) =>
				vmap((own: StreamedGradient) => rowsOf(own, { from: k * step, to: Math.min(count, (k + 1) * step) }))(g),
			);
		});
		return { held: [...held], streamed };
	});
	const rowsBySlot = await Promise.all(
		streamed.map(async (parts, i) => {
			if (parts === undefined) return undefined;
			const width = shapes[i][1];
			const whole = new Float32Array(B * shapes[i][0] * width);
			for (const [k, p] of parts.entries()) {
				const values = await data(p);
				const size = p.shape[1] * width;
				for (let b = 0; b < B; b++)
					whole.set(values.subarray(b * size, (b + 1) * size) as Float32Array, (b * shapes[i][0] + k * step) * width);
				p.dispose();
			}
			return whole;
		}),
	);
	const wholes = await Promise.all(held.map((g) => data(g)));
	for (const t of [...held, ...slots.map((s) => s.value), ...Object.values(batch)]) t.dispose();
	return { wholes, rowsBySlot };
}

const head =
	(options: { softcap?: number; ignoreIndex?: number } = {}): Program =>
	({ x, labels }, [w]) =>
		mean(linearCrossEntropy(tanh(x), w.value, labels, { ignoreIndex: -1, ...options }));

const PROGRAMS: Readonly<Record<string, Program>> = {
	linear: ({ x }, [w]) => sum(square(linear(x, w.value))),
	"linear, twice, and a product between": ({ x }, [w]) => sum(square(linear(matmul(tanh(linear(x, w.value)), w.value), w.value))),
	embedding: ({ ids }, [w]) => sum(square(embedding(ids, w.value))),
	"embedding with padding": ({ ids }, [w]) => sum(square(embedding(ids, w.value, { paddingIdx: 9 }))),
	"embedding of ids that are no rows": ({ ids }, [w]) => sum(square(embedding(sub(mul(ids, 2), 9), w.value))),
	head: head(),
	"head with labels that are no classes": ({ x, labels }, [w]) => sum(linearCrossEntropy(tanh(x), w.value, sub(labels, 1))),
	"head with a cap": head({ softcap: 1.5 }),
	"head that leaves out a label": head({ ignoreIndex: 9 }),
	"tied table": ({ ids, labels }, [w]) => mean(linearCrossEntropy(tanh(embedding(ids, w.value)), w.value, labels, { ignoreIndex: -1 })),
	"table in a checkpoint": ({ ids, labels }, [w]) => {
		const h = checkpoint((i) => tanh(embedding(i, w.value)), [ids]);
		return mean(linearCrossEntropy(h, w.value, labels, { ignoreIndex: -1 }));
	},
	"a use without rows between": ({ x, ids }, [w]) =>
		add(sum(square(linear(x, w.value))), add(sum(square(w.value)), sum(square(embedding(ids, w.value))))),
};

describe("a streamed gradient", () => {
	it.each(Object.keys(PROGRAMS))("of %s is that of the whole, bit for bit, by rows", async (name) => {
		for (const [shape, step] of [
			[[16, 8], 8],
			[[27, 4], 16],
			[[27, 4], 8],
			[[11, 3], 8],
			[[40, 6], 40],
		] as const) {
			for (const B of [1, 3]) {
				const { wholes, rowsBySlot } = await bothWays(PROGRAMS[name], [shape], step, B);
				expect(rowsBySlot[0], "streamed").toBeDefined();
				expect(rowsBySlot[0]).toEqual(wholes[0]);
			}
		}
	});

	it("is one that was asked for: never of an operation without rows, and of none within another gradient", () => {
		const d = device();
		d.scope<void>(() => {
			const [w, x] = [{ value: normals(d, [16, 8], 1) }, normals(d, [2, 5, 8], 2)];
			const ofRecord = (fn: (own: Tensor) => Tensor, choose: (bytes: number, given: number) => boolean = ALL) =>
				vmap((own: Tensor) => streamedValueAndGrad(() => fn(own), [w], choose).grads)(x)[0];
			const asked: number[][] = [];
			const choose = (...sizes: [number, number]): boolean => asked.push(sizes) < 0;
			expect(ofRecord((own) => sum(linear(own, w.value)), choose)).toHaveProperty("dtype", "f32");
			// [16, 8] for each of 2 records, from dy [5, 16] and x [5, 8].
			expect(asked).toEqual([[2 * 4 * 128, 2 * 4 * 5 * 24]]);
			expect(ofRecord((own) => sum(matmul(own, slice(w.value, 0, 0, 8))))).toHaveProperty("dtype", "f32");
			const inner = (own: Tensor): Tensor => {
				const { grads } = streamedValueAndGrad(() => sum(square(linear(own, w.value))), [w], ALL);
				expect(grads[0]).toHaveProperty("dtype");
				return sum(square(grads[0] as Tensor));
			};
			expect(vmap((own: Tensor) => valueAndGrad(() => inner(own), [w]).grads)(x)[0].shape).toEqual([2, 16, 8]);
		});
	});

	it("is summed over records at once where the tensor is one for all", async () => {
		const d = device();
		const [w, x] = [{ value: normals(d, [16, 8], 1) }, normals(d, [3, 5, 8], 2)];
		const loss = (): Tensor => mean(vmap((own: Tensor) => sum(square(linear(own, w.value))))(x));
		const streamed = streamedValueAndGrad(loss, [w], ALL).grads[0];
		expect(streamed).toHaveProperty("dtype", "f32");
		expect(await data(streamed as Tensor)).toEqual(await data(valueAndGrad(loss, [w]).grads[0]));
		// One use without records, and one whose gradient is summed over them.
		const both = (): Tensor => add(loss(), sum(square(linear(slice(x, 0, 0, 1), w.value))));
		const mixed = streamedValueAndGrad(both, [w], ALL).grads[0] as StreamedGradient;
		expect(await data(rowsOf(mixed, { from: 0, to: 16 }))).toEqual(await data(valueAndGrad(both, [w]).grads[0]));
		// Without records anywhere it is streamed as it is.
		const alone = (): Tensor => sum(square(linear(x, w.value)));
		const rows = streamedValueAndGrad(alone, [w], ALL).grads[0] as StreamedGradient;
		const whole = valueAndGrad(alone, [w]).grads[0];
		expect(await data(rowsOf(rows, { from: 8, to: 16 }))).toEqual(await data(slice(whole, 0, 8, 16)));
	});

	it("leaves no memory behind, also where a later rule fails", () => {
		const d = device();
		const [w, x] = [{ value: normals(d, [16, 8], 1) }, normals(d, [2, 5, 8], 2)];
		const before = d.memory().liveBytes;
		const fails = customVjp({
			name: "fails",
			forward: (y) => ({ value: mul(y, 1) }),
			backward: () => {
				throw new Error("no gradient today");
			},
		});
		const program = (own: Tensor, isFailing: boolean): Tensor =>
			sum(linear(isFailing ? fails(matmul(linear(own, w.value), w.value)) : own, w.value));
		const run = (isFailing: boolean) => () => {
			vmap((own: Tensor) => streamedValueAndGrad(() => program(own, isFailing), [w], ALL).grads)(x);
		};
		expect(() => d.scope<void>(run(true))).toThrow("no gradient today");
		d.scope<void>(run(false));
		expect(d.memory().liveBytes).toBe(before);
		w.value.dispose();
		x.dispose();
	});
});
