import * as t from "@hushgrad/tensor";
import type { Operator, Operators } from "./call.ts";

type Tensor = t.Tensor;

/**
 * Nodes of types that are storage here: no operation but cast computes with bf16 and u8, so these do what a user would write, cast
 * what goes in and what comes out. Nodes that only move values, or convert them themselves, are not among them.
 */
const BF16 = "Attention Celu Compress Einsum OneHot Range ReverseSequence".split(" ");
const U8 = "Add Div Equal Greater GreaterOrEqual Less LessOrEqual Max MaxPool Min Mod Mul Sub".split(" ");

const outputs = (result: Tensor | readonly (Tensor | undefined)[]): readonly (Tensor | undefined)[] =>
	result instanceof t.Tensor ? [result] : result;

/** In f32, and each float that comes out rounded to bf16. */
const inFloats =
	(operator: Operator): Operator =>
	(call) => {
		if (!call.inputs.some((x) => x?.dtype === "bf16")) return operator(call);
		const inputs = call.inputs.map((x) => (x?.dtype === "bf16" ? t.cast(x, "f32") : x));
		return outputs(operator({ ...call, inputs })).map((y) => (y?.dtype === "f32" ? t.cast(y, "bf16") : y));
	};

/** In i32, and each whole number that comes out modulo 256. */
const inWholeNumbers =
	(operator: Operator): Operator =>
	(call) => {
		if (!call.inputs.some((x) => x?.dtype === "u8")) return operator(call);
		const inputs = call.inputs.map((x) => (x?.dtype === "u8" ? t.cast(x, "i32") : x));
		return outputs(operator({ ...call, inputs })).map((y) => (y?.dtype === "i32" ? t.cast(t.remainder(y, 256), "u8") : y));
	};

/** The operators, with those that compute through another type where they are given one that is storage. */
export function throughWiderTypes(operators: Operators): Operators {
	const pairs = Object.entries(operators).map(([name, operator]): [string, Operator] => {
		if (U8.includes(name)) return [name, inWholeNumbers(operator)];
		return [name, BF16.includes(name) ? inFloats(operator) : operator];
	});
	return Object.fromEntries(pairs);
}
