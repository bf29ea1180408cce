import { defineKernel } from "../gpu/defineKernel.ts";
import { type BufferSpec, reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { MAX, type RowVariant, rowKernel, SUM } from "./rowKernel.ts";

/** The row of all G x `all` rows that row i of a run is: rows start..start+run-1 of each group. */
const ROW_OF = "fn rowOf(i: u32) -> u32 { return i / p.run * p.all + p.start + i % p.run; }";
const RUN_PARAMS = { all: "u32", start: "u32", run: "u32" } as const;

/** The soft-cap of a logit, and its derivative by what it makes of it. */
const CAPPED = wgsl`fn capped(z: f32) -> f32 { return p.cap * safeTanh(z / p.cap); }
fn capSlope(c: f32) -> f32 { let u = c / p.cap; return 1.0 - u * u; }`;
const UNCAPPED = wgsl`fn capped(z: f32) -> f32 { return z; }
fn capSlope(c: f32) -> f32 { return 1.0; }`;
const capOf = (caps: boolean): string => (caps ? CAPPED : UNCAPPED);

/** Functions of what is read at once: a logit, or four where a row has a multiple of them. */
const ONE = wgsl`fn largest(a: f32, b: f32) -> f32 { return nanMax(a, b); }
fn topOf(v: f32) -> f32 { return v; }
fn sumOf(v: f32) -> f32 { return v; }
fn cappeds(z: f32) -> f32 { return capped(z); }
fn exps(v: f32) -> f32 { return exp(v); }
fn capSlopes(c: f32) -> f32 { return capSlope(c); }`;
const FOUR = wgsl`fn largest(a: vec4f, b: vec4f) -> vec4f { return vec4f(nanMax(a.x, b.x), nanMax(a.y, b.y), nanMax(a.z, b.z), nanMax(a.w, b.w)); }
fn topOf(v: vec4f) -> f32 { return nanMax(nanMax(v.x, v.y), nanMax(v.z, v.w)); }
fn sumOf(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }
fn cappeds(z: vec4f) -> vec4f { return vec4f(capped(z.x), capped(z.y), capped(z.z), capped(z.w)); }
fn exps(v: vec4f) -> vec4f { return vec4f(exp(v.x), exp(v.y), exp(v.z), exp(v.w)); }
fn capSlopes(c: vec4f) -> vec4f { return vec4f(capSlope(c.x), capSlope(c.y), capSlope(c.z), capSlope(c.w)); }`;

/**
 * Joins the state of each row, (m, l, c, f), with n more logits or fours of logits: the maximum m of all so far, l = sum exp(z - m), c the
 * logit of the label, f = exp(m before - m). With `slopes` it writes exp(z - m), times the derivative of the soft-cap; 0 in rows left out.
 */
export const onlineKernel = defineKernel(
	"crossEntropy/online",
	({ slopes, caps, fours, ...variant }: { slopes: boolean; caps: boolean; fours: boolean } & RowVariant) => {
		const [lanes, type, four] = fours ? ([4, "vec4f", "4"] as const) : ([1, "f32", ""] as const);
		const written: Readonly<Record<string, BufferSpec>> = slopes ? { slopes: writes("f32", lanes) } : {};
		return rowKernel(
			{
				params: { n: "u32", first: "i32", cap: "f32", ignore: "i32", ...RUN_PARAMS },
				buffers: { ...{ z: reads("f32", lanes), labels: reads("i32"), state: writes("f32", 4) }, ...written },
				joins: { rowMax: MAX, rowSum: SUM },
				helpers: `${ROW_OF}\n${capOf(caps)}\n${fours ? FOUR : ONE}`,
				body: wgsl`
let place = rowOf(row);
let label = labels_at(place);
let n = select(p.n, 0u, label == p.ignore);
let at = row * p.n;
// What was so far belongs to the first invocation.
let isNew = p.first == 0 || own > 0u;
var so = vec4f(-3.4028234e38, 0.0, 0.0, 0.0);
if (!isNew) { so = state_at4(place); }
var best = ${type}(-3.4028234e38);
for (var i = own; i < n; i += LANES) { best = largest(best, z_at${four}(at + i)); }
let m = rowMax(own, nanMax(so.x, capped(topOf(best))));
let kept = exp(so.x - m);
var sum = vec2f(so.y * kept, 0.0);
for (var i = own; i < n; i += LANES) {
  let c = cappeds(z_at${four}(at + i));
  let e = exps(c - m);
  sum = added(sum, sumOf(e), p.rows >> 31u);
  ${slopes ? `slopes_set${four}(at + i, e * capSlopes(c));` : ""}
}
${slopes ? `for (var i = own + n; i < p.n; i += LANES) { slopes_set${four}(at + i, ${type}(0.0)); }` : ""}
let total = rowSum(own, sum).x;
if (own > 0u) { return; }
let local = label - p.first;
if (local >= 0 && local < i32(n * ${lanes}u)) { so.z = capped(${fours ? "z_at4(at + u32(local) / 4u)[u32(local) % 4u]" : "z_at(at + u32(local))"}); }
state_set4(place, vec4f(m, total, so.z, kept));`,
			},
			variant,
		);
	},
);

const FIELDS = { rows: "u32", D: "u32", step: "u32" } as const;
/** WGSL that runs `of` for each element, or four elements, of rows of D: an invocation stays in its column and goes from row to row. */
const eachOfRows = (of: string): string => wgsl`let place = index % p.D;
let begin = index / p.D;
if (begin >= p.step) { return; }
for (var row = begin; row < p.rows; row += p.step) {
  ${of}
}`;
type Lanes = { lanes: 1 | 4 };
const fourOf = ({ lanes }: Lanes): string => (lanes === 4 ? "4" : "");
const zeroOf = ({ lanes }: Lanes): string => (lanes === 4 ? "vec4f()" : "0.0");

/** What belongs to a maximum becomes what belongs to the one that has come. */
export const rescaleKernel = defineKernel("crossEntropy/rescale", (variant: Lanes) => {
	const four = fourOf(variant);
	return {
		params: { ...FIELDS, ...RUN_PARAMS },
		buffers: { state: reads("f32", 4), slope: writes("f32", variant.lanes) },
		workgroup: 64,
		helpers: ROW_OF,
		body: eachOfRows(wgsl`let own = rowOf(row);
  let at = own * p.D + place;
  slope_set${four}(at, slope_at${four}(at) * state_at4(own).w);`),
	};
});

/** slope = sum / l - (derivative of the soft-cap at the label) w[label]; 0 in rows left out. */
export const slopeKernel = defineKernel("crossEntropy/slope", ({ caps, ...variant }: { caps: boolean } & Lanes) => {
	const four = fourOf(variant);
	return {
		params: { ...FIELDS, cap: "f32", ignore: "i32" },
		buffers: { state: reads("f32", 4), labels: reads("i32"), picked: reads("f32", variant.lanes), slope: writes("f32", variant.lanes) },
		workgroup: 64,
		helpers: capOf(caps),
		body: eachOfRows(wgsl`let at = row * p.D + place;
  let s = state_at4(row);
  slope_set${four}(at, select(slope_at${four}(at) / s.y - capSlope(s.z) * picked_at${four}(at), ${zeroOf(variant)}, labels_at(row) == p.ignore));`),
	};
});

/** dh = dy slope; 0 in rows left out, whatever dy is. */
export const hiddenGradKernel = defineKernel("crossEntropy/dh", (variant: Lanes) => {
	const four = fourOf(variant);
	return {
		params: { ...FIELDS, ignore: "i32" },
		buffers: { dy: reads("f32"), labels: reads("i32"), slope: reads("f32", variant.lanes), dh: writes("f32", variant.lanes) },
		workgroup: 64,
		body: eachOfRows(wgsl`let at = row * p.D + place;
  dh_set${four}(at, select(dy_at(row) * slope_at${four}(at), ${zeroOf(variant)}, labels_at(row) == p.ignore));`),
	};
});

/** A label that is no class makes the loss and its gradient NaN. */
export const finishKernel = defineKernel("crossEntropy/finish", {
	params: { count: "u32", V: "i32", ignore: "i32" },
	buffers: { state: reads("f32", 4), labels: reads("i32"), loss: writes("f32"), lse: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.count) { return; }
let label = labels_at(index);
var l = 0.0;
var s = 0.0;
if (label != p.ignore && (label < 0 || label >= p.V)) {
  s = makeNan(f32(label));
  l = s;
} else if (label != p.ignore) {
  let found = state_at4(index);
  s = found.x + log(found.y);
  l = s - found.z;
}
loss_set(index, l);
lse_set(index, s);`,
});

/** dz = (softmax - onehot(label)) dy, through the soft-cap, of rows of D logits or fours of logits; rows left out become 0. */
export const logitGradKernel = defineKernel("crossEntropy/dz", ({ caps, ...variant }: { caps: boolean } & Lanes) => {
	const [four, zero] = [fourOf(variant), zeroOf(variant)];
	const slope = (z: string, place: number): string => `slope(${z}, column == label - ${place}, lse_at(row), dy_at(row))`;
	const slopes = four ? `vec4f(${[0, 1, 2, 3].map((i) => slope(`logits[${i}]`, i)).join(", ")})` : slope("logits", 0);
	return {
		params: { ...FIELDS, first: "i32", cap: "f32", ignore: "i32" },
		buffers: {
			z: reads("f32", variant.lanes),
			labels: reads("i32"),
			lse: reads("f32"),
			dy: reads("f32"),
			dz: writes("f32", variant.lanes),
		},
		workgroup: 64,
		helpers: wgsl`${capOf(caps)}
fn slope(z: f32, isLabel: bool, lse: f32, dy: f32) -> f32 {
  let c = capped(z);
  return (safeExp(c - lse) - select(0.0, 1.0, isLabel)) * dy * capSlope(c);
}`,
		body: eachOfRows(wgsl`let at = row * p.D + place;
  let label = labels_at(row);
  if (label == p.ignore) {
    dz_set${four}(at, ${zero});
  } else {
    let column = p.first + i32(place * ${variant.lanes}u);
    let logits = z_at${four}(at);
    dz_set${four}(at, ${slopes});
  }`),
	};
});
