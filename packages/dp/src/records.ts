import { type Device, type DType, foldIn, type Key, PrivacyError, type Shape, type Tensor, ValueError, write } from "@hushgrad/tensor";
import {
	blaming,
	bytesPerElement,
	expects,
	isPlainObject,
	named,
	privateProgram,
	RANGES,
	shown,
	showShape,
	sizeOf,
	tensorsIn,
	unblamed,
} from "@hushgrad/tensor/author";
import { refuseChanged } from "./roster.ts";
import { sha256 } from "./sha256.ts";

/**
 * Host values of one tensor of a record: a number (f32 `[]`), a typed array of n elements (`[n]` of f32, i32, u32 or u8), or
 * values with a shape and a type.
 */
export type HostValue =
	| number
	| Float32Array
	| Int32Array
	| Uint32Array
	| Uint8Array
	| {
			/** The elements, row-major: numbers that the type holds. */
			readonly values: ArrayLike<number>;
			/** Extents; their product is the number of values. */
			readonly shape: Shape;
			/** Type on the device; numbers are rounded to f32, f16 and bf16. */
			readonly dtype: DType;
	  };

/** One record on the host: what its loss reads, by name, nested or not. */
export type HostRecord = { readonly [name: string]: HostValue | HostRecord };

/** The same record on the device, as its loss sees it: a tensor for every value. */
export type DeviceRecord<R> = {
	readonly [K in keyof R]: R[K] extends HostValue ? Tensor : R[K] extends HostRecord ? DeviceRecord<R[K]> : never;
};

/** The record on the host for one that a loss reads: the same names, values for tensors. */
export type HostFor<D> = { readonly [K in keyof D]: NonNullable<D[K]> extends Tensor ? HostValue : HostFor<NonNullable<D[K]>> };

/**
 * Gives record number i, by itself, at once: not async. Called for each record that a step draws, in a closed world: it cannot
 * touch the device. All records have one form, that is the same names, types and shapes.
 */
export type Encode<R> = (index: number) => R;

/** One tensor of a record: where it stands in the record, and its values. */
export interface Leaf {
	readonly path: readonly string[];
	readonly dtype: DType;
	readonly shape: Shape;
	readonly values: ArrayLike<number>;
}

const TYPES: readonly (readonly [abstract new (...args: never[]) => ArrayLike<number>, DType])[] = [
	[Float32Array, "f32"],
	[Int32Array, "i32"],
	[Uint32Array, "u32"],
	[Uint8Array, "u8"],
];

/** The tensors of a record in the order of its fields. Everything is read once, and copied: numbers and texts that run nothing. */
export function leavesOf(value: unknown, path: readonly string[], index: number): Leaf[] {
	if (typeof value === "number") return [{ path, dtype: "f32", shape: [], values: [value] }];
	const typed = TYPES.find(([type]) => value instanceof type);
	if (typed !== undefined) {
		const values = Array.from(value as ArrayLike<number>, Number);
		return [{ path, dtype: typed[1], shape: [values.length], values }];
	}
	const name = path.join(".") || "encode";
	if (!isPlainObject(value)) {
		if (value instanceof Promise) value.catch(() => {});
		throw new ValueError("record/value", `record ${index}: ${name} gives ${describe(value)}`, {
			hint: "give numbers, typed arrays, { values, shape, dtype }, or plain objects of them",
		});
	}
	const { values, shape, dtype } = value as { values?: ArrayLike<number>; shape?: Shape; dtype?: DType };
	if (values !== undefined && values !== null && Array.isArray(shape) && typeof dtype === "string") {
		const leaf = { path, dtype, shape: Array.from(shape, Number), values: Array.from(values) };
		const fault = faultOf(leaf);
		if (fault === undefined) return [leaf];
		throw new ValueError("record/tensor", `record ${index}: ${name} ${fault}`, {
			hint: "give as many numbers as the shape has elements, each one that the type holds",
		});
	}
	return Object.entries(value).flatMap(([key, v]) => leavesOf(v, [...path, key], index));
}

/** `foldIn` of 32 bits that follow from the values of a record and nothing else (FNV-1a over their words in float64). */
function keyOfLeaves(key: Key, leaves: readonly Leaf[]): Key {
	let hash = 0x811c9dc5;
	for (const { values } of leaves) {
		for (const word of new Uint32Array(Float64Array.from(values).buffer)) hash = Math.imul(hash ^ word, 0x01000193);
	}
	return foldIn(key, hash >>> 0);
}

/**
 * The dropout key of a record in the step with this key: it follows from the record's own values, not from its number, so that the masks
 * of all others stay when a record is removed. Two equal records drop alike.
 * @throws ValueError for what is no record.
 */
export const recordKey = named("recordKey", (key: Key, record: HostRecord): Key => keyOfLeaves(key, leavesOf(record, [], 0)));

