import { ShapeError } from "../errors.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";

/** x as a view [Z0, Z1, T, K]; copies only when more than two leading axes do not merge. */
function fourAxes(x: Tensor): Tensor {
	const lead = x.rank - 2;
	if (lead === 2) return x;
	if (lead < 2) {
		const ones = new Array<number>(2 - lead).fill(1);
		return x.alias({ shape: [...ones, ...x.shape], strides: [...ones.map(() => 0), ...x.strides], perSample: false });
	}
	const flat = contiguous(x);
	return flat.alias({ shape: [1, flat.size / (x.shape[lead] * x.shape[lead + 1]), ...x.shape.slice(lead)], perSample: false });
}

export const ropePrimitive: Primitive<{ inverse: boolean }> = definePrimitive<{ inverse: boolean }>({
	name: "rope",
	signature: "x[..., T, K], cos[T, J], sin[T, J] -> y[..., T, K]",
	attrs: { inverse: false },
	forward: ({ device, inputs, attrs, axes: { T, K, J } }) => {
		if (K !== 2 * J) throw new ShapeError("rope/half", `rope: the tables have ${J} columns, expected half of ${K}`, { op: "rope" });
		const x = fourAxes(inputs.x);
		const y = device.empty(inputs.x.shape);
		const pairs = y.size / 2;
		device.run(
			"rope",
			() => ({
				params: { n: "u32", T: "u32", J: "u32", z1: "u32", s0: "u32", s1: "u32", st: "u32", sk: "u32", sign: "f32" },
				buffers: {
					x: { dtype: "f32", access: "read" },
					c: { dtype: "f32", access: "read" },
					s: { dtype: "f32", access: "read" },
					y: { dtype: "f32", access: "write" },
				},
				workgroup: [64, 1, 1],
				body: `
if (index >= p.n) { return; }
let j = index % p.J;
let row = index / p.J;
let t = row % p.T;
let z = row / p.T;
let at = (z / p.z1) * p.s0 + (z % p.z1) * p.s1 + t * p.st;
let lo = x_at(at + j * p.sk);
let hi = x_at(at + (j + p.J) * p.sk);
let c = c_at(t * p.J + j);
let s = s_at(t * p.J + j) * p.sign;
y_set(row * 2u * p.J + j, lo * c - hi * s);
y_set(row * 2u * p.J + j + p.J, hi * c + lo * s);`,
			}),
			[x, contiguous(inputs.cos), contiguous(inputs.sin), y],
			[pairs, T, J, x.shape[1], ...x.strides, attrs.inverse ? -1 : 1],
			pairs,
		);
		return [y];
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
		sizes: { K: [2, 6, 8], J: [1, 3, 4] },
		variants: [{ inverse: true }],
	},
});

/**
 * Rotary position embedding, half-split form: y = x cos + rot(x) sin with rot(x) = (-x[K/2:], x[:K/2]).
 * x[..., T, K], cos and sin [T, K/2], computed on the host. Source: Su et al. 2021; layout as in transformers.
 */
export function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
	return ropePrimitive.apply([x, cos, sin])[0];
}
