import { type BufferSpec, defineKernel, reads, THREEFRY_WGSL, wgsl, writes } from "@hushgrad/tensor/author";

/** Ranks that one invocation takes. */
export const RANKS = 8;
/** Rows of x that one invocation of `lowRank/down` takes. */
export const ROWS = 4;

type DownVariant = {
	/** x and A are read four numbers at once. */
	readonly wide: boolean;
	/** x is dropped out on the way. */
	readonly drops: boolean;
	/** Ranks of an invocation, at most RANKS. */
	readonly ranks: number;
};

type BackVariant = DownVariant & {
	/** What dx is added to: c, or what is there; nothing where it is false. */
	readonly onto: "c" | "dx" | false;
};

const MASK_PARAMS = { ks: "u32", stream: "u32", limit: "u32", kept: "f32" } as const;

/**
 * V is what is read at once. `factor` is what dropout multiplies the numbers of a record from number e on with: those of the operation
 * `dropout`, drawn again.
 */
const helpers = ({ wide, drops }: DownVariant): string => wgsl`alias V = ${wide ? "vec4f" : "f32"};
const STEP = ${wide ? 4 : 1}u;
fn x_v(i: u32) -> V { return ${wide ? "x_at4(i >> 2u)" : "x_at(i)"}; }
fn a_v(i: u32) -> V { return ${wide ? "a_at4(i >> 2u)" : "a_at(i)"}; }
fn dot(sum: f32, v: V, w: V) -> f32 { return ${wide ? "sum + v.x * w.x + v.y * w.y + v.z * w.z + v.w * w.w" : "sum + v * w"}; }
${drops ? THREEFRY_WGSL : ""}
fn keyOf(record: u32) -> vec2u { return ${drops ? "vec2u(keys_at(p.ks * record), keys_at(p.ks * record + 1u))" : "vec2u()"}; }
fn factor(key: vec2u, e: u32) -> V {
  ${drops ? "let words = threefry(key, vec2u(e >> 1u, p.stream)) >> vec2u(8u);" : ""}
  ${drops && wide ? "let more = threefry(key, vec2u((e >> 1u) + 1u, p.stream)) >> vec2u(8u);" : ""}
  return ${!drops ? "V(1.0)" : wide ? "select(vec4f(0.0), vec4f(p.kept), vec4u(words, more) >= vec4u(p.limit))" : "select(0.0, p.kept, words[e & 1u] >= p.limit)"};
}`;

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
/* Buffers that some variants have. */
type Buffers = Readonly<Record<string, BufferSpec>>;
const keysOf = (drops: boolean): Buffers => (drops ? { keys: reads("u32") } : {});
const summandOf = (hasSummand: boolean, lanes: 1 | 4): Buffers => (hasSummand ? { c: reads("f32", lanes) } : {});

/**
 * low[t, r] = scale · the sum over k of dropout(x)[t, k] A[r, k], of each record. An invocation has ROWS rows and up to RANKS ranks;
 * workgroups go along the rows, the records and the ranks.
 */
export const lowRankDownKernel = defineKernel("lowRank/down", (variant: DownVariant) => ({
	params: { T: "u32", K: "u32", R: "u32", xs: "u32", rs: "u32", scale: "f32", ...MASK_PARAMS },
	buffers: { x: reads("f32", variant.wide ? 4 : 1), a: reads("f32", variant.wide ? 4 : 1), low: writes("f32"), ...keysOf(variant.drops) },
	workgroup: 16,
	helpers: helpers(variant),
	body: wgsl`
let record = wid.y;
let key = keyOf(record);
let t0 = (wid.x * 16u + lane) * ${ROWS}u;
let r0 = wid.z * ${variant.ranks}u;
if (t0 >= p.T) { return; }
${upTo(ROWS)
	.map((i) => `let e${i} = min(t0 + ${i}u, p.T - 1u) * p.K;`)
	.join(" ")}
${upTo(variant.ranks)
	.map((r) => `let w${r} = record * p.rs + min(r0 + ${r}u, p.R - 1u) * p.K;`)
	.join(" ")}
${upTo(ROWS)
	.flatMap((i) => upTo(variant.ranks).map((r) => `var s${i}_${r} = 0.0;`))
	.join(" ")}
for (var k = 0u; k < p.K; k += STEP) {
  ${upTo(variant.ranks)
		.map((r) => `let a${r} = a_v(w${r} + k);`)
		.join(" ")}
  ${upTo(ROWS)
		.map((i) => `let x${i} = x_v(record * p.xs + e${i} + k) * factor(key, e${i} + k);`)
		.join("\n  ")}
  ${upTo(ROWS)
		.flatMap((i) => upTo(variant.ranks).map((r) => `s${i}_${r} = dot(s${i}_${r}, x${i}, a${r});`))
		.join("\n  ")}
}
${upTo(ROWS)
	.flatMap((i) =>
		upTo(variant.ranks).map(
			(r) => `if (t0 + ${i}u < p.T && r0 + ${r}u < p.R) { low_set((record * p.T + t0 + ${i}u) * p.R + r0 + ${r}u, s${i}_${r} * p.scale); }`,
		),
	)
	.join("\n")}`,
}));

/**
 * From h = dy B: dx[t, k] = scale · dropout's factor · the sum over r of h[t, r] A[r, k], and dA[r, k] = scale · the sum over t of
 * h[t, r] dropout(x)[t, k], of each record, for the ranks from r0 on. An invocation walks down the columns of x that it reads at once;
 * workgroups go along the columns and the records.
 */
export const lowRankBackKernel = defineKernel("lowRank/back", (variant: BackVariant) => {
	const { wide, drops, ranks, onto } = variant;
	const lanes = wide ? 4 : 1;
	const dx = wide ? "4((record * p.T * p.K + e) >> 2u" : "(record * p.T * p.K + e";
	return {
		params: { T: "u32", K: "u32", R: "u32", r0: "u32", xs: "u32", rs: "u32", scale: "f32", ...MASK_PARAMS },
		buffers: {
			...{ h: reads("f32"), x: reads("f32", lanes), a: reads("f32", lanes), dx: writes("f32", lanes), da: writes("f32", lanes) },
			...keysOf(drops),
			...summandOf(onto === "c", lanes),
		},
		workgroup: 16,
		helpers: helpers(variant),
		body: wgsl`
let record = wid.y;
let key = keyOf(record);
let k = (wid.x * 16u + lane) * STEP;
if (k >= p.K) { return; }
${upTo(ranks)
	.map((r) => `let a${r} = a_v(record * p.rs + (p.r0 + ${r}u) * p.K + k); var g${r} = V();`)
	.join("\n")}
for (var t = 0u; t < p.T; t++) {
  let e = t * p.K + k;
  let f = factor(key, e);
  let x = x_v(record * p.xs + e) * f;
  let at = (record * p.T + t) * p.R + p.r0;
  var sum = V();
  ${upTo(ranks)
		.map((r) => `let h${r} = h_at(at + ${r}u) * p.scale; g${r} += h${r} * x; sum += h${r} * a${r};`)
		.join("\n  ")}
  dx_set${dx}, ${onto === false ? "" : `${onto}_at${dx}) + `}sum * f);
}
${upTo(ranks)
	.map((r) => `da_set${wide ? "4" : ""}(((record * p.R + p.r0 + ${r}u) * p.K + k) / STEP, g${r});`)
	.join("\n")}`,
	};
});
