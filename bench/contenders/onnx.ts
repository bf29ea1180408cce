/** Just enough of ONNX's file format (protocol buffers) to write a graph. */

type Bytes = readonly number[];

function varint(value: number): Bytes {
	const out: number[] = [];
	let rest = BigInt.asUintN(64, BigInt(value));
	do {
		out.push(Number(rest & 127n) | (rest > 127n ? 128 : 0));
		rest >>= 7n;
	} while (rest > 0n);
	return out;
}
const number = (field: number, value: number): Bytes => [...varint(field << 3), ...varint(value)];
const float = (field: number, value: number): Bytes => [...varint((field << 3) | 5), ...new Uint8Array(Float32Array.of(value).buffer)];
const bytes = (field: number, value: Bytes): Bytes => [...varint((field << 3) | 2), ...varint(value.length), ...value];
const text = (field: number, value: string): Bytes => bytes(field, [...new TextEncoder().encode(value)]);

/** Element types, by ONNX's numbers. */
export const TYPES = { float32: 1, uint8: 2, int32: 6, int64: 7 } as const;
export type TypeName = keyof typeof TYPES;

/** Whole numbers are ints, and lists of them; other numbers floats. */
export type Attribute = number | string | readonly number[];

export interface Node {
	readonly op: string;
	readonly inputs: readonly string[];
	readonly outputs: readonly string[];
	readonly attributes?: Readonly<Record<string, Attribute>>;
	/** "com.microsoft" for those of ONNX Runtime alone. */
	readonly domain?: string;
}
export interface Value {
	readonly name: string;
	readonly type: TypeName;
	readonly shape: readonly number[];
}
export interface Graph {
	readonly nodes: readonly Node[];
	readonly inputs: readonly Value[];
	readonly outputs: readonly Value[];
	/** Constants, f32 or i64. */
	readonly constants?: Readonly<
		Record<string, { readonly type: "float32" | "int64"; readonly values: readonly number[]; readonly shape: readonly number[] }>
	>;
}

function attribute(name: string, value: Attribute): Bytes {
	if (typeof value === "string") return [...text(1, name), ...text(4, value), ...number(20, 3)];
	if (typeof value === "object") return [...text(1, name), ...value.flatMap((v) => number(8, v)), ...number(20, 7)];
	if (!Number.isInteger(value)) return [...text(1, name), ...float(2, value), ...number(20, 1)];
	return [...text(1, name), ...number(3, value), ...number(20, 2)];
}

const node = ({ op, inputs, outputs, attributes = {}, domain }: Node): Bytes => [
	...inputs.flatMap((name) => text(1, name)),
	...outputs.flatMap((name) => text(2, name)),
	...text(4, op),
	...Object.entries(attributes).flatMap(([name, value]) => bytes(5, attribute(name, value))),
	...(domain === undefined ? [] : text(7, domain)),
];

function value({ name, type, shape }: Value): Bytes {
	const dimensions = shape.flatMap((d) => bytes(1, number(1, d)));
	return [...text(1, name), ...bytes(2, bytes(1, [...number(1, TYPES[type]), ...bytes(2, dimensions)]))];
}

function constant([name, { type, values, shape }]: [string, NonNullable<Graph["constants"]>[string]]): Bytes {
	const raw = type === "int64" ? BigInt64Array.from(values, BigInt) : Float32Array.from(values);
	return [...shape.flatMap((d) => number(1, d)), ...number(2, TYPES[type]), ...text(8, name), ...bytes(9, [...new Uint8Array(raw.buffer)])];
}

/** The bytes of a model of operator set 21. */
export function model({ nodes, inputs, outputs, constants = {} }: Graph): Uint8Array {
	const graph = [
		...nodes.flatMap((n) => bytes(1, node(n))),
		...text(2, "row"),
		...Object.entries(constants).flatMap((c) => bytes(5, constant(c))),
		...inputs.flatMap((v) => bytes(11, value(v))),
		...outputs.flatMap((v) => bytes(12, value(v))),
	];
	const sets = [
		["", 21],
		["com.microsoft", 1],
	] as const;
	return Uint8Array.from([
		...number(1, 10),
		...bytes(7, graph),
		...sets.flatMap(([domain, version]) => bytes(8, [...text(1, domain), ...number(2, version)])),
	]);
}
