import { contiguous, type Tensor, ValueError, write, zeros } from "@hushgrad/tensor";
import type { Parameter } from "../parameter.ts";

/** Numbers of one step that the kernel reads, so that a captured step can be replayed with new ones. */
const SCALARS = ["lr", "beta1", "rest1", "beta2", "rest2", "eps", "keep", "c1", "c2"] as const;

/** Updates one tensor and its moments in place. */
function update(w: Tensor, g: Tensor, { m, v }: Moments, scalars: Tensor): void {
	w.device.run(
		"adamw",
		() => ({
			params: { n: "u32" },
			buffers: {
				...{ g: { dtype: "f32", access: "read" }, s: { dtype: "f32", access: "read" } },
				...{ w: { dtype: "f32", access: "write" }, m: { dtype: "f32", access: "write" }, v: { dtype: "f32", access: "write" } },
			},
			workgroup: [64, 1, 1],
			body: `
if (index >= p.n) { return; }
${SCALARS.map((name, i) => `let ${name} = s_at(${i}u);`).join(" ")}
let g = g_at(index);
let m = beta1 * m_at(index) + rest1 * g;
let v = beta2 * v_at(index) + rest2 * g * g;
w_set(index, w_at(index) * keep - lr / c1 * m / (sqrt(v) / c2 + eps));
m_set(index, m);
v_set(index, v);`,
		}),
		[g, scalars, w, m, v],
		[w.size],
		w.size,
	);
}

interface Moments {
	readonly m: Tensor;
	readonly v: Tensor;
}

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
	#moments: readonly Moments[] = [];
	#scalars: Tensor | undefined;
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

	/** Applies one gradient for each parameter, in order. Parameters and moments change in place. */
	step(grads: readonly Tensor[]): void {
		this.prepare();
		this.update(grads);
	}

	/** Counts a step and hands its numbers to the device: the part of `step` that comes before each replay of a captured `update`. */
	prepare(): void {
		const t = ++this.#steps;
		const [beta1, beta2] = this.betas;
		const { device } = this.parameters[0].value;
		this.#scalars ??= device.keep(zeros(device, [SCALARS.length]));
		const keep = 1 - this.lr * this.weightDecay;
		const values = [this.lr, beta1, 1 - beta1, beta2, 1 - beta2, this.eps, keep, 1 - beta1 ** t, Math.sqrt(1 - beta2 ** t)];
		write(this.#scalars, values);
		if (this.#moments.length > 0) return;
		const start = (p: Parameter): Tensor => device.keep(zeros(device, p.shape));
		this.#moments = this.parameters.map((p) => ({ m: start(p), v: start(p) }));
	}

	/** The kernels of a step, with the numbers of the last `prepare`. */
	update(grads: readonly Tensor[]): void {
		if (grads.length !== this.parameters.length) {
			throw new ValueError("optim/grads", `AdamW: ${grads.length} gradients for ${this.parameters.length} parameters`);
		}
		const scalars = this.#scalars;
		if (scalars === undefined) throw new ValueError("optim/prepare", "AdamW: update() needs prepare() before it");
		this.parameters.forEach((p, i) => {
			const { device, isContiguous } = p.value;
			if (!isContiguous) p.assign(device.scope<Tensor>(() => contiguous(p.value)));
			device.scope(() => update(p.value, contiguous(grads[i]), this.#moments[i], scalars));
		});
	}

	/** Releases the moments. */
	dispose(): void {
		for (const { m, v } of this.#moments) {
			m.dispose();
			v.dispose();
		}
		this.#moments = [];
		this.#scalars?.dispose();
		this.#scalars = undefined;
	}
}
