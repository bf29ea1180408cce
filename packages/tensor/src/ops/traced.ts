import { ValueError } from "../errors.ts";
import type { TapeNode } from "../tape.ts";
import type { Tensor } from "../tensor.ts";

/**
 * A linear operation of one tensor, traced: its gradient needs no saved values. `forward` gets the tensor and returns
 * a handle of the current scope; `backward` maps the gradient of the result to that of `x`.
 */
export function linearOp(
	op: string,
	x: Tensor,
	forward: (x: Tensor) => Tensor,
	backward: (dy: Tensor) => Tensor,
	perSample = x.perSample,
): Tensor {
	const out = x.device.scope(() => forward(x.alias({ perSample: false })).alias());
	const tape = x.node?.tape.recording ? x.node.tape : undefined;
	const node = tape?.record({
		op,
		path: x.device.path,
		shape: out.shape,
		perSample,
		inputs: [x.node],
		saved: [],
		backward: (dy) => [backward(dy)],
	});
	if (!perSample && node === undefined) return out;
	const result = out.alias({ perSample }, node);
	out.dispose();
	return result;
}

/**
 * Marks a gradient that cannot be differentiated: whoever asks for its gradient gets an error, not a wrong number.
 * `given` are the tensors it was computed from.
 */
export function noFurtherGradient(op: string, given: readonly Tensor[], g: Tensor): Tensor {
	const nodes = given.map((t) => t.node).filter((n): n is TapeNode => n?.tape.recording === true);
	if (nodes.length === 0) return g;
	const node = nodes[0].tape.record({
		op: `${op} gradient`,
		path: g.device.path,
		shape: g.shape,
		perSample: g.perSample,
		inputs: nodes,
		saved: [],
		backward: () => {
			throw new ValueError("grad/order", `${op}: its gradient has no gradient of its own`, {
				op,
				hint: "compose the function of element-wise operations, reductions and products for second derivatives",
			});
		},
	});
	return g.alias({}, node);
}
