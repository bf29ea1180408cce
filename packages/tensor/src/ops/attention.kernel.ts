import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import {
	type AttentionVariant,
	accumulate,
	base,
	bounds,
	buffersOf,
	declare,
	eachColumn,
	FOUR,
	four,
	HELPERS,
	joined,
	LANES,
	multiply,
	of4,
	place,
	placed,
	registers,
	SCORING,
	SIZES,
	type Sum,
	tileOf,
	write,
	XYZW,
} from "./attention.tile.ts";

/** The least number, which stands for what is hidden until weights are made. */
const LEAST = "-3.4028234663852886e38";

/** Rows of scores at once: y = softmax(scores) v, and of each row the log of the sum of exp(scores). */
export const attentionKernel = defineKernel("attention", (variant: AttentionVariant & { readonly fours: number }) => {
	const { wide, mask, x, fours } = variant;
	const tile = tileOf(x);
	const { operands, result } = buffersOf(variant);
	const masks = mask ? ["mask"] : [];
	const sum: Sum = { name: "acc", of: "v", width: "V", fours };
	return {
		params: { ...SIZES, ...SCORING, ...placed("q", "k", "v", "y"), ...placed(...masks) },
		buffers: { ...operands, y: result, lse: writes("f32") },
		workgroup: LANES,
		shared: { area: { type: "vec4f", length: tile.length }, part: { type: "vec4f", length: LANES } },
		helpers: [HELPERS, ...["q", "k", "v"].map((name) => four(name, wide))].join("\n"),
		body: wgsl`${place(tile, "T", "p.R")}
${["q", "y", ...masks].map((name) => base(name)).join(" ")} ${base("k", "0u")} ${base("v", "0u")}
${bounds("firstKey", "endKey")}
var top = vec4f(${LEAST});
var sum = vec4f();
${declare(sum)}
let end = endKey(rowLast);
for (var base = firstKey(row0) / ${tile.columns}u * ${tile.columns}u; base < end; base += ${tile.columns}u) {
  ${multiply("s", { rows: "q", columns: "k", width: "K" }, ["T", "S"], tile)}
  workgroupBarrier();
  var tileTop = top;
  ${eachColumn(variant, tile, false, `area[at] = select(vec4f(${LEAST}), s, seen); tileTop = max(tileTop, area[at]);`)}
  part[lane] = tileTop;
  workgroupBarrier();
  for (var j = 0u; j < min(p.across, p.S - base); j++) { tileTop = max(tileTop, part[ty * ${x}u + j]); }
  let shrink = exp4(top - tileTop);
  top = tileTop;
  sum *= shrink;
  for (var i = 0u; i < min(p.each, (p.S - base + ${x - 1}u) / ${x}u); i++) {
    let at = ty * ${tile.columns}u + tx + ${x}u * i;
    let s = area[at];
    let w = select(vec4f(), exp4(s - top), bitcast<vec4u>(s) != bitcast<vec4u>(vec4f(${LEAST})));
    sum += w;
    area[at] = w;
  }
  workgroupBarrier();
  ${registers(sum)
		.map((register) => `${register} *= shrink.${XYZW[Number(register["acc".length])]};`)
		.join(" ")}
  ${accumulate(sum, tile, mask)}
}
${joined("sum", "total", "p.S", tile)}
let live = bitcast<vec4u>(total) != vec4u();
${write("y", sum, tile, "T", wide, (register, r) => `select(vec4f(), ${register} / total.${XYZW[r]}, live.${XYZW[r]})`)}
if (tx == 0u) {
  ${FOUR.map((r) => {
		const value = `select(3.4028234663852886e38, top.${XYZW[r]} + log(total.${XYZW[r]}), live.${XYZW[r]})`;
		return `if (first4 + ${r}u < p.T) { lse_set(head * p.T + first4 + ${r}u, ${value}); }`;
	}).join("\n  ")}
}`,
	};
});

/**
 * dq = dz k, and of each row delta = sum(dy y), with dz = w (dy v^T - delta), w = exp(scores - lse), through the factor and the cap of the
 * scores.
 */
