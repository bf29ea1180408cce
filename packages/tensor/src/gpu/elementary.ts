/**
 * Elementary functions in WGSL, within 2e-7 of their value on every driver: WGSL's own promise little (sin within 2^-11, exp
 * within 3 + 2|x| ULP). Those of WGSL's names stand in front of WGSL's, for f32. Polynomials are minimax fits, with
 * coefficients rounded to f32. What has to be exact is so by its bits: an operand cut to 12 bits has exact products, powers of two
 * are added to exponents, and the last part of a constant in two or three parts is masked, so that a driver that may reorder sums
 * cannot join the parts again. Results below 2^-126 are 0.
 */
export const ELEMENTARY: Readonly<Record<string, string>> = {
	/** The bits of a whole number of up to 22 bits, and a number whose other bits lie above them. */
	wholeBits: "fn wholeBits(n: f32) -> i32 { return bitcast<i32>(n + 12582912.0); }",
	/** y 2^e, for y from 0.7 to 1.42 and e from -200 to 128, to infinity and to 0. */
	expScaled: `fn expScaled(y: f32, e: f32) -> f32 {
  let b = bitcast<i32>(y) + (wholeBits(e) << 23u);
  return bitcast<f32>(select(min(b, 0x7f800000), 0, b < 0x00800000));
}`,
	/** x less its last bit: a sum with it cannot be joined with another. */
	apart: "fn apart(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffffffeu); }",
	/** x - n ln 2; n has 8 bits, as the first part of ln 2 has 9. */
	expRest: "fn expRest(x: f32, n: f32) -> f32 { return x - n * 0.693359375 + apart(n * 2.1219444e-4); }",
	/** e^r - 1 for |r| up to ln 2 / 2. */
	expTail: `fn expTail(r: f32) -> f32 {
  return r + r * r * (0.49999994 + r * (0.16666521 + r * (0.041668259 + r * (0.00836867 + r * 0.00138212))));
}`,
	/** e^(x + low) 2^k, for a low that is small. */
	expOf: `fn expOf(x: f32, low: f32, k: f32) -> f32 {
  let t = clamp(x, -104.0 - 0.7 * k, 89.0 - 0.69 * k);
  let n = round((t + low) * 1.442695);
  return expScaled(1.0 + expTail(expRest(t, n) + low), n + k);
}`,
	exp: "fn exp(x: f32) -> f32 { return keepNan(x, expOf(x, 0.0, 0.0)); }",
	exp2: `fn exp2(x: f32) -> f32 {
  let t = clamp(x, -151.0, 128.0);
  let n = round(t);
  return keepNan(x, expScaled(1.0 + expTail((t - n) * 0.6931472), n));
}`,
	expm1: `fn expm1(x: f32) -> f32 {
  let t = clamp(x, -18.0, 89.0);
  let n = round(t * 1.442695);
  let e = expTail(expRest(t, n));
  let s = bitcast<f32>(wholeBits(min(n, 30.0) + 127.0) << 23u);
  let y = select(s * e + (s - 1.0), expScaled(1.0 + e, n), n > 25.0);
  return select(keepNan(x, y), x, abs(x) < 1e-8);
}`,
	/** ln(1 + f) + k ln 2, for 1 + f from sqrt(1/2) to sqrt 2. */
	logOf: `fn logOf(f: f32, k: f32) -> f32 {
  let s = f * f;
  let p = 0.3333391 + f * (-0.25001335 + f * (0.19963102 + f * (-0.165776 + f * (0.149145 + f * (-0.14267 + f * 0.0870054)))));
  return (f + (f * s * p - apart(k * 2.1219444e-4) - 0.5 * s)) + k * 0.693359375;
}`,
	/** f and k with x = (1 + f) 2^k, for x above 0; a denormal counts its units. */
	logSplit: `fn logSplit(x: f32) -> vec2f {
  let b = bitcast<u32>(x);
  let tiny = b < 0x00800000u;
  let i = select(b, bitcast<u32>(f32(bitcast<i32>(b))), tiny) + 0x004afb0du;
  return vec2f(bitcast<f32>((i & 0x007fffffu) + 0x3f3504f3u) - 1.0, f32(i32(i >> 23u) - select(127, 276, tiny)));
}`,
	/** The logarithm y of x, or what it is of 0, of negatives, infinity and NaN. */
	logEnd: `fn logEnd(x: f32, y: f32) -> f32 {
  let b = bitcast<u32>(x);
  let end = select(select(0x7fc00000u, b, b < 0x80000000u), 0xff800000u, (b & 0x7fffffffu) == 0u);
  return select(y, bitcast<f32>(end), b - 1u >= 0x7f7fffffu);
}`,
	log: "fn log(x: f32) -> f32 { let s = logSplit(x); return logEnd(x, logOf(s.x, s.y)); }",
	log2: "fn log2(x: f32) -> f32 { let s = logSplit(x); return logEnd(x, s.y + 1.442695 * logOf(s.x, 0.0)); }",
	/** The fraction of 1 + x from x itself, since 1 + x is rounded. */
	log1p: `fn log1p(x: f32) -> f32 {
  let u = 1.0 + x;
  let s = logSplit(u);
  let scale = bitcast<f32>(wholeBits(127.0 - min(s.y, 30.0)) << 23u);
  let y = logEnd(u, logOf(select(x * scale + (scale - 1.0), s.x, s.y > 24.0), s.y));
  return select(y, x, abs(x) < 1e-8);
}`,
	/** y, which is not negative, with the sign of x. */
	withSign: "fn withSign(y: f32, x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(y) | (bitcast<u32>(x) & 0x80000000u)); }",
	/** The upper word of a b, for an a of 24 bits. */
	mulHigh: `fn mulHigh(a: u32, b: u32) -> u32 {
  let low = (a >> 16u) * (b & 0xffffu) + (((a & 0xffffu) * (b & 0xffffu)) >> 16u);
  let mid = (a & 0xffffu) * (b >> 16u) + (low & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (low >> 16u) + (mid >> 16u);
}`,
	/**
	 * |x| 2/pi modulo 4 in two words, 2 bits before the point: Payne and Hanek's product of the mantissa with those bits of 2/pi that
	 * count.
	 */
	sinTurns: `fn sinTurns(x: f32) -> vec2u {
  var bits = array<u32, 8>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
  let b = bitcast<u32>(x);
  let at = clamp((b >> 23u) & 255u, 120u, 254u) - 120u;
  let k = at >> 5u;
  let o = vec3u(at & 31u);
  let w = (vec3u(bits[k], bits[k + 1u], bits[k + 2u]) << o) | ((vec3u(bits[k + 1u], bits[k + 2u], bits[k + 3u]) >> vec3u(1u)) >> (31u - o));
  let m = (b & 0x007fffffu) | 0x00800000u;
  let low = m * w.y + mulHigh(m, w.z);
  return vec2u(m * w.x + mulHigh(m, w.y) + select(0u, 1u, low < m * w.y), low);
}`,
	/** The rest r of x by multiples n of pi/2, and n modulo 4: pi/2 in four parts (Cody and Waite), beyond 3000 by `sinTurns`. */
	sinQuarters: `fn sinQuarters(x: f32) -> vec2u {
  let n = round(x * 0.63661977);
  let r = x - n * 1.57055664 - n * 2.39670277e-4 - n * 1.58906914e-8 - apart(n * 2.5633441e-12);
  var y = vec2u(bitcast<u32>(select(r, x, abs(x) < 0.785)), bitcast<u32>(wholeBits(n)));
  if (!(abs(x) < 3000.0)) {
    let t = sinTurns(x);
    let q = (t.x + 0x20000000u) >> 30u;
    let d = i32(t.x - (q << 30u));
    let h = (d + 131072) & -262144;
    let far = bitcast<u32>(f32(h) * 1.46246748e-09 + (f32(h) * 4.5059882e-13 + (f32(d - h) + f32(t.y) * 2.3283064e-10) * 1.4629181e-9));
    y = select(vec2u(far, q), vec2u(far ^ 0x80000000u, 0u - q), x < 0.0);
    if (!isFinite(x)) { y.x = 0x7fc00000u; }
  }
  return y;
}`,
	sinOf: "fn sinOf(r: f32) -> f32 { let s = r * r; return r + r * s * (-0.16666655 + s * (0.0083321882 - s * 0.00019518082)); }",
	cosOf: `fn cosOf(r: f32) -> f32 {
  let s = r * r;
  return 1.0 - 0.5 * s + s * s * (0.041666646 + s * (-0.0013887310 + s * 0.000024432427));
}`,
	/** Sine of r + n pi/2. */
	sinAt: `fn sinAt(r: f32, n: u32) -> f32 {
  let y = select(sinOf(r), cosOf(r), (n & 1u) == 1u);
  return select(y, -y, (n & 2u) == 2u);
}`,
	sin: "fn sin(x: f32) -> f32 { let q = sinQuarters(x); return sinAt(bitcast<f32>(q.x), q.y); }",
	cos: "fn cos(x: f32) -> f32 { let q = sinQuarters(x); return sinAt(bitcast<f32>(q.x), q.y + 1u); }",
	tan: `fn tan(x: f32) -> f32 {
  let q = sinQuarters(x);
  let s = sinOf(bitcast<f32>(q.x));
  let c = cosOf(bitcast<f32>(q.x));
  let odd = (q.y & 1u) == 1u;
  return select(s, -c, odd) / select(c, s, odd);
}`,
	/** Arc tangent from 0 to 1. */
	atanOf: `fn atanOf(z: f32) -> f32 {
  let s = z * z;
  return z + z * s * (-0.33333153 + s * (0.19993767 + s * (-0.14211002 + s * (0.10665771 + s * (-0.07551671 + s * (0.043204993 + s * (-0.01636347 + s * 0.0029195291)))))));
}`,
	/** pi/2 - y. */
	coAngle: "fn coAngle(y: f32) -> f32 { return 1.5707964 - (y + 4.371139e-8); }",
	atan: `fn atan(x: f32) -> f32 {
  let a = abs(x);
  let y = atanOf(select(a, 1.0 / a, a > 1.0));
  return keepNan(x, withSign(select(y, coAngle(y), a > 1.0), x));
}`,
	atan2: `fn atan2(y: f32, x: f32) -> f32 {
  let a = abs(y);
  let b = abs(x);
  let top = max(a, b);
  let scale = select(select(1.0, 0.0625, top > 1e37), 16777216.0, top < 1e-30);
  let z = select(select((min(a, b) * scale) / (top * scale), 1.0, a == b), 0.0, top == 0.0);
  let p = atanOf(z);
  let q = select(p, coAngle(p), a > b);
  return keepNan(y, keepNan(x, withSign(select(q, 3.1415927 - (q + 8.742278e-8), bitcast<i32>(x) < 0), y)));
}`,
	/** asin x up to 1/2; beyond asin sqrt((1 - x) / 2), half of what is left to pi/2. */
	asinOf: `fn asinOf(a: f32) -> f32 {
  let z = select(a * a, (1.0 - a) * 0.5, a > 0.5);
  let s = select(a, sqrt(z), a > 0.5);
  return s + s * z * (0.16666752 + z * (0.074953094 + z * (0.045469150 + z * (0.0241848 + z * 0.0421583))));
}`,
	asin: `fn asin(x: f32) -> f32 {
  let a = abs(x);
  let y = asinOf(a);
  return keepNan(x, select(withSign(select(y, coAngle(2.0 * y), a > 0.5), x), makeNan(x), a > 1.0));
}`,
	acos: `fn acos(x: f32) -> f32 {
  let a = abs(x);
  let y = asinOf(a);
  let large = select(2.0 * y, 3.1415927 - (2.0 * y + 8.742278e-8), x < 0.0);
  return keepNan(x, select(select(coAngle(select(y, -y, x < 0.0)), large, a > 0.5), makeNan(x), a > 1.0));
}`,
	sinh: `fn sinh(x: f32) -> f32 {
  let s = x * x;
  let small = x + x * s * (0.16666716 + s * (0.0083302706 + s * 2.0373341e-4));
  let h = expOf(abs(x), 0.0, -1.0);
  return keepNan(x, select(withSign(h - 0.25 / h, x), small, abs(x) < 1.0));
}`,
	cosh: "fn cosh(x: f32) -> f32 { let h = expOf(abs(x), 0.0, -1.0); return keepNan(x, h + 0.25 / h); }",
	tanh: `fn tanh(x: f32) -> f32 {
  let s = x * x;
  let small = x + x * s * (-0.33333281 + s * (0.13331406 + s * (-0.053736515 + s * (0.0206282 - s * 0.0056923))));
  let large = 1.0 - 2.0 / (1.0 + expOf(min(abs(x), 10.0) * 2.0, 0.0, 0.0));
  return keepNan(x, select(withSign(large, x), small, abs(x) < 0.625));
}`,
	logistic: "fn logistic(x: f32) -> f32 { return keepNan(x, 1.0 / (1.0 + expOf(-x, 0.0, 0.0))); }",
	/** x / (1 + e^-y) for a y with the sign of x, from e = e^-|y|, or where that would underflow, far below 0, from 2^32 times it. */
	gated: `fn gated(x: f32, e: f32, far: bool) -> f32 {
  let y = select(x, select(x, x * 2.3283064e-10, far) * e, x < 0.0);
  return keepNan(x, y / select(1.0 + e, 1.0, far));
}`,
	/** x / (1 + e^-x). */
	siluOf: `fn siluOf(x: f32) -> f32 {
  let far = x < -64.0;
  return gated(x, expOf(-abs(x), 0.0, select(0.0, 32.0, far)), far);
}`,
	/** e^-|y| 2^k for y = 2 sqrt(2/pi) (x + 0.044715 x^3), of which all factors are taken in two parts. */
	gateExp: `fn gateExp(x: f32, k: f32) -> f32 {
  let a = min(abs(x), 20.0);
  let h = upperBits(a);
  let q = upperBits(h * h);
  let c = 0.0713501 * q;
  let w = upperBits(1.5957031 + c);
  let rest = 0.0713501 * ((h * h - q) + (a - h) * (a + h)) + 4.7186163e-6 * a * a + 6.59966e-5;
  return expOf(-h * w, -((a - h) * w + a * (((1.5957031 - w) + c) + rest)), k);
}`,
	/** (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2. */
	tanhGate: `fn tanhGate(x: f32) -> f32 {
  let e = gateExp(x, 0.0);
  return keepNan(x, select(1.0, e, x < 0.0) / (1.0 + e));
}`,
	/** x times that. */
	tanhGeluOf: `fn tanhGeluOf(x: f32) -> f32 {
  let far = x < -9.0;
  return gated(x, gateExp(x, select(0.0, 32.0, far)), far);
}`,
	/** Beyond 0.92 as 1 - erfc, of which the logarithm is fitted. */
	erf: `fn erf(x: f32) -> f32 {
  let a = min(abs(x), 4.0);
  let s = a * a;
  let small = x * (1.1283792 + s * (-0.37612489 + s * (0.1128173 + s * (-0.0267629 + s * (0.00498725 - s * 0.000595897)))));
  let large = 1.0 - expOf(-a - a * (0.12851995 + a * (0.63569939 + a * (0.105287 + a * (-0.022906 + a * (0.00321995 - a * 0.000214591))))), 0.0, 0.0);
  return keepNan(x, select(withSign(large, x), small, a < 0.92));
}`,
	/** Normal distribution function Φ for |x| up to 0.7. */
	normalMiddle: `fn normalMiddle(x: f32) -> f32 {
  let s = x * x;
  return 0.5 + x * (0.39894226 + s * (-0.06648988 + s * (0.009969646 + s * (-0.001174625 + s * 9.7421704e-5))));
}`,
	/**
	 * |x| Φ(-|x|) for |x| from 0.7: e^(-x^2 / 2), the square in two parts, times a polynomial of z = (|x| - c) / (|x| + c). c is a
	 * number whose first coefficient is almost an f32.
	 */
	normalTail: `fn normalTail(x: f32) -> f32 {
  let a = min(abs(x), 14.5);
  let h = upperBits(a);
  let z = (a - 2.6328125) / (a + 2.6328125);
  let p = 0.35676005 + z * (0.12873091 + z * (-0.14852324 + z * (0.077641875 + z * (-0.010454472 + z * (-0.008099359 + z * (0.0018700318 + z * (0.0014509802 + z * (-0.0001776646 - z * 0.00026652435))))))));
  return expOf(-0.5 * h * h, -0.5 * (a - h) * (a + h), 0.0) * p;
}`,
	normalCdf: `fn normalCdf(x: f32) -> f32 {
  let tail = normalTail(x) / abs(x);
  return keepNan(x, select(select(tail, 1.0 - tail, x > 0.0), normalMiddle(x), abs(x) < 0.7));
}`,
	/** x Φ(x). */
	geluOf: `fn geluOf(x: f32) -> f32 {
  let tail = normalTail(x);
  let y = select(select(-tail, x - tail, x > 0.0), x * normalMiddle(x), abs(x) < 0.7);
  return select(keepNan(x, y), makeNan(x), bitcast<u32>(x) == 0xff800000u);
}`,
	/** Mantissa's upper 12 bits. */
	upperBits: "fn upperBits(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }",
	/**
	 * x^n for x above 0: 2^(n log2 x), with log2 x in two parts, by 2 artanh of s = f / (2 + f) in two parts; products of the upper
	 * parts are exact.
	 */
	powerOf: `fn powerOf(x: f32, n: f32) -> f32 {
  let k = logSplit(x);
  let f = k.x;
  let d = 1.0 / (2.0 + f);
  let u = upperBits(f * d);
  let v = upperBits(f);
  let e1 = ((f - 2.0 * u - u * v) - u * (f - v)) * d;
  let s = u + e1;
  let z = u * u + (u + s) * e1;
  let tail = 2.0 * e1 + s * z * (0.66666663 + z * (0.40000972 + z * (0.284988 + z * 0.242789)));
  let g = 2.0 * u * 1.4423828;
  let h = upperBits(k.y + g);
  let low = ((k.y - h) + g) + (2.0 * u * 3.1222839e-4 + tail * 1.442695);
  let m = upperBits(n);
  let far = !(abs(n * h) < 200.0);
  let top = select(m * h, n * h, far);
  let rest = select((n - m) * h + n * low, 0.0, far);
  let e = clamp(round(top + rest), -151.0, 128.0);
  return expScaled(1.0 + expTail(clamp((top - e) + rest, -0.51, 0.51) * 0.6931472), e);
}`,
};
