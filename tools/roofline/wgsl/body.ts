import { builtin } from "./builtins.ts";
import type { Site } from "./compile.ts";
import { AGAIN, bitcast, type Code, Count, construct, integerOf, isArrayInJs, RUNTIME, scalarOp, wrap } from "./emit.ts";
import { bulkOf, type Instructions, NO_INSTRUCTIONS } from "./instructions.ts";
import type { Expression, FunctionSyntax, Program, Statement } from "./syntax.ts";
import { BOOL, isFloat, isType, joined, type Type, typeOf, VOID } from "./types.ts";

interface Variable {
	readonly js: string;
	readonly type: Type;
	readonly isUniform: boolean;
	/** A compiler knows its value: the counter of a loop that it unrolls. */
	readonly isLiteral?: boolean;
	/** "storage", "uniform", "workgroup", or "let" or "var" of a function. */
	readonly space: string;
}

/** A function for calls whose arguments follow from parameters at the same places. */
interface Variant {
	readonly js: string;
	/** It reads and writes nothing but its arguments. */
	readonly isPure: boolean;
	/** Words that a call reads outside of blocks. */
	readonly words: number;
}

interface Compiled {
	readonly source: string;
	readonly blocks: readonly Instructions[];
	readonly sites: readonly { readonly buffer: string; readonly access: Site["access"] }[];
}

/** Turns that compilers unroll. */
const MOST_UNROLLED = 64;
const COMPARE = ["==", "!=", "<", ">", "<=", ">="];
const isPowerOf2 = (e: Expression): boolean => e.kind === "number" && Number.isInteger(Math.log2(e.value));
const ofElement = (t: Type): Type => (t.length === undefined ? { ...t, width: 1 } : { ...t, length: undefined });
const BUILTIN_VALUES: Readonly<Record<string, string>> = {
	global_invocation_id: "place.group.map((g, i) => g * size[i] + place.local[i])",
	workgroup_id: "place.group",
	num_workgroups: "place.groups",
	local_invocation_id: "place.local",
	local_invocation_index: "place.lane",
	subgroup_size: "place.width",
	subgroup_invocation_id: "place.lane % place.width",
	subgroup_id: "Math.floor(place.lane / place.width)",
	num_subgroups: "Math.ceil((size[0] * size[1] * size[2]) / place.width)",
};

/**
 * JavaScript of an entry point and of what it calls, with a counter a block and a number a site. Instructions are counted as a
 * compiler leaves them: what was computed before in a block, or around it, is not computed again, a division gives its remainder,
 * and functions are made anew for the arguments that are parameters or literals.
 */
