import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { MATRIX_FEATURES, type MatrixUnit } from "../gpu/matrices.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { BLOCK, POWER_OF_TWO, partsOf } from "./gemm.halves.kernel.ts";
import { type GemmVariant, PARAMS, placeOfTile, stored, summand } from "./gemm.kernel.ts";

/**
 * A part of the result that a workgroup computes, rows by columns, and its subgroups, down by across, which share it evenly. Each has
 * whole squares of 16 x 16; a workgroup has at most 256 invocations.
 */
export type MatrixTile = `${number}x${number}/${number}x${number}`;

/** The tiles to choose from, the largest first. */
export const MATRIX_TILES: readonly MatrixTile[] = ["128x128/2x4", "128x64/2x2", "64x64/2x2", "32x32/2x2"];

/** Rows and columns of a tile, subgroups down and across, and squares of 16 x 16 that each of them has, in rows and columns. */
export function partsOfTile(tile: MatrixTile) {
	const [extent, subgroups] = tile.split("/").map((part) => part.split("x").map(Number));
	const [down, across] = subgroups;
	return { extent: { rows: extent[0], columns: extent[1] }, down, across, rows: extent[0] / down / 16, columns: extent[1] / across / 16 };
}

export type MatrixVariant = Pick<GemmVariant, "aDtype" | "bDtype" | "onto"> &
	Pick<MatrixUnit, "m" | "n" | "k" | "lanes" | "isEmulated"> & { readonly tile: MatrixTile };

/** Fours of words, of eight f16 each, from one row of a slice to the next: one more than a block has, for other banks of memory. */
const STRIDE = BLOCK / 8 + 1;
const FOUR = [0, 1, 2, 3];
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** WGSL of matrices in the hands of a subgroup; `strip` and `at` say where in the slices one lies. */
interface Matrices {
	/** Types Left, Right and Sum, and what the rest calls. */
	readonly helpers: string;
	left(strip: string, at: string): string;
	right(strip: string, at: string): string;
	/** left * right + sum. */
	product(left: string, right: string, sum: string): string;
	/** A statement that writes a sum to the slices. */
	keep(strip: string, at: string, sum: string): string;
	/** `body` so many times, where `name` counts from 0. */
	repeat(name: string, times: number, body: string): string;
}

/** Places are constants but for the strip: Dawn then need not check them where the kernel runs, and the driver knows the strides. */
const native = ({ m, n, k }: MatrixVariant): Matrices => ({
	helpers: `alias Left = subgroup_matrix_left<f16, ${k}, ${m}>;
alias Right = subgroup_matrix_right<f16, ${n}, ${k}>;
alias Sum = subgroup_matrix_result<f32, ${n}, ${m}>;`,
	left: (strip, at) => `subgroupMatrixLoad<Left, row_major>(&slices[${strip}], ${at}, ${STRIDE}u)`,
	right: (strip, at) => `subgroupMatrixLoad<Right, col_major>(&slices[${strip}], ${at}, ${STRIDE}u)`,
	product: (left, right, sum) => `subgroupMatrixMultiplyAccumulate(${left}, ${right}, ${sum})`,
	keep: (strip, at, sum) => `subgroupMatrixStore<row_major>(&slices[${strip}], ${at}, ${sum}, ${n / 4}u);`,
	repeat: (name, times, body) =>
		upTo(times)
			.map((i) => `{ const ${name} = ${i}u; ${body} }`)
			.join("\n      "),
});

/**
 * The same in plain WGSL: a factor is the place where it lies, and each invocation has some fours of a sum. `p.K >> 31u` is 0 in a way
 * that no compiler knows: it keeps drivers from unrolling, and from seconds of compilation.
 */
function emulated({ m, n, k, lanes }: MatrixVariant): Matrices {
	const fours = (m * n) / 4 / lanes;
	const place = (strip: string, at: string): string => `vec2u(${strip}, ${at})`;
	return {
		helpers: `alias Left = vec2u;
alias Right = vec2u;
alias Sum = array<vec4f, ${fours}>;
fn halfAt(place: vec2u, row: u32, k: u32) -> f32 {
  return unpack2x16float(slices[place.x][place.y + row * ${STRIDE}u + k / 8u][k / 2u % 4u])[k % 2u];
}
fn product(left: vec2u, right: vec2u, sum: Sum, own: u32) -> Sum {
  var sums = sum;
  for (var i = 0u; i < ${fours}u + (p.K >> 31u); i++) {
    let row = (own + i * ${lanes}u) / ${n / 4}u;
    let column = (own + i * ${lanes}u) % ${n / 4}u * 4u;
    var s = sums[i];
    for (var k = 0u; k < ${k}u + (p.K >> 31u); k++) {
      s += halfAt(left, row, k) * vec4f(${FOUR.map((c) => `halfAt(right, column + ${c}u, k)`).join(", ")});
    }
    sums[i] = s;
  }
  return sums;
}
fn keep(place: vec2u, sum: Sum, own: u32) {
  for (var i = 0u; i < ${fours}u; i++) { slices[place.x][place.y + own + i * ${lanes}u] = bitcast<vec4u>(sum[i]); }
}`,
		left: place,
		right: place,
		product: (left, right, sum) => `product(${left}, ${right}, ${sum}, own)`,
		keep: (strip, at, sum) => `keep(${place(strip, at)}, ${sum}, own);`,
		repeat: (name, times, body) => `for (var ${name} = 0u; ${name} < ${times}u + (p.K >> 31u); ${name}++) { ${body} }`,
	};
}

