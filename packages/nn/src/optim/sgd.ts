import { Optimizer, type OptimizerOptions, type Trained } from "./optimizer.ts";
import { defineRule } from "./rule.ts";

const rule = defineRule({
	name: "sgd",
	state: ["b"],
	numbers: ["lr", "momentum", "decay"],
	update: `
b = momentum * b + (g + decay * w);
w = w - lr * b;`,
	reference: ({ w, b, g, lr, momentum, decay }) => {
		const b1 = momentum * b + (g + decay * w);
		return [w - lr * b1, b1];
	},
	draw: {},
});
export const { primitive: sgdPrimitive, kernel: sgdKernel } = rule;

/** Options of `SGD`; defaults are torch's. */
export interface SGDOptions extends OptimizerOptions {
	/** Part of the last update that the next one goes on with; 0 when left out. */
	readonly momentum?: number | undefined;
	/** L2 penalty: weightDecay · w is added to the gradient; 0 when left out. */
	readonly weightDecay?: number | undefined;
}

/**
 * Stochastic gradient descent with momentum, torch's form (no dampening, no Nesterov): b ← momentum b + (g + wd w), w ← w − lr b.
 * b in f32, 4 bytes a weight. Source: Sutskever et al. 2013.
 */
export class SGD extends Optimizer<SGDOptions> {
	/** @throws ValueError for no parameters, an empty group, a parameter that is frozen or given twice, and a rate below 0. */
	constructor(parameters: Trained<SGDOptions>, options: SGDOptions) {
		super(rule, parameters, options);
	}

	protected override numbersOf(_: number, lr: number, { momentum = 0, weightDecay = 0 }: SGDOptions) {
		return [lr, momentum, weightDecay];
	}
}
