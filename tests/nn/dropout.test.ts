import { Dropout, Linear, Module } from "@hushgrad/nn";
import { checkpoint, DropoutKey, data, foldIn, key, ones, square, sum, type Tensor, valueAndGrad, vmap } from "@hushgrad/tensor";
import { describe, expect, it } from "vitest";
import { useDevice } from "../support/device.ts";
import { fill, uploads } from "./parameters.ts";

const device = useDevice();

describe("Dropout", () => {
	const WIDTH = 64;

	/** The elements that two layers let through, of one forward pass. */
	class Two extends Module {
		readonly drops = [new Dropout(0.5), new Dropout(0.5)];
		forward(x: Tensor, dropout?: DropoutKey): readonly Tensor[] {
			return this.drops.map((d) => d.call(x, dropout));
		}
	}

	/** Masks [rows][layer][WIDTH] of a batch, each record with a key of its own. */
	async function masks(model: Module & { forward(x: Tensor, dropout?: DropoutKey): readonly Tensor[] }, keys: readonly number[]) {
		const words = device().fromHost(Uint32Array.from(keys.flatMap((k) => [foldIn(key(9), k).k0, foldIn(key(9), k).k1])), [keys.length, 2]);
		const x = ones(device(), [keys.length, WIDTH]);
		const layers = vmap((row: Tensor, w: Tensor) => model.call(row, new DropoutKey(w)))(x, words);
		const values = await Promise.all(layers.map(async (t) => [...(await data(t))]));
		return keys.map((_, r) => values.map((v) => v.slice(r * WIDTH, (r + 1) * WIDTH)));
	}

	it("has a stream for each path: layers differ, a layer repeats, keys differ", async () => {
		const model = new Two();
		const [[a, b], [c]] = await masks(model, [1, 2]);
		expect(a).not.toEqual(b);
		expect(a).not.toEqual(c);
		expect(await masks(model, [1, 2])).toEqual(await masks(new Two(), [1, 2]));
		for (const mask of [a, b, c]) {
			expect(new Set(mask)).toEqual(new Set([0, 2]));
			// 64 fair coins: 5 deviations.
			expect(Math.abs(mask.filter((v) => v > 0).length - WIDTH / 2)).toBeLessThan(20);
		}
	});

	it("does not depend on the order of calls, nor on other layers", async () => {
		class Reversed extends Two {
			override forward(x: Tensor, dropout?: DropoutKey): readonly Tensor[] {
				const second = this.drops[1].call(x, dropout);
				this.drops[1].call(x, dropout);
				return [this.drops[0].call(x, dropout), second];
			}
		}
		class Alone extends Module {
			readonly drops = [new Dropout(0.1), new Dropout(0.5)];
			forward(x: Tensor, dropout?: DropoutKey): readonly Tensor[] {
				return [x, this.drops[1].call(x, dropout)];
			}
		}
		const expected = await masks(new Two(), [1, 2, 3]);
		expect(await masks(new Reversed(), [1, 2, 3])).toEqual(expected);
		expect((await masks(new Alone(), [1, 2, 3])).map((r) => r[1])).toEqual(expected.map((r) => r[1]));
	});

	it("does not depend on companions, slots or the size of the batch", async () => {
		const model = new Two();
		const [alone] = await masks(model, [5]);
		for (const keys of [
			[5, 1],
			[1, 5],
			[1, 2, 3, 5, 4, 6, 7],
			[5, 5],
		]) {
			const batch = await masks(model, keys);
			expect(batch[keys.indexOf(5)]).toEqual(alone);
		}
	});

	it("draws the same mask again under checkpoint", async () => {
		class Net extends Module {
			readonly proj = new Linear(WIDTH, WIDTH, { bias: false });
			readonly drop = new Dropout(0.5);
			forward(x: Tensor, dropout?: DropoutKey): Tensor {
				return this.drop.call(square(this.proj.call(x)), dropout);
			}
		}
		const net = fill(new Net(), device());
		const dropout = DropoutKey.of(device(), key(3));
		const x = uploads(device(), [[WIDTH]])[0];
		const run = async (isSaving: boolean): Promise<unknown[]> => {
			const call = (t: Tensor): Tensor => net.call(t, dropout);
			const loss = (): Tensor => sum(square(isSaving ? checkpoint(call, [x]) : call(x)));
			const { value, grads } = valueAndGrad(loss, [net.proj.weight]);
			return [await data(value), await data(grads[0])];
		};
		expect(await run(true)).toEqual(await run(false));
	});

	it("without a key, and with p = 0, lets everything through", () => {
		const x = uploads(device(), [[WIDTH]])[0];
		expect(new Dropout(0.5).forward(x)).toBe(x);
		expect(new Dropout(0).forward(x, DropoutKey.of(device(), key(1)))).toBe(x);
	});
});
