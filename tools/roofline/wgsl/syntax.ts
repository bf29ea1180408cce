/** The syntax of WGSL as far as the kernels of this repository use it: a parser of one page, for `cost.ts`. */

export type Expression =
	| { readonly kind: "number"; readonly value: number; readonly type: "f32" | "i32" | "u32" | "float" | "int" }
	| { readonly kind: "bool"; readonly value: boolean }
	| { readonly kind: "name"; readonly name: string }
	| { readonly kind: "unary"; readonly op: string; readonly a: Expression }
	| { readonly kind: "binary"; readonly op: string; readonly a: Expression; readonly b: Expression }
	| { readonly kind: "call"; readonly name: string; readonly type: TypeName | undefined; readonly args: readonly Expression[] }
	| { readonly kind: "index"; readonly a: Expression; readonly at: Expression }
	| { readonly kind: "member"; readonly a: Expression; readonly name: string };

/** A type as it is written: `array<vec4<f32>, 8>`. */
export interface TypeName {
	readonly name: string;
	readonly of: readonly TypeName[];
	/** Length of an array, where it is a literal. */
	readonly length?: number;
}

export type Statement =
	| {
			readonly kind: "declare";
			readonly name: string;
			readonly isVariable: boolean;
			readonly type: TypeName | undefined;
			readonly value: Expression | undefined;
	  }
	| { readonly kind: "assign"; readonly op: string; readonly to: Expression; readonly value: Expression }
	| { readonly kind: "call"; readonly call: Expression }
	| { readonly kind: "if"; readonly test: Expression; readonly then: readonly Statement[]; readonly otherwise: readonly Statement[] }
	| {
			readonly kind: "for";
			readonly first: Statement | undefined;
			readonly test: Expression | undefined;
			readonly next: Statement | undefined;
			readonly body: readonly Statement[];
	  }
	| { readonly kind: "return"; readonly value: Expression | undefined }
	| { readonly kind: "break" }
	| { readonly kind: "continue" }
	| { readonly kind: "block"; readonly body: readonly Statement[] };

export interface Argument {
	readonly name: string;
	readonly type: TypeName;
	/** The builtin that it is, of an entry point. */
	readonly builtin: string | undefined;
}

export interface FunctionSyntax {
	readonly name: string;
	readonly args: readonly Argument[];
	readonly result: TypeName | undefined;
	readonly body: readonly Statement[];
	/** Invocations of a workgroup on three axes, of an entry point. */
	readonly workgroup: readonly number[] | undefined;
}

export interface Global {
	readonly name: string;
	readonly space: string;
	readonly binding: number | undefined;
	readonly type: TypeName | undefined;
	readonly value: Expression | undefined;
}

export interface Program {
	readonly structs: ReadonlyMap<string, readonly { readonly name: string; readonly type: TypeName }[]>;
	readonly globals: readonly Global[];
	readonly functions: ReadonlyMap<string, FunctionSyntax>;
}

