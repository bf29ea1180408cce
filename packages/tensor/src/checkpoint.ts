import { Gradients, walk } from "./autograd.ts";
import { runtimeOf } from "./device.ts";
import { ValueError } from "./errors.ts";
import { expects } from "./expects.ts";
import { alias } from "./record.ts";
import { shown } from "./shown.ts";
import type { TapeNode } from "./tape.ts";
import { insideOf, nodeOf, Tensor } from "./tensor.ts";

/**
 * Runs `fn(...inputs)` without keeping what its gradient needs, and runs it again when the gradient arrives: memory
 * for time. The gradients are the same. `fn` reads tensors through its inputs and through slots (parameters), gives
 * one tensor, and must do the same both times, dropout keys included. Where no gradient is being computed it just runs.
 * The inputs are held until the gradient has passed. As torch.utils.checkpoint and jax.checkpoint; Chen et al. 2016,
 * arXiv:1604.06174.
 * @throws ValueError without an input.
 */
export function checkpoint(fn: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor {
	expects("checkpoint", { fn, inputs }, { fn: "function", inputs: "tensors" });
	if (inputs.length === 0) throw new ValueError("checkpoint/inputs", "checkpoint: needs at least one input", { op: "checkpoint" });
	const runtime = runtimeOf(inputs[0].device);
	const { tape } = runtime;
	if (!tape?.recording) return runtime.scope(() => fn(...inputs), "checkpoint");
	const start = tape.length;
	const y = runtime.scope(() => fn(...inputs), "checkpoint");
	if (!(y instanceof Tensor)) {
		throw new ValueError("checkpoint/value", `checkpoint: the function returned ${shown(y)}, expected a tensor`, { op: "checkpoint" });
	}
	const sources = tape.sourcesSince(start);
	tape.release(start);
	const end = nodeOf(y);
	if (end === undefined || end.tape !== tape || sources.includes(end)) return y;
	const kept = inputs.map((t) => runtime.hold(alias(t, nodeOf(t))));
	const node = tape.record({
		op: "checkpoint",
		path: runtime.path,
		shape: y.shape,
		records: insideOf(y).records,
		inputs: sources,
		saved: kept,
		backward: ([dy], _, streaming) => {
			const gradients = new Gradients(runtime, sources, streaming);
			const from = tape.length;
			try {
				const again = tape.during(true, () => runtime.scope(() => fn(...kept)));
				gradients.add(nodeOf(again) as TapeNode, dy);
				walk(tape, from, gradients);
				return sources.map((n) => gradients.take(n));
			} finally {
				gradients.dispose();
				if (!tape.recording) tape.release(from);
			}
		},
	});
	const result = alias(y, node);
	y.dispose();
	return result;
}
