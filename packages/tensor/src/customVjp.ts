import { runtimeOf } from "./device.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { expects } from "./expects.ts";
import { alias, missing, tapeOf } from "./record.ts";
import { holdsLate } from "./scopes.ts";
import { sameShape, showShape } from "./shape.ts";
import type { TapeNode } from "./tape.ts";
import { insideOf, nodeOf, Tensor } from "./tensor.ts";

/** A function with a gradient of its own: what `customVjp` takes. */
export interface CustomVjp {
	/** Names it in error texts and in the tape that debug level 5 prints. */
	readonly name: string;
	/** Computes the value, from untraced handles of the inputs. */
	readonly forward: (...inputs: Tensor[]) => {
		/** The result of the function, of any shape. */
		readonly value: Tensor;
		/** The tensors that `backward` reads, held until then: inputs, the value, or others made inside. None when left out. */
		readonly saved?: readonly Tensor[];
	};
	/**
	 * v^T J for each input, of its shape, undefined for none: from `dy`, the gradient of the value, of its shape, and from
	 * `saved`, in the order that `forward` gave.
	 */
	readonly backward: (dy: Tensor, saved: readonly Tensor[]) => readonly (Tensor | undefined)[];
}

/**
 * Gives a function its own gradient, in place of the one that its operations would have: jax's `custom_vjp`, torch's
 * `autograd.Function`. The function takes one tensor or more. A gradient made of differentiable operations that saves only
 * inputs and the value can be differentiated again; one that saves other tensors throws `grad/order` when that is asked.
 * @throws ValueError (`customVjp/captured`) when `forward` reads a traced tensor that is not among its inputs: its gradient
 * would be lost; without an input (`customVjp/inputs`), and where `forward` or `backward` returns something else, being async
 * (`customVjp/value`, `customVjp/gradients`); ShapeError (`grad/shape`) when a gradient has not the shape of its input.
 */
export function customVjp(parts: CustomVjp): (...inputs: Tensor[]) => Tensor {
	expects("customVjp", { parts }, { parts: "options" });
	const { name, forward, backward } = parts;
	expects("customVjp", { name, forward, backward }, { name: "text", forward: "function", backward: "function" });
	return (...inputs) => {
		expects(name, { inputs }, { inputs: "tensors" });
		if (inputs.length === 0) throw new ValueError("customVjp/inputs", `${name}: needs at least one input`, { op: name });
		const runtime = runtimeOf(inputs[0].device);
		const { tape } = runtime;
		const start = tape?.length ?? 0;
		const handles = inputs.map((t) => alias(t, undefined));
		const { value, saved = [] } = runtime.scope(() => {
			const result = forward(...handles);
			const { value: own, saved: kept = [] } = result ?? {};
			if (holdsLate(result) || ![own, ...kept].every((t) => t instanceof Tensor)) {
				throw new ValueError("customVjp/value", `${name}: forward returned no tensor, or saved something else`, {
					op: name,
					hint: "return { value, saved }, tensors both; it must not be async",
				});
			}
			const value = alias(own, undefined);
			const saved = kept.map((t) => (t === own ? value : handles.includes(t) ? t : alias(t, undefined)));
			return { value, saved };
		});
		const captured = tape?.sourcesSince(start) ?? [];
		tape?.release(start);
		if (captured.length > 0) {
			throw new ValueError("customVjp/captured", `${name}: forward reads a traced tensor that is not one of its inputs`, {
				op: name,
				hint: "pass it as an argument; the gradient of a captured tensor would be lost",
			});
		}
		const nodes = inputs.map((t) => (tapeOf(t) === tape ? nodeOf(t) : undefined));
		if (tape === undefined || nodes.every((n) => n === undefined)) return value;
		const ownOnly = saved.every((t) => t === value || handles.includes(t));
		const kept: Tensor[] = [];
		const node: TapeNode = tape.record({
			op: name,
			path: runtime.path,
			shape: value.shape,
			records: insideOf(value).records,
			inputs: nodes,
			saved: kept,
			backward: ([dy]) => {
				const grads = backward(dy, kept);
				if (holdsLate(grads) || !(Array.isArray(grads) && grads.every((g) => g === undefined || g instanceof Tensor))) {
					throw new ValueError("customVjp/gradients", `${name}: backward returned no list of tensors`, {
						op: name,
						hint: "return one gradient an input, undefined for none; it must not be async",
					});
				}
				grads.forEach((g, i) => {
					if (g !== undefined && !sameShape(g.shape, inputs[i].shape)) {
						const text = `${name}: gradient ${i} is ${showShape(g.shape)}, the input is ${showShape(inputs[i].shape)}`;
						throw new ShapeError("grad/shape", text, { op: name });
					}
				});
				return ownOnly ? grads : grads.map((g) => g && noFurtherGradient(name, [dy, ...kept], g));
			},
		});
		for (const t of saved) {
			kept.push(runtime.hold(alias(t, t === value ? node : nodes[handles.indexOf(t)])));
		}
		return alias(value, node);
	};
}

/**
 * Marks a gradient that cannot be differentiated, because it reads tensors that `forward` made: whoever asks for its
 * gradient gets an error, not a wrong number. `given` are the tensors it was computed from.
 */
function noFurtherGradient(name: string, given: readonly Tensor[], g: Tensor): Tensor {
	const nodes = given.map((t) => (tapeOf(t) === undefined ? undefined : nodeOf(t))).filter((n) => n !== undefined);
	if (nodes.length === 0) return g;
	const node = nodes[0].tape.record({
		op: `${name} gradient`,
		path: runtimeOf(g.device).path,
		shape: g.shape,
		records: insideOf(g).records,
		inputs: nodes,
		saved: [],
		backward: () => {
			throw missing(name);
		},
	});
	return alias(g, node);
}
