import type { Instructions } from "./instructions.ts";
import { isFloat, type Type } from "./types.ts";

/** JavaScript of an expression. Vectors of floats are one number: the data are not there anyway. Other vectors are arrays. */
export interface Code {
	readonly js: string;
	readonly type: Type;
	/** It follows from parameters and literals alone. */
	readonly isUniform: boolean;
	/** It is a product, with which a sum makes one instruction. */
	readonly isProduct?: boolean;
}

/** The instructions of the block that is being compiled. */
export class Count {
	now: Instructions;

	constructor(now: Instructions) {
		this.now = now;
	}

	/** An operation on values of a type, unless it follows from parameters. */
	charge(type: Type, isUniform: boolean, flops = 1, instructions = flops): void {
		if (isUniform) return;
		if (isFloat(type)) {
			this.now.flops += flops * type.width;
			this.now.float += instructions * type.width;
		} else this.now.integer += instructions * type.width;
	}

	/** A division, a root, or another function that has a unit of its own. */
	special({ width }: Type, isUniform: boolean): void {
		if (isUniform) return;
		this.now.flops += width;
		this.now.special += width;
	}
}

const MOST_TURNS = 5e7;

/** Before a call, instead of its bracket: what it does was done before, and is not counted again. */
export const AGAIN = "again(hold(), ";

/** What generated code calls. */
export const RUNTIME = `
const map1 = (a, f) => Array.isArray(a) ? a.map(f) : f(a);
const map2 = (a, b, f) => Array.isArray(a) ? a.map((v, i) => f(v, Array.isArray(b) ? b[i] : b)) : Array.isArray(b) ? b.map((v) => f(a, v)) : f(a, b);
const map3 = (a, b, c, f) => map2(map2(a, b, (x, y) => [x, y]), c, (xy, z) => f(xy[0], xy[1], z));
const pick = (a, b, c) => {
  if (!Array.isArray(c)) return c ? b : a;
  if (!Array.isArray(a) && !Array.isArray(b)) return c[0] ? b : a;
  return c.map((v, i) => v ? (Array.isArray(b) ? b[i] : b) : Array.isArray(a) ? a[i] : a);
};
let turns = 0;
const turn = () => { if (++turns > ${MOST_TURNS}) throw new Error("WGSL: a loop does not end"); return true; };
const hold = () => [C.slice(), trace.turn];
const again = ([counts, turn], value) => (C.set(counts), (trace.turn = turn), value);
const C = trace.blocks, touch = (site, at) => { trace.touch(site, at); return 0; };`;

type Integer = "u32" | "i32" | undefined;

/** JavaScript that keeps to 32 bits. */
export const wrap = (js: string, type: Integer): string =>
	type === "u32" ? `((${js}) >>> 0)` : type === "i32" ? `((${js}) | 0)` : `(${js})`;

export const integerOf = ({ scalar }: Type): Integer =>
	scalar === "u32" ? "u32" : scalar === "i32" || scalar === "int" ? "i32" : undefined;

/** Vectors of integers and booleans. */
export const isArrayInJs = (t: Type): boolean => t.width > 1 && !isFloat(t);

/** JavaScript of a binary operation on scalars. */
export function scalarOp(op: string, a: string, b: string, type: Integer): string {
	if (op === ">>") return type === "i32" ? `(${a} >> ${b})` : `(${a} >>> ${b})`;
	if (type !== undefined && op === "*") return wrap(`Math.imul(${a}, ${b})`, type);
	if (type !== undefined && (op === "/" || op === "%")) return wrap(`(${a}) ${op} ((${b}) || 1)`, type);
	return wrap(`${a} ${op} ${b}`, type);
}

/** The value of a type that is made of others: `vec4f(a, b)`, `u32(x)`, `array<f32, 4>()`. */
export function construct(count: Count, type: Type, args: readonly Code[]): Code {
	const isUniform = args.every((a) => a.isUniform);
	const inferred = type.scalar === "float" && args.length > 0 ? args[0].type.scalar : type.scalar;
	const scalar = inferred === "float" ? "f32" : inferred === "int" ? "i32" : inferred;
	const made: Type = { ...type, scalar };
	if (type.length !== undefined) {
		const length = type.length || args.length;
		const js = args.length === 0 ? `Array(${length}).fill(0)` : `[${args.map((a) => a.js).join(", ")}]`;
		return { js, type: { ...made, length }, isUniform };
	}
	const convert = (js: string, from: Type): string => {
		if (scalar === "bool") return `!!(${js})`;
		return integerOf(made) === undefined ? `Number(${js})` : from.scalar === scalar ? js : wrap(`Number(${js})`, integerOf(made));
	};
	const first = args[0]?.type ?? made;
	const converts = first.scalar !== scalar && first.scalar !== "float" && first.scalar !== "int";
	if (converts) count.charge(isFloat(first) ? first : made, isUniform, 0, 1);
	if (made.width === 1) return { js: args.length === 0 ? "0" : convert(args[0].js, first), type: made, isUniform };
	if (!isArrayInJs(made)) {
		const parts = args.map((a) => `Number(${a.js}${isArrayInJs(a.type) ? "[0]" : ""})`);
		return { js: parts.length === 0 ? "0" : `(${parts.join(", ")})`, type: made, isUniform };
	}
	if (args.length === 0) return { js: `Array(${made.width}).fill(0)`, type: made, isUniform };
	if (args.length === 1 && first.width === 1)
		return { js: `Array(${made.width}).fill(${convert(args[0].js, first)})`, type: made, isUniform };
	const parts = args.map(({ js, type: t }) => {
		if (isArrayInJs(t)) return `...${js}.map((v) => ${convert("v", t)})`;
		return t.width > 1 ? `...Array(${t.width}).fill(${convert(js, t)})` : convert(js, t);
	});
	return { js: `[${parts.join(", ")}]`, type: made, isUniform };
}

/** The same bits as another type. Bits of floats are 0. */
export function bitcast(type: Type, a: Code): Code {
	const keeps = integerOf(type) !== undefined && integerOf(a.type) !== undefined;
	const one = (js: string): string => (keeps ? wrap(js, integerOf(type)) : `(${js}, 0)`);
	const wide: Type = { ...type, width: a.type.width };
	const { isUniform } = a;
	if (!isArrayInJs(wide)) return { js: isArrayInJs(a.type) ? `(${a.js}, 0)` : one(a.js), type: wide, isUniform };
	return { js: isArrayInJs(a.type) ? `map1(${a.js}, (v) => ${one("v")})` : `Array(${wide.width}).fill(0)`, type: wide, isUniform };
}
