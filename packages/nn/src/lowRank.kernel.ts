import { type BufferSpec, bitsOf, chosen, defineKernel, type ParamType, reads, THREEFRY_WGSL, wgsl, writes } from "@hushgrad/tensor/author";
import { decoding, type WeightCount } from "./quant/nf4.kernel.ts";

/** Ranks that one invocation takes. */
export const RANKS = 8;
/**
 * What invocations share: nothing; what all of a subgroup of eight read, each an eighth of it; or the rows of a workgroup, whose parts of a
 * sum they add.
 */
export type Sharing = "nothing" | "loads" | "sums";
/** Rows of x that one invocation takes, and how many are a workgroup. */
const ROWS = { nothing: { rows: 4, lanes: 16 }, loads: { rows: 4, lanes: 8 }, sums: { rows: 2, lanes: 64 } } as const;
/** Columns of a workgroup of `lowRank/back`, each as wide as what is read at once, and how many invocations share the rows of one. */
const COLUMNS = { nothing: { columns: 16, parts: 1 }, loads: { columns: 8, parts: 1 }, sums: { columns: 8, parts: 16 } } as const;

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

type Variant = {
	/** x and A are read four numbers at once. */
	readonly wide: boolean;
	/** x is dropped out on the way. */
	readonly drops: boolean;
	/** Ranks of an invocation, at most RANKS. */
	readonly ranks: number;
	/** Branches of x, each with an A and a mask of its own. */
	readonly count: WeightCount;
	readonly shares: Sharing;
};

type DownVariant = Variant & {
	/** How many weights that are held in four bits workgroups beside those of the rows write. */
	readonly decodes: 0 | WeightCount;
	/** Whether it writes them in bf16. */
	readonly bf16: boolean;
};

type BackVariant = Variant & {
	/** What dx is added to: c, or what is there; nothing where it is false. */
	readonly onto: "c" | "dx" | false;
};

const MASK_PARAMS = { ks: "u32", limit: "u32", kept: "f32" } as const;

/** The streams of the branches: `stream`, and `stream1` and so on for those behind the first. */
const streamsOf = (count: WeightCount): Readonly<Record<string, "u32">> =>
	Object.fromEntries(upTo(count).map((j) => [j === 0 ? "stream" : `stream${j}`, "u32"]));

const featuresOf = (shares: Sharing): { features: readonly ["subgroups"] } | undefined =>
	shares === "loads" ? { features: ["subgroups"] } : undefined;

/** What is read at once. */
const numbersOf = ({ wide }: Pick<Variant, "wide">): "vec4f" | "f32" => (wide ? "vec4f" : "f32");

/**
 * `factor` is what dropout multiplies the numbers of a record from number e on with, in branch j: those of the operation `dropout`, drawn
 * again.
 */
function helpers(variant: Variant): string {
	const { wide, drops, count } = variant;
	const V = numbersOf(variant);
	const lines = [
		`const STEP = ${wide ? 4 : 1}u;`,
		`fn x_v(i: u32) -> ${V} { return ${wide ? "x_at4(i >> 2u)" : "x_at(i)"}; }`,
		`fn a_v(i: u32) -> ${V} { return ${wide ? "a_at4(i >> 2u)" : "a_at(i)"}; }`,
		`fn plusDot(sum: f32, v: ${V}, w: ${V}) -> f32 { return ${wide ? "sum + v.x * w.x + v.y * w.y + v.z * w.z + v.w * w.w" : "sum + v * w"}; }`,
	];
	if (!drops)
		return [
			...lines,
			`fn keyOf(record: u32) -> vec2u { return vec2u(0u); }\nfn factor(key: vec2u, j: u32, e: u32) -> ${V} { return ${V}(1.0); }`,
		].join("\n");
	const drawn = wide
		? `let more = threefry(key, vec2u((e >> 1u) + 1u, stream));
  return select(vec4f(0.0), vec4f(p.kept), (vec4u(words, more) >> vec4u(8u)) >= vec4u(p.limit));`
		: "return select(0.0, p.kept, (select(words.x, words.y, (e & 1u) == 1u) >> 8u) >= p.limit);";
	return [
		...lines,
		THREEFRY_WGSL,
		"fn keyOf(record: u32) -> vec2u { return vec2u(keys_at(p.ks * record), keys_at(p.ks * record + 1u)); }",
		`fn factor(key: vec2u, j: u32, e: u32) -> ${V} {
  let stream = ${upTo(count)
		.slice(1)
		.reduce((rest, j) => `select(${rest}, p.stream${j}, j == ${j}u)`, "p.stream")};
  let words = threefry(key, vec2u(e >> 1u, stream));
  ${drawn}
}`,
	].join("\n");
}

