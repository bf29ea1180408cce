import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { type GemmVariant, PARAMS, placeOfTile, stored, summand, updateBuffers, updateParams } from "./gemm.kernel.ts";

/**
 * Parts of the result that a workgroup computes, rows by columns: so many invocations across (x) and down (y), each of which has so
 * many fours of rows and of columns, from slices of a and b that are `depth` deep. A workgroup has x y invocations (at most 256) and
 * the slices take 16 (rows + columns) depth bytes of its memory (at most 16 KiB). So many steps of k are `written` out, one after the other: an
 * H200 computes the largest tile 1.27 times as fast without a loop around them, and the next one no faster (docs/gpu.md).
 */
export const TILES = {
	"128x128": { x: 16, y: 16, rows: 2, columns: 2, depth: 16, written: 16 },
	"64x64": { x: 16, y: 8, rows: 2, columns: 1, depth: 32, written: 1 },
	"32x32": { x: 8, y: 8, rows: 1, columns: 1, depth: 32, written: 1 },
	"64x16": { x: 4, y: 16, rows: 1, columns: 1, depth: 32, written: 1 },
	"16x64": { x: 16, y: 4, rows: 1, columns: 1, depth: 32, written: 1 },
	"4x256": { x: 64, y: 1, rows: 1, columns: 1, depth: 8, written: 1 },
} as const;
export type Tile = keyof typeof TILES;

/** Rows and columns of a tile. */
export const extentOf = (tile: Tile): { readonly rows: number; readonly columns: number } => {
	const { x, y, rows, columns } = TILES[tile];
	return { rows: 4 * y * rows, columns: 4 * x * columns };
};

export type TiledVariant = GemmVariant & {
	readonly tile: Tile;
	/** To what is stored low times up is added, last, as where it is a product of its own: as `gemm` takes them. */
	readonly update: boolean;
};

const XYZW = "xyzw";
const FOUR = [0, 1, 2, 3];
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** One operand: its slice has `fours` along its own axis (m or n). */
interface Side {
	readonly name: "a" | "b";
	/** How it is read: 4 values at once along k, along its own axis, or one by one. */
	readonly mode: "k" | "own" | "s";
	readonly fours: number;
	/** WGSL of its extent and of its strides along its own axis and along k, and of where it begins. */
	readonly extent: string;
	readonly stride: string;
	readonly kStride: string;
	readonly base: string;
	readonly first: string;
}

/**
 * WGSL that reads the block number `block` of a slice, 4 deep and 4 along the operand's own axis, into f0 to f3, one for each step
 * of k, all at once, without a branch between them. Beyond `kEnd` they are 0; beyond the extent they repeat what is in it, and the result is not stored.
 */
function fetch({ name, mode, fours, extent, stride, kStride, base, first }: Side, depth: number, into: string): string {
	const steps = depth / 4;
	const [along, deep] = mode === "k" ? [`block / ${steps}u`, `block % ${steps}u`] : [`block % ${fours}u`, `block / ${fours}u`];
	const place = `let q = ${first} + 4u * (${along}); let kq = k + 4u * (${deep});`;
	if (mode === "k") {
		const rows = FOUR.map((i) => `let l${i} = ${name}_at4((${base} + min(q + ${i}u, ${extent} - 1u) * ${stride} + kFour) >> 2u);`);
		const turned = FOUR.map((s) => `${into}${s} = select(vec4f(), vec4f(${FOUR.map((i) => `l${i}.${XYZW[s]}`).join(", ")}), kq < kEnd);`);
		return [`${place} let kFour = min(kq, kLast & 0xfffffffcu);`, ...rows, ...turned].join("\n      ");
	}
	const value = (s: number): string =>
		mode === "own"
			? `${name}_at4((${base} + min(q, ${extent} - 4u) + min(kq + ${s}u, kLast) * ${kStride}) >> 2u)`
			: `vec4f(${FOUR.map((i) => `${name}_at(${base} + min(q + ${i}u, ${extent} - 1u) * ${stride} + min(kq + ${s}u, kLast) * ${kStride})`).join(", ")})`;
	return [place, ...FOUR.map((s) => `${into}${s} = select(vec4f(), ${value(s)}, kq + ${s}u < kEnd);`)].join("\n      ");
}

/** WGSL that puts a block where the slice has it. */
function put({ name, mode, fours }: Side, depth: number, from: string): string {
	const steps = depth / 4;
	const [along, deep] = mode === "k" ? [`block / ${steps}u`, `block % ${steps}u`] : [`block % ${fours}u`, `block / ${fours}u`];
	return `let at = 4u * (${deep}) * ${fours}u + ${along}; ${FOUR.map((s) => `${name}_slice[at + ${s * fours}u] = ${from}${s};`).join(" ")}`;
}

