import { Device } from "./device.ts";
import { ValueError } from "./errors.ts";
import { shown } from "./shown.ts";
import { Tensor } from "./tensor.ts";

const isTensor = (v: unknown): boolean => v instanceof Tensor;
const isWord = (v: unknown): boolean => typeof v === "number" && v >>> 0 === v;
const isObject = (v: unknown): v is Readonly<Record<string, unknown>> => typeof v === "object" && v !== null;

/** Whether a value is a whole number of 0 or more. */
export const isCount = (v: unknown): v is number => typeof v === "number" && Number.isSafeInteger(v) && v >= 0;

/** Whether a value can be gone through, as lists, sets and maps can. */
export const isIterable = (v: unknown): v is Iterable<unknown> => isObject(v) && Symbol.iterator in v;

const listOf =
	(is: (v: unknown) => boolean) =>
	(v: unknown): boolean =>
		Array.isArray(v) && Array.from(v).every(is);

/** A kind of argument: whether a value is one, and the words for it. */
export type Kind = readonly [is: (value: unknown) => boolean, words: string];

/** Objects of a class. */
export const instanceOf = (type: { readonly [Symbol.hasInstance]: (value: unknown) => boolean }, words: string): Kind => [
	(v) => type[Symbol.hasInstance](v),
	words,
];

/** One of a few values. */
export const oneOf = (...values: readonly unknown[]): Kind => [(v) => values.includes(v), values.map(shown).join(" or ")];

/** A kind that may be left out. */
export const optional = ([is, words]: Kind): Kind => [(v) => v === undefined || is(v), words];

/** The kinds that have a name. */
const KINDS = {
	tensor: [isTensor, "a tensor"],
	tensors: [listOf(isTensor), "a list of tensors"],
	device: [(v: unknown) => v instanceof Device, "a device, as requestDevice() gives"],
	key: [(v: unknown) => isObject(v) && isWord(v.k0) && isWord(v.k1), "a key, as key() gives"],
	number: [(v: unknown) => typeof v === "number", "a number"],
	whole: [Number.isSafeInteger, "a whole number"],
	count: [isCount, "a whole number, zero or more"],
	shape: [listOf(isCount), "a shape: a list of whole numbers, zero or more"],
	text: [(v: unknown) => typeof v === "string", "a string"],
	function: [(v: unknown) => typeof v === "function", "a function"],
	options: [(v: unknown) => isObject(v) && !Array.isArray(v) && !isTensor(v), "options in an object"],
	list: [Array.isArray, "a list"],
	flag: [(v: unknown) => typeof v === "boolean", "true or false"],
	floats: [(v: unknown) => v instanceof Float32Array, "a Float32Array"],
	bytes: [(v: unknown) => v instanceof Uint8Array, "a Uint8Array"],
} as const satisfies Record<string, Kind>;

/** What an argument has to be, by name (with `?` it may be left out) or as a kind of one's own. */
export type ArgumentKind = keyof typeof KINDS | `${keyof typeof KINDS}?` | Kind;

/**
 * Refuses the first argument that is not of its kind, by the names of the function and the argument. Called at the door of a
 * function, so that nothing behind it meets a value that its type excludes.
 * @throws ValueError (`call/argument`).
 */
export function expects<A extends string>(op: string, given: Readonly<Record<A, unknown>>, kinds: Readonly<Record<A, ArgumentKind>>): void {
	for (const name in kinds) {
		const kind = kinds[name];
		const value = given[name];
		const [is, words] = typeof kind === "string" ? kindOf(kind) : kind;
		if (is(value)) continue;
		throw new ValueError("call/argument", `${op}: ${name} is ${shown(value)}, expected ${words}`, { op, hint: hintFor(kind, value) });
	}
}

/**
 * The options of a call, as they came: an object whose fields are of their kinds, and none that the type does not have, so that no
 * misspelt one is passed over. Every field of the type has a kind.
 * @throws ValueError (`call/argument`, `call/option`).
 */
export function optionsOf<T extends object>(op: string, options: T, kinds: Readonly<Record<keyof T & string, ArgumentKind>>): T {
	partsOf(op, "options", options, kinds);
	const other = Object.keys(options).find((name) => !Object.hasOwn(kinds, name));
	if (other === undefined) return options;
	throw new ValueError("call/option", `${op}: there is no option ${other}, expected ${Object.keys(kinds).join(", ")}`, { op });
}

/**
 * An argument of several fields, as it came: an object whose fields are of their kinds. It may have others.
 * @throws ValueError (`call/argument`).
 */
export function partsOf<T extends object>(op: string, name: string, parts: T, kinds: Readonly<Record<keyof T & string, ArgumentKind>>): T {
	expects(op, { [name]: parts }, { [name]: "options" });
	expects(op, parts as Readonly<Record<string, unknown>>, kinds as Readonly<Record<string, ArgumentKind>>);
	return parts;
}

const kindOf = (name: Exclude<ArgumentKind, Kind>): Kind =>
	name.endsWith("?") ? optional(KINDS[name.slice(0, -1) as keyof typeof KINDS]) : KINDS[name as keyof typeof KINDS];

const hintFor = (kind: ArgumentKind, value: unknown): string | undefined =>
	isObject(value) && ((kind === "tensor" && "dtype" in value) || (kind === "device" && "gpu" in value))
		? "if it is one, npm ls @hushgrad/tensor shows whether two copies are installed"
		: undefined;
