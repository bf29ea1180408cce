import { isPlainObject } from "./records.ts";
import { Tensor } from "./tensor.ts";

/** The same value with other tensors: in arrays, maps and plain objects. */
export function mapTensors<T>(value: T, f: (t: Tensor) => Tensor): T {
	if (value instanceof Tensor) return f(value) as T;
	if (Array.isArray(value)) return value.map((v) => mapTensors(v, f)) as T;
	if (value instanceof Map) return new Map([...value].map(([k, v]) => [k, mapTensors(v, f)])) as T;
	if (isPlainObject(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, mapTensors(v, f)])) as T;
	return value;
}
