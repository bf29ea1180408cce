import { defineKernel } from "../gpu/defineKernel.ts";
import { type BufferSpec, reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";

/** Numbers of a row that lie together, in each of its parts. */
export const BLOCK = 32;

/** How many f16 a number is the sum of: one holds what bf16 and f16 do. */
export const partsOf = (dtype: "f32" | "bf16" | "f16"): 1 | 2 => (dtype === "f32" ? 2 : 1);

export type HalvesVariant = {
	readonly dtype: "f32" | "bf16" | "f16";
	/** Which neighbours lie side by side: those of a row, in fours, or others. */
	readonly along: "row" | "any";
};

/** Rows that a workgroup takes, each of which 256 / ROWS invocations share. */
export const ROWS = { row: 4, any: 32 } as const;

/** Numbers of a row that a workgroup takes where they do not lie side by side: it has so many rows that it cannot have all of them. */
export const SPAN = 256;

/** WGSL of 2^i, for i from -126 to 127. */
export const POWER_OF_TWO = "fn powerOfTwo(i: i32) -> f32 { return bitcast<f32>(u32(i + 127) << 23u); }";

/** Rows and their length, batch axes, and where numbers lie; `runs` is into how many parts of SPAN a row is cut. */
const PARAMS = { groups: "u32", R: "u32", K: "u32", runs: "u32", z1: "u32", z2: "u32", zFirst: "u32" } as const;
const STRIDES = { s0: "u32", s1: "u32", s2: "u32", rs: "u32", ks: "u32" } as const;
const XYZW = "xyzw";
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];

/** WGSL of the bits of a number's size, which are in the order of sizes, NaN above all. */
const size = (value: string): string => `bitcast<u32>(${value}) & 0x7fffffffu`;

/** WGSL of an invocation's place: row `row` of the batch entry, of which it is number `own`; the row begins at `first`. */
function place(along: HalvesVariant["along"]): string {
	const rows = ROWS[along];
	const lanes = 256 / rows;
	return `let group = wid.y * nwg.x + wid.x;
  if (group >= p.groups) { return; }
  let perZ = (p.R + ${rows - 1}u) / ${rows}u;
  let entry = group / (perZ * p.runs);
  let run = group / perZ % p.runs;
  let z = p.zFirst + entry;
  let rowIn = ${along === "row" ? `lane / ${lanes}u` : `lane % ${rows}u`};
  let own = ${along === "row" ? `lane % ${lanes}u` : `lane / ${rows}u`};
  let row = (group % perZ) * ${rows}u + rowIn;
  let first = z / (p.z2 * p.z1) * p.s0 + (z / p.z2) % p.z1 * p.s1 + z % p.z2 * p.s2 + min(row, p.R - 1u) * p.rs;`;
}

/** The bits of the largest size in each run of each row. */
export const gemmTopsKernel = defineKernel("gemm/tops", ({ dtype }: Pick<HalvesVariant, "dtype">) => ({
	params: { ...PARAMS, ...STRIDES },
	buffers: { x: reads(dtype), top: writes("u32") },
	workgroup: 256,
	shared: { tops: { type: "u32", length: 256 } },
	body: wgsl`
  ${place("any")}
  var most = 0u;
  for (var k = run * ${SPAN}u + own; k < min(p.K, (run + 1u) * ${SPAN}u); k += 8u) { most = max(most, ${size("x_at(first + k * p.ks)")}); }
  tops[lane] = most;
  workgroupBarrier();
  if (own > 0u || row >= p.R) { return; }
  for (var i = 1u; i < 8u; i++) { most = max(most, tops[i * 32u + rowIn]); }
  top_set((entry * p.runs + run) * p.R + row, most);`,
}));

/**
 * Rows of numbers as f16: x = 2^(e - 141) (high + low), where e is the exponent, biased as in f32, of the row's largest number, so that
 * this becomes 2^14 to 2^15. A row that holds infinity has e = 255, one that holds NaN 256, and both nothing but 0.
 *
 * `p.K >> 31u` is 0 in a way that no compiler knows: so none takes a number that is packed and unpacked for the number itself.
 *
 * Where rows lie side by side, the largest numbers come from gemm/tops, and a workgroup takes a run of each of its rows; else it takes whole rows.
 *
 * A row is cut into blocks of 32, the last filled with 0. A block has its high parts, then its low ones, where x has any. The scale of a row
 * is its own: nothing depends on other rows.
 */
