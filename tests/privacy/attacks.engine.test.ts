import type { Encode, HostRecord, PrivacyEngine } from "@hushgrad/dp";
import type { Parameter } from "@hushgrad/nn";
import {
	capture,
	type Device,
	DropoutKey,
	dropout,
	item,
	key,
	mean,
	mul,
	sub,
	sum,
	type Tensor,
	valueAndGrad,
	vmap,
	zeros,
} from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { type AnyLoss, type Attack, attempt, D, expectBounded, expectRefused, N, ROWS } from "./harness.ts";

const device = useDevice();

describe("around the engine", () => {
	const step = (engine: PrivacyEngine, encode: Encode<HostRecord>, loss: AnyLoss, codes: unknown[]): Promise<unknown> =>
		engine.step(encode, loss).catch((error) => codes.push(error.code));

	it("a private step does not start inside valueAndGrad, vmap or a capture", async () => {
		type Around = (go: () => void, d: Device, w: Parameter) => unknown;
		const inGradient: Around = (go, _, w) =>
			valueAndGrad(() => {
				go();
				return sum(w.value);
			}, [w]);
		const inVmap: Around = (go, d) =>
			vmap((x: Tensor) => {
				go();
				return x;
			})(zeros(d, [2, 2]));
		const inCapture: Around = (go, d) =>
			capture(d, () => {
				go();
				return [];
			});
		for (const [around, code] of [
			[inGradient, "privacy/started-inside"],
			[inVmap, "privacy/started-inside"],
			[inCapture, "privacy/started-inside"],
		] as const) {
			const codes: unknown[] = [];
			await attempt(device(), ({ model, device: d, optimizer }) => ({
				loss: ({ x }) => model.call(x),
				run: async (engine, encode, loss) => {
					expect(optimizer.vector.tensor.size).toBe(D);
					let done: Promise<unknown> | undefined;
					around(
						() => {
							done = step(engine, encode, loss, codes);
						},
						d,
						model.w,
					);
					await done;
				},
			}));
			expect(codes).toEqual([code, code]);
		}
	});

	it("the raw records may train a model without privacy, beside it", async () => {
		const d = device();
		const x = d.fromHost(
			Float32Array.from({ length: ROWS * D }, (_, i) => i),
			[ROWS, D],
		);
		const { value } = valueAndGrad(() => mean(vmap((r: Tensor) => sum(mul(r, sub(r, mean(x, [0])))))(x)), [{ value: x }]);
		expect(await item(value)).toBeCloseTo(80, 3);
	});

	it("one mask for all records is no mixing, but its key must be public", async () => {
		const shared: Attack = ({ model, device: d }) => {
			const own = DropoutKey.of(d, key(3));
			return { loss: ({ x }) => model.call(dropout(x, 0.5, own)) };
		};
		await expectRefused(device(), shared, "privacy/outside-read");
		const published: Attack = ({ model, device: d }) => {
			const words = d.fromHost(Uint32Array.of(1, 2), [2]);
			model.table.assign(words);
			return { loss: ({ x }) => model.call(dropout(x, 0.5, new DropoutKey(words))) };
		};
		await expectBounded(device(), published);
	});

	it("masks follow the record itself, not its number: they stay when the first one is removed", async () => {
		const attack: Attack = ({ model }) => ({
			loss: ({ x }, keys) => model.call(dropout(x, 0.25, (keys as DropoutKey).fold("here"))),
		});
		for (const removed of [0, 3, N - 1]) await expectBounded(device(), attack, { removed });
	});
});
