/** Numbers that one invocation adds. */
export const PART = 256;

/**
 * WGSL of `treeOf(start, end)`: the sum of `term(i)`, start ≤ i < end ≤ start + 256, as a balanced tree of 8 additions. With terms of one
 * sign its relative error is at most 8 · 2⁻²⁴, however the driver contracts them, so that of a tree of trees grows with the
 * logarithm of the count (Higham 2002, section 4.2).
 */
export const TREE = `
fn pick(i: u32, end: u32) -> f32 { if (i < end) { return term(i); } return 0.0; }
fn treeOf(start: u32, end: u32) -> f32 {
  var outer: array<f32, 4>;
  for (var a = 0u; a < 4u; a++) {
    var inner: array<f32, 8>;
    for (var b = 0u; b < 8u; b++) {
      let i = start + a * 64u + b * 8u;
      let low = (pick(i, end) + pick(i + 1u, end)) + (pick(i + 2u, end) + pick(i + 3u, end));
      let high = (pick(i + 4u, end) + pick(i + 5u, end)) + (pick(i + 6u, end) + pick(i + 7u, end));
      inner[b] = low + high;
    }
    outer[a] = ((inner[0] + inner[1]) + (inner[2] + inner[3])) + ((inner[4] + inner[5]) + (inner[6] + inner[7]));
  }
  return (outer[0] + outer[1]) + (outer[2] + outer[3]);
}`;

/** Sums of runs of 256 numbers of each row, for references. */
export function partsOf(data: Float64Array, [B, P]: readonly number[], term: (v: number) => number): Float64Array {
	const C = Math.ceil(P / PART);
	return Float64Array.from({ length: B * C }, (_, i) => {
		const [row, part] = [Math.floor(i / C) * P, (i % C) * PART];
		return data.subarray(row + part, row + Math.min(part + PART, P)).reduce((s, v) => s + term(v), 0);
	});
}
