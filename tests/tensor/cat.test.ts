import { cat, type DType, data, expand, permute, reshape, slice, type Tensor, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";

const device = useDevice();

const ramp = (first: number, shape: readonly number[], dtype: DType): Tensor => {
	const n = shape.reduce((a, b) => a * b, 1);
	const values = Array.from({ length: n }, (_, i) => (dtype === "bool" ? (first + i) % 3 === 0 : first + i));
	return device().fromHost(
		values.map((v) => (typeof v === "boolean" ? Number(v) : v % 256)),
		shape,
		dtype,
	);
};

/** What cat gives, on the host. */
async function joined(parts: readonly Tensor[], axis: number): Promise<number[]> {
	const values = await Promise.all(parts.map((p) => data(p)));
	const outer = parts[0].shape.slice(0, axis).reduce((a, b) => a * b, 1);
	const inner = parts.map((p) => p.shape.slice(axis).reduce((a, b) => a * b, 1));
	return Array.from({ length: outer }, (_, r) =>
		values.flatMap((v, i) => [...(v as Float32Array).subarray(r * inner[i], (r + 1) * inner[i])]),
	).flat();
}

describe("cat of many parts", () => {
	const dtypes: readonly DType[] = ["f32", "i32", "u32", "bool"];
	it.each(dtypes.flatMap((dtype) => [1, 2, 6, 7, 8, 14, 15, 22].map((count) => [dtype, count] as const)))(
		"%s, %d parts",
		async (dtype, count) => {
			for (const axis of [0, 1, 2]) {
				for (const least of [0, 1]) {
					const parts = Array.from({ length: count }, (_, i) => ramp(11 * i, [3, 4, 2].with(axis, least + (i % 5)), dtype));
					expect([...(await data(cat(parts, axis)))]).toEqual(await joined(parts, axis));
				}
			}
		},
	);

	it("of views: with gaps, repeated, permuted, in the middle of a tensor", async () => {
		const whole = ramp(1, [6, 10], "f32");
		const parts = [
			slice(whole, 1, 2, 5),
			slice(whole, 1, 0, 10, 3),
			permute(ramp(100, [4, 6], "f32"), [1, 0]),
			expand(ramp(7, [6, 1], "f32"), [6, 3]),
			expand(ramp(9, [1, 3], "f32"), [6, 3]),
			slice(whole, 1, 4, 4),
			reshape(ramp(50, [3, 4], "f32"), [6, 2]),
			slice(whole, 1, 9, 10),
			whole,
		];
		expect([...(await data(cat(parts, 1)))]).toEqual(await joined(parts, 1));
		expect([
			...(await data(
				cat(
					parts.map((p) => permute(p, [1, 0])),
					0,
				),
			)),
		]).toEqual(
			await joined(
				parts.map((p) => permute(p, [1, 0])),
				0,
			),
		);
	});

	it("of records, and of what all of them share", async () => {
		const [x, shared] = [ramp(1, [3, 2, 4], "f32"), ramp(200, [2, 3], "f32")];
		const both = vmap((own: Tensor) => cat([shared, own, slice(own, 1, 1, 3), shared], 1))(x);
		const each = Array.from({ length: 3 }, (_, b) => {
			const own = reshape(slice(x, 0, b, b + 1), [2, 4]);
			return cat([shared, own, slice(own, 1, 1, 3), shared], 1);
		});
		expect([...(await data(both))]).toEqual((await Promise.all(each.map((t) => data(t)))).flatMap((v) => [...v]));
	});

	it("keeps the bits of NaN, infinity and −0", async () => {
		const parts = [Number.NaN, Number.NEGATIVE_INFINITY, -0, 2 ** -149].map((v) => device().fromHost([v], [1]));
		expect([...(await data(cat(parts)))]).toEqual([Number.NaN, Number.NEGATIVE_INFINITY, -0, 2 ** -149]);
	});

	it("takes one kernel for seven parts", () => {
		const parts = Array.from({ length: 60 }, (_, i) => ramp(i, [2, 1 + (i % 3)], "f32"));
		const before = device().counters().dispatches;
		cat(parts, 1);
		expect(device().counters().dispatches - before).toBe(Math.ceil(60 / 7));
	});
});