export function bodyOf(program: Program, entry: FunctionSyntax): Compiled {
	const blocks: Instructions[] = [];
	const sites: { buffer: string; access: Site["access"] }[] = [];
	const count = new Count({ ...NO_INSTRUCTIONS });
	let names = 0;
	/** What happened so far that cannot be left out the second time: accesses to memory. */
	let effects = 0;
	/** Words that the block reads. */
	let words = 0;
	/** Components of variables that the block sets, by the variable and what of it. */
	let set = new Map<string, number>();
	/** Values that are known, by their JavaScript. */
	let known = new Set<string>();
	const variants = new Map<string, Variant>();
	const sources: string[] = [];
	let scopes: Map<string, Variable>[] = [new Map()];

	const find = (name: string): Variable => {
		const found = scopes.findLast((s) => s.has(name))?.get(name);
		if (found === undefined) throw new Error(`WGSL: ${name} is not known`);
		return found;
	};
	const add = (name: string, type: Type, isUniform: boolean, space: string): string => {
		const js = `${name}_${space === "let" ? "" : "var_"}${names++}`;
		scopes[scopes.length - 1].set(name, { js, type, isUniform, space });
		return js;
	};
	const open = (branch: number): number => {
		count.now = { ...NO_INSTRUCTIONS, branch };
		return blocks.push(count.now) - 1;
	};
	const forget = (js: string): void => {
		for (const value of known) if (value.includes(js)) known.delete(value);
	};
	const site = (buffer: string, access: Site["access"]): number => {
		effects++;
		return sites.push({ buffer, access }) - 1;
	};

	/** An expression; where its value is known, its instructions are not counted again. */
	function value(e: Expression): Code {
		const [before, then] = [{ ...count.now }, effects];
		const code = compute(e);
		if (effects !== then || !["binary", "call", "unary"].includes(e.kind)) return code;
		const js = code.js.replaceAll(AGAIN, "(");
		if (!known.has(js)) {
			known.add(js);
			return code;
		}
		Object.assign(count.now, before);
		return e.kind === "call" && program.functions.has(e.name) ? { ...code, js: code.js.replace("(", AGAIN) } : code;
	}

	function compute(e: Expression): Code {
		switch (e.kind) {
			case "number":
				return { js: String(e.value), type: { scalar: e.type, width: 1 }, isUniform: true };
			case "bool":
				return { js: String(e.value), type: BOOL, isUniform: true };
			case "name":
				return find(e.name);
			case "unary": {
				const a = value(e.a);
				if (e.op === "&" || e.op === "*") return a;
				count.charge(a.type, a.isUniform || e.op === "-", 0, 1);
				const one = (x: string): string => (e.op === "!" ? `!(${x})` : wrap(`${e.op}(${x})`, integerOf(a.type)));
				return { ...a, js: isArrayInJs(a.type) ? `map1(${a.js}, (x) => ${one("x")})` : one(a.js) };
			}
			case "binary":
				return binary(e.op, value(e.a), value(e.b), isPowerOf2(e.b));
			case "call":
				return call(e);
			case "index":
				return index(e);
			case "member":
				return member(e);
		}
	}

	function binary(op: string, a: Code, b: Code, byPowerOf2: boolean): Code {
		const isUniform = a.isUniform && b.isUniform;
		const type = op === "<<" || op === ">>" ? a.type : joined(a.type, b.type);
		if (op === "&&" || op === "||") {
			count.charge(BOOL, isUniform);
			return { js: `(${a.js} ${op} ${b.js})`, type: BOOL, isUniform };
		}
		if (COMPARE.includes(op)) {
			count.charge(type, isUniform, 0, 1);
			const one = isArrayInJs(type) ? `map2(${a.js}, ${b.js}, (x, y) => x ${op} y)` : `(${a.js} ${op} ${b.js})`;
			const js = isFloat(type) && type.width > 1 ? `Array(${type.width}).fill(${one})` : one;
			return { js, type: { scalar: "bool", width: type.width }, isUniform };
		}
		const isQuotient = op === "/" || op === "%";
		if (isFloat(type)) {
			const joins = (op === "+" || op === "-") && (a.isProduct || b.isProduct);
			if (isQuotient) count.special(type, isUniform);
			else count.charge(type, isUniform, 1, joins ? 0 : 1);
			return { js: scalarOp(op, a.js, b.js, undefined), type, isUniform, isProduct: op === "*" };
		}
		if (isQuotient && !byPowerOf2) {
			const quotient = `quotient of ${a.js} by ${b.js}`;
			if (known.has(quotient)) count.charge(type, isUniform);
			else if (!isUniform) count.now.divide += type.width;
			known.add(quotient);
		} else count.charge(type, isUniform);
		const one = (x: string, y: string): string => (type.scalar === "bool" ? `!!(${x} ${op} ${y})` : scalarOp(op, x, y, integerOf(type)));
		return { js: isArrayInJs(type) ? `map2(${a.js}, ${b.js}, (x, y) => ${one("x", "y")})` : one(a.js, b.js), type, isUniform };
	}

	/** Whether a compiler knows the value of an expression. */
	function isLiteral(e: Expression): boolean {
		if (e.kind === "binary") return isLiteral(e.a) && isLiteral(e.b);
		return e.kind === "number" || (e.kind === "name" && find(e.name).isLiteral === true);
	}

	/** The number of an element. Instructions that access memory have room for a summand that is known. */
	function element(e: Expression): Code {
		if (e.kind !== "binary" || e.op !== "+" || isLiteral(e.a) === isLiteral(e.b)) return value(e);
		const [known, other] = isLiteral(e.a) ? [e.a, e.b] : [e.b, e.a];
		const [a, b] = [element(other), value(known)];
		return { ...a, js: scalarOp("+", a.js, b.js, integerOf(a.type)) };
	}

	function call(e: Extract<Expression, { kind: "call" }>): Code {
		const args = e.args.map(value);
		const own = program.functions.get(e.name);
		if (own !== undefined) {
			const { js, isPure, words: read } = variant(own, args);
			if (!isPure) effects++;
			words += read;
			const type = own.result === undefined ? VOID : typeOf(own.result);
			return { js: `(${js}(${args.map((a) => a.js).join(", ")}))`, type, isUniform: isPure && args.every((a) => a.isUniform) };
		}
		if (e.name === "bitcast" && e.type !== undefined) return bitcast(typeOf(e.type.of[0]), args[0]);
		if (e.type !== undefined) return construct(count, typeOf(e.type), args);
		if (isType(e.name)) return construct(count, typeOf({ name: e.name, of: [] }), args);
		if (/Barrier$|^atomic|^subgroup/.test(e.name)) effects++;
		return builtin(count, e.name, args);
	}

	function index(e: Extract<Expression, { kind: "index" }>): Code {
		const at = element(e.at);
		const a = e.a.kind === "name" ? find(e.a.name) : { ...value(e.a), space: "let" };
		const type = ofElement(a.type);
		if (e.a.kind === "name" && a.space === "storage") {
			const js = `touch(${site(e.a.name, "read")}, ${at.js})`;
			words += type.width;
			return { js: isArrayInJs(type) ? `(${js}, Array(${type.width}).fill(0))` : js, type, isUniform: false };
		}
		if (e.a.kind === "name" && a.space === "workgroup") {
			const js = `touch(${site(e.a.name, "shared")}, ${at.js})`;
			return { js: isArrayInJs(type) ? `(${js}, Array(${type.width}).fill(0))` : js, type, isUniform: false };
		}
		if (a.type.length !== undefined && !at.isUniform) count.now.integer++;
		const isHeld = a.type.length !== undefined || isArrayInJs(a.type);
		return { js: isHeld ? `(${a.js}[${at.js}] ?? 0)` : `(${at.js}, ${a.js})`, type, isUniform: false };
	}

	function member(e: Extract<Expression, { kind: "member" }>): Code {
		if (e.a.kind === "name" && find(e.a.name).space === "uniform") {
			const field = [...program.structs.values()].flat().find((f) => f.name === e.name);
			if (field === undefined) throw new Error(`WGSL: no parameter ${e.name}`);
			return { js: `P.${e.name}`, type: typeOf(field.type), isUniform: true };
		}
		const a = value(e.a);
		const places = [...e.name].map((c) => Math.max("xyzw".indexOf(c), "rgba".indexOf(c)));
		const type: Type = { scalar: a.type.scalar, width: places.length };
		if (!isArrayInJs(a.type)) return { js: `(${a.js}, ${places[0]}, ${a.js})`, type, isUniform: a.isUniform };
		const js = places.length === 1 ? `${a.js}[${places[0]}]` : `((v) => [${places.map((i) => `v[${i}]`).join(", ")}])(${a.js})`;
		return { js, type, isUniform: a.isUniform };
	}

	function assign({ op, to, value: from }: Extract<Statement, { kind: "assign" }>): string {
		if (to.kind === "name" && to.name === "_") return `${value(from).js};`;
		const v = value(op === "" ? from : { kind: "binary", op, a: to, b: from });
		const place = to.kind === "index" || to.kind === "member" ? to.a : to;
		// Of what lies deeper, such as an element of an array in an array, the values are not kept.
		if (place.kind === "index" || place.kind === "member") return `{ ${value(to).js}; ${v.js}; }`;
		if (place.kind !== "name") throw new Error("WGSL: an assignment to what is no variable");
		const { js, type, space } = find(place.name);
		const at = to.kind === "index" ? element(to.at).js : undefined;
		if (space === "storage") return `{ ${v.js}; touch(${site(place.name, "write")}, ${at}); }`;
		if (space === "workgroup" && at !== undefined) return `{ ${v.js}; touch(${site(place.name, "shared")}, ${at}); }`;
		forget(js);
		set.set(`${js} ${to.kind === "member" ? to.name : (at ?? "")}`, to.kind === "name" ? type.width : ofElement(type).width);
		const isHeld = type.length !== undefined || isArrayInJs(type);
		if (at !== undefined) return isHeld ? `${js}[${at}] = ${v.js};` : `{ ${at}; ${js} = ${v.js}; }`;
		return to.kind === "member" && isHeld ? `${js}[${"xyzw".indexOf(to.name)}] = ${v.js};` : `${js} = ${v.js};`;
	}

	/** Statements with names of their own. */
	function scope(body: readonly Statement[]): string {
		scopes.push(new Map());
		const code = body.map(statement).join("\n");
		scopes.pop();
		return code;
	}

	/** Turns of a loop that counts from one number to another and takes few: compilers unroll it. 0 of others. */
	function turnsOf({ first, test, next, body }: Extract<Statement, { kind: "for" }>): number {
		if (first?.kind !== "declare" || first.value?.kind !== "number" || test?.kind !== "binary" || test.op !== "<") return 0;
		const { name } = first;
		const isOwn = (e: Expression): boolean => e.kind === "name" && e.name === name;
		if (!isOwn(test.a) || test.b.kind !== "number" || next?.kind !== "assign" || next.op !== "+" || !isOwn(next.to)) return 0;
		if (next.value.kind !== "number" || JSON.stringify(body).includes(`"to":{"kind":"name","name":"${name}"}`)) return 0;
		const turns = Math.ceil((test.b.value - first.value.value) / next.value.value);
		return turns <= MOST_UNROLLED ? turns : 0;
	}

	/** Components that the block sets of variables which were there before it: those with a number below `first`. */
	const carriedBy = (first: number): number =>
		[...set].reduce((sum, [key, width]) => sum + (Number(/_(\d+) /.exec(key)?.[1]) < first ? width : 0), 0);

	/** What `make` compiles, as a block that runs as often as it may: `isRepeated` where variables differ from turn to turn. */
	function block(make: () => string, isRepeated: boolean, isUnrolled = false): string {
		const outer = { now: count.now, known, words, set };
		const first = names;
		words = 0;
		set = new Map();
		known = new Set([...outer.known].filter((js) => !(isRepeated && js.includes("_var_"))));
		const id = open(isUnrolled ? 0 : 1);
		const code = make();
		blocks[id].bulk = bulkOf(words, blocks[id]);
		if (!isUnrolled) blocks[id].carried = carriedBy(first);
		count.now = outer.now;
		({ known, words } = outer);
		for (const [js, width] of outer.set) set.set(js, width);
		return `C[${id}]++; ${isUnrolled ? "" : "trace.turn++; "}${code}`;
	}

	const branch = (body: readonly Statement[]): string => {
		const code = block(() => scope(body), false);
		// What it changed is not what was known before.
		for (const [, js] of code.matchAll(/(\w+_var_\d+)(?:\[[^\]]*\])? = /g)) forget(js);
		return `{ ${code} }`;
	};

	function repeat(loop: Extract<Statement, { kind: "for" }>): string {
		const { first, test, next, body } = loop;
		scopes.push(new Map());
		const before = first === undefined ? "" : statement(first);
		const isUnrolled = turnsOf(loop) > 0;
		if (isUnrolled && first?.kind === "declare") {
			scopes[scopes.length - 1].set(first.name, { ...find(first.name), isUniform: true, isLiteral: true });
		}
		let [condition, step] = ["true", ""];
		const code = block(
			() => {
				if (test !== undefined) condition = value(test).js;
				const inner = scope(body);
				if (next !== undefined) step = statement(next).replace(/;$/, "");
				return inner;
			},
			true,
			isUnrolled,
		);
		scopes.pop();
		for (const js of [...known]) if (js.includes("_var_")) known.delete(js);
		return `{ ${before} for (; turn() && ${condition}; ${step}) { ${code} } }`;
	}

	function statement(s: Statement): string {
		switch (s.kind) {
			case "declare": {
				const v = s.value === undefined ? construct(count, typeOf(s.type ?? { name: "f32", of: [] }), []) : value(s.value);
				const type = s.type === undefined ? v.type : typeOf(s.type);
				const scalar = type.scalar === "int" ? "i32" : type.scalar === "float" ? "f32" : type.scalar;
				const js = add(s.name, { ...type, scalar }, v.isUniform && !s.isVariable, s.isVariable ? "var" : "let");
				return `let ${js} = ${isArrayInJs(type) || type.length !== undefined ? `[...${v.js}]` : v.js};`;
			}
			case "assign":
				return assign(s);
			case "call":
				return `${value(s.call).js};`;
			case "return":
				return s.value === undefined ? "return 0;" : `return ${value(s.value).js};`;
			case "break":
			case "continue":
				return `${s.kind};`;
			case "block":
				return `{ ${scope(s.body)} }`;
			case "if": {
				const test = value(s.test).js;
				const then = branch(s.then);
				return `if (${test}) ${then}${s.otherwise.length === 0 ? "" : ` else ${branch(s.otherwise)}`}`;
			}
			case "for":
				return repeat(s);
		}
	}

	function variant(f: FunctionSyntax, given: readonly { readonly isUniform: boolean }[]): Variant {
		const js = `f_${f.name}_${given.map((a) => (a.isUniform ? "p" : "v")).join("")}`;
		const made = variants.get(js);
		if (made !== undefined) return made;
		const outer = { scopes, known, now: count.now, effects, words };
		words = 0;
		scopes = [outer.scopes[0], new Map()];
		known = new Set();
		const args = f.args.map((a, i) => add(a.name, typeOf(a.type), given[i].isUniform, "let"));
		const id = open(0);
		const code = f.body.map(statement).join("\n");
		if (f === entry) blocks[id].bulk = bulkOf(words, blocks[id]);
		const own: Variant = { js, isPure: effects === outer.effects, words };
		({ scopes, known, effects, words } = outer);
		count.now = outer.now;
		sources.push(`function ${js}(${args.join(", ")}) { C[${id}]++; ${code} }`);
		variants.set(js, own);
		return own;
	}

	const globals = program.globals.map((g) => {
		if (g.space === "uniform" || g.space === "storage") {
			const type = g.space === "uniform" || g.type === undefined ? VOID : typeOf(g.type);
			scopes[0].set(g.name, { js: g.name, type, isUniform: false, space: g.space });
			return "";
		}
		const v = g.value === undefined ? construct(count, typeOf(g.type ?? { name: "f32", of: [] }), []) : value(g.value);
		const isConst = g.space === "const";
		return `let ${add(g.name, g.type === undefined ? v.type : typeOf(g.type), isConst, isConst ? "let" : g.space)} = ${v.js};`;
	});
	const { js } = variant(
		entry,
		entry.args.map(() => ({ isUniform: false })),
	);
	const args = entry.args.map((a) => {
		const given = BUILTIN_VALUES[a.builtin ?? ""];
		if (given === undefined) throw new Error(`WGSL: builtin ${a.builtin} is not known`);
		return given;
	});
	const [x, y = 1, z = 1] = entry.workgroup ?? [1];
	const source = [RUNTIME, `const size = [${x}, ${y}, ${z}];`, ...globals, ...sources, `${js}(${args.join(", ")});`].join("\n");
	return { source, blocks, sites };
}
