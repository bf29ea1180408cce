import { type Device, type DType, foldIn, type Key, PrivacyError, type Shape, type Tensor, ValueError } from "@hushgrad/tensor";
import { sizeOf } from "@hushgrad/tensor/author";

/** Host values of one tensor of a record: a number, a typed array, or values with a shape. */
export type HostValue = number | Float32Array | Int32Array | Uint32Array | Uint8Array | { readonly values: ArrayLike<number>; readonly shape: Shape; readonly dtype: DType };

/** One record on the host: what its loss reads, by name. */
export type HostRecord = { readonly [name: string]: HostValue | HostRecord };

/** The same record on the device, as its loss sees it: a tensor for every value. */
export type DeviceRecord<R> = { readonly [K in keyof R]: R[K] extends HostValue ? Tensor : R[K] extends HostRecord ? DeviceRecord<R[K]> : never };

/** Gives record number i, by itself. Called by the engine for each record that a step draws. */
export type Encode<R> = (index: number) => R;

interface Leaf {
	readonly path: string;
	readonly dtype: DType;
	readonly shape: Shape;
	readonly values: ArrayLike<number>;
}

/** The tensors of a record in the order of its fields. */
function leavesOf(value: unknown, path: string, index: number): Leaf[] {
	if (typeof value === "number") return [{ path, dtype: "f32", shape: [], values: [value] }];
	if (value instanceof Float32Array) return [{ path, dtype: "f32", shape: [value.length], values: value }];
	if (value instanceof Int32Array) return [{ path, dtype: "i32", shape: [value.length], values: value }];
	if (value instanceof Uint32Array) return [{ path, dtype: "u32", shape: [value.length], values: value }];
	if (value instanceof Uint8Array) return [{ path, dtype: "u8", shape: [value.length], values: value }];
	const isObject = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
	if (!isObject) {
		throw new ValueError("record/value", `record ${index}: ${path || "encode"} gives ${describe(value)}`, {
			op: "encode",
			hint: "give numbers, typed arrays, { values, shape, dtype }, or plain objects of them",
		});
	}
	const { values, shape, dtype } = value as { values?: ArrayLike<number>; shape?: Shape; dtype?: DType };
	if (values !== undefined && Array.isArray(shape) && typeof dtype === "string") {
		if (values.length === sizeOf(shape)) return [{ path, dtype, shape, values }];
		throw new ValueError("record/size", `record ${index}: ${path} has ${values.length} values for the shape [${shape.join(", ")}]`, { op: "encode" });
	}
	return Object.entries(value).flatMap(([name, v]) => leavesOf(v, path === "" ? name : `${path}.${name}`, index));
}

const describe = (value: unknown): string =>
	typeof (value as { then?: unknown } | null)?.then === "function" ? "a promise" : value === null ? "null" : typeof value === "object" ? (value as object).constructor.name : typeof value;

/** The value with other leaves, taken in order. */
function rebuild(value: unknown, next: () => Tensor): unknown {
	const isRecord = typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype && !("values" in value && "dtype" in value);
	if (!isRecord) return next();
	return Object.fromEntries(Object.entries(value as object).map(([k, v]) => [k, rebuild(v, next)]));
}

const ARRAYS = { f32: Float32Array, f16: Float32Array, bf16: Float32Array, i32: Int32Array, u32: Uint32Array, bool: Uint32Array, u8: Uint8Array } as const;

/** A physical batch on the device: every tensor [rows, ...], rows beyond the records filled with zeros. */
export interface Batch<R> {
	readonly record: DeviceRecord<R>;
	/** Words of each record's dropout key, u32 [rows, 2]. */
	readonly keys: Tensor;
	/** 1 for a record, 0 for padding: f32 [rows]. */
	readonly weights: Tensor;
}

/**
 * Encodes records one at a time, copies what comes out, and uploads it padded to a fixed number of rows. All records must
 * have the form of the first one, so that neither shapes nor kernels tell who else is in a batch.
 */
export class Batcher<R extends HostRecord> {
	readonly #device: Device;
	readonly #rows: number;
	#form: readonly Leaf[] | undefined;

	constructor(device: Device, rows: number) {
		this.#device = device;
		this.#rows = rows;
	}

	/**
	 * The batch of these records; -1 stands for padding. `key` is that of the step.
	 * @throws PrivacyError for a record of another form, ValueError for one that is no record.
	 */
	upload(indices: Int32Array, encode: Encode<R>, key: Key): Batch<R> {
		const rows = this.#rows;
		let example: unknown;
		let arrays: { readonly leaf: Leaf; readonly data: InstanceType<(typeof ARRAYS)[DType]> }[] = [];
		const words = new Uint32Array(2 * rows);
		const weights = new Float32Array(rows);
		indices.forEach((index, row) => {
			if (index < 0) return;
			const record = encode(index);
			const leaves = leavesOf(record, "", index);
			this.#checkForm(leaves, index);
			if (example === undefined) {
				example = record;
				arrays = leaves.map((leaf) => ({ leaf, data: new ARRAYS[leaf.dtype](rows * sizeOf(leaf.shape)) }));
			}
			leaves.forEach(({ values, shape }, i) => arrays[i].data.set(values, row * sizeOf(shape)));
			const { k0, k1 } = foldIn(key, index + 1);
			words.set([k0, k1], 2 * row);
			weights[row] = 1;
		});
		const tensors = arrays.map(({ leaf, data }) =>
			this.#device.fromHost(leaf.dtype === "f16" || leaf.dtype === "bf16" ? Array.from(data) : data, [rows, ...leaf.shape], leaf.dtype),
		);
		let at = 0;
		return {
			record: rebuild(example, () => tensors[at++]) as DeviceRecord<R>,
			keys: this.#device.fromHost(words, [rows, 2]),
			weights: this.#device.fromHost(weights, [rows]),
		};
	}

	#checkForm(leaves: readonly Leaf[], index: number): void {
		const show = (list: readonly Leaf[]): string => list.map(({ path, dtype, shape }) => `${path} ${dtype}[${shape.join(", ")}]`).join(", ");
		this.#form ??= leaves.map((leaf) => ({ ...leaf, values: [] }));
		if (leaves.length === 0) throw new ValueError("record/empty", `record ${index} holds nothing`, { op: "encode" });
		if (show(leaves) === show(this.#form)) return;
		throw new PrivacyError("record/form", `record ${index} is ${show(leaves)}, the first was ${show(this.#form)}`, {
			op: "encode",
			hint: "pad all records to one fixed size: shapes that follow the data would tell records apart",
		});
	}
}