/** What is wrong with the values of a tensor. */
function faultOf({ dtype, shape, values }: Leaf): string | undefined {
	if (!Object.hasOwn(bytesPerElement, dtype)) return `is of ${dtype}; there are ${Object.keys(bytesPerElement).join(", ")}`;
	if (values.length !== sizeOf(shape)) return `has ${values.length} values for the shape ${showShape(shape)}`;
	const range = RANGES[dtype];
	const fits = (v: number): boolean =>
		range === undefined ? typeof v === "number" : Number.isInteger(v) && v >= range[0] && v <= range[1];
	const at = Array.prototype.findIndex.call(values, (v: number) => !fits(v));
	return at < 0 ? undefined : `holds ${values[at]} at element ${at}, which is no ${dtype}`;
}

function describe(value: unknown): string {
	if (typeof (value as { then?: unknown } | null | undefined)?.then === "function") return "a promise: encode() must not be async";
	if (typeof value !== "object" || value === null) return `${String(value)}, a ${typeof value}`;
	return `an object of class ${value.constructor?.name ?? "unknown"}`;
}

/** Names, types and shapes of a record, as text. */
export const formOf = (leaves: readonly Leaf[]): string =>
	leaves.map(({ path, dtype, shape }) => `${path.join(".")} ${dtype}${showShape(shape)}`).join(", ");

/** SHA-256 of a record: its form, and its values in float64. */
function identityOf(leaves: readonly Leaf[]): string {
	const form = new TextEncoder().encode(`${formOf(leaves)}\n`);
	const values = Float64Array.from(leaves.flatMap((leaf) => Array.from(leaf.values)));
	const bytes = new Uint8Array(form.length + values.byteLength);
	bytes.set(form);
	bytes.set(new Uint8Array(values.buffer), form.length);
	return sha256(bytes);
}

/** The record that has these things at these places. */
export function recordOf<V>(leaves: readonly { readonly path: readonly string[]; readonly value: V }[], depth = 0): unknown {
	if (leaves.length === 1 && leaves[0].path.length === depth) return leaves[0].value;
	const names = [...new Set(leaves.map(({ path }) => path[depth]))];
	return Object.fromEntries(
		names.map((name) => [
			name,
			recordOf(
				leaves.filter(({ path }) => path[depth] === name),
				depth + 1,
			),
		]),
	);
}

/** A physical batch on the device: every tensor `[rows, …]`, rows beyond the records filled with zeros. */
export interface Batch {
	/** What `vmap` hands to a loss record by record: the names of the record, a tensor `[rows, …]` for each value. */
	readonly record: unknown;
	/** Words of each record's dropout key, u32 `[rows, 2]`; zeros for padding. */
	readonly keys: Tensor;
	/** 1 for a record, 0 for padding: f32 `[rows]`. */
	readonly weights: Tensor;
	/** Whether encode() gave one and the same object, with the same numbers, for several records. */
	readonly isOneRecord: boolean;
}

/** The values of one tensor of a batch. */
interface Column {
	readonly leaf: Leaf;
	readonly values: readonly number[] & number[];
}

/** What a physical batch holds, on the host. */
export class StagedBatch {
	static {
		Object.freeze(StagedBatch.prototype);
	}

	readonly #columns: readonly Column[];
	readonly #words: Uint32Array;
	readonly #weights: Float32Array;
	/** As of `Batch`. */
	readonly isOneRecord: boolean;

	/** `Batcher.stage` makes them. */
	constructor(of: { columns: readonly Column[]; words: Uint32Array; weights: Float32Array; isOneRecord: boolean }) {
		this.#columns = of.columns;
		this.#words = of.words;
		this.#weights = of.weights;
		this.isOneRecord = of.isOneRecord;
		Object.freeze(this);
	}

	/** Rows, those of padding included. */
	get rows(): number {
		return this.#weights.length;
	}

