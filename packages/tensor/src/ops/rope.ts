import { ShapeError } from "../errors.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import type { Physical } from "../physical.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import { collapse, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous, packed } from "./contiguous.ts";

/** Pairs of a row of x, its first half with its second, one or four an invocation; strides are in the same unit. */
export const ropeKernel = defineKernel("rope", ({ lanes }: { lanes: 1 | 4 }) => {
	const four = lanes === 4 ? "4" : "";
	return {
		params: {
			n: "u32",
			T: "u32",
			J: "u32",
			z1: "u32",
			s0: "u32",
			s1: "u32",
			st: "u32",
			sk: "u32",
			share: "u32",
			rc: "u32",
			rs: "u32",
			sign: "f32",
		},
		buffers: { x: reads("f32", lanes), c: reads("f32", lanes), s: reads("f32", lanes), y: writes("f32", lanes) },
		workgroup: 64,
		body: wgsl`
if (index >= p.n) { return; }
let j = index % p.J;
let row = index / p.J;
let t = row % p.T;
let z = row / p.T;
let at = (z / p.z1) * p.s0 + (z % p.z1) * p.s1 + t * p.st;
let lo = x_at${four}(at + j * p.sk);
let hi = x_at${four}(at + (j + p.J) * p.sk);
let record = z / p.share;
let c = c_at${four}(record * p.rc + t * p.J + j);
let s = s_at${four}(record * p.rs + t * p.J + j) * p.sign;
let to = ((record * p.T + t) * p.share + z % p.share) * 2u * p.J + j;
y_set${four}(to, lo * c - hi * s);
y_set${four}(to + p.J, hi * c + lo * s);`,
	};
});

/* A result lies in memory as projections give their heads, positions first: so are gradients of heads those of a projection, uncopied. */

/** x as a view [z0, z1, T, K], the record axis in z; copies only when more than two leading axes do not merge. */
function fourAxes(x: Physical): Physical {
	const cut = x.rank - 2;
	const lead = collapse(x.shape.slice(0, cut), [x.strides.slice(0, cut)]);
	const missing = 2 - lead.shape.length;
	if (missing < 0) return fourAxes(contiguous(x));
	return x.view({
		shape: [...new Array<number>(missing).fill(1), ...lead.shape, ...x.shape.slice(cut)],
		strides: [...new Array<number>(missing).fill(0), ...lead.strides[0], ...x.strides.slice(cut)],
	});
}

export const ropePrimitive: Primitive<{ inverse: boolean }> = definePrimitive<{ inverse: boolean }>({
	name: "rope",
	signature: "x[..., T, K], cos[T, J], sin[T, J] -> y[..., T, K]",
	attrs: { inverse: false },
	check: (_, __, { K, J }) => {
		if (K !== 2 * J) throw new ShapeError("rope/half", `rope: the tables have ${J} columns, expected half of ${K}`, { op: "rope" });
	},
	forward: ({ runtime, inputs, attrs, axes: { T, J } }) => {
		const x = fourAxes(inputs.x);
		const [c, s] = [packed(inputs.cos), packed(inputs.sin)];
		const [B, ...own] = inputs.x.shape;
		const lead = own.slice(0, -2);
		const y = runtime.empty([B, T, ...lead, 2 * J]);
		const [s0, s1, st, sk] = x.strides;
		const share = Math.max(1, sizeOf(inputs.x.shape.slice(1, -2)));
		const [rc, rs] = [c.strides[0], s.strides[0]];
		const lanes = sk === 1 && [J, x.offset, s0, s1, st, c.offset, s.offset, rc, rs].every((v) => v % 4 === 0) ? 4 : 1;
		const strides = { s0: s0 / lanes, s1: s1 / lanes, st: st / lanes, sk, rc: rc / lanes, rs: rs / lanes };
		const n = y.size / 2 / lanes;
		ropeKernel
			.of({ lanes })
			.run({ x, c, s, y }, { n, T, J: J / lanes, z1: x.shape[1], ...strides, share, sign: attrs.inverse ? -1 : 1 }, n);
		const heads = lead.map((_, i) => i + 2);
		return [y.permute([0, ...heads, 1, y.rank - 1])];
	},
	grad: {
		x: {
			saves: ["cos", "sin"],
			rule: ({ dy, cos, sin }, { inverse }) => ropePrimitive.apply([dy, cos, sin], { inverse: !inverse })[0],
		},
		cos: "none",
		sin: "none",
	},
	reference: ({ x, cos, sin }, { inverse }) => {
		const [t, k] = x.shape.slice(-2);
		const j = k / 2;
		const y = mapRows(x, (row, i) =>
			row.map((v, d) => {
				const at = (i % t) * j + (d % j);
				const s = sin.data[at] * (inverse ? -1 : 1);
				return d < j ? v * cos.data[at] - row[d + j] * s : v * cos.data[at] + row[d - j] * s;
			}),
		);
		return [y];
	},
	test: {
		bound: { abs: 2e-6, why: "two products of size 4 and their sum" },
		sizes: { K: [2, 6, 8, 16], J: [1, 3, 4, 8] },
		variants: [{ inverse: true }],
	},
});

/**
 * Rotary position embedding, half-split form: y = x cos + rot(x) sin with rot(x) = (−x[K/2:], x[:K/2]), cos and sin repeated
 * for both halves. x `[..., T, K]`, cos and sin `[T, K/2]`, all f32 → `[..., T, K]`. Gradient for x only. Source: Su et al.
 * 2021; layout as in transformers.
 * @throws ShapeError when the tables do not have T rows and K/2 columns.
 * @throws DTypeError for other types.
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
	return ropePrimitive.apply([x, cos, sin])[0];
}
