import { PrivacyError, ShapeError, ValueError } from "./errors.ts";
import { full } from "./ops/create.ts";
import { add } from "./ops/elementwise.ts";
import { showShape } from "./shape.ts";
import { Tape, type TapeNode } from "./tape.ts";
import type { Tensor } from "./tensor.ts";

/** A holder of a tensor that a function reads while it runs, such as a module's parameter. */
export interface Slot {
	value: Tensor;
}

export interface ValueAndGrad<T = Tensor> {
	readonly value: T;
	/** One gradient for each slot, in order; zeros where the value does not depend on it. */
	readonly grads: readonly Tensor[];
}

/**
 * Runs `fn` and differentiates its scalar result with respect to the tensors in `slots`. While `fn` runs, each slot
 * holds a traced handle of its tensor. Nothing is kept or computed for tensors outside the slots.
 * @throws ShapeError unless `fn` returns a scalar.
 */
export function valueAndGrad(fn: () => Tensor, slots: readonly Slot[]): ValueAndGrad {
	return trace(fn, slots, undefined, (value) => {
		if (value.rank !== 0) {
			throw new ShapeError("grad/scalar", `valueAndGrad: the function returned ${showShape(value.shape)}, expected a scalar`, {
				op: "valueAndGrad",
				hint: "reduce it with sum() or mean(); for one loss per sample use perSampleValueAndGrad",
			});
		}
	});
}

/**
 * Per-sample gradients: like `valueAndGrad`, but each slot's tensor w is seen as w repeated along a sample axis of
 * `samples` entries (stride 0, no memory), and `fn` returns one loss per sample, marked. Gradients are [samples, ...w].
 * Operations that would mix samples throw PrivacyError as they run.
 */
export function perSampleValueAndGrad(fn: () => Tensor, slots: readonly Slot[], samples: number): ValueAndGrad {
	return trace(fn, slots, samples, (value) => {
		if (value.rank !== 1 || value.shape[0] !== samples || !value.perSample) {
			throw new PrivacyError(
				"privacy/loss",
				`perSampleValueAndGrad: the loss is ${value.toString()}, expected one loss for each of ${samples} samples`,
				{ op: "perSampleValueAndGrad", hint: "return [B] losses computed from data marked with markSamples; do not average them" },
			);
		}
	});
}

function trace(fn: () => Tensor, slots: readonly Slot[], samples: number | undefined, check: (value: Tensor) => void): ValueAndGrad {
	if (slots.length === 0) throw new ValueError("grad/slots", "valueAndGrad: nothing to differentiate", { op: "valueAndGrad" });
	const { device } = slots[0].value;
	const originals = slots.map((s) => s.value);
	const tape = new Tape();
	return device.scope(() => {
		const leaves = originals.map((t) => leaf(tape, t, samples));
		let value: Tensor;
		try {
			slots.forEach((s, i) => {
				s.value = leaves[i];
			});
			value = fn();
			check(value);
		} catch (error) {
			tape.release();
			throw error;
		} finally {
			slots.forEach((s, i) => {
				s.value = originals[i];
			});
		}
		const grads = backward(tape, value, leaves);
		return { value: value.alias(), grads };
	});
}

function leaf(tape: Tape, t: Tensor, samples: number | undefined): Tensor {
	if (samples === undefined) return t.alias({}, tape.leaf(t.shape, t.perSample));
	const shape = [samples, ...t.shape];
	return t.alias({ shape, strides: [0, ...t.strides], perSample: true }, tape.leaf(shape, true));
}

function backward(tape: Tape, value: Tensor, leaves: readonly Tensor[]): Tensor[] {
	const { device } = value;
	const gradients = new Map<TapeNode, Tensor>();
	const accumulate = (node: TapeNode, g: Tensor): void => {
		const known = gradients.get(node);
		const marked = g.perSample === node.perSample ? g : g.alias({ perSample: node.perSample });
		const total = known === undefined ? marked.alias() : add(known, marked);
		gradients.set(node, device.keep(total));
		known?.dispose();
	};
	try {
		if (value.node?.tape === tape) {
			device.scope(() => accumulate(value.node as TapeNode, full(device, value.shape, 1)));
		}
		for (const node of tape.reversed()) {
			const dy = gradients.get(node);
			if (dy === undefined) continue;
			device.scope(() => {
				node.backward(dy).forEach((g, i) => {
					const input = node.inputs[i];
					if (g !== undefined && input !== undefined) accumulate(input, g);
				});
			});
			dy.dispose();
			gradients.delete(node);
		}
	} catch (error) {
		tape.release();
		for (const g of gradients.values()) g.dispose();
		throw error;
	}
	return leaves.map((t) => {
		const g = gradients.get(t.node as TapeNode);
		return g === undefined ? full(device, t.shape, 0) : device.track(g);
	});
}
