import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { PLACES } from "./windows.ts";

/** Neighbours in a row that one invocation of `unfold` copies: it divides numbers once for all of them. */
export const RUN = 8;

/** Columns [R, C, KH, KW, N, P, Q] of the windows of x [R, N, C, H, W]; 0 in the padding. */
export const unfoldKernel = defineKernel("conv/unfold", {
	params: { n: "u32", blocks: "u32", N: "u32", C: "u32", ...PLACES },
	buffers: { x: reads("f32"), cols: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let at = index / p.blocks;
let first = (index - at * p.blocks) * ${RUN}u;
let i = at / p.P;
let row = i / p.N;
let k = row / p.KW;
let ck = k / p.KH;
let r = ck / p.C;
let h = i32(at - i * p.P) * p.strideH + i32(k - ck * p.KH) * p.dilationH - p.padH;
let w = i32(row - k * p.KW) * p.dilationW - p.padW;
let line = (((r * p.N + i - row * p.N) * p.C + ck - r * p.C) * p.H + u32(max(h, 0))) * p.W;
let inside = h >= 0 && h < i32(p.H);
for (var q = first; q < min(first + ${RUN}u, p.Q); q++) {
  let v = w + i32(q) * p.strideW;
  var value = 0.0;
  if (inside && v >= 0 && v < i32(p.W)) { value = x_at(line + u32(v)); }
  cols_set(at * p.Q + q, value);
}`,
});

/** x [C, H, W]: sums of the columns [C, KH, KW, P, Q] at the places that they came from. */
export const foldKernel = defineKernel("conv/fold", {
	params: { n: "u32", ...PLACES },
	buffers: { cols: reads("f32"), x: writes("f32") },
	workgroup: 64,
	body: wgsl`
if (index >= p.n) { return; }
let c = index / p.W / p.H;
let h = i32(index / p.W % p.H) + p.padH;
let w = i32(index % p.W) + p.padW;
var sum = 0.0;
for (var kh = 0u; kh < p.KH; kh++) {
  let y = h - i32(kh) * p.dilationH;
  let row = y / p.strideH;
  if (y < 0 || row * p.strideH != y || row >= i32(p.P)) { continue; }
  let line = (((c * p.KH + kh) * p.KW) * p.P + u32(row)) * p.Q;
  for (var kw = 0u; kw < p.KW; kw++) {
    let x = w - i32(kw) * p.dilationW;
    let column = x / p.strideW;
    if (x < 0 || column * p.strideW != x || column >= i32(p.Q)) { continue; }
    sum += cols_at(line + kw * p.P * p.Q + u32(column));
  }
}
x_set(index, sum);`,
});