export const attentionQueryGradKernel = defineKernel("attention/dq", (variant: AttentionVariant & { readonly fours: number }) => {
	const { wide, mask, x, fours } = variant;
	const tile = tileOf(x);
	const { operands, given, result } = buffersOf(variant);
	const masks = mask ? ["mask"] : [];
	const sum: Sum = { name: "acc", of: "k", width: "K", fours };
	return {
		params: { ...SIZES, ...SCORING, ...placed("q", "k", "v", "y", "dy", "dq"), ...placed(...masks) },
		buffers: { ...operands, y: given, dy: given, lse: reads("f32"), dq: result, delta: writes("f32") },
		workgroup: LANES,
		shared: { area: { type: "vec4f", length: tile.length }, part: { type: "vec4f", length: LANES } },
		helpers: [HELPERS, ...["q", "k", "v", "y", "dy"].map((name) => four(name, wide))].join("\n"),
		body: wgsl`${place(tile, "T", "p.R")}
${["q", "y", "dy", "dq", ...masks].map((name) => base(name)).join(" ")} ${base("k", "0u")} ${base("v", "0u")}
${bounds("firstKey", "endKey")}
var dots = vec4f();
for (var d = 4u * tx; d < p.V; d += ${4 * x}u) {
  dots += ${of4((r) => `dot(dy_four(dyBase + own.${XYZW[r]} * p.dyt, d, p.V), y_four(yBase + own.${XYZW[r]} * p.yt, d, p.V))`)};
}
${joined("dots", "delta4", "(p.V + 3u) / 4u", tile)}
if (tx == 0u) {
  ${FOUR.map((r) => `if (first4 + ${r}u < p.T) { delta_set(head * p.T + first4 + ${r}u, delta4.${XYZW[r]}); }`).join("\n  ")}
}
let lse4 = ${of4((r) => `lse_at(head * p.T + own.${XYZW[r]})`)};
${declare(sum)}
let end = endKey(rowLast);
for (var base = firstKey(row0) / ${tile.columns}u * ${tile.columns}u; base < end; base += ${tile.columns}u) {
  ${multiply("s", { rows: "q", columns: "k", width: "K" }, ["T", "S"], tile)}
  ${multiply("g", { rows: "dy", columns: "v", width: "V" }, ["T", "S"], tile)}
  workgroupBarrier();
  ${eachColumn(variant, tile, false, `area[at] = select(vec4f(), exp4(s - lse4) * (pick(i, g0, g1, g2, g3) - delta4) * slopes(unmasked), seen);`)}
  workgroupBarrier();
  ${accumulate(sum, tile, mask)}
}
${write("dq", sum, tile, "T", wide)}`,
	};
});

/** dk = dz^T q and dv = w^T dy, over the queries of all heads that share the keys; dz and w as of dq, and delta from there. */
export const attentionKeyGradKernel = defineKernel(
	"attention/dkv",
	(variant: AttentionVariant & { readonly fours: number; readonly foursV: number }) => {
		const { wide, mask, x, fours, foursV } = variant;
		const tile = tileOf(x);
		const { operands, given, result } = buffersOf(variant);
		const masks = mask ? ["mask"] : [];
		const query = "(head * p.R + h) * p.T + column";
		const [ofK, ofV]: readonly Sum[] = [
			{ name: "acc", of: "q", width: "K", fours },
			{ name: "accV", of: "dy", width: "V", fours: foursV },
		];
		return {
			params: { ...SIZES, ...SCORING, ...placed("q", "k", "v", "dy", "dk", "dv"), ...placed(...masks) },
			buffers: { ...operands, dy: given, lse: reads("f32"), delta: reads("f32"), dk: result, dv: result },
			workgroup: LANES,
			shared: { area: { type: "vec4f", length: tile.length } },
			helpers: [HELPERS, ...["q", "k", "v", "dy"].map((name) => four(name, wide))].join("\n"),
			body: wgsl`${place(tile, "S", "1u")}
${["k", "v", "dk", "dv"].map((name) => base(name, "0u")).join(" ")}
${bounds("firstQuery", "endQuery")}
${declare(ofK)}
${declare(ofV)}
let end = endQuery(rowLast);
for (var h = 0u; h < p.R; h++) {
  ${["q", "dy", ...masks].map((name) => base(name, "h")).join(" ")}
  for (var base = firstQuery(row0) / ${tile.columns}u * ${tile.columns}u; base < end; base += ${tile.columns}u) {
    ${multiply("s", { rows: "k", columns: "q", width: "K" }, ["S", "T"], tile)}
    ${multiply("g", { rows: "v", columns: "dy", width: "V" }, ["S", "T"], tile)}
    workgroupBarrier();
    ${eachColumn(variant, tile, true, `area[at] = select(vec4f(), exp4(s - lse_at(${query})), seen);`)}
    workgroupBarrier();
    ${accumulate(ofV, tile, mask)}
    workgroupBarrier();
    ${eachColumn(variant, tile, true, `area[at] = select(vec4f(), area[at] * (pick(i, g0, g1, g2, g3) - delta_at(${query})) * slopes(unmasked), seen);`)}
    workgroupBarrier();
    ${accumulate(ofK, tile, mask)}
  }
}
${write("dk", ofK, tile, "S", wide)}
${write("dv", ofV, tile, "S", wide)}`,
		};
	},
);
