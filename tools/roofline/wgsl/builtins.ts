import { type Code, type Count, isArrayInJs } from "./emit.ts";
import { BOOL, joined, type Type, U32, VOID } from "./types.ts";

const CHEAP: Readonly<Record<string, string>> = {
	min: "Math.min(x, y)",
	max: "Math.max(x, y)",
	clamp: "Math.min(Math.max(x, y), z)",
	saturate: "Math.min(Math.max(x, 0), 1)",
	abs: "Math.abs(x)",
	sign: "Math.sign(x)",
	floor: "Math.floor(x)",
	ceil: "Math.ceil(x)",
	round: "Math.round(x)",
	trunc: "Math.trunc(x)",
	fract: "x - Math.floor(x)",
	step: "Number(y >= x)",
};
const ON_BITS = ["countOneBits", "countLeadingZeros", "countTrailingZeros", "firstLeadingBit", "firstTrailingBit", "reverseBits"];
const SPECIAL = "sqrt inverseSqrt exp exp2 log log2 sin cos tan tanh pow atan atan2 asin acos sinh cosh ldexp".split(" ");

/** Steps that reduce 32 values to one. */
const DOUBLINGS = 5;

/** A call of a function of WGSL. @throws Error for one that is not known here. */
export function builtin(count: Count, name: string, args: readonly Code[]): Code {
	const isUniform = args.every((a) => a.isUniform);
	const type = args.length === 0 ? VOID : args.map((a) => a.type).reduce(joined);
	const js = args.map((a) => a.js);
	const made = (code: string, of: Type = type): Code => ({ js: code, type: of, isUniform });
	const over = (f: string): string => {
		const params = ["x", "y", "z"].slice(0, js.length).join(", ");
		return isArrayInJs(type) ? `map${js.length}(${js.join(", ")}, (${params}) => ${f})` : `((${params}) => ${f})(${js.join(", ")})`;
	};
	if (name in CHEAP) {
		count.charge(type, isUniform, 1, name === "clamp" ? 2 : 1);
		return made(over(CHEAP[name]));
	}
	if (SPECIAL.includes(name)) {
		count.special(type, isUniform);
		return made(`(${js.join(", ")})`);
	}
	if (ON_BITS.includes(name)) {
		count.charge(type, isUniform);
		return made(`(${js.join(", ")})`);
	}
	if (name.startsWith("subgroup")) {
		// A reduction is a shuffle and an operation for each doubling of a subgroup of 32; a shuffle, a vote and a broadcast are one.
		const steps = /Shuffle|Broadcast|Ballot|All|Any|Elect/.test(name) ? 1 : DOUBLINGS;
		count.charge(type, false, 0, steps);
		count.now.shared += steps * type.width;
		return { js: js[0] ?? "false", type: js.length === 0 ? BOOL : args[0].type, isUniform: false };
	}
	if (name.startsWith("atomic")) {
		count.charge(args[0].type, false);
		return { js: `(${js.join(", ")})`, type: args[0].type, isUniform: false };
	}
	if (name.endsWith("Barrier")) {
		count.now.barrier++;
		return { js: "0", type: VOID, isUniform: false };
	}
	switch (name) {
		case "select": {
			const chosen = joined(args[0].type, args[1].type);
			count.charge(chosen, isUniform, 0, 1);
			return made(`pick(${js.join(", ")})`, chosen);
		}
		case "fma":
			count.charge(type, isUniform, 2, 1);
			return made(over("x * y + z"));
		case "dot": {
			const sum = { ...type, width: 1 };
			count.charge(sum, isUniform, 2 * type.width - 1, type.width);
			return made(isArrayInJs(type) ? "0" : `(${js.join(", ")})`, sum);
		}
		case "all":
		case "any":
			count.charge(BOOL, isUniform, 0, type.width);
			return made(`[${js[0]}].flat().${name === "all" ? "every" : "some"}(Boolean)`, BOOL);
		case "pack2x16float":
			count.charge(U32, isUniform, 0, 2);
			return made(`(${js.join(", ")}, 0)`, U32);
		case "unpack2x16float":
			count.charge({ scalar: "f32", width: 2 }, isUniform, 0, 1);
			return made(`(${js.join(", ")}, 0)`, { scalar: "f32", width: 2 });
	}
	throw new Error(`WGSL: function ${name} is not known`);
}
