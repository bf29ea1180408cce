import { ValueError } from "@hushgrad/tensor";
import { Optimizer, type OptimizerOptions, type Trained } from "./optimizer.ts";
import { defineRule } from "./rule.ts";

const rule = defineRule({
	name: "sgd",
	state: ["b"],
	numbers: ["lr", "momentum", "decay", "fresh", "own", "ahead"],
	update: `
let d = g + decay * w;
b = momentum * b + fresh * d;
w = w - lr * (own * d + ahead * b);`,
	reference: ({ w, b, g, lr, momentum, decay, fresh, own, ahead }) => {
		const d = g + decay * w;
		const b1 = momentum * b + fresh * d;
		return [w - lr * (own * d + ahead * b1), b1];
	},
	draw: {},
});
export const { primitive: sgdPrimitive, kernel: sgdKernel } = rule;

/** Options of `SGD`; defaults are torch's. */
export interface SGDOptions extends OptimizerOptions {
	/** Part of the last update that the next one goes on with; 0 when left out. */
	readonly momentum?: number | undefined;
	/** Part of each gradient after the first that momentum leaves out; 0 when left out. */
	readonly dampening?: number | undefined;
	/** L2 penalty: weightDecay · w is added to the gradient; 0 when left out. */
	readonly weightDecay?: number | undefined;
	/** Nesterov's momentum: the step is taken with the gradient and momentum times the new update; false when left out. */
	readonly nesterov?: boolean | undefined;
}

/**
 * Stochastic gradient descent with momentum, torch's form: d = g + wd w, b ← momentum b + (1 − dampening) d (b ← d in the first step), w ← w
 * − lr b, or w − lr (d + momentum b) with `nesterov`. b in f32, 4 bytes a weight. Source: Sutskever et al. 2013.
 */
export class SGD extends Optimizer<SGDOptions> {
	/**
	 * @throws ValueError for no parameters, an empty group, a parameter that is frozen or given twice, a rate below 0, and `nesterov`
	 * without momentum or with dampening.
	 */
	constructor(parameters: Trained<SGDOptions>, options: SGDOptions) {
		super(rule, parameters, options, {
			...{ momentum: "number?", dampening: "number?", weightDecay: "number?" },
			nesterov: "flag?",
		});
		for (const { momentum = 0, dampening = 0, nesterov = false } of this.groupOptions) {
			if (!nesterov || (momentum > 0 && dampening === 0)) continue;
			throw new ValueError("optim/nesterov", `SGD: nesterov with momentum ${momentum} and dampening ${dampening}`, {
				hint: "it needs momentum above 0 and no dampening",
			});
		}
	}

	protected override numbersOf(t: number, lr: number, o: SGDOptions) {
		const { momentum = 0, dampening = 0, weightDecay = 0, nesterov = false } = o;
		return [lr, momentum, weightDecay, t === 1 ? 1 : 1 - dampening, nesterov ? 1 : 0, nesterov ? momentum : 1];
	}
}