/* Buffers that some variants have. */
type Buffers = Readonly<Record<string, BufferSpec>>;
const keysOf = (drops: boolean): Buffers => (drops ? { keys: reads("u32") } : {});
const summandOf = (hasSummand: boolean, lanes: 1 | 4): Buffers => (hasSummand ? { c: reads("f32", lanes) } : {});

/**
 * What a kernel has for the workgroups that write weights held in four bits, behind the first `others` of each row of its grid: they
 * share their words evenly.
 */
export function decodingOf(
	decodes: 0 | WeightCount,
	bf16: boolean,
): {
	readonly params: Readonly<Record<string, ParamType>>;
	readonly buffers: Buffers;
	readonly helpers: string;
	readonly body: (lanes: number) => string;
} {
	if (decodes === 0) return { params: {}, buffers: {}, helpers: "", body: () => "" };
	const own = decoding({ count: decodes, bf16 });
	return {
		params: { ...own.params, others: "u32" },
		buffers: own.buffers,
		helpers: own.helpers,
		body: (lanes) => wgsl`if (wid.x >= p.others) {
  let own = nwg.x - p.others;
  let group = (wid.z * nwg.y + wid.y) * own + wid.x - p.others;
  ${own.words(`group * ${lanes}u + lane`, `own * nwg.y * nwg.z * ${lanes}u`)}
  return;
}`,
	};
}

/**
 * low[t, r] = scale · the sum over k of dropout(x)[t, k] A[r, k], of each record and branch. Workgroups go along the rows, the records, and
 * the ranks of one branch after the other.
 * Plan "cpu": an invocation has rows of its own; where it shares loads it reads one row of A and has the others from its neighbours. Plan
 * "gpu": those of a workgroup share its rows, and join what they found by halves. Workgroups beyond the first `others` of a record may write a weight (`decodes`), of which no row is made.
 */
