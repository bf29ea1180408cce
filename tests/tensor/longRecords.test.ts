import {
	amax,
	arange,
	full,
	linearCrossEntropy,
	mean,
	mul,
	prod,
	reshape,
	type Slot,
	sin,
	slice,
	squeeze,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { expect, it } from "vitest";
import { expectSame } from "../support/bounds.ts";
import { useDevice } from "../support/device.ts";
import { useFlatMemory } from "../support/flatMemory.ts";
import { entry, readAll } from "../support/reading.ts";

/* Records so large that kernels work on them in parts. The parts, and so the order of sums, are those of one record. */

const B = 3;
const device = useDevice();
useFlatMemory(device);

/** Different numbers of size up to 1, made on the device. */
const waves = (...shape: number[]): Tensor =>
	device().scope<Tensor>(() => {
		const size = shape.reduce((a, b) => a * b, 1);
		return reshape(sin(mul(arange(device(), 1, size + 1), 0.7)), shape);
	});

/** Runs a program on a batch and on each record alone. */
async function expectAlike(shape: readonly number[], program: (record: Tensor) => Tensor[]): Promise<void> {
	const lists = device().scope<Tensor[][]>(() => {
		const batch = waves(B, ...shape);
		const alone = Array.from({ length: B }, (_, b) => program(squeeze(slice(batch, 0, b, b + 1), 0)));
		return [vmap(program)(batch), ...alone];
	});
	const [together, ...alone] = await readAll(lists);
	alone.forEach((single, b) => {
		for (const [k, values] of entry(together, B, b).entries()) {
			expectSame(values, single[k], `record ${b}, result ${k}`);
			expect(Array.from(values).some((v) => v !== 0)).toBe(true);
		}
	});
}

it("sums, products and maxima of 2,000 rows of 600 do not depend on the number of records", () =>
	expectAlike([2000, 600], (x) => [sum(x, [1]), mean(x, [-1]), amax(x, [1]), prod(mul(x, 1.8), [1])]));

it("a loss over 17,000 classes and its gradients do not depend on the number of records", async () => {
	const w: Slot = { value: device().keep(waves(17_000, 4)) };
	const labels = device().scope<Tensor>(() => full(device(), [200], 16_999, "i32"));
	await expectAlike([200, 4], (h) => {
		const slots: Slot[] = [{ value: h }, w];
		const { value, grads } = valueAndGrad(() => sum(linearCrossEntropy(slots[0].value, w.value, labels)), slots);
		return [linearCrossEntropy(h, w.value, labels), value, ...grads];
	});
	w.value.dispose();
	labels.dispose();
});
