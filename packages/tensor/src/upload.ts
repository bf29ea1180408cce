import { bytesPerElement, type DType, type HostArray } from "./dtype.ts";
import { DTypeError, ShapeError, ValueError } from "./errors.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "./float16.ts";
import { type Shape, showShape, sizeOf } from "./shape.ts";
import { refused, shown } from "./shown.ts";

/** Host values of a tensor: plain numbers or booleans, or a typed array, taken as `device.fromHost` says. f16 and bf16 bits: Uint16Array. */
export type HostValues = HostArray | Uint16Array | readonly (number | boolean)[];

/** The least and the greatest whole number that an element type holds; floats have no entry. */
export const RANGES: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
	i32: [-(2 ** 31), 2 ** 31 - 1],
	u32: [0, 2 ** 32 - 1],
	u8: [0, 255],
	bool: [0, 1],
};

/** The dtype that an array stands for when none is given. */
export function dtypeOf(values: HostValues): DType {
	if (values instanceof Int32Array) return "i32";
	if (values instanceof Uint32Array) return "u32";
	return values instanceof Uint8Array ? "u8" : "f32";
}

/** The bytes that a tensor of this shape and dtype holds on the device, padded to whole words. */
export function deviceBytes(op: string, values: HostValues, shape: Shape, dtype: DType): Uint8Array {
	const array = typed(op, values, dtype);
	const bytes = sizeOf(shape) * bytesPerElement[dtype];
	if (array.byteLength !== bytes) {
		throw new ShapeError("tensor/host-size", `${op}: ${showShape(shape)} of ${dtype} needs ${bytes} bytes, got ${array.byteLength}`, {
			op,
		});
	}
	const raw = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
	if (bytes % 4 === 0) return raw;
	const padded = new Uint8Array(Math.ceil(bytes / 4) * 4);
	padded.set(raw);
	return padded;
}

/** The typed arrays that hold an element type as the device does; where there is none with a name of its own, its bits. */
const STORED: Readonly<Record<DType, readonly string[]>> = {
	f32: ["Float32Array"],
	i32: ["Int32Array"],
	u32: ["Uint32Array"],
	bool: ["Uint32Array"],
	f16: ["Uint16Array", "Uint8Array"],
	bf16: ["Uint16Array", "Uint8Array"],
	u8: ["Uint8Array"],
};

/** @throws DTypeError (`tensor/dtype`) for what is no element type. */
export function checkDType(op: string, dtype: DType): void {
	if (typeof dtype === "string" && Object.hasOwn(STORED, dtype)) return;
	throw new DTypeError("tensor/dtype", `${op}: dtype is ${shown(dtype)}, expected ${Object.keys(STORED).join(", ")}`, { op });
}

/** Which typed array it is, also when it is of a subclass or of another realm; undefined for plain numbers. */
const kindOf = (values: HostValues): string | undefined =>
	ArrayBuffer.isView(values) ? (values as { [Symbol.toStringTag]: string })[Symbol.toStringTag] : undefined;

function typed(op: string, values: HostValues, dtype: DType): ArrayBufferView {
	const kind = kindOf(values);
	checkDType(op, dtype);
	if (kind === undefined) checkPlain(op, values);
	if (kind !== undefined && STORED[dtype]?.includes(kind) && dtype !== "bool") return values as ArrayBufferView;
	if (kind !== undefined && kind !== "Float32Array" && !(dtype === "bool" && kind === "Uint32Array")) throw wrongArray(op, kind, dtype);
	const numbers = values as Float32Array | Uint32Array | readonly number[];
	if (dtype === "f32") return checkHeld(op, numbers, Float32Array.from(numbers), dtype);
	if (dtype === "f16" || dtype === "bf16") {
		const bits = (dtype === "f16" ? toFloat16 : toBfloat16)(Float32Array.from(numbers));
		checkHeld(op, numbers, (dtype === "f16" ? fromFloat16 : fromBfloat16)(bits), dtype);
		return bits;
	}
	const [low, high] = RANGES[dtype] as readonly [number, number];
	const wrong = numbers.findIndex((v) => !(Number.isInteger(Number(v)) && v >= low && v <= high));
	if (wrong >= 0) throw notHeld(op, numbers, wrong, dtype, `${dtype} holds whole numbers from ${low} to ${high}`);
	if (dtype === "i32") return Int32Array.from(numbers);
	return dtype === "u8" ? Uint8Array.from(numbers) : Uint32Array.from(numbers);
}

/** Plain values: numbers, and booleans as 0 and 1. */
function checkPlain(op: string, values: unknown): void {
	if (!Array.isArray(values)) throw refused(op, "values", values, "numbers in a list or a typed array");
	for (let i = 0; i < values.length; i++) {
		if (typeof values[i] === "number" || typeof values[i] === "boolean") continue;
		throw new ValueError("tensor/host-value", `${op}: element ${i} is ${shown(values[i])}, expected a number`, {
			op,
			hint: Array.isArray(values[i]) ? "tensor(device, values) without a shape takes lists of lists" : undefined,
		});
	}
}

/** Refuses a finite number that became infinite. */
function checkHeld(op: string, given: ArrayLike<number>, held: Float32Array, dtype: DType): Float32Array {
	const wrong = held.findIndex((v, i) => !Number.isFinite(v) && Number.isFinite(given[i]));
	if (wrong < 0) return held;
	throw notHeld(op, given, wrong, dtype, `it is beyond the largest ${dtype}; scale the values, or give infinity`);
}

const notHeld = (op: string, values: ArrayLike<number>, i: number, dtype: DType, hint: string): ValueError =>
	new ValueError("tensor/host-value", `${op}: element ${i} is ${values[i]}, which is no ${dtype}`, { op, hint });

function wrongArray(op: string, kind: string, dtype: DType): DTypeError {
	const bits = kind === "Uint16Array" ? "; for bits of f16 or bf16 name that type" : "";
	return new DTypeError("tensor/host-type", `${op}: a ${kind} does not hold ${dtype}`, {
		op,
		hint: `give plain numbers, such as Array.from(values), or a ${STORED[dtype]?.join(" or ")}${bits}`,
	});
}