export const lowRankDownKernel = defineKernel("lowRank/down", (variant: DownVariant) => {
	const { wide, drops, ranks, shares, decodes, bf16 } = variant;
	const { rows: rowCount, lanes } = ROWS[shares];
	const shared = shares === "sums";
	const isSpread = shares === "loads";
	const more = decodingOf(decodes, bf16);
	const rows = upTo(rowCount);
	const sums = rowCount * ranks;
	const each = (of: (i: number, r: number) => string): string => rows.flatMap((i) => upTo(ranks).map((r) => of(i, r))).join("\n  ");
	const store = (row: string, rank: string, value: string): string =>
		`if (${row} < p.T && ${rank} < p.R) { low_set((first + ${row}) * p.R + ${rank}, ${value} * p.scale); }`;
	return {
		params: {
			...{ T: "u32", K: "u32", R: "u32", xs: "u32", az: "u32", rs: "u32", scale: "f32", chunks: "u32" },
			...MASK_PARAMS,
			...streamsOf(variant.count),
			...more.params,
		} as Readonly<Record<string, ParamType>>,
		buffers: { x: reads("f32", wide ? 4 : 1), a: reads("f32", wide ? 4 : 1), low: writes("f32"), ...keysOf(drops), ...more.buffers },
		workgroup: lanes,
		shared: shared ? { parts: { type: "f32", length: sums * lanes } } : undefined,
		...featuresOf(shares),
		helpers: `${helpers(variant)}\n${more.helpers}`,
		body: wgsl`
${more.body(lanes)}
let record = wid.y;
let key = keyOf(record);
let t0 = ${shared ? `wid.x * ${rowCount}u` : `(wid.x * ${lanes}u + lane) * ${rowCount}u`};
let j = wid.z / p.chunks;
let r0 = (wid.z % p.chunks) * ${ranks}u;
let first = (j * nwg.y + record) * p.T;
${isSpread ? "" : "if (t0 >= p.T) { return; }"}
${rows.map((i) => `let e${i} = min(t0 + ${i}u, p.T - 1u) * p.K;`).join(" ")}
${(isSpread ? [`min(subgroupLane, ${ranks - 1}u)`] : upTo(ranks).map((r) => `${r}u`))
	.map((r, i) => `let w${i} = j * p.az + record * p.rs + min(r0 + ${r}, p.R - 1u) * p.K;`)
	.join("\n")}
${each((i, r) => `var s${i}_${r} = 0.0;`)}
for (var k = ${shared ? "lane * STEP" : "0u"}; k < p.K; k += ${shared ? lanes : 1}u * STEP) {
  ${isSpread ? "let mine = a_v(w0 + k);" : ""}
  ${upTo(ranks)
		.map((r) => `let a${r} = ${isSpread ? `subgroupBroadcast(mine, ${r}u)` : `a_v(w${r} + k)`};`)
		.join("\n  ")}
  ${rows.map((i) => `let x${i} = x_v(record * p.xs + e${i} + k) * factor(key, j, e${i} + k);`).join("\n  ")}
  ${each((i, r) => `s${i}_${r} = plusDot(s${i}_${r}, x${i}, a${r});`)}
}
${
	shared
		? `${each((i, r) => `parts[lane * ${sums}u + ${i * ranks + r}u] = s${i}_${r};`)}
for (var half = ${lanes / 2}u; half > 0u; half >>= 1u) {
  workgroupBarrier();
  if (lane < half) { ${upTo(sums)
		.map((v) => `parts[lane * ${sums}u + ${v}u] += parts[(lane + half) * ${sums}u + ${v}u];`)
		.join(" ")} }
}
workgroupBarrier();
let row = t0 + lane / ${ranks}u;
let rank = r0 + lane % ${ranks}u;
if (lane < ${sums}u) { ${store("row", "rank", "parts[lane]")} }`
		: `let end = min(t0 + ${rowCount}u, max(t0, p.T)) - t0;
for (var i = 0u; i < end; i++) {
  ${bitsOf("i", rowCount)}
  ${upTo(ranks)
		.map((r) => store("t0 + i", `r0 + ${r}u`, chosen(rows.map((i) => `s${i}_${r}`))))
		.join("\n  ")}
}`
}`,
	};
});

/** Workgroups of `lowRank/down` along the rows, and invocations of each. */
export function downGroups(count: number, shares: Sharing): { readonly groups: number; readonly lanes: number } {
	const { rows, lanes } = ROWS[shares];
	return { groups: Math.ceil(count / (shares === "sums" ? rows : rows * lanes)), lanes };
}

/** Workgroups of `lowRank/back` along the columns. */
export const backGroups = (K: number, { wide, shares }: Pick<BackVariant, "wide" | "shares">): number =>
	Math.ceil(K / (COLUMNS[shares].columns * (wide ? 4 : 1)));

/**
 * From the gradient h of low: dx[t, k] = scale · dropout's factor · the sum over r of h[t, r] A[r, k], and dA[r, k] = scale · the sum over t of
 * h[t, r] dropout(x)[t, k], of each record, for the ranks from r0 on; of several branches dx is the sum, in their order. Plan "cpu": an invocation walks down the columns of x that it reads
 * at once; where it shares loads it reads one number of a row of h and has the others from its neighbours. Plan "gpu": several share
 * columns, and add what they found in their order. Workgroups go along the columns and the records.
 */
