/** Numbers that one invocation adds. */
export const PART = 256;

/**
 * WGSL of `treeOf(start, end)`: the sum of `term(i)`, start ≤ i < end ≤ start + 256, as a balanced tree of 8 additions: the last results of
 * each level wait in vectors, for a text of 256 terms is more than a processor keeps. With terms of one sign the tree's relative error is at most
 * 8 · 2⁻²⁴, however the driver contracts them, so that of a tree of trees grows with the logarithm of the count (Higham 2002,
 * section 4.2).
 */
export const TREE = `
fn pick(i: u32, end: u32) -> f32 { if (i < end) { return term(i); } return 0.0; }
fn four(i: u32, end: u32) -> f32 { return (pick(i, end) + pick(i + 1u, end)) + (pick(i + 2u, end) + pick(i + 3u, end)); }
fn eight(i: u32, end: u32) -> f32 { return four(i, end) + four(i + 4u, end); }
fn treeOf(start: u32, end: u32) -> f32 {
  var parts = vec4f(0.0);
  var i = start;
  while (i < end) {
    let stop = min(end, i + 64u);
    var low = vec4f(0.0);
    var high = vec4f(0.0);
    for (; i < stop; i += 8u) {
      low = vec4f(low.yzw, high.x);
      high = vec4f(high.yzw, eight(i, end));
    }
    parts = vec4f(parts.yzw, ((low.x + low.y) + (low.z + low.w)) + ((high.x + high.y) + (high.z + high.w)));
  }
  return (parts.x + parts.y) + (parts.z + parts.w);
}`;

/** Sums of runs of 256 numbers of each row, for references. */
export function partsOf(data: Float64Array, [B, P]: readonly number[], term: (v: number) => number): Float64Array {
	const C = Math.ceil(P / PART);
	return Float64Array.from({ length: B * C }, (_, i) => {
		const [row, part] = [Math.floor(i / C) * P, (i % C) * PART];
		return data.subarray(row + part, row + Math.min(part + PART, P)).reduce((s, v) => s + term(v), 0);
	});
}