	/** New tensors that hold it. */
	upload(device: Device): Batch {
		const { rows } = this;
		const tensors = this.#columns.map(({ leaf: { path, dtype, shape }, values }) => ({
			path,
			value: device.fromHost(values, [rows, ...shape], dtype),
		}));
		return {
			isOneRecord: this.isOneRecord,
			record: recordOf(tensors),
			keys: device.fromHost(this.#words, [rows, 2]),
			weights: device.fromHost(this.#weights, [rows]),
		};
	}

	/**
	 * Writes it into the tensors of a batch of as many rows and of the same form, which hold `before`. Weights that are as they were are
	 * not written: what still reads them need not be submitted first.
	 */
	write(batch: Batch, before: StagedBatch): void {
		const values = [...this.#columns.map((c) => c.values), this.#words];
		tensorsOf(batch).forEach((t, i) => {
			if (t !== batch.weights) write(t, values[i]);
		});
		if (this.#weights.some((w, i) => w !== before.#weights[i])) write(batch.weights, this.#weights);
	}
}

/** The tensors of a batch, those of the record first, in the order of its fields. */
export const tensorsOf = ({ record, keys, weights }: Batch): readonly Tensor[] => [...tensorsIn(record), keys, weights];

/**
 * Encodes records one at a time, each in a closed world (nothing on the device can carry one to another), copies what comes out,
 * and uploads it, a row for every number that it is asked for. All records must have the form of the first one, so that neither
 * shapes nor kernels tell who else is in a batch.
 */
export class Batcher {
	static {
		Object.freeze(Batcher.prototype);
	}

	readonly #device: Device;
	#form: string | undefined;

	/** The form of records is that of the first one that this batcher meets, in any of its batches. */
	constructor(device: Device) {
		expects("Batcher", { device }, { device: "device" });
		this.#device = device;
	}

	/**
	 * The batch of these records, in order; −1 stands for padding. `key` is that of the step; a record drops by `recordKey` of it.
	 * @throws PrivacyError for a record of another form, and where encode() touches the device; ValueError for what is no record.
	 */
	upload(indices: Int32Array, encode: Encode<HostRecord>, key: Key): Batch {
		return blaming("Batcher.upload", () => this.stage(indices, encode, key).upload(this.#device));
	}

	/** What each of the first `count` records holds, as text that tells it from others. Errors as of `upload`. */
	identities(count: number, encode: Encode<HostRecord>): readonly string[] {
		expects("Batcher.identities", { count, encode }, { count: "count", encode: "function" });
		return Array.from({ length: count }, (_, index) => {
			const { leaves } = this.#encode(encode, index);
			this.#checkForm(leaves, index);
			return identityOf(leaves);
		});
	}

	/**
	 * The same on the host, to be uploaded. Errors as of `upload`; PrivacyError (`privacy/records-changed`) for a record that is not the one with
	 * its identity, where they are given.
	 */
	stage(indices: Int32Array, encode: Encode<HostRecord>, key: Key, identities?: readonly string[]): StagedBatch {
		expects("Batcher.stage", { encode, key }, { encode: "function", key: "key" });
		if (!(indices instanceof Int32Array))
			throw new ValueError("call/argument", `Batcher.stage: indices is ${shown(indices)}, expected an Int32Array`, { op: "Batcher.stage" });
		const rows = indices.length;
		let columns: Column[] = [];
		const given = new Set<unknown>();
		const words = new Uint32Array(2 * rows);
		const weights = new Float32Array(rows);
		indices.forEach((index, row) => {
			if (index < 0) return;
			const { record, leaves } = this.#encode(encode, index);
			given.add(record);
			this.#checkForm(leaves, index);
			if (identities !== undefined && identityOf(leaves) !== identities[index]) refuseChanged(`record ${index} is not what it was before`);
			if (columns.length === 0) columns = leaves.map((leaf) => ({ leaf, values: new Array(rows * sizeOf(leaf.shape)).fill(0) }));
			leaves.forEach(({ values, shape }, i) => {
				const start = row * sizeOf(shape);
				for (let k = 0; k < sizeOf(shape); k++) columns[i].values[start + k] = values[k];
			});
			const { k0, k1 } = keyOfLeaves(key, leaves);
			words.set([k0, k1], 2 * row);
			weights[row] = 1;
		});
		const count = weights.filter((w) => w === 1).length;
		const isRepeated = ({ leaf: { shape }, values }: Column): boolean =>
			values.slice(0, count * sizeOf(shape)).every((v, i) => Object.is(v, values[i % sizeOf(shape)]));
		return new StagedBatch({ columns, words, weights, isOneRecord: count > 1 && given.size === 1 && columns.every(isRepeated) });
	}

	/** A record and its tensors. It is read inside, too: getters and proxies run as encode() does. */
	#encode(encode: Encode<HostRecord>, index: number): { readonly record: object; readonly leaves: readonly Leaf[] } {
		const give = privateProgram(this.#device, [], () => {
			const record = unblamed(() => encode(index));
			const leaves = leavesOf(record, [], index);
			return () => ({ record, leaves });
		});
		return give();
	}

	#checkForm(leaves: readonly Leaf[], index: number): void {
		if (leaves.length === 0)
			throw new ValueError("record/empty", `record ${index} holds nothing`, { hint: "return what the loss reads, by name" });
		const form = formOf(leaves);
		this.#form ??= form;
		if (form === this.#form) return;
		throw new PrivacyError("record/form", `record ${index} is ${form}, the first was ${this.#form}`, {
			hint: "pad all records to one fixed size: shapes that follow the data would tell records apart",
		});
	}
}