export const lowRankBackKernel = defineKernel("lowRank/back", (variant: BackVariant) => {
	const { wide, drops, ranks, onto, shares, count } = variant;
	const { columns, parts } = COLUMNS[shares];
	const shared = shares === "sums";
	const isSpread = shares === "loads";
	const lanes = wide ? 4 : 1;
	const each = (of: (r: number) => string): string => upTo(ranks).map(of).join("\n");
	const V = numbersOf(variant);
	const dx = wide ? "4((record * p.T * p.K + e) >> 2u" : "(record * p.T * p.K + e";
	const store = (r: string, value: string): string =>
		`da_set${wide ? "4" : ""}((((j * nwg.y + record) * p.R + p.r0 + ${r}) * p.K + k) / STEP, ${value});`;
	/** WGSL of what the sum of the first branch is added to, and of that of another. */
	const first = onto === false ? "" : `${onto}_at${dx}) + `;
	const term = (before: string): string => `${isSpread ? "if (isInside) { " : ""}dx_set${dx}, ${before}sum * f);${isSpread ? " }" : ""}`;
	return {
		params: {
			...{ T: "u32", K: "u32", R: "u32", r0: "u32", xs: "u32", az: "u32", rs: "u32", scale: "f32" },
			...MASK_PARAMS,
			...streamsOf(count),
		} as Readonly<Record<string, ParamType>>,
		buffers: {
			...{ h: reads("f32"), x: reads("f32", lanes), a: reads("f32", lanes), dx: writes("f32", lanes), da: writes("f32", lanes) },
			...keysOf(drops),
			...summandOf(onto === "c", lanes),
		},
		workgroup: columns * parts,
		shared: shared ? { found: { type: V, length: columns * parts * ranks } } : undefined,
		...featuresOf(shares),
		helpers: helpers(variant),
		body: wgsl`
let record = wid.y;
let key = keyOf(record);
let column = lane % ${columns}u;
let part = ${parts === 1 ? "0u" : `lane / ${columns}u`};
let own = (wid.x * ${columns}u + column) * STEP;
let isInside = own < p.K;
${shares === "nothing" ? "if (!isInside) { return; }" : ""}
let k = min(own, p.K - STEP);
for (var j = 0u; j < ${count}u; j++) {
${each((r) => `let a${r} = a_v(j * p.az + record * p.rs + (p.r0 + ${r}u) * p.K + k); var g${r} = ${V}(0.0);`)}
for (var t = part; t < p.T${shared ? " && isInside" : ""}; t += ${parts}u) {
  let e = t * p.K + k;
  let f = factor(key, j, e);
  let x = x_v(record * p.xs + e) * f;
  let at = ((j * nwg.y + record) * p.T + t) * p.R + p.r0;
  var sum = ${V}(0.0);
  ${isSpread ? `let mine = h_at(at + min(subgroupLane, ${ranks - 1}u));` : ""}
  ${each((r) => `let h${r} = ${isSpread ? `subgroupBroadcast(mine, ${r}u)` : `h_at(at + ${r}u)`} * p.scale; g${r} += h${r} * x; sum += h${r} * a${r};`)}
  ${count === 1 ? term(first) : `if (j == 0u) { ${term(first)} } else { ${term(`dx_at${dx}) + `)} }`}
}
${
	shared
		? `${each((r) => `found[(part * ${columns}u + column) * ${ranks}u + ${r}u] = g${r};`)}
workgroupBarrier();
if (part < ${ranks}u && isInside) {
  var sum = ${V}(0.0);
  for (var q = 0u; q < ${parts}u; q++) { sum += found[(q * ${columns}u + column) * ${ranks}u + part]; }
  ${store("part", "sum")}
}${count > 1 ? "\nworkgroupBarrier();" : ""}`
		: `let end = select(0u, min(p.r0 + ${ranks}u, p.R), isInside);
for (var rank = p.r0; rank < end; rank++) {
  let r = rank - p.r0;
  ${bitsOf("r", 2 ** Math.ceil(Math.log2(ranks)))}
  ${store("r", chosen(upTo(2 ** Math.ceil(Math.log2(ranks))).map((r) => `g${Math.min(r, ranks - 1)}`)))}
}`
}
}`,
	};
});
