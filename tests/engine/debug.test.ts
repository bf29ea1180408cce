import { AdamW, Parameter } from "@hushgrad/nn";
import * as t from "@hushgrad/tensor";
import { type DebugOptions, data, linear, matmul, mul, requestDevice, square, sum, type Tensor, valueAndGrad } from "@hushgrad/tensor";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { RUNS } from "../support/environment.ts";

/** A device that collects what it tells. */
async function talkative(debug: DebugOptions) {
	const lines: string[] = [];
	const device = await requestDevice({ debug: { ...debug, log: (text) => lines.push(text) } });
	return { device, lines };
}

/** Functions of a matrix that give a matrix, with the operations that they run. */
const STEPS: readonly (readonly [(x: Tensor) => Tensor, readonly string[]])[] = [
	[(x) => t.sum(x, [0], { keepDim: true }), ["sum"]],
	[(x) => t.cat([x, x], 0), ["cat"]],
	[(x) => t.flip(x, [0, 1]), ["flip", "flip"]],
	[(x) => t.cast(t.cast(x, "i32"), "f32"), ["cast", "cast"]],
	[
		(x) =>
			t.pad(x, [
				[1, 0],
				[0, 2],
			]),
		["place", "place"],
	],
	[(x) => t.reshape(x, [x.shape[1], x.shape[0]]), ["reshape"]],
	[(x) => t.slice(x, 1, 0, 1), ["slice"]],
	[(x) => t.sum(t.expand(x, [2, ...x.shape]), [0]), ["expand", "sum"]],
	[(x) => t.permute(x, [1, 0]), ["permute"]],
	[(x) => t.tanh(x), ["tanh"]],
	[(x) => t.mul(x, x), ["mul"]],
	[(x) => t.softmax(x), ["softmax"]],
	[(x) => t.cumsum(x, 1), ["cumsum"]],
	[(x) => t.tril(x), ["tril"]],
	[(x) => t.roll(x, 1, 1), ["roll"]],
	[(x) => t.unsqueeze(t.diagonal(t.matmul(x, t.transpose(x))), 0), ["permute", "matmul", "diagonal", "reshape"]],
];

const nameOf = (line: string): string => line.split(":")[0];

