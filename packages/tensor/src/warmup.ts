import { checkOutside } from "./capture.ts";
import { type Device, runtimeOf } from "./device.ts";
import { expects } from "./expects.ts";
import type { NotPromise } from "./scopes.ts";

/**
 * Compiles the kernels of a step before it runs, all at once, while the program goes on: without it each is compiled when it is first met,
 * one after the other. The step is recorded, as `capture` does, and not run: its results have no values. Kernels of the same
 * text serve all shapes, so that a step on little data may stand for others; those that are made when element-wise operations fuse are left.
 * Software drivers do most of their work at the first run of a kernel, and gain little. jax's `lower().compile()`.
 * @returns how many kernels the step has.
 * @throws What `capture` does, ValueError for a step that is async, DeviceError for one that uploads (`capture/upload`) or reads
 * (`capture/read`): make its inputs before.
 */
export async function warmup<T>(device: Device, step: () => T & NotPromise<T>): Promise<number> {
	expects("warmup", { device, step }, { device: "device", step: "function" });
	const runtime = runtimeOf(device);
	checkOutside(runtime, "warmup");
	const recorded = runtime.scope(() => {
		const rehearsed = runtime.recorder.rehearse(() => runtime.scope(step, "warmup"));
		return new Set(rehearsed.recorded.map(({ pipeline }) => pipeline));
	});
	await runtime.orLost(Promise.all([...recorded].map((pipeline) => pipeline.ready())));
	return recorded.size;
}
