import { add, mean, mul, type Tensor, tanh } from "@hushgrad/tensor";
import fc from "fast-check";
import { type Given, OPS, sized } from "./programOps.ts";

/** One step of a program: which operation, on which of the values made before, in which form. */
export interface Gene {
	readonly op: number;
	readonly a: number;
	readonly b: number;
	readonly form: number;
}

/** A random program for one record. */
export type Genes = readonly Gene[];

const NAMES = Object.keys(OPS);
/** No value has more elements. */
const MOST = 48;

export const programs: fc.Arbitrary<Genes> = fc.array(
	fc.record({ op: fc.nat({ max: NAMES.length - 1 }), a: fc.nat({ max: 15 }), b: fc.nat({ max: 15 }), form: fc.nat({ max: 2 ** 16 - 1 }) }),
	{ minLength: 3, maxLength: 12, size: "max" },
);

/** The names of the operations that a program calls. */
export const namesOf = (genes: Genes): string[] => genes.map(({ op }) => NAMES[op]);

/**
 * The loss of one record by a program: the weighted mean of all values that it makes, so that no operation is without
 * effect. Writes what it does to `log`.
 */
export function lossOf(genes: Genes, given: Given, log: string[] = []): Tensor {
	const { x, m, v, s } = given;
	const values = [x, m, mul(x, v), mul(m, s)];
	const show = (i: number): string => `v${i}[${values[i].shape.join(", ")}]`;
	for (const { op, a, b, form } of genes) {
		const [i, j] = [a % values.length, b % values.length];
		const made = OPS[NAMES[op]]({ a: values[i], b: values[j], pick: (k, n) => Math.floor(form / 5 ** k) % n, given });
		values.push(made.size > MOST ? sized(made, [MOST]) : made);
		log.push(`v${values.length - 1} = ${NAMES[op]}(${show(i)}, ${show(j)}; form ${form}) -> [${made.shape.join(", ")}]`);
	}
	return values
		.slice(2)
		.filter((t) => t.size > 0)
		.map((t, k) => mul(mean(tanh(t)), 1 / (k + 1)))
		.reduce((p, q) => add(p, q));
}