/** WGSL of the rows of low times four columns of up, in u0 and so on. */
function updates(rows: readonly string[]): string {
	return wgsl`${rows.map((_, i) => `var u${i} = vec4f();`).join(" ")}
      for (var r = 0u; r < p.R; r += 4u) {
        ${FOUR.map((c) => `let up${c} = up_at4((z * p.uz + min(n + ${c}u, p.N - 1u) * p.un + r) >> 2u);`).join("\n        ")}
        ${FOUR.map((s) => `let at${s} = vec4f(${FOUR.map((c) => `up${c}.${XYZW[s]}`).join(", ")});`).join("\n        ")}
        ${rows
					.flatMap((m, i) => [
						`let low${i} = low_at4(((z * p.M + min(${m}, p.M - 1u)) * p.R + r) >> 2u);`,
						...FOUR.map((s) => `u${i} += low${i}.${XYZW[s]} * at${s};`),
					])
					.join("\n        ")}
      }`;
}

/** WGSL that stores what an invocation has. */
function store(variant: TiledVariant): string {
	const { wideStore, tile, update } = variant;
	const { x, y, rows, columns } = TILES[tile];
	const places = upTo(4 * rows).map((i) => `m0 + 4u * (ty + ${y * (i >> 2)}u) + ${i & 3}u`);
	const blocks = upTo(columns).map((h) => {
		const lines = places.map((m, i) => {
			const value = (of = ""): string => `acc${i}_${h}${of}${update ? ` + u${i}${of}` : ""}`;
			const each = wideStore
				? [stored(variant, "o >> 2u", value())]
				: FOUR.map((s) => `if (n + ${s}u < p.N) { ${stored(variant, `o + ${s}u`, value(`.${XYZW[s]}`))} }`);
			return `{ let m = ${m}; if (m < p.M) { let o = out + m * p.om + n; ${each.join(" ")} } }`;
		});
		return `{ let n = n0 + 4u * (tx + ${x * h}u); if (n < p.N) {
      ${[...(update ? [updates(places)] : []), ...lines].join("\n      ")}
    } }`;
	});
	return blocks.join("\n  ");
}

/**
 * y[part, z, m, n] = sum over the k of a part of a[z, m, k] * b[z, k, n].
 * Plan "gpu": a workgroup computes a tile. Slices of a and b lie in its memory, fours along m and n side by side; the next are asked
 * for before they are multiplied. Each element is summed along k in order, so that it is the same by any tile; the part of k alone
 * changes it.
 */
