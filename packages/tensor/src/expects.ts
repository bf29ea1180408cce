import { Device } from "./device.ts";
import { ValueError } from "./errors.ts";
import { refused, shown } from "./shown.ts";
import { released, Tensor } from "./tensor.ts";

type Is = (v: unknown) => boolean;

const isTensor: Is = (v) => v instanceof Tensor;
const isNumber: Is = (v) => typeof v === "number";
const isWord: Is = (v) => typeof v === "number" && v >>> 0 === v;
const isWhole: Is = Number.isSafeInteger;
const isObject = (v: unknown): v is Readonly<Record<string, unknown>> => typeof v === "object" && v !== null;

/** Whether a value is a whole number of 0 or more. */
export const isCount = (v: unknown): v is number => typeof v === "number" && Number.isSafeInteger(v) && v >= 0;

/** Whether a value can be gone through, as lists, sets and maps can. */
export const isIterable = (v: unknown): v is Iterable<unknown> => isObject(v) && Symbol.iterator in v;

const listOf =
	(is: Is): Is =>
	(v) => {
		if (!Array.isArray(v)) return false;
		for (let i = 0; i < v.length; i++) if (!is(v[i])) return false; // every() passes over holes
		return true;
	};
const either =
	(...kinds: readonly Is[]): Is =>
	(v) =>
		kinds.some((is) => is(v));

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

const of = (is: Is, words: string): Kind => [is, words];

/** Kinds by name. */
const KINDS = {
	tensor: of(isTensor, "a tensor"),
	tensors: of(listOf(isTensor), "a list of tensors"),
	value: of(either(isTensor, isNumber), "a tensor or a number"),
	device: of((v) => v instanceof Device, "a device, as requestDevice() gives"),
	key: of((v) => isObject(v) && isWord(v.k0) && isWord(v.k1), "a key, as key() gives"),
	number: of(isNumber, "a number"),
	whole: of(isWhole, "a whole number"),
	wholes: of(listOf(isWhole), "a list of whole numbers"),
	axes: of(either(isWhole, listOf(isWhole)), "a whole number, or a list of them"),
	count: of(isCount, "a whole number, zero or more"),
	counts: of(either(isCount, listOf(isCount)), "a whole number, zero or more, or a list of them"),
	size: of((v) => isCount(v) && v !== 0, "a whole number, one or more"),
	shape: of(listOf(isCount), "a shape: a list of whole numbers, zero or more"),
	flag: of((v) => typeof v === "boolean", "true or false"),
	text: of((v) => typeof v === "string", "a string"),
	function: of((v) => typeof v === "function", "a function"),
	options: of((v) => isObject(v) && !Array.isArray(v) && !isTensor(v), "options in an object"),
	list: of(Array.isArray, "a list"),
	floats: of((v) => v instanceof Float32Array, "a Float32Array"),
	bytes: of((v) => v instanceof Uint8Array, "a Uint8Array"),
};

type KindName = keyof typeof KINDS | `${keyof typeof KINDS}?`;

/** What an argument has to be, by name (with `?` it may be left out) or as a kind of one's own. */
export type ArgumentKind = KindName | Kind;

const BY_NAME = Object.fromEntries(
	Object.entries<Kind>(KINDS).flatMap(([name, kind]) => [
		[name, kind],
		[`${name}?`, optional(kind)],
	]),
) as Readonly<Record<KindName, Kind>>;

/**
 * Refuses the first argument that is not of its kind, or a tensor that was released, by the names of the function and the argument.
 * Called at the door of a function, so that nothing behind it meets a value that its type excludes. It costs a tenth of a microsecond.
 * @throws ValueError (`call/argument`); DisposedError (`tensor/disposed`).
 */
export function expects<A extends string>(op: string, given: Readonly<Record<A, unknown>>, kinds: Readonly<Record<A, ArgumentKind>>): void {
	for (const name in kinds) expectsOne(op, name, given[name], kinds[name]);
}

/** `expects` for one argument. */
export function expectsOne(op: string, name: string, value: unknown, kind: ArgumentKind): void {
	if (kind === "tensor" && value instanceof Tensor && !value.disposed) return; // most calls
	const [is, words] = typeof kind === "string" ? BY_NAME[kind] : kind;
	if (!is(value)) throw refused(op, name, value, words, hintFor(words, value));
	if (value instanceof Tensor) checkAlive(op, name, value);
	else if (kind === "tensors") for (const t of value as Tensor[]) checkAlive(op, name, t);
}

function checkAlive(op: string, name: string, t: Tensor): void {
	if (t.disposed) throw released(`${op}: ${name}`, t, op);
}

/**
 * The options of a call, as they came: an object whose fields are of their kinds, and none that the type does not have, so that no
 * misspelt one is passed over. Every field of the type has a kind.
 * @throws ValueError (`call/argument`, `call/option`); DisposedError (`tensor/disposed`).
 */
export function optionsOf<T extends object>(op: string, options: T, kinds: Readonly<Record<keyof T & string, ArgumentKind>>): T {
	partsOf(op, "options", options, kinds);
	for (const name in options) {
		if (Object.hasOwn(kinds, name)) continue;
		throw new ValueError("call/option", `${op}: there is no option ${name}, expected ${Object.keys(kinds).join(", ")}`, { op });
	}
	return options;
}

/**
 * An argument of several fields, as it came: an object whose fields are of their kinds. It may have others.
 * @throws ValueError (`call/argument`); DisposedError (`tensor/disposed`).
 */
export function partsOf<T extends object>(op: string, name: string, parts: T, kinds: Readonly<Record<keyof T & string, ArgumentKind>>): T {
	expectsOne(op, name, parts, "options");
	expects(op, parts as Readonly<Record<string, unknown>>, kinds as Readonly<Record<string, ArgumentKind>>);
	return parts;
}

const hintFor = (words: string, value: unknown): string | undefined =>
	isObject(value) && ((words.includes("tensor") && "dtype" in value) || (words.startsWith("a device") && "gpu" in value))
		? "if it is one, npm ls @hushgrad/tensor shows whether two copies are installed"
		: undefined;
