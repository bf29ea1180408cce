import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { MAX, type RowVariant, rowKernel, SUM } from "./rowKernel.ts";

const CAPPED = "fn capped(z: f32) -> f32 { return select(z, p.cap * safeTanh(z / max(p.cap, 1e-30)), p.cap > 0.0); }";

/** The row of all G x `all` rows that row i of a run is: rows start..start+run-1 of each group. */
const ROW_OF = "fn rowOf(i: u32) -> u32 { return i / p.run * p.all + p.start + i % p.run; }";
const RUN_PARAMS = { all: "u32", start: "u32", run: "u32", ignore: "i32" } as const;

/** Running maximum m and sum l of exp(z - m) of each row, joined with one more chunk of logits; picks z[label]. */
export const onlineKernel = defineKernel("crossEntropy/online", (variant: RowVariant) =>
	rowKernel(
		{
			params: { n: "u32", first: "i32", cap: "f32", ...RUN_PARAMS },
			buffers: { z: reads("f32"), labels: reads("i32"), state: writes("f32") },
			joins: { rowMax: MAX, rowSum: SUM },
			helpers: `${CAPPED}\n${ROW_OF}`,
			body: wgsl`
let place = rowOf(row);
let label = labels_at(place);
let n = select(p.n, 0u, label == p.ignore);
let at = row * p.n;
// What was so far belongs to the first invocation.
let isNew = p.first == 0 || own > 0u;
var top = -3.4028234e38;
var sum = vec2f(0.0);
if (!isNew) { top = state_at(3u * place); }
let before = top;
for (var i = own; i < n; i += LANES) { top = nanMax(top, capped(z_at(at + i))); }
let m = rowMax(own, top);
if (!isNew) { sum.x = state_at(3u * place + 1u) * exp(before - m); }
for (var i = own; i < n; i += LANES) { sum.x += safeExp(capped(z_at(at + i)) - m); }
let total = rowSum(own, sum).x;
if (own > 0u || label == p.ignore) { return; }
state_set(3u * place, m);
state_set(3u * place + 1u, total);
let local = label - p.first;
if (local >= 0 && local < i32(p.n)) { state_set(3u * place + 2u, capped(z_at(at + u32(local)))); }`,
		},
		variant,
	),
);

/** A label that is no class makes the loss and its gradient NaN. */
export const finishKernel = defineKernel("crossEntropy/finish", {
	params: { count: "u32", V: "i32", ignore: "i32" },
	buffers: { state: reads("f32"), labels: reads("i32"), loss: writes("f32"), lse: writes("f32") },
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
  s = state_at(3u * index) + log(state_at(3u * index + 1u));
  l = s - state_at(3u * index + 2u);
}
loss_set(index, l);
lse_set(index, s);`,
});

const FOUR = [0, 1, 2, 3];

/**
 * dz = (softmax - onehot(label)) dy, through the soft-cap, of rows of D logits or fours of logits; rows left out become 0. An invocation
 * stays in its column and goes from row to row.
 */
export const logitGradKernel = defineKernel("crossEntropy/dz", ({ lanes }: { lanes: 1 | 4 }) => {
	const four = lanes === 4 ? "4" : "";
	const slope = (z: string, place: number): string => `slope(${z}, column == label - ${place}, lse_at(row), dy_at(row))`;
	const slopes = lanes === 4 ? `vec4f(${FOUR.map((i) => slope(`logits[${i}]`, i)).join(", ")})` : slope("logits", 0);
	return {
		params: { rows: "u32", D: "u32", step: "u32", first: "i32", cap: "f32", ignore: "i32" },
		buffers: { z: reads("f32", lanes), labels: reads("i32"), lse: reads("f32"), dy: reads("f32"), dz: writes("f32", lanes) },
		workgroup: 64,
		helpers: wgsl`${CAPPED}
fn slope(z: f32, isLabel: bool, lse: f32, dy: f32) -> f32 {
  let c = capped(z);
  let g = (safeExp(c - lse) - select(0.0, 1.0, isLabel)) * dy;
  let u = select(0.0, c / max(p.cap, 1e-30), p.cap > 0.0);
  return g * (1.0 - u * u);
}`,
		body: wgsl`let place = index % p.D;
let begin = index / p.D;
if (begin >= p.step) { return; }
let column = p.first + i32(place * ${lanes}u);
for (var row = begin; row < p.rows; row += p.step) {
  let at = row * p.D + place;
  let label = labels_at(row);
  if (label == p.ignore) {
    dz_set${four}(at, ${lanes === 4 ? "vec4f()" : "0.0"});
  } else {
    let logits = z_at${four}(at);
    dz_set${four}(at, ${slopes});
  }
}`,
	};
});
