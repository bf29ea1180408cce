import { ValueError } from "../errors.ts";
import { erfcOf, erfOf } from "../reference.ts";

/** Expressions of WGSL scalars, as far as the rows of the element-wise tables use them. */
type Expr =
	| { readonly kind: "number"; readonly value: number; readonly suffix: string | undefined }
	| { readonly kind: "name"; readonly name: string }
	| { readonly kind: "call"; readonly name: string; readonly args: readonly Expr[] }
	| { readonly kind: "binary"; readonly op: string; readonly a: Expr; readonly b: Expr };

const LEVELS = [["||"], ["&&"], ["<", ">", "<=", ">=", "==", "!="], ["+", "-"], ["*", "/", "%"]];

function parse(text: string): Expr {
	const tokens = text.match(/\d+\.?\d*(?:e[-+]?\d+)?[uif]?|[A-Za-z_][\w.]*|<=|>=|==|!=|&&|\|\||[-+*/%<>(),!]/g) ?? [];
	let at = 0;
	const fail = (): never => {
		throw new ValueError("symbolic/parse", `cannot read "${text}" at ${tokens.slice(at).join(" ")}`);
	};
	const eat = (token: string): void => {
		if (tokens[at++] !== token) fail();
	};
	const level = (n: number): Expr => {
		if (n === LEVELS.length) return factor();
		let left = level(n + 1);
		while (LEVELS[n].includes(tokens[at])) {
			const op = tokens[at++];
			left = { kind: "binary", op, a: left, b: level(n + 1) };
		}
		return left;
	};
	const factor = (): Expr => {
		const token = tokens[at++];
		if (token === "-") return times(number(-1), factor());
		if (token === "(") {
			const inner = level(0);
			eat(")");
			return inner;
		}
		if (/^\d/.test(token)) return { kind: "number", value: Number.parseFloat(token), suffix: /[ui]$/.exec(token)?.[0] };
		if (tokens[at] !== "(") return /^[A-Za-z_]/.test(token) ? { kind: "name", name: token } : fail();
		at++;
		const args: Expr[] = [];
		while (tokens[at] !== ")") {
			args.push(level(0));
			if (tokens[at] === ",") at++;
		}
		at++;
		return { kind: "call", name: token, args };
	};
	const all = level(0);
	return at === tokens.length ? all : fail();
}

const number = (value: number): Expr => ({ kind: "number", value, suffix: undefined });
const is = (e: Expr, value: number): boolean => e.kind === "number" && e.value === value;
const binary = (op: string, a: Expr, b: Expr): Expr => ({ kind: "binary", op, a, b });
const call = (name: string, ...args: Expr[]): Expr => ({ kind: "call", name, args });

function plus(a: Expr, b: Expr): Expr {
	if (is(a, 0)) return b;
	return is(b, 0) ? a : binary("+", a, b);
}
function minus(a: Expr, b: Expr): Expr {
	if (is(b, 0)) return a;
	return is(a, 0) ? times(number(-1), b) : binary("-", a, b);
}
function times(a: Expr, b: Expr): Expr {
	if (is(a, 0) || is(b, 0)) return number(0);
	if (is(a, 1)) return b;
	if (is(b, 1)) return a;
	return a.kind === "number" && b.kind === "number" ? number(a.value * b.value) : binary("*", a, b);
}
const over = (a: Expr, b: Expr): Expr => (is(a, 0) ? a : binary("/", a, b));
const squared = (e: Expr): Expr => times(e, e);

/** The derivative of x f(x) by x. */
function gated(f: string, x: Expr): Expr {
	const gate = call(f, x);
	return plus(gate, times(x, RULES[f]([x], gate)));
}

/** 2 √(2/π), of the tanh form of gelu. */
const GATE = Math.sqrt(8 / Math.PI);

