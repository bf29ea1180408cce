import {
	type Device,
	data,
	embedding,
	linear,
	linearCrossEntropy,
	mul,
	type Slot,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
} from "@hushgrad/tensor";
import { afterAll, beforeAll, expect, it } from "vitest";
import { expectSame } from "../support/bounds.ts";
import { read } from "../support/reading.ts";
import { smallDevice } from "../support/smallDevice.ts";

/** A bf16 table [ROWS, WIDTH] of 160 MB; of more than a binding holds. */
const ROWS = 80_000;
const WIDTH = 1024;
let small: Device;
beforeAll(async () => {
	small = await smallDevice(2 ** 27);
});
afterAll(() => small.destroy());
const device = () => small;

/** Small whole numbers, exact in bf16: w[r, c] = (r mod 13) - 6 where c = r mod WIDTH or c = 0, else 0. */
const entry = (r: number, c: number): number => (c === 0 || c === r % WIDTH ? (r % 13) - 6 : 0);

function table(d: Device): Tensor {
	const bits = new Uint16Array(ROWS * WIDTH);
	const single = new Float32Array(1);
	const word = new Uint32Array(single.buffer);
	for (let r = 0; r < ROWS; r++) {
		for (const c of [0, r % WIDTH]) {
			single[0] = entry(r, c);
			bits[r * WIDTH + c] = word[0] >>> 16;
		}
	}
	return d.fromHost(new Uint8Array(bits.buffer), [ROWS, WIDTH], "bf16");
}

it("a table larger than one storage binding is read, multiplied and differentiated right", async () => {
	const d = device();
	const w = table(d);
	expect(w.bytes).toBeGreaterThan(d.gpu.limits.maxStorageBufferBindingSize);

	const rows = [0, 65_535, 79_999];
	const found = await data(embedding(d.fromHost(Int32Array.from(rows), [3]), w));
	rows.forEach((r, i) => {
		expect(found[i * WIDTH]).toBe(entry(r, 0));
		expect(found[i * WIDTH + (r % WIDTH)]).toBe(entry(r, r % WIDTH));
	});

	const host = Float32Array.from({ length: 2 * WIDTH }, (_, i) => ((i * 7) % 5) - 2);
	const x: Slot = { value: d.fromHost(host, [2, WIDTH]) };
	const y = await data(linear(x.value, w));
	for (let r = 0; r < ROWS; r += 997) {
		for (const m of [0, 1]) {
			const c = r % WIDTH;
			const product = entry(r, 0) * host[m * WIDTH] + (c === 0 ? 0 : entry(r, c) * host[m * WIDTH + c]);
			expect(y[m * ROWS + r] - product).toBe(0);
		}
	}

	const { grads } = valueAndGrad(() => sum(linear(x.value, w)), [x]);
	const dx = await data(grads[0]);
	for (const c of [1, 500, 1023]) {
		let column = 0;
		for (let r = c; r < ROWS; r += WIDTH) column += entry(r, c);
		expect(dx[c]).toBe(column);
	}

	const labels = d.fromHost(Int32Array.of(79_999, 12), [2]);
	const loss = await data(linearCrossEntropy(x.value, w, labels));
	[79_999, 12].forEach((label, m) => {
		const logits = [...y.subarray(m * ROWS, (m + 1) * ROWS)];
		const max = logits.reduce((a, b) => Math.max(a, b));
		let total = 0;
		for (const z of logits) total += Math.exp(z - max);
		expect(loss[m]).toBeCloseTo(max + Math.log(total) - logits[label], 4);
	});
});

it("gives records what they get as rows of a batch, to the bit, and their gradients", async () => {
	const d = device();
	const w = table(d);
	const x = d.fromHost(
		Float32Array.from({ length: 2 * WIDTH }, (_, i) => ((i * 7) % 5) / 5 - 0.4),
		[2, WIDTH],
	);
	const ids = d.fromHost(Int32Array.of(79_999, 12), [2]);
	const v = d.fromHost([0.5, -2], [2]);
	const program = (r: Tensor, id: Tensor, c: Tensor): Tensor[] => {
		const slot: Slot = { value: r };
		const loss = (): Tensor => linearCrossEntropy(slot.value, w, id);
		const { grads } = valueAndGrad(() => sum(mul(loss(), c)), [slot]);
		return [linear(r, w), embedding(id, w), loss(), grads[0]];
	};
	const records = await read(d.scope<Tensor[]>(() => vmap(program)(x, ids, v)));
	const rows = await read(d.scope<Tensor[]>(() => program(x, ids, v)));
	records.forEach((values, k) => {
		expectSame(values, rows[k], `result ${k}`);
		expect(Array.from(values).some((value) => value !== 0)).toBe(true);
	});
	for (const t of [w, x, ids, v]) t.dispose();
});
