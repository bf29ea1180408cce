import { defineKernel } from "../gpu/defineKernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { type AMode, buffersOf, type GemmVariant, loadB, PARAMS, PLACE_OF_MATRICES, placeOfTile, store } from "./gemm.kernel.ts";

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
	const step = (q: number): string => (atOnce === 1 ? "k" : `(k + ${q * atOnce}u + own / ${fours}u)`);
	return {
		loads: turns.map((q) => `let a${q} = a_at4((az + am + ${step(q)} * p.ak) >> 2u);`),
		value: (i: number, s: number) => ({ name: `a${Math.floor(s / atOnce)}.${XYZW[i % 4]}`, lane: (i >> 2) + fours * (s % atOnce) }),
	};
}

function multiply({ a, b }: GemmVariant, rows: number, steps: readonly number[]): string {
	const { loads, value } = sharing(a, rows, steps);
	const products = steps.flatMap((s) =>
		Array.from({ length: rows }, (_, i) => {
			const { name, lane } = value(i, s);
			return `acc${i}_0 += subgroupBroadcast(${name}, ${lane}u) * b${s}_0;`;
		}),
	);
	return [...loads, ...loadB(b, steps, HALF), ...products].join("\n    ");
}

/**
 * The product of `gemmKernel`, to the same bits, where every subgroup has 8 invocations: plan "cpu", on drivers that have subgroups. A
 * subgroup, which is a workgroup, computes a tile of 8 or 16 rows, four columns an invocation. Each loads an eighth of the values of A and has
 * the others from its neighbours: a load costs a processor several multiplications.
 */
export const gemmSharedKernel = defineKernel("gemm/shared", ({ rows, ...variant }: GemmVariant & { rows: 8 | 16 }) => {
	const { a, b } = variant;
	const parts = Array.from({ length: rows / LANES }, (_, q) => q);
	const left = parts.map((q) => `let ar${q} = az + min(m0 + ${q * LANES}u + own, p.M - 1u) * p.am;`).join(" ");
	const fours = `let am = min(m0 + own % ${rows / 4}u * 4u, p.M - 4u);`;
	const right = STEPS.map((c) => `let bc${c} = bz + min(n0 + ${c}u, p.N - 1u) * p.bn;`).join(" ");
	const isWhole = a === "k" || b === "k";
	return {
		params: PARAMS,
		buffers: buffersOf(variant),
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
  ${store(variant, rows, HALF)}`,
	};
});
