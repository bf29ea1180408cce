import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
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

/** WGSL of 2^i, for i from -126 to 127. */
export const POWER_OF_TWO = "fn powerOfTwo(i: i32) -> f32 { return bitcast<f32>(u32(i + 127) << 23u); }";

const PARAMS = { groups: "u32", R: "u32", K: "u32", blocks: "u32", z1: "u32", z2: "u32", zFirst: "u32" } as const;
const STRIDES = { s0: "u32", s1: "u32", s2: "u32", rs: "u32", ks: "u32" } as const;
const XYZW = "xyzw";
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];

/**
 * Rows of numbers as f16: x = 2^(e - 141) (high + low), where e is the exponent, biased as in f32, of the row's largest number, so that
 * this becomes 2^14 to 2^15. A row that holds infinity or NaN has e = 255 and nothing but 0.
 *
 * `p.K >> 31u` is 0 in a way that no compiler knows: so none takes a number that is packed and unpacked for the number itself.
 *
 * A row is cut into blocks of 32, the last filled with 0. A block has its high parts, then its low ones, where x has any. The scale of a row
 * is its own: nothing depends on other rows.
 */
export const gemmHalvesKernel = defineKernel("gemm/halves", ({ dtype, along }: HalvesVariant) => {
	const rows = ROWS[along];
	const lanes = 256 / rows;
	const parts = partsOf(dtype);
	const isWide = along === "row";
	const size = (value: string): string => `bitcast<u32>(${value}) & 0x7fffffffu`;
	const largest = isWide
		? `for (var k = 4u * own; k < p.K; k += ${4 * lanes}u) {
    let v = x_at4((first + k) >> 2u);
    top = max(top, max(max(${size("v.x")}, ${size("v.y")}), max(${size("v.z")}, ${size("v.w")})));
  }`
		: `for (var k = own; k < p.K; k += ${lanes}u) { top = max(top, ${size("x_at(first + k * p.ks)")}); }`;
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
		params: { ...PARAMS, ...STRIDES },
		buffers: { x: reads(dtype, isWide ? 4 : 1), y: writes("u32", 4), e: writes("u32") },
		workgroup: 256,
		shared: { tops: { type: "u32", length: 256 } },
		helpers: POWER_OF_TWO,
		body: wgsl`
  let group = wid.y * nwg.x + wid.x;
  if (group >= p.groups) { return; }
  let perZ = (p.R + ${rows - 1}u) / ${rows}u;
  let z = p.zFirst + group / perZ;
  let rowIn = ${isWide ? `lane / ${lanes}u` : `lane % ${rows}u`};
  let own = ${isWide ? `lane % ${lanes}u` : `lane / ${rows}u`};
  let row = (group % perZ) * ${rows}u + rowIn;
  let first = z / (p.z2 * p.z1) * p.s0 + (z / p.z2) % p.z1 * p.s1 + z % p.z2 * p.s2 + min(row, p.R - 1u) * p.rs;
  var top = 0u;
  ${largest}
  tops[lane] = top;
  workgroupBarrier();
  for (var i = 0u; i < ${lanes}u; i++) { top = max(top, tops[${isWide ? `rowIn * ${lanes}u + i` : `i * ${rows}u + rowIn`}]); }
  if (row >= p.R) { return; }
  let e = top >> 23u;
  let at = group / perZ * p.R + row;
  if (own == 0u) { e_set(at, e); }
  let shift = 141 - i32(e);
  let half = powerOfTwo(shift / 2);
  let rest = powerOfTwo(shift - shift / 2);
  for (var eight = own; eight < 4u * p.blocks; eight += ${lanes}u) {
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
