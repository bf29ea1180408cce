import { data, embedding, reshape, slice, type Tensor, vjp, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { numbers } from "../support/cases.ts";
import { useDevice } from "../support/device.ts";

const device = useDevice();

describe("the gradient of a lookup", () => {
	// More ids than a workgroup has, of few rows and of many; whole numbers, which add up exactly.
	it.each([
		[700, 5],
		[700, 3000],
		[65, 1],
		[1030, 200],
	])("adds %i ids of %i rows, together and of each record", async (n, rows) => {
		const next = numbers(n, rows);
		// Some are of no row.
		const ids = Int32Array.from({ length: 2 * n + 1 }, () => Math.floor(next() * (rows + 1)) - (next() < 0.05 ? 1 : 0));
		const dy = Float32Array.from({ length: 2 * n * 4 }, () => Math.floor(20 * next()) - 10);
		// Behind one more, so that they begin at no multiple of four.
		const known = slice(device().fromHost(ids, [2 * n + 1]), 0, 1, 2 * n + 1);
		const [table, g] = [device().fromHost(new Float32Array(rows * 4), [rows, 4]), device().fromHost(dy, [2 * n, 4])];
		const gradient = (own: Tensor, by: Tensor): Tensor => vjp((t: Tensor) => embedding(own, t), [table], by).grads[0];
		const expected = [0, 1].map((record) => {
			const out = new Float32Array(rows * 4);
			for (let i = record * n; i < (record + 1) * n; i++) {
				const row = ids[i + 1];
				for (let d = 0; d < 4; d++) if (row >= 0 && row < rows) out[row * 4 + d] += dy[i * 4 + d];
			}
			return out;
		});
		const all = await data(device().scope(() => gradient(known, g)));
		expect([...all]).toEqual([...expected[0].map((v, i) => v + expected[1][i])]);
		const each = device().scope(() => vmap(gradient)(reshape(known, [2, n]), reshape(g, [2, n, 4])));
		expect([...(await data(each))]).toEqual([...expected[0], ...expected[1]]);
		for (const t of [known, table, g, each]) t.dispose();
	});
});
