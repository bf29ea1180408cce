import { defineKernel } from "../gpu/defineKernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import {
	type AMode,
	buffersOf,
	type GemmVariant,
	loadB,
	PARAMS,
	PLACE_OF_MATRICES,
	placeOfTile,
	store,
	updateBuffers,
	updateParams,
} from "./gemm.kernel.ts";

/** Invocations of a subgroup. */
export const LANES = 8;
/** Columns of a tile: a vec4 an invocation. */
export const COLUMNS = 4 * LANES;
const XYZW = "xyzw";
const STEPS = [0, 1, 2, 3];
const HALF = [0];

/** How the invocations of a subgroup share the values of A for so many rows and steps: what each loads, and who has a value. */
function sharing(mode: AMode, rows: number, steps: readonly number[]) {
	const parts = Array.from({ length: rows / LANES }, (_, q) => q);
	if (mode === "k") {
		const value = (i: number, s: number) => ({ name: `a${i >> 3}.${XYZW[s]}`, lane: i % LANES });
		return { loads: parts.map((q) => `let a${q} = a_at4((ar${q} + k) >> 2u);`), value };
	}
	if (mode === "s") {
		const loads = parts.flatMap((q) => steps.map((s) => `let a${q}_${s} = a_at(ar${q} + (k + ${s}u) * p.ak);`));
		return { loads, value: (i: number, s: number) => ({ name: `a${i >> 3}_${s}`, lane: i % LANES }) };
	}
	const fours = rows / 4;
	const atOnce = Math.min(steps.length, LANES / fours);
	const turns = Array.from({ length: steps.length / atOnce }, (_, q) => q);
	const step = (q: number): string => (steps.length === 1 ? "k" : `(k + ${q * atOnce}u + own / ${fours}u)`);
	return {
		loads: turns.map((q) => `let a${q} = a_at4((az + am + ${step(q)} * p.ak) >> 2u);`),
		value: (i: number, s: number) => ({ name: `a${Math.floor(s / atOnce)}.${XYZW[i % 4]}`, lane: (i >> 2) + fours * (s % atOnce) }),
	};
}

function multiply({ a, b }: GemmVariant, rows: number, steps: readonly number[]): string {
	const { loads, value } = sharing(a, rows, steps);
	// Row by row: there are more sums than registers, and each is fetched once.
	const products = Array.from({ length: rows }, (_, i) =>
		steps.map((s) => {
			const { name, lane } = value(i, s);
			return `acc${i}_0 += subgroupBroadcast(${name}, ${lane}u) * b${s}_0;`;
		}),
	);
	return [...loads, ...loadB(b, steps, HALF), ...products.flat()].join("\n    ");
}

/** WGSL of low times up, in more<row>_0. */
function updates(rows: number): string {
	const parts = Array.from({ length: rows / LANES }, (_, q) => q);
	const all = Array.from({ length: rows }, (_, i) => i);
	const row = (q: number): string => `(z * p.M + min(m0 + ${q * LANES}u + own, p.M - 1u)) * p.R`;
	const column = (c: number): string => `z * p.uz + min(n0 + ${c}u, p.N - 1u) * p.un`;
	return wgsl`${all.map((i) => `var more${i}_0 = vec4f();`).join(" ")}
  for (var r = 0u; r < p.R; r += 4u) {
    ${parts.map((q) => `let low${q} = low_at4((${row(q)} + r) >> 2u);`).join(" ")}
    ${STEPS.map((c) => `let up${c} = up_at4((${column(c)} + r) >> 2u);`).join(" ")}
    ${STEPS.map((s) => `let u${s} = vec4f(${STEPS.map((c) => `up${c}.${XYZW[s]}`).join(", ")});`).join(" ")}
    ${all.flatMap((i) => STEPS.map((s) => `more${i}_0 += subgroupBroadcast(low${i >> 3}.${XYZW[s]}, ${i % LANES}u) * u${s};`)).join("\n    ")}
  }`;
}

type SharedVariant = GemmVariant & {
	readonly rows: 8 | 16 | 32;
	/** What is stored is the sum of the product and of low times up, as `gemm` takes them. */
	readonly update: boolean;
	/** Columns of the result lie `on` apart. */
	readonly apart: boolean;
};

/**
 * The product of `gemmKernel`, to the same bits, where every subgroup has 8 invocations: plan "cpu", on drivers that have subgroups. A
 * subgroup, which is a workgroup, computes a tile of so many rows, four columns an invocation. Each loads an eighth of the values of A and has
 * the others from its neighbours: a load costs a processor several multiplications, and the more rows, the fewer loads.
 */
export const gemmSharedKernel = defineKernel("gemm/shared", ({ rows, update, apart, ...variant }: SharedVariant) => {
	const { a, b } = variant;
	const parts = Array.from({ length: rows / LANES }, (_, q) => q);
	const left = parts.map((q) => `let ar${q} = az + min(m0 + ${q * LANES}u + own, p.M - 1u) * p.am;`).join(" ");
	const fours = `let am = min(m0 + own % ${rows / 4}u * 4u, p.M - 4u);`;
	const right = STEPS.map((c) => `let bc${c} = bz + min(n0 + ${c}u, p.N - 1u) * p.bn;`).join(" ");
	const isWhole = a === "k" || b === "k";
	return {
		params: { ...PARAMS, on: "u32", ...updateParams(update) },
		buffers: { ...buffersOf(variant), ...updateBuffers(update) },
		workgroup: LANES,
		features: ["subgroups"],
		body: wgsl`let own = subgroupLane;
  let tile = wid.y * nwg.x + wid.x;
  ${placeOfTile("tile", { rows, columns: COLUMNS }).replace("let n0 =", "let first =")}
  let n0 = first + own * 4u;
  let z = tile / (nt * mt);
  ${PLACE_OF_MATRICES}
  ${a === "m" ? fours : left}
  ${b === "n" ? "let h0 = min(n0, p.N - 4u);" : right}
  ${Array.from({ length: rows }, (_, i) => `var acc${i}_0 = vec4f();`).join(" ")}
  for (var k = 0u; k + 4u <= p.K; k += 4u) {
    ${multiply(variant, rows, STEPS)}
  }
  ${isWhole ? "" : `for (var k = p.K & ~3u; k < p.K; k++) {\n    ${multiply(variant, rows, [0])}\n  }`}
  ${update ? updates(rows) : ""}
  ${store(variant, { rows, atOnce: variant.wideStore ? 4 : 1, halves: HALF, plus: update ? "more" : undefined, apart: apart ? "p.on" : undefined })}`,
	};
});