export const gemmTiledKernel = defineKernel("gemm/tiled", (variant: TiledVariant) => {
	const { a, b, aDtype, bDtype, wideStore, tile, update } = variant;
	const { x, y, rows, columns, depth, written } = TILES[tile];
	const lanes = x * y;
	const sides: readonly Side[] = [
		{
			...{ name: "a", mode: a === "m" ? "own" : a, fours: y * rows },
			...{ extent: "p.M", stride: "p.am", kStride: "p.ak", base: "az", first: "m0" },
		},
		{
			...{ name: "b", mode: b === "n" ? "own" : b, fours: x * columns },
			...{ extent: "p.N", stride: "p.bn", kStride: "p.bk", base: "bz", first: "n0" },
		},
	];
	const [ofA, ofB] = sides.map(({ fours }) => (fours * depth) / 4);
	const turns = Math.ceil((ofA + ofB) / lanes);
	/** WGSL for each block that an invocation has: those of a come first, and a turn has one for each. */
	const each = (make: (side: Side, registers: string) => string): string =>
		upTo(turns)
			.flatMap((turn) => {
				const [first, end] = [turn * lanes, (turn + 1) * lanes];
				const inA = end <= ofA ? "" : `if (lane < ${ofA - first}u) `;
				const isBeforeEnd = end <= ofA + ofB ? "" : `lane < ${ofA + ofB - first}u`;
				const isBehindA = first >= ofA ? "" : `lane >= ${ofA - first}u`;
				const tests = [isBehindA, isBeforeEnd].filter((t) => t !== "");
				const inB = tests.length === 0 ? "" : `if (${tests.join(" && ")}) `;
				const block = (from: number): string => (from < 0 ? `lane - ${-from}u` : `lane + ${from}u`);
				return [
					first < ofA ? `${inA}{ let block = ${block(first)}; ${make(sides[0], `f${turn}_`)} }` : "",
					end > ofA ? `${inB}{ let block = ${block(first - ofA)}; ${make(sides[1], `f${turn}_`)} }` : "",
				];
			})
			.join("\n    ");
	const registers = upTo(turns).flatMap((turn) => FOUR.map((s) => `f${turn}_${s}`));
	const products = upTo(4 * rows).flatMap((i) => upTo(columns).map((h) => `acc${i}_${h} += a${i >> 2}.${XYZW[i & 3]} * b${h};`));
	/** WGSL of step s + i of k, of all products. */
	const step = (i: number): string => {
		const slices = [
			...upTo(rows).map((q) => `let a${q} = a_slice[(s + ${i}u) * ${y * rows}u + ty + ${y * q}u];`),
			...upTo(columns).map((h) => `let b${h} = b_slice[(s + ${i}u) * ${x * columns}u + tx + ${x * h}u];`),
		];
		return `{ ${[...slices, ...products].join(" ")} }`;
	};
	const extent = extentOf(tile);
	return {
		params: { ...PARAMS, zs: "u32", run: "u32", op: "u32", ...updateParams(update) },
		buffers: {
			...{ a: reads(aDtype, a === "s" ? 1 : 4), b: reads(bDtype, b === "s" ? 1 : 4), y: writes("f32", wideStore ? 4 : 1) },
			...summand(variant),
			...updateBuffers(update),
		},
		workgroup: lanes,
		shared: { a_slice: { type: "vec4f", length: y * rows * depth }, b_slice: { type: "vec4f", length: x * columns * depth } },
		body: wgsl`
  let group = wid.y * nwg.x + wid.x;
  ${placeOfTile("group", extent)}
  let z = (group / (nt * mt)) % p.zs;
  let part = group / (nt * mt * p.zs);
  let c2 = z % p.z2; let c1 = (z / p.z2) % p.z1; let c0 = z / (p.z2 * p.z1);
  let az = c0 * p.a0 + c1 * p.a1 + c2 * p.a2;
  let bz = c0 * p.b0 + c1 * p.b1 + c2 * p.b2;
  let kEnd = min(p.K, (part + 1u) * p.run);
  let kLast = max(kEnd, 1u) - 1u;
  let tx = lane % ${x}u;
  let ty = lane / ${x}u;
  ${upTo(4 * rows)
		.flatMap((i) => upTo(columns).map((h) => `var acc${i}_${h} = vec4f();`))
		.join(" ")}
  let kFirst = part * p.run;
  for (var k = kFirst; ; k += ${depth}u) {
    ${registers.map((r) => `var ${r} = vec4f();`).join(" ")}
    ${each((side, into) => fetch(side, depth, into))}
    if (k > kFirst) {
      for (var s = 0u; s < ${depth}u; s += ${written}u) {
        ${upTo(written).map(step).join("\n        ")}
      }
    }
    if (k >= kEnd) { break; }
    workgroupBarrier();
    ${each((side, from) => put(side, depth, from))}
    workgroupBarrier();
  }
  let out = part * p.op + z * p.oz;
  ${store(variant)}`,
	};
});

/**
 * y = the sum of the parts of each element, in order, and of low times up, added last, where there is an update. An invocation has one element, or
 * four side by side (`wideStore`); `size` is how many there are.
 */
export const gemmJoinKernel = defineKernel("gemm/join", (variant: Pick<TiledVariant, "onto" | "update" | "wideStore">) => {
	const { update, wideStore } = variant;
	const [V, four] = wideStore ? ["vec4f", "4"] : ["f32", ""];
	const lanes = wideStore ? 4 : 1;
	const columns = upTo(lanes);
	const product = `var u = ${V}();
for (var r = 0u; r < p.R; r += 4u) {
  let low = low_at4((row * p.R + r) >> 2u);
  ${columns.map((c) => `let up${c} = up_at4((z * p.uz + (n + ${c}u) * p.un + r) >> 2u);`).join(" ")}
  ${FOUR.map((s) => `u += low.${XYZW[s]} * ${V}(${columns.map((c) => `up${c}.${XYZW[s]}`).join(", ")});`).join(" ")}
}`;
	return {
		params: { size: "u32", parts: "u32", M: "u32", N: "u32", oz: "u32", om: "u32", ...updateParams(update) },
		buffers: { x: reads("f32", lanes), y: writes("f32", lanes), ...summand(variant), ...updateBuffers(update) },
		workgroup: 64,
		body: wgsl`
if (index >= p.size) { return; }
let row = index / (p.N / ${lanes}u);
let n = index % (p.N / ${lanes}u) * ${lanes}u;
let z = row / p.M;
var sum = ${V}();
for (var i = 0u; i < p.parts; i++) { sum += x_at${four}(i * p.size + index); }
${update ? product : ""}
let at = z * p.oz + row % p.M * p.om + n;
${stored(variant, wideStore ? "at >> 2u" : "at", update ? "sum + u" : "sum")}`,
	};
});