describe("debug levels", () => {
	it("0 says nothing", async () => {
		const { device, lines } = await talkative({ level: 0 });
		device.fromHost([1], [1]);
		await device.close();
		expect(lines).toEqual([]);
	});

	it("1 names the device, and in the end every tensor still alive with the place that made it", async () => {
		const { device, lines } = await talkative({ level: 1 });
		expect(lines[0]).toMatch(/^device: .+budget (\d+ bytes|none)/);
		device.scope<void>(() => {
			mul(device.fromHost([1, 2], [2]), 2);
		});
		expect(device.leaks()).toEqual([]);
		for (let i = 0; i < 3; i++) device.fromHost([1, 2, 3, 4], [2, 2]);
		expect(device.leaks()).toMatchObject([{ count: 3, bytes: 48, example: "f32 [2, 2]", stack: expect.stringContaining("debug.test.ts") }]);
		const two = [device.fromHost([1], [1])];
		two.push(t.onesLike(two[0]));
		expect(device.leaks().length).toBe(3);
		for (const { stack } of device.leaks()) expect(stack, "made inside of other functions").toContain("debug.test.ts");
		for (const x of two) x.dispose();
		await device.close();
		expect(lines.at(-1)).toMatch(/3 tensors are still alive\n {2}3 x f32 \[2, 2\], 48 bytes, made\n.*debug\.test\.ts/);
	});

	it("2 gives the time of every kernel", async () => {
		const { device, lines } = await talkative({ level: 2 });
		const x = device.fromHost(new Float32Array(64 * 64).fill(1), [64, 64]);
		const y = matmul(x, x);
		await data(y);
		y.dispose();
		x.dispose();
		await device.close();
		expect(lines.at(-1)).toMatch(/kernel +calls +ms +GFLOP\/s +GB\/s\ngemm\/\S+ +1 +\d+\.\d+ +\d+\.\d+ +\d+\.\d+/);
	});

	it("3 shows each operation with shapes and memory, 4 the WGSL, 5 the tape", async () => {
		const { device, lines } = await talkative({ level: 5 });
		const w = { value: device.fromHost([1, 2, 3, 4], [2, 2]) };
		device.scope<void>(() => {
			device.within("model.head", () => valueAndGrad(() => sum(square(linear(device.fromHost([1, 1], [1, 2]), w.value))), [w]));
		});
		const text = lines.join("\n");
		expect(text).toMatch(/linear in model\.head: f32\[1, 2\], f32\[2, 2\] -> f32\[1, 2\]; live \d+ bytes/);
		expect(text).toContain("@compute @workgroup_size");
		const tape = text.slice(text.indexOf("tape of valueAndGrad"));
		for (const line of [
			/0 leaf in model\.head \[2, 2\]$/m,
			/1 linear in model\.head \[1, 2\] <- 0$/m,
			/2 square in model\.head \[1, 2\] <- 1$/m,
		]) {
			expect(tape).toMatch(line);
		}
		expect(tape).toMatch(/3 sum in model\.head \[\] <- 2$/m);
		device.destroy();
	});

	it("3 shows every operation of a program, views and copies too, and for how many records", async () => {
		const { device, lines } = await talkative({ level: 3 });
		await fc.assert(
			fc.asyncProperty(fc.array(fc.nat({ max: STEPS.length - 1 }), { minLength: 1, maxLength: 8 }), async (picks) => {
				const program = (x: Tensor): Tensor => picks.reduce((y, i) => STEPS[i][0](y), x);
				const expected = picks.flatMap((i) => STEPS[i][1]);
				const x = device.fromHost(new Float32Array(24).fill(0.1), [3, 2, 4]);
				lines.length = 0;
				device.scope<void>(() => {
					program(t.reshape(x, [6, 4]));
				});
				expect(lines.map(nameOf)).toEqual(["reshape", ...expected]);
				for (const line of lines) expect(line).toMatch(/^\w+: \w+\[[\d, ]*\](, \w+\[[\d, ]*\])* -> \w+\[[\d, ]*\]; live \d+ bytes$/);
				lines.length = 0;
				device.scope<void>(() => {
					t.vmap(program)(x);
				});
				expect(lines.map(nameOf)).toEqual(["hide", ...expected, "reveal"]);
				for (const line of lines) expect(line).toMatch(/^\w+: \w+\[[\d, ]*\].* -> \w+\[[\d, ]*\] of each of 3 records; live \d+ bytes$/);
				x.dispose();
			}),
			{ numRuns: Math.max(20, RUNS / 2), examples: [[[...STEPS.keys()].slice(0, 8)], [[...STEPS.keys()].slice(8)]] },
		);
		device.destroy();
	});

	it("3 shows the operations of a gradient, what overwrites, and what makes numbers out of nothing", async () => {
		const { device, lines } = await talkative({ level: 3 });
		const p = new Parameter([2]);
		p.assign(device.fromHost([1, 2], [2]));
		const optimizer = new AdamW([p], { lr: 0.1 });
		const xs = device.fromHost([1, 2, 3, 4], [2, 2]);
		device.scope<void>(() => {
			lines.length = 0;
			t.vmap((x: Tensor) => valueAndGrad(() => sum(t.flip(t.mul(x, p.value), [0])), [p]).grads)(xs);
			// The value; the seed; the adjoints of sum and flip, and the rule of mul; the end of the program.
			expect(lines.map(nameOf)).toEqual(["hide", "mul", "flip", "sum", "full", "reshape", "expand", "flip", "mul.db", "reveal"]);
			// What does not depend on a record is computed once for all.
			const isForEach = lines.map((l) => l.includes(" of each of 2 records"));
			expect(isForEach).toEqual([true, true, true, true, false, false, false, false, true, true]);
			optimizer.prepare();
			lines.length = 0;
			optimizer.update([t.ones(device, [2])]);
			expect(lines.at(-1)).toMatch(/^adamw: f32\[2\], .* -> f32\[2\], f32\[2\], f32\[2\]; live \d+ bytes$/);
			lines.length = 0;
			t.assign(t.eye(device, 2), t.zeros(device, [2, 2]));
			expect(lines).toEqual([
				expect.stringMatching(/^eye: {2}-> f32\[2, 2\]; live/),
				expect.stringMatching(/^full: {2}-> f32\[2, 2\]; live/),
				expect.stringMatching(/^assign: f32\[2, 2\] -> f32\[2, 2\]; live/),
			]);
		});
		device.destroy();
	});

	it("refuses settings it does not know", async () => {
		process.env.HUSHGRAD_DEBUG = "loud";
		try {
			await expect(requestDevice()).rejects.toMatchObject({ code: "debug/setting", message: expect.stringContaining("loud") });
		} finally {
			delete process.env.HUSHGRAD_DEBUG;
		}
	});
});

describe("memory by label", () => {
	it("counts live bytes by the module that asked for them", async () => {
		const device = await requestDevice();
		const make = (label: string, n: number): Tensor => device.within(label, () => device.fromHost(new Float32Array(n), [n]));
		const [a, b, c] = [make("model.embed", 64), make("model.head", 128), make("model.head", 128)];
		expect(device.memory().byLabel).toEqual({ "model.embed": 256, "model.head": 1024 });
		b.dispose();
		expect(device.memory().byLabel).toEqual({ "model.embed": 256, "model.head": 512 });
		a.dispose();
		c.dispose();
		expect(device.memory().byLabel).toEqual({});
		// Outside of every scope each tensor is its own, made by an upload, from nothing, or by an operation.
		const [d, e] = device.within("model.tail", () => [t.zeros(device, [64]), t.ones(device, [64])]);
		const made = device.within("model.sum", () => [t.add(d, e), t.sum(e), t.slice(d, 0, 1, 3)]);
		expect(device.memory().byLabel).toEqual({ "model.tail": 512, "model.sum": 512 });
		for (const x of [d, e, ...made]) x.dispose();
		expect(device.memory().byLabel).toEqual({});
		device.destroy();
	});
});

