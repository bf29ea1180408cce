import type { Device } from "./device.ts";
import { PrivacyError, ShapeError, ValueError } from "./errors.ts";
import { add } from "./ops/binary.ts";
import { full } from "./ops/create.ts";
import { sameShape, showShape } from "./shape.ts";
import { Tape, type TapeNode } from "./tape.ts";
import { Tensor } from "./tensor.ts";

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
 * Runs `fn` and differentiates its scalar result with respect to the tensors in `slots`. While it runs, each slot
 * holds a traced handle of its tensor. Nothing is kept or computed for tensors outside the slots. Calls may be nested:
 * the inner gradients are themselves differentiable.
 * @throws ShapeError unless `fn` returns a scalar.
 */
export function valueAndGrad(fn: () => Tensor, slots: readonly Slot[]): ValueAndGrad {
	return trace("valueAndGrad", fn, slots, (value) => {
		if (value.rank !== 0) {
			throw new ShapeError("grad/scalar", `valueAndGrad: the function returned ${showShape(value.shape)}, expected a scalar`, {
				op: "valueAndGrad",
				hint: "reduce it with sum() or mean(); for one loss per sample use perSampleValueAndGrad",
			});
		}
		return full(value.device, [], 1);
	});
}

/**
 * Per-sample gradients: like `valueAndGrad`, but each slot's tensor w is seen as w repeated along a sample axis of
 * `samples` entries (stride 0, no memory), and `fn` returns one loss per sample, marked. Gradients are [samples, ...w].
 * Operations that would mix samples throw PrivacyError as they run.
 */
export function perSampleValueAndGrad(fn: () => Tensor, slots: readonly Slot[], samples: number): ValueAndGrad {
	if (!Number.isInteger(samples) || samples < 1) {
		throw new ValueError("grad/samples", `perSampleValueAndGrad: ${samples} is no number of samples`, { op: "perSampleValueAndGrad" });
	}
	const check = (value: Tensor): Tensor => {
		if (value.rank !== 1 || value.shape[0] !== samples || !value.perSample) {
			throw new PrivacyError(
				"privacy/loss",
				`perSampleValueAndGrad: the loss is ${value.toString()}, expected one loss for each of ${samples} samples`,
				{ op: "perSampleValueAndGrad", hint: "return [B] losses computed from data marked with markSamples; do not average them" },
			);
		}
		return full(value.device, value.shape, 1);
	};
	return trace("perSampleValueAndGrad", fn, slots, check, samples);
}

/**
 * The gradient of a scalar function with respect to its first argument, as a function. Differentiable again:
 * `grad((x) => sum(grad(f)(x)))`.
 */
export function grad<A extends readonly unknown[]>(fn: (x: Tensor, ...rest: A) => Tensor): (x: Tensor, ...rest: A) => Tensor {
	return (x, ...rest) => {
		const slot: Slot = { value: x };
		return x.device.scope<Tensor>(() => valueAndGrad(() => fn(slot.value, ...rest), [slot]).grads[0]);
	};
}

/**
 * The value of `fn` at `inputs` and v^T J, one gradient for each input. v has the shape of the value.
 * @throws ShapeError when it has not.
 */
export function vjp(fn: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[], v: Tensor): ValueAndGrad {
	const slots: Slot[] = inputs.map((value) => ({ value }));
	return trace(
		"vjp",
		() => fn(...slots.map((s) => s.value)),
		slots,
		(value) => {
			if (!sameShape(value.shape, v.shape)) {
				throw new ShapeError("grad/cotangent", `vjp: v is ${showShape(v.shape)}, the value is ${showShape(value.shape)}`, { op: "vjp" });
			}
			return v;
		},
	);
}

