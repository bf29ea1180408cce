import type { Device } from "../device.ts";
import type { Shape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** A tensor filled with one f32 value. */
export function full(device: Device, shape: Shape, value: number): Tensor {
	const out = device.empty(shape);
	device.run(
		"full",
		() => ({
			params: { n: "u32", value: "f32" },
			buffers: { y: { dtype: "f32", access: "write" } },
			workgroup: [64, 1, 1],
			body: "if (index < p.n) { y_set(index, p.value); }",
		}),
		[out],
		[out.size, value],
		out.size,
	);
	return out;
}

export const zeros = (device: Device, shape: Shape): Tensor => full(device, shape, 0);
export const ones = (device: Device, shape: Shape): Tensor => full(device, shape, 1);
