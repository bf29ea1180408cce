import { type Kind, optional } from "@hushgrad/tensor/author";
import { Optimizer, type OptimizerOptions, type Trained } from "./optimizer.ts";
import { defineRule } from "./rule.ts";

const rule = defineRule({
	name: "adamw",
	state: ["m", "v"],
	numbers: ["lr", "beta1", "rest1", "beta2", "rest2", "eps", "keep", "decay", "c1", "c2"],
	update: `
let d = g + decay * w;
m = beta1 * m + rest1 * d;
v = beta2 * v + rest2 * d * d;
w = w * keep - lr / c1 * m / (sqrt(v) / c2 + eps);`,
	reference: ({ w, m, v, g, lr, beta1, rest1, beta2, rest2, eps, keep, decay, c1, c2 }) => {
		const d = g + decay * w;
		const [m1, v1] = [beta1 * m + rest1 * d, beta2 * v + rest2 * d * d];
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
	 * Weight decay: each step of `AdamW` takes the part lr · weightDecay off the weights, 0.01 when left out; `Adam` adds weightDecay · w to
	 * the gradient, 0 when left out.
	 */
	readonly weightDecay?: number | undefined;
}

const BETAS: Kind = [(v) => Array.isArray(v) && v.length === 2 && v.every((b) => b >= 0 && b < 1), "two numbers in [0, 1)"];
const KINDS = { betas: optional(BETAS), eps: "number?", weightDecay: "number?" } as const;

/**
 * AdamW with decoupled weight decay, torch's form and defaults (betas 0.9 and 0.999, eps 1e-8, weight decay 0.01): w ← w (1 − lr
 * wd) − lr (m / c₁) / (√v / √c₂ + eps), m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², cᵢ = 1 − βᵢᵗ in step t. Moments in f32, 8
 * bytes a weight. Source: Loshchilov and Hutter 2019.
 */
export class AdamW extends Optimizer<AdamWOptions> {
	/** @throws ValueError for no parameters, an empty group, a parameter that is frozen or given twice, and a rate below 0. */
	constructor(parameters: Trained<AdamWOptions>, options: AdamWOptions) {
		super(rule, parameters, options, KINDS);
	}

	protected override numbersOf(t: number, lr: number, options: AdamWOptions) {
		const { weightDecay = 0.01 } = options;
		return numbersOf(t, lr, options, 1 - lr * weightDecay, 0);
	}
}

/** The numbers of step t, in the order of the rule: `keep` is what decay leaves of the weights, `decay` what it adds to the gradient. */
function numbersOf(t: number, lr: number, { betas: [b1, b2] = [0.9, 0.999], eps = 1e-8 }: AdamWOptions, keep: number, decay: number) {
	return [lr, b1, 1 - b1, b2, 1 - b2, eps, keep, decay, 1 - b1 ** t, Math.sqrt(1 - b2 ** t)];
}

/**
 * Adam, torch's form and defaults: `AdamW` without its decay, and with `weightDecay` w added to the gradient, 0 when left out. Source:
 * Kingma and Ba 2015.
 */
export class Adam extends Optimizer<AdamWOptions> {
	/** @throws ValueError for no parameters, an empty group, a parameter that is frozen or given twice, and a rate below 0. */
	constructor(parameters: Trained<AdamWOptions>, options: AdamWOptions) {
		super(rule, parameters, options, KINDS);
	}

	protected override numbersOf(t: number, lr: number, options: AdamWOptions) {
		return numbersOf(t, lr, options, 1, options.weightDecay ?? 0);
	}
}
