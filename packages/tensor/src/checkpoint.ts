import { Gradients, walk } from "./autograd.ts";
import { ValueError } from "./errors.ts";
import type { DropoutKeys } from "./ops/dropout.ts";
import type { TapeNode } from "./tape.ts";
import type { Tensor } from "./tensor.ts";

export interface CheckpointOptions {
	/** Where `fn` draws its dropout masks; rewound before `fn` runs again. */
	readonly dropout?: DropoutKeys;
}

/**
 * Runs `fn(...inputs)` without keeping what its gradient needs, and runs it again when the gradient arrives: memory
 * for time. The gradients are the same. `fn` reads tensors through its inputs and through slots (parameters), gives
 * one tensor, and must do the same both times.
 */
export function checkpoint(fn: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[], { dropout }: CheckpointOptions = {}): Tensor {
	if (inputs.length === 0) throw new ValueError("checkpoint/inputs", "checkpoint: needs at least one input", { op: "checkpoint" });
	const { device } = inputs[0];
	const { tape } = device;
	if (!tape?.recording) return device.scope<Tensor>(() => fn(...inputs));
	const start = tape.length;
	const position = dropout?.position;
	const y = device.scope<Tensor>(() => fn(...inputs));
	const sources = tape.sourcesSince(start);
	tape.release(start);
	if (y.node === undefined || y.node.tape !== tape || sources.includes(y.node)) return y;
	const kept = inputs.map((t) => device.keep(t.alias({}, t.node)));
	const node = tape.record({
		op: "checkpoint",
		path: device.path,
		shape: y.shape,
		perSample: y.perSample,
		inputs: sources,
		saved: kept,
		backward: (dy) => {
			const gradients = new Gradients(device, sources);
			const from = tape.length;
			try {
				const again = tape.during(true, () => {
					const resume = dropout?.position;
					dropout?.rewind(position as number);
					const value = fn(...kept);
					dropout?.rewind(resume as number);
					return value;
				});
				gradients.add(again.node as TapeNode, dy);
				walk(tape, from, gradients);
				return sources.map((n) => gradients.take(n));
			} finally {
				gradients.dispose();
				if (!tape.recording) tape.release(from);
			}
		},
	});
	const result = y.alias({}, node);
	y.dispose();
	return result;
}