/** Runs `fn` with traced slots and walks back from its value, starting with the gradient that `seed` returns. */
function trace(op: string, fn: () => Tensor, slots: readonly Slot[], seed: (value: Tensor) => Tensor, samples?: number): ValueAndGrad {
	if (slots.length === 0) throw new ValueError("grad/slots", `${op}: nothing to differentiate`, { op });
	const { device } = slots[0].value;
	const originals = slots.map((s) => s.value);
	for (const { dtype, shape } of originals) {
		if (!["f32", "f16", "bf16"].includes(dtype)) {
			throw new ValueError("grad/dtype", `${op}: a tensor ${showShape(shape)} of ${dtype} has no gradient`, { op, hint: "cast it to f32" });
		}
	}
	const outer = device.tape?.recording ? device.tape : undefined;
	if (outer !== undefined && samples !== undefined) {
		throw new ValueError("grad/nested", `${op}: per-sample gradients cannot be differentiated again`, { op });
	}
	const tape = outer ?? new Tape();
	return device.scope(() => {
		const leaves = originals.map((t) => leaf(tape, t, samples));
		const start = tape.length;
		const before = device.tape;
		device.tape = tape;
		const gradients = new Gradients(device, leaves.map(nodeOf));
		try {
			slots.forEach((s, i) => {
				s.value = leaves[i];
			});
			const value = fn();
			if (!(value instanceof Tensor)) {
				throw new ValueError("grad/value", `${op}: the function returned ${value === undefined ? "nothing" : "no tensor"}`, {
					op,
					hint: "return the tensor to differentiate; the function must not be async",
				});
			}
			const first = seed(value);
			if (device.debug.level >= 5) device.debug.log(`tape of ${op}\n${tape}`);
			if (value.node?.tape === tape) {
				device.scope<void>(() => gradients.add(value.node as TapeNode, first));
				tape.during(outer !== undefined, () => walk(tape, start, gradients));
			}
			const grads = leaves.map((t) => gradients.take(nodeOf(t)) ?? full(device, t.shape, 0));
			return { value: value.alias({}, outer && value.node), grads };
		} finally {
			slots.forEach((s, i) => {
				s.value = originals[i];
			});
			device.tape = before;
			gradients.dispose();
			if (outer === undefined) tape.release();
		}
	});
}

const nodeOf = (t: Tensor): TapeNode => t.node as TapeNode;

function leaf(tape: Tape, t: Tensor, samples: number | undefined): Tensor {
	const { path } = t.device;
	if (samples === undefined) return t.alias({}, tape.leaf(t.shape, t.perSample, path, t.node?.tape === tape ? t.node : undefined));
	const shape = [samples, ...t.shape];
	return t.alias({ shape, strides: [0, ...t.strides], perSample: true }, tape.leaf(shape, true, path));
}

/** Gradients that have arrived at nodes, and the nodes that they are wanted for. */
export class Gradients {
	readonly #device: Device;
	readonly #arrived = new Map<TapeNode, Tensor>();
	readonly #wanted: Set<TapeNode>;

	constructor(device: Device, targets: readonly TapeNode[]) {
		this.#device = device;
		this.#wanted = new Set(targets);
	}

	/** Extends the wanted nodes by those that were computed from them. */
	follow(nodes: readonly TapeNode[]): void {
		for (const node of nodes) {
			if (node.inputs.some((n) => n !== undefined && this.#wanted.has(n))) this.#wanted.add(node);
		}
	}

	/** Moves the gradient of a node on to its inputs. */
	pass(node: TapeNode): void {
		if (!this.#arrived.has(node)) return;
		this.#device.within(node.path, () =>
			this.#device.scope<void>(() => {
				const dy = this.take(node) as Tensor;
				node.backward(dy).forEach((g, i) => {
					const input = node.inputs[i];
					if (g !== undefined && input !== undefined && this.#wanted.has(input)) this.add(input, g);
				});
			}),
		);
	}

	add(node: TapeNode, g: Tensor): void {
		const known = this.#arrived.get(node);
		const marked = g.perSample === node.perSample ? g : g.alias({ perSample: node.perSample }, g.node);
		const total = known === undefined ? marked.alias({}, marked.node) : add(known, marked);
		this.#arrived.set(node, this.#device.keep(total));
		known?.dispose();
	}

	/** Hands a node's gradient to the current scope. */
	take(node: TapeNode): Tensor | undefined {
		const g = this.#arrived.get(node);
		this.#arrived.delete(node);
		return g && this.#device.track(g);
	}

	dispose(): void {
		for (const g of this.#arrived.values()) g.dispose();
		this.#arrived.clear();
	}
}

/**
 * Passes gradients back through the nodes from the last down to number `start`. While the tape records, the nodes stay
 * and the pass is recorded behind them; otherwise each is released once its gradient has passed.
 */
export function walk(tape: Tape, start: number, gradients: Gradients): void {
	const nodes = tape.since(start);
	gradients.follow(nodes);
	for (const node of tape.recording ? nodes.toReversed() : tape.drain(start)) gradients.pass(node);
}
