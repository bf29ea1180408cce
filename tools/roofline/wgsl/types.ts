import type { TypeName } from "./syntax.ts";

/** A type of WGSL as costs need it. `float` and `int` are literals that take the type of what they meet. */
export type Scalar = "f32" | "i32" | "u32" | "bool" | "float" | "int" | "void";
export interface Type {
	readonly scalar: Scalar;
	/** Components of a vector; 1 for a scalar. */
	readonly width: number;
	/** Elements of an array; undefined for what is none. */
	readonly length?: number | undefined;
}

export const VOID: Type = { scalar: "void", width: 1 };
export const BOOL: Type = { scalar: "bool", width: 1 };
export const U32: Type = { scalar: "u32", width: 1 };

const SCALARS: Readonly<Record<string, Scalar>> = {
	f32: "f32",
	f16: "f32",
	i32: "i32",
	u32: "u32",
	bool: "bool",
	f: "f32",
	h: "f32",
	i: "i32",
	u: "u32",
};

/** The type of a name; of an array, that of its elements with a length, 0 where the array is as long as its buffer. */
export function typeOf({ name, of, length }: TypeName): Type {
	const short = /^vec([234])([fhiu])$/.exec(name);
	if (short !== null) return { scalar: SCALARS[short[2]], width: Number(short[1]) };
	if (/^vec[234]$/.test(name)) return { scalar: of.length === 0 ? "float" : typeOf(of[0]).scalar, width: Number(name[3]) };
	if (name === "array") return { ...(of.length === 0 ? { scalar: "float", width: 1 } : typeOf(of[0])), length: length ?? 0 };
	if (name === "atomic") return typeOf(of[0]);
	const scalar = SCALARS[name];
	if (scalar === undefined) throw new Error(`WGSL: type ${name} is not known`);
	return { scalar, width: 1 };
}

/** Whether a name makes a value of the type of that name. */
export const isType = (name: string): boolean => name in SCALARS || /^vec[234][fhiu]?$/.test(name) || name === "array";

/** Bytes of an element in memory. */
export function bytesOf({ name, of }: TypeName): number {
	const width = /^vec([234])/.exec(name)?.[1] ?? "1";
	const half = name === "f16" || name.endsWith("h") || of.some((t) => t.name === "f16");
	return Number(width) * (half ? 2 : 4);
}

export const isFloat = ({ scalar }: Type): boolean => scalar === "f32" || scalar === "float";
const isLiteral = ({ scalar }: Type): boolean => scalar === "float" || scalar === "int";

/** The type of an operation on two values. */
export function joined(a: Type, b: Type): Type {
	const scalar = isLiteral(a) && !(a.scalar === "float" && b.scalar === "int") ? b.scalar : a.scalar;
	return { scalar, width: Math.max(a.width, b.width) };
}
