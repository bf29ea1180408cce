import type { Device } from "./device.ts";
import type { DType, HostArray } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import { contiguous } from "./ops/copy.ts";
import { type Shape, showShape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** Copies host values to the device; dtype follows the array type unless given. */
export function tensor(device: Device, data: HostArray | Uint8Array | readonly number[], shape: Shape, dtype?: DType): Tensor {
	return device.fromHost(data, shape, dtype);
}

/** Reads the elements back in row-major order. */
export async function data(x: Tensor): Promise<HostArray> {
	const flat = contiguous(x);
	try {
		return await x.device.read(flat);
	} finally {
		if (flat !== x) flat.dispose();
	}
}

/** Reads the only element of a tensor back. */
export async function item(x: Tensor): Promise<number> {
	if (x.size !== 1) {
		throw new ShapeError("tensor/item", `item: ${showShape(x.shape)} has ${x.size} elements, expected one`, { op: "item" });
	}
	return (await data(x))[0];
}
