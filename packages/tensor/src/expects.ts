import { Device } from "./device.ts";
import { ValueError } from "./errors.ts";
import { shown } from "./shown.ts";
import { Tensor } from "./tensor.ts";

const isTensor = (v: unknown): boolean => v instanceof Tensor;
const isWord = (v: unknown): boolean => typeof v === "number" && v >>> 0 === v;
const isObject = (v: unknown): v is Readonly<Record<string, unknown>> => typeof v === "object" && v !== null;
const isExtent = (v: unknown): boolean => Number.isSafeInteger(v) && (v as number) >= 0;
const listOf =
	(is: (v: unknown) => boolean) =>
	(v: unknown): boolean =>
		Array.isArray(v) && Array.from(v).every(is);

/** Kinds of arguments: what is one, and the words for it. */
const KINDS = {
	tensor: [isTensor, "a tensor"],
	tensors: [listOf(isTensor), "a list of tensors"],
	device: [(v: unknown) => v instanceof Device, "a device, as requestDevice() gives"],
	key: [(v: unknown) => isObject(v) && isWord(v.k0) && isWord(v.k1), "a key, as key() gives"],
	number: [(v: unknown) => typeof v === "number", "a number"],
	whole: [Number.isSafeInteger, "a whole number"],
	count: [isExtent, "a whole number, zero or more"],
	shape: [listOf(isExtent), "a shape: a list of whole numbers, zero or more"],
	text: [(v: unknown) => typeof v === "string", "a string"],
	function: [(v: unknown) => typeof v === "function", "a function"],
	options: [(v: unknown) => isObject(v) && !Array.isArray(v) && !isTensor(v), "options in an object"],
	list: [Array.isArray, "a list"],
} as const satisfies Record<string, readonly [(v: unknown) => boolean, string]>;

/** What an argument has to be; with `?` it may be left out. */
export type ArgumentKind = keyof typeof KINDS | `${keyof typeof KINDS}?`;

/**
 * Refuses the first argument that is not of its kind, by the names of the function and the argument. Called at the door of a
 * function, so that nothing behind it meets a value that its type excludes.
 * @throws ValueError (`call/argument`).
 */
export function expects<A extends string>(op: string, given: Readonly<Record<A, unknown>>, kinds: Readonly<Record<A, ArgumentKind>>): void {
	for (const name in kinds) {
		const kind = kinds[name];
		const value = given[name];
		if (value === undefined && kind.endsWith("?")) continue;
		const [is, words] = KINDS[kind.replace("?", "") as keyof typeof KINDS];
		if (is(value)) continue;
		throw new ValueError("call/argument", `${op}: ${name} is ${shown(value)}, expected ${words}`, { op, hint: hintFor(kind, value) });
	}
}

const hintFor = (kind: ArgumentKind, value: unknown): string | undefined =>
	isObject(value) && ((kind === "tensor" && "dtype" in value) || (kind === "device" && "gpu" in value))
		? "if it is one, npm ls @hushgrad/tensor shows whether two copies are installed"
		: undefined;
