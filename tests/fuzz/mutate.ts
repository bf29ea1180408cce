import * as t from "@hushgrad/tensor";
import { fieldsOf, type Parameter, type Surface } from "./surface.ts";
import type { World } from "./world.ts";

type Random = () => number;

/** A value that hardly any parameter takes, and the words for it. */
type Bad = readonly [string, (w: World) => unknown];

const disposed = (w: World): t.Tensor => {
	const x = t.ones(w.device, [2, 3]);
	x.dispose();
	return x;
};

const PLAIN: readonly Bad[] = [
	...[undefined, null, "", "abc", Number.NaN, -1, 0, 1, 3, 0.5, -0.5, 1e9, 2 ** 31, -(2 ** 40), Number.MAX_VALUE].map(
		(v): Bad => [typeof v === "string" ? `"${v}"` : String(v), () => v],
	),
	...[Number.POSITIVE_INFINITY, true, false, 10n, Symbol.iterator].map((v): Bad => [String(v), () => v]),
	["[]", () => []],
	["[0]", () => [0]],
	["[-1]", () => [-1]],
	["[1, 2, 3]", () => [1, 2, 3]],
	["[0.5]", () => [0.5]],
	["[NaN]", () => [Number.NaN]],
	['["a"]', () => ["a"]],
	["[null]", () => [null]],
	["[1e9, 1e9]", () => [1e9, 1e9]],
	["[[1, 2], [3]]", () => [[1, 2], [3]]],
	["{}", () => ({})],
	["an object without prototype", () => Object.create(null)],
	["a function", () => () => 3],
	["a function that throws nothing and returns a promise", () => async () => 3],
	["a promise", () => Promise.resolve(3)],
	["a Map", () => new Map([["a", 1]])],
	["a Set", () => new Set([1])],
	["a Date", () => new Date(0)],
	["Float32Array(0)", () => new Float32Array(0)],
	["Float32Array [NaN]", () => Float32Array.of(Number.NaN)],
	["Int32Array [-1, 5]", () => Int32Array.of(-1, 5)],
	["Uint8Array(3)", () => new Uint8Array(3)],
	["BigInt64Array(1)", () => new BigInt64Array(1)],
];

const TENSORS: readonly Bad[] = [
	["a released tensor", disposed],
	["a tensor of another device", (w) => t.ones(w.foreign, [2, 3])],
	["a scalar", (w) => t.full(w.device, [], 1)],
	["f32 [0]", (w) => t.zeros(w.device, [0])],
	["f32 [5]", (w) => t.ones(w.device, [5])],
	["f32 [2, 3]", (w) => t.ones(w.device, [2, 3])],
	["f32 [1, 1, 1, 1, 1]", (w) => t.ones(w.device, [1, 1, 1, 1, 1])],
	["i32 [2, 3]", (w) => t.full(w.device, [2, 3], -7, "i32")],
	["u32 [2]", (w) => t.full(w.device, [2], 4e9, "u32")],
	["bool [2, 3]", (w) => t.ones(w.device, [2, 3], "bool")],
	["u8 [4]", (w) => w.device.fromHost(new Uint8Array(4), [4])],
	["bf16 [2, 3]", (w) => w.device.fromHost(new Uint16Array(6), [2, 3], "bf16")],
	["an object that looks like a tensor", (w) => ({ shape: [2, 3], dtype: "f32", device: w.device, rank: 2, size: 6 })],
	["the prototype of tensors", () => Object.create(t.Tensor.prototype)],
	["a list of a tensor and nothing", (w) => [t.ones(w.device, [2, 3]), undefined]],
	["a list of a tensor", (w) => [t.ones(w.device, [2, 3])]],
	["the device", (w) => w.device],
];

export const pick = <T>(list: readonly T[], r: Random): T => list[Math.min(list.length - 1, Math.floor(r() * list.length))];

function bad(w: World, r: Random): readonly [string, unknown] {
	const [words, make] = r() < 0.6 ? pick(PLAIN, r) : pick(TENSORS, r);
	return [words, make(w)];
}

const isPlain = (v: unknown): v is Record<string, unknown> =>
	typeof v === "object" && v !== null && [Object.prototype, null].includes(Object.getPrototypeOf(v));

/** Exchanges one argument, or something inside it, for what it should not be. Gives words for what it did. */
export function mutate(args: unknown[], parameters: readonly Parameter[], surface: Surface, w: World, r: Random): string {
	const count = Math.max(args.length, parameters.some((p) => p.rest) ? args.length + 1 : parameters.length);
	if (count === 0) {
		const [words, value] = bad(w, r);
		args.push(value);
		return `an argument too many: ${words}`;
	}
	const at = Math.min(count - 1, Math.floor(r() * count));
	const parameter = parameters[Math.min(at, parameters.length - 1)];
	const name = parameter?.name ?? `argument ${at}`;
	const value = args[at];
	const fields = parameter === undefined ? undefined : fieldsOf(parameter.type, surface);
	const names = [...new Set([...(fields ?? []).map((f) => f.name), ...(isPlain(value) ? Object.keys(value) : [])])];
	if (names.length > 0 && (value === undefined || isPlain(value)) && r() < 0.75) {
		const field = pick(names, r);
		const [words, wrong] = bad(w, r);
		args[at] = { ...value, [field]: wrong };
		return `${name}.${field} = ${words}`;
	}
	if (Array.isArray(value) && value.length > 0 && r() < 0.5) {
		const i = Math.floor(r() * value.length);
		const [words, wrong] = bad(w, r);
		args[at] = value.with(i, wrong);
		return `${name}[${i}] = ${words}`;
	}
	const [words, wrong] = bad(w, r);
	while (args.length < at) args.push(undefined);
	args[at] = wrong;
	return `${name} = ${words}`;
}