const TOKEN =
	/\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|(0[xX][\da-fA-F]*\.?[\da-fA-F]*[pP][+-]?\d+[fh]?|0[xX][\da-fA-F]+[iu]?|(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[fhiu]?)|([A-Za-z_]\w*)|(<<=|>>=|&&|\|\||<<|>>|<=|>=|==|!=|\+=|-=|\*=|\/=|%=|&=|\|=|\^=|\+\+|--|->|[-+*/%&|^~!<>=(){}[\],;:.@])/y;

function tokensOf(code: string): string[] {
	const tokens: string[] = [];
	TOKEN.lastIndex = 0;
	while (TOKEN.lastIndex < code.length) {
		const at = TOKEN.lastIndex;
		const found = TOKEN.exec(code);
		if (found === null) throw new Error(`WGSL: no token at ${JSON.stringify(code.slice(at, at + 20))}`);
		const token = found[1] ?? found[2] ?? found[3];
		if (token !== undefined) tokens.push(token);
	}
	return tokens;
}

const BINARY = [["||"], ["&&"], ["|"], ["^"], ["&"], ["==", "!="], ["<", ">", "<=", ">="], ["<<", ">>"], ["+", "-"], ["*", "/", "%"]];
const TEMPLATES = new Set(["vec2", "vec3", "vec4", "array", "bitcast", "atomic", "ptr"]);

function numberOf(text: string): Expression {
	const isHex = /^0[xX]/.test(text);
	const suffix = /[iu]$/.test(text) || (!isHex && /[fh]$/.test(text)) || (/[pP]/.test(text) && /[fh]$/.test(text)) ? text.slice(-1) : "";
	const digits = suffix === "" ? text : text.slice(0, -1);
	const [, mantissa, exponent] = /^0[xX]([^pP]*)[pP](.*)$/.exec(digits) ?? [];
	const [whole, fraction = ""] = (mantissa ?? "").split(".");
	const value =
		exponent === undefined
			? Number(digits)
			: (Number.parseInt(`${whole}${fraction}` || "0", 16) / 16 ** fraction.length) * 2 ** Number(exponent);
	const isFloat = exponent !== undefined || (!isHex && /[.eE]/.test(digits));
	const type = suffix === "u" ? "u32" : suffix === "i" ? "i32" : suffix !== "" ? "f32" : isFloat ? "float" : "int";
	return { kind: "number", value, type };
}

/** @throws Error for what this parser does not know, with the place. */
export function parse(code: string): Program {
	const tokens = tokensOf(code);
	let at = 0;
	const fail = (what: string): never => {
		throw new Error(`WGSL: expected ${what} at ${tokens.slice(Math.max(0, at - 6), at + 6).join(" ")}`);
	};
	const is = (text: string): boolean => tokens[at] === text;
	const take = (text: string): boolean => {
		if (!is(text)) return false;
		at++;
		return true;
	};
	const expect = (text: string): void => {
		if (!take(text)) fail(text);
	};
	const name = (): string => (/^[A-Za-z_]/.test(tokens[at] ?? "") ? tokens[at++] : fail("a name"));
	/** `>>` closes two templates. */
	const close = (): void => {
		if (is(">>")) tokens[at] = ">";
		else expect(">");
	};

	function type(): TypeName {
		const own = name();
		if (!take("<")) return { name: own, of: [] };
		const of = [type()];
		let length: number | undefined;
		while (take(",")) {
			if (/^\d/.test(tokens[at])) length = Number.parseInt(tokens[at++], 10);
			else of.push(type());
		}
		close();
		return { name: own, of, ...(length !== undefined && { length }) };
	}

	function list(end: string): Expression[] {
		const items: Expression[] = [];
		while (!take(end)) {
			items.push(expression());
			if (!take(",")) {
				expect(end);
				break;
			}
		}
		return items;
	}

	function primary(): Expression {
		if (take("(")) {
			const inner = expression();
			expect(")");
			return inner;
		}
		if (/^[\d.]/.test(tokens[at])) return numberOf(tokens[at++]);
		if (take("true")) return { kind: "bool", value: true };
		if (take("false")) return { kind: "bool", value: false };
		const own = tokens[at];
		if (TEMPLATES.has(own) && tokens[at + 1] === "<") {
			const made = type();
			expect("(");
			return { kind: "call", name: own, type: made, args: list(")") };
		}
		const id = name();
		return take("(") ? { kind: "call", name: id, type: undefined, args: list(")") } : { kind: "name", name: id };
	}

	function postfix(): Expression {
		let a = primary();
		for (;;) {
			if (take("[")) {
				a = { kind: "index", a, at: expression() };
				expect("]");
			} else if (take(".")) a = { kind: "member", a, name: name() };
			else return a;
		}
	}

	function unary(): Expression {
		for (const op of ["-", "!", "~", "&", "*"]) if (take(op)) return { kind: "unary", op, a: unary() };
		return postfix();
	}

	function expression(level = 0): Expression {
		if (level === BINARY.length) return unary();
		let a = expression(level + 1);
		while (BINARY[level].includes(tokens[at])) a = { kind: "binary", op: tokens[at++], a, b: expression(level + 1) };
		return a;
	}

	function declaration(): Statement {
		const isVariable = tokens[at++] === "var";
		if (take("<")) {
			name();
			close();
		}
		const own = name();
		const declared = take(":") ? type() : undefined;
		return { kind: "declare", name: own, isVariable, type: declared, value: take("=") ? expression() : undefined };
	}

	/** A statement without its semicolon. */
	function simple(): Statement {
		if (is("let") || is("var") || is("const")) return declaration();
		const to = unary();
		if (take("++") || take("--")) {
			return { kind: "assign", op: tokens[at - 1][0], to, value: { kind: "number", value: 1, type: "int" } };
		}
		const op = /^(.{0,2})=$/.exec(tokens[at]);
		if (op !== null) {
			at++;
			return { kind: "assign", op: op[1], to, value: expression() };
		}
		return to.kind === "call" ? { kind: "call", call: to } : fail("a statement");
	}

	function statement(): Statement {
		if (is("{")) return { kind: "block", body: block() };
		if (take("if")) {
			const test = expression();
			const then = block();
			return { kind: "if", test, then, otherwise: take("else") ? (is("if") ? [statement()] : block()) : [] };
		}
		if (take("for")) {
			expect("(");
			const first = is(";") ? undefined : simple();
			expect(";");
			const test = is(";") ? undefined : expression();
			expect(";");
			const next = is(")") ? undefined : simple();
			expect(")");
			return { kind: "for", first, test, next, body: block() };
		}
		if (take("while")) return { kind: "for", first: undefined, test: expression(), next: undefined, body: block() };
		if (take("loop")) return { kind: "for", first: undefined, test: undefined, next: undefined, body: block() };
		let made: Statement;
		if (take("return")) made = { kind: "return", value: is(";") ? undefined : expression() };
		else if (take("break")) made = { kind: "break" };
		else if (take("continue")) made = { kind: "continue" };
		else made = simple();
		expect(";");
		return made;
	}

	function block(): Statement[] {
		expect("{");
		const body: Statement[] = [];
		while (!take("}")) if (!take(";")) body.push(statement());
		return body;
	}

	const attributes = (): Map<string, readonly Expression[]> => {
		const found = new Map<string, readonly Expression[]>();
		while (take("@")) {
			const own = name();
			found.set(own, take("(") ? list(")") : []);
		}
		return found;
	};
	const numbers = (values: readonly Expression[] | undefined): number[] | undefined =>
		values?.map((v) => (v.kind === "number" ? v.value : fail("a number")));

	const structs = new Map<string, { name: string; type: TypeName }[]>();
	const globals: Global[] = [];
	const functions = new Map<string, FunctionSyntax>();
	while (at < tokens.length) {
		if (take(";")) continue;
		if (is("enable") || is("diagnostic") || is("requires")) {
			while (!take(";")) at++;
			continue;
		}
		const marks = attributes();
		if (take("struct")) {
			const own = name();
			const fields: { name: string; type: TypeName }[] = [];
			expect("{");
			while (!take("}")) {
				attributes();
				const field = name();
				expect(":");
				fields.push({ name: field, type: type() });
				take(",");
			}
			structs.set(own, fields);
		} else if (take("fn")) {
			const own = name();
			const args: Argument[] = [];
			expect("(");
			while (!take(")")) {
				const of = attributes().get("builtin")?.[0];
				const arg = name();
				expect(":");
				args.push({ name: arg, type: type(), builtin: of?.kind === "name" ? of.name : undefined });
				take(",");
			}
			const result = take("->") ? type() : undefined;
			functions.set(own, { name: own, args, result, body: block(), workgroup: numbers(marks.get("workgroup_size")) });
		} else {
			const isVar = is("var");
			const isConst = is("const") || is("override");
			if (!isVar && !isConst) fail("a declaration");
			at++;
			let space = isVar ? "private" : "const";
			if (take("<")) {
				space = name();
				if (take(",")) name();
				close();
			}
			const own = name();
			const declared = take(":") ? type() : undefined;
			const value = take("=") ? expression() : undefined;
			expect(";");
			globals.push({ name: own, space, binding: numbers(marks.get("binding"))?.[0], type: declared, value });
		}
	}
	return { structs, globals, functions };
}
