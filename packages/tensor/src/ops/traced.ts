import type { Tensor } from "../tensor.ts";

/**
 * A linear operation of one tensor, traced: its gradient needs no saved values. `forward` gets the tensor and returns
 * a handle of the current scope; `backward` maps the gradient of the result to that of `x`.
 */
export function linearOp(x: Tensor, forward: (x: Tensor) => Tensor, backward: (dy: Tensor) => Tensor, perSample = x.perSample): Tensor {
	const out = x.device.scope(() => forward(x.alias({ perSample: false })).alias());
	const node = x.node?.tape.record({ shape: out.shape, perSample, inputs: [x.node], saved: [], backward: (dy) => [backward(dy)] });
	if (!perSample && node === undefined) return out;
	const result = out.alias({ perSample }, node);
	out.dispose();
	return result;
}
