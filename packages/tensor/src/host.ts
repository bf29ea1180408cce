import { type Device, runtimeOf } from "./device.ts";
import type { DType, HostArray } from "./dtype.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { contiguous } from "./ops/contiguous.ts";
import { physicalOf } from "./physicalOf.ts";
import { isContiguous, type Shape, showShape } from "./shape.ts";
import { insideOf, type Tensor } from "./tensor.ts";
import { deviceBytes, type HostValues } from "./upload.ts";

/** Copies host values to the device; dtype follows the array type unless given. */
export function tensor(device: Device, values: HostValues, shape: Shape, dtype?: DType): Tensor {
	return device.fromHost(values, shape, dtype);
}

/** Overwrites a contiguous tensor in place, for the inputs of a captured step. Everything that views it changes too. */
export function write(x: Tensor, values: HostValues): void {
	const { storage, strides, offset, node, records } = insideOf(x);
	if (!isContiguous(x.shape, strides) || offset !== 0 || node !== undefined || records !== undefined) {
		throw new ShapeError("tensor/write", `write: ${showShape(x.shape)} is a view or traced; write to the tensor it was made from`, {
			op: "write",
		});
	}
	const bytes = deviceBytes("write", values, x.shape, x.dtype);
	const { recorder, world } = runtimeOf(x.device);
	world?.refuse("write", `host values ${showShape(x.shape)} are uploaded`);
	if (bytes.byteLength > 0) recorder.upload(storage.buffer, bytes);
}

/**
 * Reads the elements back in row-major order.
 * @throws ValueError for a tensor of a program for one record, PrivacyError inside a private program: both at once.
 */
export function data(x: Tensor): Promise<HostArray> {
	const runtime = runtimeOf(x.device);
	runtime.world?.refuse("data", `${x} is read`);
	if (insideOf(x).records !== undefined) {
		throw new ValueError("vmap/read", `data: ${x} is read inside a program for one record`, {
			op: "data",
			hint: "return it from the function that vmap runs, and read the result",
		});
	}
	return runtime
		.scope(() => {
			const flat = contiguous(physicalOf(x, 1));
			const done = runtime.read(flat);
			return { read: () => done };
		})
		.read();
}

/** Reads the only element of a tensor back. Errors as of `data`, at once. */
export function item(x: Tensor): Promise<number> {
	if (x.size !== 1) {
		throw new ShapeError("tensor/item", `item: ${showShape(x.shape)} has ${x.size} elements, expected one`, { op: "item" });
	}
	return data(x).then(([value]) => value);
}
