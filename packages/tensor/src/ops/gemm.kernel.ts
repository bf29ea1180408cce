import { defineKernel } from "../gpu/defineKernel.ts";
import { type BufferSpec, type ParamType, reads, writes } from "../gpu/kernel.ts";
import { bitsOf, chosen, wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";

/** How an operand is read: 4 values at once along k, along its other axis (m or n), or one by one. */
export type AMode = "k" | "m" | "s";
export type BMode = "k" | "n" | "s";

export type GemmVariant = {
	readonly a: AMode;
	readonly b: BMode;
	readonly aDtype: "f32" | "f16";
	readonly bDtype: "f32" | "bf16" | "f16";
	/** What each product is added to: what stands in the result, or in c, which lies like the result. */
	readonly onto: "y" | "c" | false;
	/** Rows of the result can be stored as vec4. */
	readonly wideStore: boolean;
};

export const TILE_M = 4;
export const TILE_N = 8;
const XYZW = "xyzw";
const STEPS = [0, 1, 2, 3];
const ROWS = STEPS;
const HALVES = [0, 1];

/** Value of A in row i at step s. */
function aValue(mode: AMode, i: number, s: number): string {
	if (mode === "k") return `a${i}.${XYZW[s]}`;
	return mode === "m" ? `at${s}.${XYZW[i]}` : `a${i}_${s}`;
}

function loadA(mode: AMode, steps: readonly number[]): string[] {
	if (mode === "k") return ROWS.map((i) => `let a${i} = a_at4((ar${i} + k) >> 2u);`);
	if (mode === "m") return steps.map((s) => `let at${s} = a_at4((az + m0 + (k + ${s}u) * p.ak) >> 2u);`);
	return ROWS.flatMap((i) => steps.map((s) => `let a${i}_${s} = a_at(ar${i} + (k + ${s}u) * p.ak);`));
}

/** Loads B as vec4 over n: b<step>_<half>. */
export function loadB(mode: BMode, steps: readonly number[], halves: readonly number[]): string[] {
	if (mode === "n") {
		return steps.flatMap((s) => halves.map((h) => `let b${s}_${h} = b_at4((bz + (k + ${s}u) * p.bk + h${h}) >> 2u);`));
	}
	const columns = halves.flatMap((h) => STEPS.map((c) => 4 * h + c));
	const gather = (s: number, h: number, value: (c: number) => string) =>
		`let b${s}_${h} = vec4f(${columns
			.slice(h * 4, h * 4 + 4)
			.map(value)
			.join(", ")});`;
	if (mode === "k") {
		return [
			...columns.map((c) => `let q${c} = b_at4((bc${c} + k) >> 2u);`),
			...steps.flatMap((s) => halves.map((h) => gather(s, h, (c) => `q${c}.${XYZW[s]}`))),
		];
	}
	return steps.flatMap((s) => halves.map((h) => gather(s, h, (c) => `b_at(bc${c} + (k + ${s}u) * p.bk)`)));
}

function multiply({ a, b }: GemmVariant, steps: readonly number[]): string {
	const products = steps.flatMap((s) => ROWS.flatMap((i) => HALVES.map((h) => `acc${i}_${h} += ${aValue(a, i, s)} * b${s}_${h};`)));
	return [...loadA(a, steps), ...loadB(b, steps, HALVES), ...products].join("\n    ");
}

/** The buffer of what is added from beside the result, where the variant has one. */
export const summand = ({ onto, wideStore }: Pick<GemmVariant, "onto" | "wideStore">): Readonly<Record<string, BufferSpec>> =>
	onto === "c" ? { c: reads("f32", wideStore ? 4 : 1) } : {};

/** WGSL of what is stored where the product is `value`; `at` counts numbers, or fours of them. */
export function stored({ onto, wideStore }: Pick<GemmVariant, "onto" | "wideStore">, at: string, value: string): string {
	const four = wideStore ? "4" : "";
	return `y_set${four}(${at}, ${onto === false ? value : `${onto}_at${four}(${at}) + ${value}`});`;
}

/** How a tile is stored, of so many rows and of halves of four columns. */
interface Storing {
	readonly rows: number;
	/** Rows that the code is for: where a loop takes these after those, a driver compiles them once, and stores are most of its work. */
	readonly atOnce: number;
	readonly halves: readonly number[];
	/** Numbers that are added in the end, as `acc` is named. */
	readonly plus?: string | undefined;
	/** WGSL of the distance between two columns, where they do not follow each other. */
	readonly apart?: string | undefined;
}

/** WGSL that stores acc<row>_<half>, of a tile that begins at row m0 and column n0. */
export function store(variant: GemmVariant, { rows, atOnce, halves, plus, apart }: Storing): string {
	const turns = Array.from({ length: rows / atOnce }, (_, turn) => turn);
	const column = (c: string): string => (apart === undefined ? c : `${c} * ${apart}`);
	const own = (name: string, i: number, h: number): string => chosen(turns.map((turn) => `${name}${atOnce * turn + i}_${h}`));
	const lines: string[] = [];
	for (let i = 0; i < atOnce; i++) {
		const row = [`let o = z * p.oz + m * p.om + ${column("n0")};`];
		for (const h of halves) {
			row.push(`let v${h} = ${own("acc", i, h)};`);
			if (plus !== undefined) row.push(`let w${h} = ${own(plus, i, h)};`);
			const value = (part: string): string => (plus === undefined ? `v${h}${part}` : `v${h}${part} + w${h}${part}`);
			if (variant.wideStore) {
				row.push(`if (n0 + ${4 * h}u < p.N) { ${stored(variant, `(o + ${4 * h}u) >> 2u`, value(""))} }`);
			} else {
				for (const s of STEPS) {
					const at = `o + ${column(`${4 * h + s}u`)}`;
					row.push(`if (n0 + ${4 * h + s}u < p.N) { ${stored(variant, at, value(`.${XYZW[s]}`))} }`);
				}
			}
		}
		lines.push(`{ let m = top + ${i}u; ${atOnce === 1 ? "" : "if (m < p.M) "}{ ${row.join(" ")} } }`);
	}
	// Compilers copy the code of a loop whose number of turns they know: of this one they know it not.
	return `let end = min(m0 + ${rows}u, p.M);
  for (var top = m0; top < end; top += ${atOnce}u) {
    let turn = (top - m0) / ${atOnce}u;
    ${[bitsOf("turn", turns.length), ...lines].join("\n    ")}
  }`;
}

/** What a kernel takes for an update: ranks, and elements of `up` from one column of the result to the next and from one z to the next. */
export const updateParams = (update: boolean): Readonly<Record<string, ParamType>> => (update ? { R: "u32", un: "u32", uz: "u32" } : {});
export const updateBuffers = (update: boolean): Readonly<Record<string, BufferSpec>> =>
	update ? { low: reads("f32", 4), up: reads("f32", 4) } : {};

/** Extents, batch axes and strides of a product; `tiles` is how many parts of the result are computed. */
export const PARAMS = {
	tiles: "u32",
	M: "u32",
	N: "u32",
	K: "u32",
	z1: "u32",
	z2: "u32",
	a0: "u32",
	a1: "u32",
	a2: "u32",
	am: "u32",
	ak: "u32",
	b0: "u32",
	b1: "u32",
	b2: "u32",
	bk: "u32",
	bn: "u32",
	oz: "u32",
	om: "u32",
} as const;

/** Extents and strides of a product, as kernels take them. */
export type Size = Readonly<Record<Exclude<keyof typeof PARAMS, "tiles">, number>>;

/** The matrices, the result, and what lies like it and is added to it. */
export type Operands = Readonly<Record<"a" | "b" | "y", Physical>> & { readonly c?: Physical };

/** WGSL of where a tile of so many rows and columns lies, by its number: `m0` and `n0`, of `mt` and `nt` tiles down and across. */
export const placeOfTile = (tile: string, { rows, columns }: { readonly rows: number; readonly columns: number }): string =>
	wgsl`if (${tile} >= p.tiles) { return; }
  let nt = (p.N + ${columns - 1}u) / ${columns}u;
  let mt = (p.M + ${rows - 1}u) / ${rows}u;
  let n0 = (${tile} % nt) * ${columns}u;
  let m0 = ((${tile} / nt) % mt) * ${rows}u;`;

/** The buffers of a product. */
export const buffersOf = ({ a, b, aDtype, bDtype, wideStore, ...rest }: GemmVariant) => ({
	a: reads(aDtype, a === "s" ? 1 : 4),
	b: reads(bDtype, b === "s" ? 1 : 4),
	...summand({ wideStore, ...rest }),
	y: writes("f32", wideStore ? 4 : 1),
});

/** WGSL of where the matrices of batch entry z begin: `az` and `bz`. */
export const PLACE_OF_MATRICES = wgsl`let c2 = z % p.z2; let c1 = (z / p.z2) % p.z1; let c0 = z / (p.z2 * p.z1);
  let az = c0 * p.a0 + c1 * p.a1 + c2 * p.a2;
  let bz = c0 * p.b0 + c1 * p.b1 + c2 * p.b2;`;

/**
 * y[z, m, n] = sum over k of a[z, m, k] * b[z, k, n].
 * Plan "cpu": one invocation computes a tile of 4 x 8 in registers and walks k in steps of 4 without workgroup memory.
 * Invocations are numbered along n, then m, then z, so that thin matrices fill the lanes too. The order of the sum is
 * the same for every element, wherever its row stands.
 */
export const gemmKernel = defineKernel("gemm", (variant: GemmVariant) => {
	const { a, b } = variant;
	const whole = a === "k" || b === "k";
	const columns = [0, 1, 2, 3, 4, 5, 6, 7];
	const tail = whole
		? ""
		: `for (var k = p.K & ~3u; k < p.K; k++) {
    ${multiply(variant, [0])}
  }`;
	return {
		params: PARAMS,
		buffers: buffersOf(variant),
		workgroup: 32,
		body: wgsl`
  ${placeOfTile("index", { rows: TILE_M, columns: TILE_N })}
  let z = index / (nt * mt);
  ${PLACE_OF_MATRICES}
  ${a === "m" ? "" : ROWS.map((i) => `let ar${i} = az + min(m0 + ${i}u, p.M - 1u) * p.am;`).join(" ")}
  ${b === "n" ? "let h0 = n0; let h1 = min(n0 + 4u, p.N - 4u);" : columns.map((c) => `let bc${c} = bz + min(n0 + ${c}u, p.N - 1u) * p.bn;`).join(" ")}
  ${ROWS.flatMap((i) => HALVES.map((h) => `var acc${i}_${h} = vec4f();`)).join(" ")}
  for (var k = 0u; k + 4u <= p.K; k += 4u) {
    ${multiply(variant, STEPS)}
  }
  ${tail}
  ${store(variant, { rows: TILE_M, atOnce: 1, halves: HALVES })}`,
	};
});
