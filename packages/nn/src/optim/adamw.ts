import { Optimizer, type OptimizerOptions, type Trained } from "./optimizer.ts";
import { defineRule } from "./rule.ts";

const rule = defineRule({
	name: "adamw",
	state: ["m", "v"],
	numbers: ["lr", "beta1", "rest1", "beta2", "rest2", "eps", "keep", "c1", "c2"],
	update: `
m = beta1 * m + rest1 * g;
v = beta2 * v + rest2 * g * g;
w = w * keep - lr / c1 * m / (sqrt(v) / c2 + eps);`,
	reference: ({ w, m, v, g, lr, beta1, rest1, beta2, rest2, eps, keep, c1, c2 }) => {
		const [m1, v1] = [beta1 * m + rest1 * g, beta2 * v + rest2 * g * g];
		return [w * keep - ((lr / c1) * m1) / (Math.sqrt(v1) / c2 + eps), m1, v1];
	},
	draw: { v: [0, 2] },
});
export const { primitive: adamwPrimitive, kernel: adamwKernel } = rule;

/** Options of `AdamW` and `Adam`; defaults are torch's. */
export interface AdamWOptions extends OptimizerOptions {
	/** Decays β₁ and β₂ of the first and of the second moment; 0.9 and 0.999 when left out. */
	readonly betas?: readonly [number, number] | undefined;
	/** Added to the root of the second moment; 1e-8 when left out. */
	readonly eps?: number | undefined;
	/**
	 * Decoupled weight decay: each step takes the part lr · weightDecay off the weights. When left out, 0.01 of `AdamW`, 0 of
	 * `Adam`.
	 */
	readonly weightDecay?: number | undefined;
}

/**
 * AdamW with decoupled weight decay, torch's form and defaults (betas 0.9 and 0.999, eps 1e-8, weight decay 0.01): w ← w (1 − lr
 * wd) − lr (m / c₁) / (√v / √c₂ + eps), m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², cᵢ = 1 − βᵢᵗ in step t. Moments in f32, 8
 * bytes a weight. Source: Loshchilov and Hutter 2019.
 */
export class AdamW extends Optimizer<AdamWOptions> {
	/** @throws ValueError for no parameters, an empty group, a parameter that is frozen or given twice, and a rate below 0. */
	constructor(parameters: Trained<AdamWOptions>, options: AdamWOptions) {
		super(rule, parameters, options);
	}

	protected override numbersOf(
		t: number,
		lr: number,
		{ betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: AdamWOptions,
	) {
		return [lr, beta1, 1 - beta1, beta2, 1 - beta2, eps, 1 - lr * weightDecay, 1 - beta1 ** t, Math.sqrt(1 - beta2 ** t)];
	}
}

/**
 * Adam: `AdamW` whose weight decay is 0 when left out. Where it is not 0 it is decoupled, unlike that of torch's Adam. Source:
 * Kingma and Ba 2015.
 */
export class Adam extends AdamW {
	/** Errors as of `AdamW`. */
	constructor(parameters: Trained<AdamWOptions>, options: AdamWOptions) {
		super(parameters, { ...options, weightDecay: options.weightDecay ?? 0 });
	}
}
