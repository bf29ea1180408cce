import type { Device, DType, Tensor } from "@hushgrad/tensor";

/** The types that Cast, EyeLike and others name by ONNX's numbers. int64 is held as i32. */
const TYPES: Readonly<Record<number, DType>> = { 1: "f32", 2: "u8", 6: "i32", 7: "i32", 9: "bool", 10: "f16", 12: "u32", 16: "bf16" };

export type Attribute = number | string | readonly number[] | Tensor;

/** One node to evaluate. */
export interface Call {
	readonly device: Device;
	/** Tensors by position; those left out are undefined. */
	readonly inputs: readonly Tensor[];
	/** Values on the host of an input that is a parameter (axes, a shape, k), undefined when it is left out. */
	readonly numbers: (input: number) => readonly number[] | undefined;
	readonly attributes: Readonly<Record<string, Attribute>>;
	/** Outputs that the node names; those it leaves out in the middle count. */
	readonly outputs: number;
}

/** Gives the outputs in their order; undefined for one that nobody asked for. */
export type Operator = (call: Call) => Tensor | readonly (Tensor | undefined)[];
export type Operators = Readonly<Record<string, Operator>>;

/** An attribute, or its default. */
export function attribute<T extends Attribute | undefined>(call: Call, name: string, fallback: T): T {
	return (call.attributes[name] ?? fallback) as T;
}

export const number = (call: Call, name: string, fallback: number): number => attribute<number>(call, name, fallback);
export const flag = (call: Call, name: string, fallback = 0): boolean => number(call, name, fallback) !== 0;

/** The only value of a parameter. */
export const single = (call: Call, input: number, fallback: number): number => call.numbers(input)?.[0] ?? fallback;

/** The dtype of an attribute that names one. */
export function dtype(call: Call, name: string, fallback: DType): DType {
	const code = attribute<number | undefined>(call, name, undefined);
	return code === undefined ? fallback : TYPES[code];
}

export const product = (values: readonly number[]): number => values.reduce((a, b) => a * b, 1);
export const fromEnd = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);
export const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);