/** Derivative of each function by its first argument, as an expression of its arguments and its own value. */
const RULES: Readonly<Record<string, (args: readonly Expr[], self: Expr) => Expr>> = {
	exp: (_, self) => self,
	safeExp: (_, self) => self,
	exp2: (_, self) => times(number(Math.LN2), self),
	log: ([x]) => over(number(1), x),
	safeLog: ([x]) => over(number(1), x),
	log2: ([x]) => over(number(1 / Math.LN2), x),
	expm1: ([x]) => call("exp", x),
	log1p: ([x]) => over(number(1), plus(number(1), x)),
	safeSqrt: (_, self) => over(number(0.5), self),
	inverseSqrt: (_, self) => times(number(-0.5), times(self, squared(self))),
	sin: ([x]) => call("cos", x),
	cos: ([x]) => times(number(-1), call("sin", x)),
	tan: (_, self) => plus(number(1), squared(self)),
	asin: ([x]) => call("inverseSqrt", minus(number(1), squared(x))),
	acos: ([x]) => times(number(-1), call("inverseSqrt", minus(number(1), squared(x)))),
	atan: ([x]) => over(number(1), plus(number(1), squared(x))),
	sinh: ([x]) => call("cosh", x),
	cosh: ([x]) => call("sinh", x),
	tanh: (_, self) => minus(number(1), squared(self)),
	safeTanh: (_, self) => minus(number(1), squared(self)),
	logistic: (_, self) => times(self, minus(number(1), self)),
	erf: ([x]) => times(number(2 / Math.sqrt(Math.PI)), call("exp", times(number(-1), squared(x)))),
	normalCdf: ([x]) => times(number(1 / Math.sqrt(2 * Math.PI)), call("exp", times(number(-0.5), squared(x)))),
	tanhGate: ([x], self) => times(times(self, minus(number(1), self)), plus(number(GATE), times(number(3 * 0.044715 * GATE), squared(x)))),
	siluOf: ([x]) => gated("logistic", x),
	geluOf: ([x]) => gated("normalCdf", x),
	tanhGeluOf: ([x]) => gated("tanhGate", x),
	abs: ([x]) => call("sign", x),
	sign: () => number(0),
	floor: () => number(0),
	ceil: () => number(0),
	round: () => number(0),
	trunc: () => number(0),
};

/**
 * Of xⁿ: n xⁿ⁻¹ by x, xⁿ ln x by n, and 0 where a factor 0 of these meets one that is not finite, as torch has it: n = 0 at
 * x = 0 or NaN; x = 0 with n ≥ 0.
 */
function derivePower(self: Expr, x: Expr, n: Expr, by: string): Expr {
	const zero = number(0);
	const isZero = (v: Expr): Expr => binary("==", v, zero);
	const [dx, dn] = [derive(x, by), derive(n, by)];
	const steep = times(n, call("power", x, minus(n, number(1))));
	const byBase = call("select", steep, zero, binary("&&", isZero(n), binary("||", isZero(x), call("isNan", x))));
	const byExponent = call("select", times(self, call("safeLog", x)), zero, binary("&&", isZero(x), binary(">=", n, zero)));
	return plus(times(dx, byBase), times(dn, byExponent));
}

function derive(e: Expr, by: string): Expr {
	if (e.kind === "number") return number(0);
	if (e.kind === "name") return number(e.name === by ? 1 : 0);
	if (e.kind === "binary") {
		const { op, a, b } = e;
		const [da, db] = [derive(a, by), derive(b, by)];
		if (op === "+") return plus(da, db);
		if (op === "-") return minus(da, db);
		if (op === "*") return plus(times(da, b), times(a, db));
		if (op === "/") return minus(over(da, b), over(times(a, db), squared(b)));
		throw new ValueError("symbolic/operator", `no derivative of ${op}`);
	}
	const { name, args } = e;
	if (name === "select") {
		const [no, yes] = [derive(args[0], by), derive(args[1], by)];
		return is(no, 0) && is(yes, 0) ? number(0) : call("select", no, yes, args[2]);
	}
	if (name === "keepNan") return derive(args[1], by);
	if (name === "power") return derivePower(e, args[0], args[1], by);
	const inner = derive(args[0], by);
	if (is(inner, 0) && args.slice(1).every((a) => is(derive(a, by), 0))) return number(0);
	const rule = RULES[name];
	if (rule === undefined || args.length > 1) throw new ValueError("symbolic/function", `no derivative of ${name}()`);
	return times(rule(args, e), inner);
}

