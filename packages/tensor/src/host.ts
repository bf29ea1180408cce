import { type Device, runtimeOf } from "./device.ts";
import type { DType, HostArray } from "./dtype.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { expects } from "./expects.ts";
import { blaming } from "./named.ts";
import { flattened, type Nested, nestedOf } from "./nested.ts";
import { contiguous } from "./ops/contiguous.ts";
import { physicalOf } from "./physicalOf.ts";
import { isContiguous, type Shape, showShape } from "./shape.ts";
import { insideOf, type Tensor } from "./tensor.ts";
import { deviceBytes, type HostValues } from "./upload.ts";

/** Options of `tensor`. */
export interface TensorOptions {
	/** The element type; left out, that of the values: bool for booleans, else as `device.fromHost` says. */
	readonly dtype?: DType | undefined;
}

/**
 * Copies host values to the device. Lists of lists give their shape themselves: `tensor(device, [[1, 2], [3, 4]])` is f32 [2, 2],
 * booleans make bool, a number alone a scalar, a typed array a vector. With a shape it is `device.fromHost`: flat values in row-major
 * order. Numbers are rounded to the element type, never cut: what it does not hold is refused.
 * @throws ShapeError where a list is not as long or as deep as the first of its level (`tensor/ragged`); ValueError for an element
 * that is no number or boolean, naming its place; what `device.fromHost` does.
 */
export function tensor(device: Device, values: Nested | HostArray, options?: TensorOptions): Tensor;
export function tensor(device: Device, values: HostValues, shape: Shape, dtype?: DType): Tensor;
export function tensor(device: Device, values: Nested | HostValues, shape: Shape | TensorOptions = {}, dtype?: DType): Tensor {
	expects("tensor", { device }, { device: "device" });
	if (Array.isArray(shape)) {
		expects("tensor", { shape }, { shape: "shape" });
		return blaming("tensor", () => device.fromHost(values as HostValues, shape, dtype));
	}
	expects("tensor", { options: shape }, { options: "options" });
	const options = shape as TensorOptions;
	if (ArrayBuffer.isView(values)) {
		return blaming("tensor", () => device.fromHost(values, [(values as HostArray).length], options.dtype));
	}
	const flat = flattened("tensor", values);
	return blaming("tensor", () => device.fromHost(flat.values, flat.shape, options.dtype ?? flat.dtype));
}

/**
 * Overwrites a contiguous tensor in place, for the inputs of a captured step. Values are taken as `device.fromHost` takes
 * them, in row-major order. Everything that views the tensor changes too; kernels recorded before still see the old values.
 * @throws ShapeError for a tensor that is a view with gaps or an offset, traced, or of one record (`tensor/write`), and when the
 * sizes differ; ValueError for numbers that an integer type does not hold; PrivacyError inside a private program; DeviceError
 * inside a step that is being captured; DisposedError after its release.
 */
export function write(x: Tensor, values: HostValues): void {
	expects("write", { x }, { x: "tensor" });
	const { storage, strides, offset, node, records } = insideOf(x);
	if (!isContiguous(x.shape, strides) || offset !== 0 || node !== undefined || records !== undefined) {
		throw new ShapeError("tensor/write", `write: ${showShape(x.shape)} is a view or traced; write to the tensor it was made from`, {
			op: "write",
		});
	}
	const bytes = deviceBytes("write", values, x.shape, x.dtype);
	const runtime = runtimeOf(x.device);
	runtime.raise();
	runtime.world?.refuse("write", `host values ${showShape(x.shape)} are uploaded`);
	if (bytes.byteLength > 0) runtime.recorder.upload(storage, bytes);
	storage.writes++;
}

/**
 * Reads the elements back in row-major order: submits what is pending and waits for it. The array is the caller's own, of the
 * type that `HostArray` says; x may be released as soon as the call has returned.
 * @throws ValueError (`vmap/read`) for a tensor of a program for one record, PrivacyError (`privacy/outside-data`) inside a
 * private program, DisposedError after its release: all at the call, not in the promise. DeviceError when the device was lost
 * or reported an error, at the call or in the promise.
 */
export function data(x: Tensor): Promise<HostArray> {
	expects("data", { x }, { x: "tensor" });
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

/**
 * Reads the only element of a tensor back, whatever its rank; a bool is 0 or 1.
 * @throws ShapeError (`tensor/item`) unless x has one element; otherwise what `data` does.
 */
export function item(x: Tensor): Promise<number> {
	expects("item", { x }, { x: "tensor" });
	if (x.size !== 1) {
		throw new ShapeError("tensor/item", `item: ${showShape(x.shape)} has ${x.size} elements, expected one`, { op: "item" });
	}
	return data(x).then(([value]) => value);
}

/**
 * Reads the elements back as nested lists, one level an axis: numpy's and torch's `tolist`. A bool is true or false, a scalar a number.
 * `data` gives the typed array. @throws What `data` does.
 */
export function toNested(x: Tensor): Promise<Nested> {
	expects("toNested", { x }, { x: "tensor" });
	const { shape, dtype } = x;
	return data(x).then((values) => nestedOf(values, shape, dtype));
}
