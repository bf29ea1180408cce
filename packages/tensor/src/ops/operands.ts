import type { DType } from "../dtype.ts";
import { ValueError } from "../errors.ts";
import type { Attrs, Domain, Primitive } from "../primitive.ts";
import { refused } from "../shown.ts";
import { Tensor } from "../tensor.ts";
import { isCondition } from "./elementwise.kernel.ts";
import { elementwise, type Row } from "./elementwise.ts";

/** What an operation of several operands takes for one of them: a tensor, or a JavaScript number of type N. */
type Value<N> = Tensor | N;

/** An operation of two operands, of which one may be a number. */
export interface BinaryOp<N = number> {
	/** Of a number and a tensor, or of two tensors. */
	(a: Value<N>, b: Tensor): Tensor;
	/** Of a tensor and a number, or of two tensors. */
	(a: Tensor, b: Value<N>): Tensor;
	/** The definition for tensors, for the registry. */
	readonly primitive: Primitive<Attrs>;
	/** The definitions with numbers in place of operands, for the registry. */
	readonly numbered: () => readonly Primitive<Attrs>[];
}

/** The same row with some operands as numbers: attributes of their names, in the element type of the tensors. */
function withNumbers(row: Row, operands: readonly string[], numbers: readonly string[]): Row {
	const names = new RegExp(`(?<![.\\w])(?:${numbers.join("|")})\\b`, "g");
	const swap = (code: string): string => code.replace(names, "p.$&");
	const { d, domain, dtypes } = row;
	const rest = operands.filter((o) => !numbers.includes(o));
	return {
		...row,
		f: swap(row.f),
		integer: row.integer && swap(row.integer),
		d: typeof d === "object" ? Object.fromEntries(rest.flatMap((o) => (d[o] === undefined ? [] : [[o, swap(d[o])]]))) : d,
		attrs: { ...row.attrs, ...Object.fromEntries(numbers.map((o) => [o, sample(domain, dtypes, o)])) },
	};
}

/** A number for the tests to begin with, from where the operand is drawn. */
function sample(domain: Row["domain"], dtypes: Row["dtypes"], operand: string): number | boolean {
	const of = <T>(v: T | Readonly<Record<string, T>> | undefined): T | undefined =>
		v !== undefined && operand in (v as object) ? (v as Readonly<Record<string, T>>)[operand] : (v as T | undefined);
	if (of<readonly DType[]>(dtypes)?.every((type) => type === "bool")) return true;
	const drawn = of<Domain>(domain);
	if (drawn !== undefined && "range" in drawn) return drawn.range[0] + 0.75 * (drawn.range[1] - drawn.range[0]);
	return drawn === undefined ? 1.5 : 1;
}

const isNumber = (value: unknown): value is number | boolean => typeof value === "number" || typeof value === "boolean";

/** A primitive for tensors, and those of the same row with numbers in place of operands, made when first called. */
export function ofSeveral(name: string, names: readonly string[], row: Row) {
	const primitive = elementwise(name, names, row);
	const values = names.filter((o) => !isCondition(row, o));
	const made = new Map<string, Primitive<Attrs>>();
	const form = (numbers: readonly string[]): Primitive<Attrs> => {
		const key = numbers.join();
		let known = made.get(key);
		if (known === undefined) {
			const tensors = names.filter((o) => !numbers.includes(o));
			known = elementwise(name, tensors, withNumbers(row, names, numbers), `${name}/${key}`);
			made.set(key, known);
		}
		return known;
	};
	/** Runs the form for what is given, in the order of the names. */
	const run = (...given: (Tensor | number | boolean)[]): Tensor => {
		const numbers: string[] = [];
		const attrs: Record<string, number | boolean> = {};
		const tensors: Tensor[] = [];
		for (let i = 0; i < names.length; i++) {
			const value = given[i];
			if (isNumber(value) && values.includes(names[i])) {
				numbers.push(names[i]);
				attrs[names[i]] = value;
			} else if (value instanceof Tensor) tensors.push(value);
			else throw refused(name, names[i], value, values.includes(names[i]) ? "a tensor or a number" : "a tensor");
		}
		if (numbers.length === 0) return primitive.apply(tensors)[0];
		if (tensors.length > 0) return form(numbers).apply(tensors, attrs)[0];
		throw new ValueError("op/operands", `${name}: got numbers only, expected a tensor among ${names.join(", ")}`, {
			op: name,
			hint: "JavaScript computes with numbers; full(device, shape, value) makes a tensor of one",
		});
	};
	const numbered = (): readonly Primitive<Attrs>[] => {
		if (row.commutes) return [form([names[1]])];
		const single = values.map((o) => form([o]));
		return values.length < names.length ? [...single, form(values)] : single;
	};
	return { primitive, numbered, run };
}

/**
 * An operation of two operands a and b, broadcast as numpy; either may be a number, which takes the element type of the other.
 * @throws ValueError when `d` is left out and `f` cannot be derived.
 */
export function binary<A extends string = never, N = number>(name: string, row: Row<"a" | "b", A>): BinaryOp<N> {
	const { primitive, numbered, run } = ofSeveral(name, ["a", "b"], row as Row);
	const op = (a: Tensor | number, b: Tensor | number): Tensor => (row.commutes && isNumber(a) ? run(b, a) : run(a, b));
	return Object.assign(op, { primitive, numbered }) as BinaryOp<N>;
}
