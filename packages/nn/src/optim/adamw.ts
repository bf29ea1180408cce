import { contiguous, definePrimitive, type Tensor, ValueError, zeros } from "@hushgrad/tensor";
import type { Parameter } from "../parameter.ts";

type AdamWAttrs = {
	lr: number;
	beta1: number;
	beta2: number;
	eps: number;
	decay: number;
	correction1: number;
	correction2: number;
};

/** The update of one tensor: new weights and moments from the old ones and the gradient. */
export const adamwPrimitive = definePrimitive<AdamWAttrs>({
	name: "adamw",
	signature: "w[P], g[P], m[P], v[P] -> w1[P], m1[P], v1[P]",
	attrs: { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, decay: 0.01, correction1: 0.1, correction2: 0.03 },
	forward: ({ device, inputs, attrs }) => {
		const { lr, beta1, beta2, eps, decay } = attrs;
		const [w, g, m, v] = ["w", "g", "m", "v"].map((n) => contiguous(inputs[n]));
		const out = [w, m, v].map((t) => device.empty(t.shape));
		device.run(
			"adamw",
			() => ({
				params: {
					n: "u32",
					...{ lr: "f32", beta1: "f32", rest1: "f32", beta2: "f32", rest2: "f32" },
					...{ eps: "f32", keep: "f32", c1: "f32", c2: "f32" },
				},
				buffers: {
					...{ w: { dtype: "f32", access: "read" }, g: { dtype: "f32", access: "read" } },
					...{ m: { dtype: "f32", access: "read" }, v: { dtype: "f32", access: "read" } },
					...{ w1: { dtype: "f32", access: "write" }, m1: { dtype: "f32", access: "write" } },
					v1: { dtype: "f32", access: "write" },
				},
				workgroup: [64, 1, 1],
				body: `
if (index >= p.n) { return; }
let g = g_at(index);
let m = p.beta1 * m_at(index) + p.rest1 * g;
let v = p.beta2 * v_at(index) + p.rest2 * g * g;
let w = w_at(index) * p.keep;
w1_set(index, w - p.lr / p.c1 * m / (sqrt(v) / p.c2 + p.eps));
m1_set(index, m);
v1_set(index, v);`,
			}),
			[w, g, m, v, ...out],
			[w.size, lr, beta1, 1 - beta1, beta2, 1 - beta2, eps, 1 - lr * decay, attrs.correction1, attrs.correction2],
			w.size,
		);
		return out;
	},
	grad: { w: "none", g: "none", m: "none", v: "none" },
	reference: ({ w, g, m, v }, a) => {
		const m1 = m.data.map((x, i) => a.beta1 * x + (1 - a.beta1) * g.data[i]);
		const v1 = v.data.map((x, i) => a.beta2 * x + (1 - a.beta2) * g.data[i] ** 2);
		const w1 = w.data.map(
			(x, i) => x * (1 - a.lr * a.decay) - ((a.lr / a.correction1) * m1[i]) / (Math.sqrt(v1[i]) / a.correction2 + a.eps),
		);
		return [w1, m1, v1].map((data) => ({ data, shape: w.shape }));
	},
	test: { bound: { ulp: 16, abs: 1e-6, why: "sqrt within 5 ULP, two divisions of 2.5 ULP" }, domains: { v: { range: [0.01, 2] } } },
});

export interface AdamWOptions {
	readonly lr: number;
	readonly betas?: readonly [number, number];
	readonly eps?: number;
	readonly weightDecay?: number;
}

/**
 * AdamW with decoupled weight decay, torch's form and defaults (betas 0.9 and 0.999, eps 1e-8, weight decay 0.01):
 * w <- w (1 - lr wd) - lr (m / c1) / (sqrt(v) / sqrt(c2) + eps), c_i = 1 - beta_i^t. Moments in f32.
 * Source: Loshchilov and Hutter 2019.
 */
export class AdamW {
	readonly parameters: readonly Parameter[];
	/** Rate of the next step; a schedule sets it. */
	lr: number;
	readonly betas: readonly [number, number];
	readonly eps: number;
	readonly weightDecay: number;
	readonly #moments: { m: Tensor; v: Tensor }[] = [];
	#steps = 0;

	constructor(parameters: Iterable<Parameter>, { lr, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: AdamWOptions) {
		this.parameters = [...parameters];
		if (this.parameters.length === 0) throw new ValueError("optim/empty", "AdamW: no parameters to train");
		this.lr = lr;
		this.betas = betas;
		this.eps = eps;
		this.weightDecay = weightDecay;
	}

	/** Steps taken. */
	get steps(): number {
		return this.#steps;
	}

	/** Applies one gradient for each parameter, in order. */
	step(grads: readonly Tensor[]): void {
		if (grads.length !== this.parameters.length) {
			throw new ValueError("optim/grads", `AdamW: ${grads.length} gradients for ${this.parameters.length} parameters`);
		}
		const t = ++this.#steps;
		const [beta1, beta2] = this.betas;
		const attrs = {
			lr: this.lr,
			beta1,
			beta2,
			eps: this.eps,
			decay: this.weightDecay,
			correction1: 1 - beta1 ** t,
			correction2: Math.sqrt(1 - beta2 ** t),
		};
		this.parameters.forEach((p, i) => {
			const { device } = p.value;
			this.#moments[i] ??= { m: device.keep(zeros(device, p.shape)), v: device.keep(zeros(device, p.shape)) };
			const { m, v } = this.#moments[i];
			device.scope(() => {
				const flat = (x: Tensor): Tensor => contiguous(x).alias({ shape: [p.size] });
				const next = adamwPrimitive.apply([flat(p.value), flat(grads[i]), flat(m), flat(v)], attrs);
				const [w1, m1, v1] = next.map((x) => x.alias({ shape: p.shape }));
				p.assign(w1);
				m.dispose();
				v.dispose();
				this.#moments[i] = { m: device.keep(m1), v: device.keep(v1) };
			});
		});
	}

	/** Releases the moments. */
	dispose(): void {
		for (const { m, v } of this.#moments) {
			m.dispose();
			v.dispose();
		}
		this.#moments.length = 0;
	}
}