const OPERAND = { aM: "u32", bN: "u32" } as const;

/**
 * y[z, m, n] = sum over k of a[z, m, k] * b[z, k, n], from `left` and `right`, which are a and the transpose of b as f16 (see
 * gemm/halves), by matrices of subgroups.
 * Plan "matrix": a workgroup computes a tile. Slices of the factors, a block deep, lie in its memory; the next are asked for before they
 * are multiplied. Where both numbers have two parts, high high + high low + low high is added. Each element is summed along k in order,
 * so that it is the same by any tile. A row with a column of which one holds infinity is multiplied in f32 instead, from a and b; NaN makes NaN.
 */
export const gemmMatrixKernel = defineKernel("gemm/matrix", (variant: MatrixVariant) => {
	const { aDtype, bDtype, onto, tile, m, n, k, lanes: width, isEmulated } = variant;
	const { extent, down, across, rows, columns } = partsOfTile(tile);
	const lanes = width * down * across;
	const [aParts, bParts] = [partsOf(aDtype), partsOf(bDtype)];
	const unit = (isEmulated ? emulated : native)(variant);
	/** Strips of 16 rows, of all parts of a factor one after the other. */
	const [leftStrips, rightStrips] = [down * rows * aParts, across * columns * bParts];
	const sides = [
		{ name: "left", count: extent.rows, parts: aParts, begin: 0, first: "leftRow + m0", last: "p.M - m0 - 1u" },
		{ name: "right", count: extent.columns, parts: bParts, begin: leftStrips, first: "rightRow + n0", last: "p.N - n0 - 1u" },
	] as const;
	/** WGSL for each four of words of a slice that an invocation has. */
	const each = (make: (side: (typeof sides)[number], register: string) => string): string =>
		sides
			.flatMap((side) => {
				const total = side.count * side.parts * 4;
				return upTo(Math.ceil(total / lanes)).map((turn) => {
					const place = `let word = lane + ${turn * lanes}u; let row = word / ${4 * side.parts}u; let in = word % ${4 * side.parts}u;`;
					const guard = (turn + 1) * lanes <= total ? "" : `if (lane < ${total - turn * lanes}u) `;
					return `${guard}{ ${place} ${make(side, `${side.name}${turn}`)} }`;
				});
			})
			.join("\n    ");
	const registers = sides.flatMap(({ name, count, parts }) => upTo(Math.ceil((count * parts * 4) / lanes)).map((turn) => `${name}${turn}`));
	const [downs, acrosses] = [(16 * rows) / m, (16 * columns) / n];
	/** Where number `i` of a subgroup's matrices that are `size` rows long begins, at depth `step`. */
	const placeOf = (strip: string, i: string, size: number): [strip: string, at: string] => [
		`${strip} + ${i} * ${size}u / 16u`,
		`${i} * ${size}u % 16u * ${STRIDE}u + step * ${k / 8}u`,
	];
	const left = unit.left(...placeOf(`part * ${down * rows}u + subDown * ${rows}u`, "i", m));
	const right = unit.right(...placeOf(`${leftStrips}u + part * ${across * columns}u + subAcross * ${columns}u`, "j", n));
	/** The small products first; each sum is asked for again as late as can be. */
	const pairs = [[1, 0], [0, 1], [0, 0]].filter(([pa, pb]) => pa < aParts && pb < bParts); // biome-ignore format: pairs
	const product = (pa: number, pb: number): string =>
		unit.product(`lefts[${pa * downs}u + i]`, `rights[${pb * acrosses}u + j]`, `sums[i * ${acrosses}u + j]`);
	const multiply = [
		unit.repeat("part", aParts, unit.repeat("i", downs, `lefts[part * ${downs}u + i] = ${left};`)),
		unit.repeat("part", bParts, unit.repeat("j", acrosses, `rights[part * ${acrosses}u + j] = ${right};`)),
		...pairs.map(([pa, pb]) => unit.repeat("i", downs, unit.repeat("j", acrosses, `sums[i * ${acrosses}u + j] = ${product(pa, pb)};`))),
	].join("\n      ");
	const perSum = (m * n) / 4;
	/** Strips that the sums of a row of a subgroup's matrices take; in one lie all of its width. */
	const sumStrips = columns;
	const wide = n * acrosses;
	/** WGSL that stores the sums of row i of matrices, through the memory of the workgroup: a unit alone knows where it has a number. */
	const keep = `workgroupBarrier();
  ${unit.repeat("j", acrosses, unit.keep(`sub * ${sumStrips}u + j * ${n}u / 16u`, `j * ${n}u % 16u / ${n}u * ${perSum}u`, `sums[i * ${acrosses}u + j]`))}
  workgroupBarrier();
  for (var at = own; at < ${m * wide}u; at += ${width}u) {
    let row = at / ${wide}u;
    let column = at % ${wide}u;
    let four = slices[subOfLane * ${sumStrips}u + column / 16u][column % 16u / ${n}u * ${perSum}u + (row * ${n}u + column % ${n}u) / 4u];
    store(z, rowOfLane + i * ${m}u + row, columnOfLane + column, bitcast<f32>(four[column % 4u]));
  }`;
	const plain = `fn plain(entry: u32, m: u32, n: u32) -> f32 {
  let z = p.zFirst + entry;
  let c2 = z % p.z2; let c1 = (z / p.z2) % p.z1; let c0 = z / (p.z2 * p.z1);
  let rowA = c0 * p.a0 + c1 * p.a1 + c2 * p.a2 + m * p.am;
  let columnB = c0 * p.b0 + c1 * p.b1 + c2 * p.b2 + n * p.bn;
  var sum = 0.0;
  for (var k = 0u; k < p.K; k++) { sum += a_at(rowA + k * p.ak) * b_at(columnB + k * p.bk); }
  return sum;
}
fn scaled(z: u32, m: u32, n: u32, sum: f32) -> f32 {
  let eLeft = leftE_at(z * p.aM + m);
  let eRight = rightE_at(z * p.bN + n);
  if (max(eLeft, eRight) == 255u) { return plain(z, m, n); }
  if (max(eLeft, eRight) > 255u) { return makeNan(sum); }
  let e = i32(eLeft + eRight) - 282;
  let third = powerOfTwo(e / 3);
  return sum * third * third * powerOfTwo(e - 2 * (e / 3));
}`;
	const store = `fn store(z: u32, m: u32, n: u32, sum: f32) {
  if (m >= p.M || n >= p.N) { return; }
  let o = (p.zFirst + z) * p.oz + m * p.om + n;
  ${stored({ onto, wideStore: false }, "o", "scaled(z, m, n, sum)")}
}`;
	return {
		params: { ...PARAMS, ...OPERAND, blocks: "u32", zFirst: "u32" },
		buffers: {
			...{ a: reads(aDtype), b: reads(bDtype), left: reads("u32", 4), leftE: reads("u32"), right: reads("u32", 4), rightE: reads("u32") },
			...summand({ onto, wideStore: false }),
			y: writes("f32"),
		},
		workgroup: lanes,
		shared: { slices: { type: "vec4u", length: 16 * STRIDE, times: leftStrips + rightStrips } },
		features: isEmulated ? [] : MATRIX_FEATURES,
		helpers: [POWER_OF_TWO, unit.helpers, plain, store].join("\n"),
		body: wgsl`
  let group = wid.y * nwg.x + wid.x;
  ${placeOfTile("group", extent)}
  let z = group / (nt * mt);
  let leftRow = z * p.aM;
  let rightRow = z * p.bN;
  let own = lane % ${width}u;
  let subOfLane = lane / ${width}u;
  let rowOfLane = m0 + subOfLane / ${across}u * ${16 * rows}u;
  let columnOfLane = n0 + subOfLane % ${across}u * ${16 * columns}u;
  let sub = ${isEmulated ? "subOfLane" : "subgroup"};
  let subDown = sub / ${across}u;
  let subAcross = sub % ${across}u;
  var sums: array<Sum, ${downs * acrosses}>;
  var lefts: array<Left, ${aParts * downs}>;
  var rights: array<Right, ${bParts * acrosses}>;
  for (var block = 0u; ; block++) {
    ${registers.map((r) => `var ${r} = vec4u();`).join(" ")}
    if (block < p.blocks) {
    ${each(({ name, parts, first, last }, to) => `${to} = ${name}_at4(((${first} + min(row, ${last})) * p.blocks + block) * ${4 * parts}u + in);`)}
    }
    if (block > 0u) {
      ${unit.repeat("step", BLOCK / k, multiply)}
    }
    if (block >= p.blocks) { break; }
    workgroupBarrier();
    ${each(({ count, begin }, from) => `slices[${begin}u + in / 4u * ${count / 16}u + row / 16u][row % 16u * ${STRIDE}u + in % 4u] = ${from};`)}
    workgroupBarrier();
  }
  ${unit.repeat("i", downs, keep)}`,
	};
});
