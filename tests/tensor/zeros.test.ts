import { add, capture, type Device, type DType, data, full, ones, type Tensor, zeros } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { limitedDevice } from "../support/smallDevice.ts";

/** Bytes from which on zeros are the driver's own on a processor. */
const CLEARED = 2 ** 16;
const DTYPES: readonly DType[] = ["f32", "i32", "u32", "bool"];

const device = useDevice({ plan: "cpu", debug: { memory: true } });

/** Zeros in memory that held ones, beside ones. */
async function zerosAmongOnes(on: Device, length: number, dtype: DType = "f32"): Promise<readonly number[][]> {
	for (const t of [1, 2, 3].map(() => ones(on, [length], dtype))) {
		await data(t);
		t.dispose();
	}
	const made = on.scope<Tensor[]>(() => [ones(on, [length], dtype), zeros(on, [length], dtype), ones(on, [length], dtype)]);
	const found = await Promise.all(made.map(async (t) => [...new Set(await data(t))]));
	for (const t of made) t.dispose();
	return found;
}

describe("zeros", () => {
	it.each(DTYPES.flatMap((dtype) => [-4, -1, 0, 1, 4].map((more) => [dtype, CLEARED / 4 + more] as const)))(
		"of %s, %i of them, are all zero, and what lies beside them stays",
		async (dtype, length) => expect(await zerosAmongOnes(device(), length, dtype)).toEqual([[1], [0], [1]]),
	);

	it("are all zero where one binding holds a part of them, whatever that is", async () => {
		const small = await limitedDevice({ maxStorageBufferBindingSize: 2 * CLEARED }, "cpu");
		for (const length of [CLEARED, CLEARED + 3]) expect(await zerosAmongOnes(small, length)).toEqual([[1], [0], [1]]);
		small.destroy();
	});

	it("keep their sign", async () => {
		expect(Object.is((await data(full(device(), [CLEARED], -0)))[1], -0)).toBe(true);
		expect(Object.is((await data(full(device(), [CLEARED], 0)))[1], 0)).toBe(true);
	});

	it("come in their order among kernels, and again at each replay", async () => {
		const x = ones(device(), [CLEARED]);
		const captured = capture(device(), () => {
			const none = zeros(device(), [CLEARED]);
			return [none, add(none, x)];
		});
		for (let i = 0; i < 3; i++) {
			captured.replay();
			const found = await Promise.all(captured.outputs.map(async (t) => [...new Set(await data(t))]));
			expect(found).toEqual([[0], [1]]);
		}
		captured.dispose();
	});

	it("are a kernel in a profile", async () => {
		let made: Tensor | undefined;
		const { events } = await device().profile(() => {
			made = zeros(device(), [CLEARED]);
		});
		expect(events.map((e) => e.kernel)).toContain("full/f32/4");
		expect(new Set(await data(made as Tensor))).toEqual(new Set([0]));
	});
});