function print(e: Expr): string {
	if (e.kind === "number" && e.suffix !== undefined) return `${e.value}${e.suffix}`;
	if (e.kind === "number") return Number.isInteger(e.value) ? `${e.value.toFixed(1)}` : `${e.value}`;
	if (e.kind === "name") return e.name;
	if (e.kind === "call") return `${e.name}(${e.args.map(print).join(", ")})`;
	return `(${print(e.a)} ${e.op} ${print(e.b)})`;
}

/** The product of a name and an expression; where a branch of a `select` is 0, it is 0 even if the name is not finite. */
function spread(g: Expr, e: Expr): Expr {
	if (e.kind !== "call" || e.name !== "select") return times(g, e);
	const [no, yes, condition] = e.args;
	return call("select", spread(g, no), spread(g, yes), condition);
}

/** WGSL of g times an expression. */
export const scaled = (code: string, g: string): string => print(spread({ kind: "name", name: g }, parse(code)));

/** WGSL of the partial derivative of a WGSL expression by one of its names. */
export const derivative = (code: string, by: string): string => print(derive(parse(code), by));

/** The functions that expressions call, in float64. */
const FUNCTIONS: Readonly<Record<string, (...args: number[]) => number>> = {
	...{ abs: Math.abs, sign: Math.sign, floor: Math.floor, ceil: Math.ceil, trunc: Math.trunc, round: Math.round },
	...{ exp: Math.exp, safeExp: Math.exp, expm1: Math.expm1, exp2: (x) => 2 ** x },
	...{ log: Math.log, safeLog: Math.log, log2: Math.log2, log1p: Math.log1p, safeSqrt: Math.sqrt, inverseSqrt: (x) => 1 / Math.sqrt(x) },
	...{ sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin, acos: Math.acos, atan: Math.atan, atan2: Math.atan2 },
	...{ sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh, safeTanh: Math.tanh, erf: erfOf },
	...{ normalCdf: (x) => 0.5 * erfcOf(-x / Math.SQRT2), tanhGate: (x) => 1 / (1 + Math.exp(-GATE * (x + 0.044715 * x ** 3))) },
	...{ siluOf: (x) => x / (1 + Math.exp(-x)), geluOf: (x) => (x / 2) * erfcOf(-x / Math.SQRT2) },
	...{ tanhGeluOf: (x) => x / (1 + Math.exp(-GATE * (x + 0.044715 * x ** 3))) },
	...{ logistic: (x) => 1 / (1 + Math.exp(-x)), power: (x, n) => x ** n },
	...{ min: Math.min, max: Math.max, nanMin: Math.min, nanMax: Math.max, clamp: (x, low, high) => Math.min(Math.max(x, low), high) },
	...{ keepNan: (x, y) => (Number.isNaN(x) ? x : y), select: (no, yes, condition) => (condition ? yes : no) },
	...{ quotient: (a, b) => a / b },
	...{ fmodOf: (a, b) => a % b, remainderOf: (a, b) => a - Math.floor(a / b) * b },
	...{ isNan: (x) => Number(Number.isNaN(x)), isFinite: (x) => Number(Number.isFinite(x)) },
};

const OPERATORS: Readonly<Record<string, (a: number, b: number) => number>> = {
	...{ "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b, "%": (a, b) => a % b },
	...{ "<": (a, b) => Number(a < b), ">": (a, b) => Number(a > b), "<=": (a, b) => Number(a <= b), ">=": (a, b) => Number(a >= b) },
	...{ "==": (a, b) => Number(a === b), "!=": (a, b) => Number(a !== b) },
	...{ "&&": (a, b) => Number(a !== 0 && b !== 0), "||": (a, b) => Number(a !== 0 || b !== 0) },
};

function value(e: Expr, of: Readonly<Record<string, number>>): number {
	if (e.kind === "number") return e.value;
	if (e.kind === "name") return of[e.name.replace(/^p\./, "")];
	if (e.kind === "binary") return OPERATORS[e.op](value(e.a, of), value(e.b, of));
	const f = FUNCTIONS[e.name];
	if (f === undefined) throw new ValueError("symbolic/value", `no value of ${e.name}()`);
	return f(...e.args.map((a) => value(a, of)));
}

/** The value of a WGSL expression in float64, as a function of what its names stand for. */
export function evaluator(code: string): (of: Readonly<Record<string, number>>) => number {
	let parsed: Expr | undefined;
	return (of) => {
		parsed ??= parse(code);
		return value(parsed, of);
	};
}
