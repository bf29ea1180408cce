import {
	capture,
	data,
	grad,
	matmul,
	relu,
	requestDevice,
	softmax,
	sum,
	type Tensor,
	tanh,
	tensor,
	vmap,
	warmup,
	zeros,
} from "@hushgrad/tensor";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { useDevice } from "../support/device.ts";

describe("warmup", () => {
	const device = useDevice();
	let x: Tensor;
	beforeAll(() => {
		x = tensor(device(), Float32Array.of(1, 2, 3, 4, 5, 6), { dtype: "f32" });
	});
	const step = (): Tensor => softmax(matmul(zeros(device(), [4, 6]), zeros(device(), [6, 4])));

	it("compiles the kernels of a step at once and without blocking, and runs none", async () => {
		const { gpu } = device();
		const { dispatches } = device().counters();
		const { liveBuffers } = device().memory();
		const [blocking, beside] = [vi.spyOn(gpu, "createComputePipeline"), vi.spyOn(gpu, "createComputePipelineAsync")];
		const kernels = await warmup(device(), step);
		expect(kernels).toBeGreaterThanOrEqual(3);
		expect(beside).toHaveBeenCalledTimes(kernels);
		// The step fills two tensors with zeros, by one kernel.
		expect(new Set(beside.mock.calls.map(([{ label }]) => label)).size).toBe(kernels);
		expect(blocking).not.toHaveBeenCalled();
		expect(device().counters().dispatches).toBe(dispatches);
		expect(device().memory().liveBuffers).toBe(liveBuffers);
		const y = device().scope<Tensor>(step);
		expect(await data(y)).toEqual(new Float32Array(16).fill(0.25));
		y.dispose();
		expect(blocking).not.toHaveBeenCalled();
		expect(await warmup(device(), step)).toBe(kernels);
		expect(beside).toHaveBeenCalledTimes(kernels);
		vi.restoreAllMocks();
	});

	it("leaves to be compiled when it runs what the driver refused beside others", async () => {
		const { gpu } = device();
		vi.spyOn(gpu, "createComputePipelineAsync").mockRejectedValue(new Error("no"));
		const other = (): Tensor => sum(relu(x));
		expect(await warmup(device(), other)).toBeGreaterThan(0);
		vi.restoreAllMocks();
		const y = device().scope<Tensor>(other);
		expect(await data(y)).toEqual(Float32Array.of(21));
		y.dispose();
	});

	it("refuses what cannot be recorded by itself", async () => {
		const refused = (code: string) => expect.objectContaining({ code });
		await expect(warmup(device(), () => tensor(device(), [1, 2]))).rejects.toThrow(refused("capture/upload"));
		await expect(
			warmup(device(), () => {
				void data(x);
				return x;
			}),
		).rejects.toThrow(refused("capture/read"));
		await expect(warmup(device(), (async () => tanh(x)) as never)).rejects.toThrow(expect.objectContaining({ name: "ValueError" }));
		await expect(warmup(device(), 3 as never)).rejects.toThrow(refused("call/argument"));
		await expect(warmup({} as never, step)).rejects.toThrow(refused("call/argument"));
	});

	it("is refused inside a capture, a gradient and a program for one record, which go on", async () => {
		const refusals: Promise<unknown>[] = [];
		const inside = <T>(y: T): T => {
			refusals.push(warmup(device(), step).catch(({ code }) => code));
			return y;
		};
		const captured = capture(device(), () => sum(inside(relu(x))));
		captured.replay();
		expect(await data(captured.outputs)).toEqual(Float32Array.of(21));
		captured.dispose();
		expect(await data(grad((a: Tensor) => sum(inside(relu(a))))(x))).toEqual(new Float32Array(6).fill(1));
		expect(await data(vmap((a: Tensor) => inside(relu(a)))(x))).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
		expect(await Promise.all(refusals)).toEqual(["capture/nested", "capture/traced", "capture/inside"]);
	});

	it("names a device that was destroyed", async () => {
		const gone = await requestDevice({});
		gone.destroy();
		await expect(warmup(gone, () => zeros(gone, [2]))).rejects.toMatchObject({ code: "device/destroyed" });
	});
	afterAll(() => x.dispose());
});