describe("profile", () => {
	it("times the kernels of a function, with achieved rates, as a table and as a Chrome trace", async () => {
		const device = await requestDevice();
		const x = device.fromHost(new Float32Array(128 * 128).fill(0.01), [128, 128]);
		const profile = await device.profile(() =>
			device.scope<void>(() => {
				device.within("model.mlp", () => matmul(matmul(x, x), x));
				square(x);
			}),
		);
		const kernels = profile.kernels();
		expect(kernels.map((k) => k.milliseconds)).toEqual(kernels.map((k) => k.milliseconds).sort((a, b) => b - a));
		const named = (name: RegExp) => kernels.find((k) => name.test(k.kernel)) as (typeof kernels)[number];
		const [product, squares] = [named(/^gemm\//), named(/square/)];
		expect(product.calls).toBe(2);
		expect(squares).toMatchObject({ calls: 1, gflops: undefined });
		// 2 x 2 x 128^3 operations in the time measured.
		expect(product.gflops).toBeCloseTo((4 * 128 ** 3) / (product.milliseconds * 1e6), 6);
		expect(squares.gigabytes).toBeCloseTo((2 * 4 * 128 ** 2) / (squares.milliseconds * 1e6), 6);
		expect(profile.milliseconds).toBeGreaterThan(0);
		const trace = JSON.parse(profile.chromeTrace()) as {
			traceEvents: { name: string; ph: string; ts: number; dur: number; args: { module: string } }[];
		};
		expect(trace.traceEvents).toHaveLength(3);
		expect(trace.traceEvents[0]).toMatchObject({ ph: "X", ts: 0, args: { module: "model.mlp", flops: 2 * 128 ** 3 } });
		for (const e of trace.traceEvents) expect(e.dur).toBeGreaterThan(0);
		const { flops } = profile.events[2];
		expect(flops).toBeUndefined();
		x.dispose();
		device.destroy();
	});

	it("of a function that throws leaves the device as it was", async () => {
		const device = await requestDevice();
		const x = device.fromHost([1, 2], [2]);
		const fails = () => {
			mul(x, 3);
			throw new Error("the function's own");
		};
		await expect(device.profile(fails)).rejects.toThrow("the function's own");
		expect([...(await data(mul(x, 2)))]).toEqual([2, 4]);
		await device.flush();
		const later = async () => {
			await device.flush();
			fails();
		};
		await expect(device.profile(later)).rejects.toThrow("the function's own");
		expect([...(await data(mul(x, 2)))]).toEqual([2, 4]);
		await device.flush();
		device.destroy();
	});

	it("is taken one at a time: two would time each other's kernels, and the later end with the queries of the earlier", async () => {
		const device = await requestDevice();
		const x = device.fromHost([1, 2], [2]);
		const kernel = async () => {
			mul(x, 3).dispose();
			await device.flush();
		};
		const [first, second] = [device.profile(kernel), device.profile(() => kernel().then(kernel))];
		await expect(second).rejects.toMatchObject({ code: "device/profiling" });
		expect((await first).events.length).toBe(1);
		expect([...(await data(mul(x, 2)))]).toEqual([2, 4]);
		await device.flush();
		expect((await device.profile(kernel)).events.length).toBe(1);
		device.destroy();
	});

	it("gives back every buffer that it made, whether the function throws or not", async () => {
		const device = await requestDevice();
		const x = device.fromHost([1, 2], [2]);
		const first = mul(x, 2);
		await device.flush();
		first.dispose();
		const made: GPUBuffer[] = [];
		const destroyed: unknown[] = [];
		const create = device.gpu.createBuffer.bind(device.gpu);
		const spy = vi.spyOn(device.gpu, "createBuffer").mockImplementation((descriptor) => {
			const buffer = create(descriptor);
			const destroy = buffer.destroy.bind(buffer);
			buffer.destroy = () => {
				destroyed.push(buffer);
				return destroy();
			};
			made.push(buffer);
			return buffer;
		});
		const kernels = async () => {
			for (let i = 0; i < 3; i++) {
				device.scope<void>(() => {
					mul(x, 2);
				});
				await device.flush();
			}
		};
		await device.profile(kernels);
		await expect(device.profile(() => kernels().then(() => Promise.reject(new Error("late"))))).rejects.toThrow("late");
		expect(made.length).toBeGreaterThan(0);
		expect(made.filter((b) => !destroyed.includes(b)).map((b) => b.usage)).toEqual([]);
		spy.mockRestore();
		device.destroy();
	});
});
