import { ShapeError, ValueError } from "./errors.ts";
import { noFurtherGradient } from "./ops/traced.ts";
import { sameShape, showShape } from "./shape.ts";
import type { TapeNode } from "./tape.ts";
import type { Tensor } from "./tensor.ts";

/** A function with a gradient of its own. */
export interface CustomVjp {
	/** Names it in error texts. */
	readonly name: string;
	/** The value, and the tensors that `backward` reads: inputs, the value, or others. */
	readonly forward: (...inputs: Tensor[]) => { readonly value: Tensor; readonly saved?: readonly Tensor[] };
	/** One gradient for each input, of its shape; undefined for none. */
	readonly backward: (dy: Tensor, saved: readonly Tensor[]) => readonly (Tensor | undefined)[];
}

/**
 * Gives a function its own gradient, in place of the one that its operations would have. A gradient made of
 * differentiable operations that saves only inputs and the value can be differentiated again.
 * @throws ValueError when `forward` reads a traced tensor that is not among its inputs: its gradient would be lost.
 */
export function customVjp({ name, forward, backward }: CustomVjp): (...inputs: Tensor[]) => Tensor {
	return (...inputs) => {
		const { device } = inputs[0];
		const { tape } = device;
		const start = tape?.length ?? 0;
		const handles = inputs.map((t) => t.alias());
		const { value, saved = [] } = device.scope(() => {
			const result = forward(...handles);
			const value = result.value.alias();
			return { value, saved: (result.saved ?? []).map((t) => (t === result.value ? value : handles.includes(t) ? t : t.alias())) };
		});
		const captured = tape?.sourcesSince(start) ?? [];
		tape?.release(start);
		if (captured.length > 0) {
			throw new ValueError("customVjp/captured", `${name}: forward reads a traced tensor that is not one of its inputs`, {
				op: name,
				hint: "pass it as an argument; the gradient of a captured tensor would be lost",
			});
		}
		const nodes = inputs.map((t) => (t.node?.tape === tape && tape?.recording ? t.node : undefined));
		if (tape === undefined || nodes.every((n) => n === undefined)) return value;
		const kept: Tensor[] = [];
		const node: TapeNode = tape.record({
			op: name,
			path: device.path,
			shape: value.shape,
			perSample: value.perSample,
			inputs: nodes,
			saved: kept,
			backward: (dy) => {
				const grads = backward(dy, kept);
				grads.forEach((g, i) => {
					if (g !== undefined && !sameShape(g.shape, inputs[i].shape)) {
						throw new ShapeError(
							"grad/shape",
							`${name}: gradient ${i} is ${showShape(g.shape)}, the input is ${showShape(inputs[i].shape)}`,
							{
								op: name,
							},
						);
					}
				});
				return ownOnly ? grads : grads.map((g) => g && noFurtherGradient(name, [dy, ...kept], g));
			},
		});
		const ownOnly = saved.every((t) => t === value || handles.includes(t));
		for (const t of saved) {
			kept.push(device.keep(t.alias({}, t === value ? node : nodes[handles.indexOf(t)])));
		}
		return value.alias({}, node);
	};
}