export const gemmHalvesKernel = defineKernel("gemm/halves", ({ dtype, along }: HalvesVariant) => {
	const rows = ROWS[along];
	const lanes = 256 / rows;
	const parts = partsOf(dtype);
	const isWide = along === "row";
	const tops: Readonly<Record<string, BufferSpec>> = isWide ? {} : { top: reads("u32") };
	const largest = isWide
		? `for (var k = 4u * own; k < p.K; k += ${4 * lanes}u) {
    let v = x_at4((first + k) >> 2u);
    top = max(top, max(max(${size("v.x")}, ${size("v.y")}), max(${size("v.z")}, ${size("v.w")})));
  }
  tops[lane] = top;
  workgroupBarrier();
  for (var i = 0u; i < ${lanes}u; i++) { top = max(top, tops[rowIn * ${lanes}u + i]); }`
		: "for (var i = 0u; i < p.runs; i++) { top = max(top, top_at((entry * p.runs + i) * p.R + min(row, p.R - 1u))); }";
	const read = isWide
		? `let v0 = select(vec4f(), x_at4((first + min(k, p.K - 4u)) >> 2u), k < p.K);
    let v1 = select(vec4f(), x_at4((first + min(k + 4u, p.K - 4u)) >> 2u), k + 4u < p.K);`
		: [0, 1]
				.map((half) => {
					const one = (i: number): string => {
						const k = `k + ${4 * half + i}u`;
						return `select(0.0, x_at(first + min(${k}, p.K - 1u) * p.ks), ${k} < p.K)`;
					};
					return `let v${half} = vec4f(${[0, 1, 2, 3].map(one).join(", ")});`;
				})
				.join("\n    ");
	const scaled = EIGHT.map((i) => `let s${i} = v${i >> 2}.${XYZW[i & 3]} * half * rest;`).join(" ");
	const pairs = [0, 1, 2, 3];
	const low = `let low = vec4u(${pairs
		.map((i) => `pack2x16float(vec2f(s${2 * i}, s${2 * i + 1}) - unpack2x16float(high.${XYZW[i]}))`)
		.join(", ")});`;
	return {
		params: { ...PARAMS, blocks: "u32", ...STRIDES },
		buffers: { ...{ x: reads(dtype, isWide ? 4 : 1), y: writes("u32", 4), e: writes("u32") }, ...tops },
		workgroup: 256,
		...(isWide && { shared: { tops: { type: "u32", length: 256 } } }),
		helpers: POWER_OF_TWO,
		body: wgsl`
  ${place(along)}
  var top = 0u;
  ${largest}
  if (row >= p.R) { return; }
  let e = select(top >> 23u, 256u, top > 0x7f800000u);
  let at = entry * p.R + row;
  if (own == 0u && run == 0u) { e_set(at, e); }
  let shift = 141 - i32(e);
  let half = powerOfTwo(shift / 2);
  let rest = powerOfTwo(shift - shift / 2);
  for (var eight = run * ${SPAN / 8}u + own; eight < ${isWide ? "4u * p.blocks" : `min(4u * p.blocks, (run + 1u) * ${SPAN / 8}u)`}; eight += ${lanes}u) {
    let k = 8u * eight;
    ${read}
    ${scaled}
    let finite = e < 255u;
    let high = vec4u(${pairs.map((i) => `pack2x16float(vec2f(s${2 * i}, s${2 * i + 1}))`).join(", ")}) ^ vec4u(p.K >> 31u);
    let to = ${4 * parts}u * (at * p.blocks + eight / 4u) + eight % 4u;
    y_set4(to, select(vec4u(), high, finite));
    ${parts === 2 ? `${low}\n    y_set4(to + 4u, select(vec4u(), low, finite));` : ""}
  }`,
	};
});
