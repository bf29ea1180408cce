import type { Device } from "./device.ts";
import type { DType, HostArray } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import { contiguous } from "./ops/copy.ts";
import { type Shape, showShape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import { deviceBytes, type HostValues } from "./upload.ts";

/** Copies host values to the device; dtype follows the array type unless given. */
export function tensor(device: Device, values: HostValues, shape: Shape, dtype?: DType): Tensor {
	return device.fromHost(values, shape, dtype);
}

/** Overwrites a contiguous tensor in place, for the inputs of a captured step. Everything that views it changes too. */
export function write(x: Tensor, values: HostValues): void {
	if (!x.isContiguous || x.offset !== 0 || x.node !== undefined) {
		throw new ShapeError("tensor/write", `write: ${showShape(x.shape)} is a view or traced; write to the tensor it was made from`, {
			op: "write",
		});
	}
	const bytes = deviceBytes("write", values, x.shape, x.dtype);
	if (bytes.byteLength > 0) x.device.recorder.upload(x.storage.buffer, bytes);
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
