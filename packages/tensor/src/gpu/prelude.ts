import { ELEMENTARY } from "./elementary.ts";

/** The bits of the NaN that stands for what a lookup has no value for: WGSL has no literal of it. */
export const QUIET_NAN = 0x7fc00000;

/**
 * WGSL functions that any kernel may call; a kernel gets those it names. NaN is told by its bits everywhere, because
 * WGSL lets a driver assume that it does not occur: comparisons, max and clamp may swallow it.
 */
const FUNCTIONS: Readonly<Record<string, string>> = {
	...ELEMENTARY,
	isNan: "fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }",
	isInf: "fn isInf(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) == 0x7f800000u; }",
	isFinite: "fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }",
	makeNan: "fn makeNan(x: f32) -> f32 { return bitcast<f32>(0x7fc00000u | (bitcast<u32>(x) & 1u)); }",
	keepNan: "fn keepNan(x: f32, y: f32) -> f32 { return select(y, x, isNan(x)); }",
	nanMax: "fn nanMax(a: f32, b: f32) -> f32 { return keepNan(b, keepNan(a, max(a, b))); }",
	nanMin: "fn nanMin(a: f32, b: f32) -> f32 { return keepNan(b, keepNan(a, min(a, b))); }",
	/* Names that the functions of gpu/elementary.ts had. */
	...Object.fromEntries(["Exp", "Log", "Tanh"].map((f) => [`safe${f}`, `fn safe${f}(x: f32) -> f32 { return ${f.toLowerCase()}(x); }`])),
	/** a / b: WGSL's own is defined for |b| to 2¹²⁶, beyond which a GPU may take 1 / b for 0. */
	quotient: "fn quotient(a: f32, b: f32) -> f32 { let s = select(1.0, 0.0625, abs(b) > 4.2535296e37); return (a * s) / (b * s); }",
	safeSqrt: "fn safeSqrt(x: f32) -> f32 { return keepNan(x, select(sqrt(x), makeNan(x), x < 0.0)); }",
	/** Exact while a / b has no more than 24 bits. */
	fmodOf: "fn fmodOf(a: f32, b: f32) -> f32 { return select(a - trunc(a / b) * b, a, isInf(b) && isFinite(a)); }",
	remainderOf: `fn remainderOf(a: f32, b: f32) -> f32 {
  let r = fmodOf(a, b);
  return select(r, r + b, r != 0.0 && !isNan(r) && (r < 0.0) != (b < 0.0));
}`,
	/** pow with negative bases and zero, and by multiplication for whole exponents to 8; WGSL's own is defined for positive bases only. */
	power: `fn power(x: f32, n: f32) -> f32 {
  let size = abs(x);
  if (n == 0.0 || x == 1.0 || (size == 1.0 && isInf(n))) { return 1.0; }
  let whole = floor(n) == n;
  let odd = whole && abs(n - 2.0 * floor(n * 0.5)) == 1.0;
  if (x == 0.0 && !isNan(n)) { return select(select(0.0, x, odd), 1.0 / select(size, x, odd), n < 0.0); }
  var y = powerOf(size, n);
  if (whole && n > 0.0 && n <= 8.0) {
    y = size;
    for (var i = 1.0; i < n; i += 1.0) { y *= size; }
  }
  let signed = select(y, -y, odd && x < 0.0);
  return keepNan(n, keepNan(x, select(signed, makeNan(x), x < 0.0 && !whole)));
}`,
	/**
	 * A sum and what its rounding left over (Kahan), with one more term. `zero` is 0 in a way that no compiler can know: it keeps
	 * drivers that may reorder sums from cancelling the correction. What is infinite has none.
	 */
	added: `fn added(a: vec2f, v: f32, zero: u32) -> vec2f {
  let y = v - a.y;
  let t = bitcast<f32>(bitcast<u32>(a.x + y) ^ zero);
  let c = (t - a.x) - y;
  return vec2f(t, select(0.0, c, isFinite(c)));
}`,
	/** The upper half of an f32 after rounding to the nearest bf16, ties to even; NaN stays NaN. */
	bf16Of: `fn bf16Of(x: f32) -> u32 {
  let b = bitcast<u32>(x);
  return select((b + 0x7fffu + ((b >> 16u) & 1u)) >> 16u, (b >> 16u) | 0x40u, isNan(x));
}`,
	/** Whole numbers in the order of the floats, NaN above all. */
	orderOf: `fn orderOf(x: f32) -> u32 {
  let b = bitcast<u32>(x);
  if (isNan(x)) { return 0xffffffffu; }
  if (b == 0x80000000u) { return b; }
  return select(b | 0x80000000u, ~b, (b & 0x80000000u) != 0u);
}`,
};

/** The functions that `code` calls, and those that they call, each before its users. */
export function preludeFor(code: string): string {
	const found = new Set<string>();
	const visit = (text: string, self?: string): void => {
		for (const name of Object.keys(FUNCTIONS)) {
			if (name === self || found.has(name) || !new RegExp(`\\b${name}\\(`).test(text)) continue;
			visit(FUNCTIONS[name], name);
			found.add(name);
		}
	};
	visit(code);
	return [...found].map((name) => FUNCTIONS[name]).join("\n");
}
