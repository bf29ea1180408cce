import { runtimeOf } from "./device.ts";
import { FLOATS } from "./dtype.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { expects } from "./expects.ts";
import { checkType } from "./ops/arguments.ts";
import { add } from "./ops/binary.ts";
import { full } from "./ops/create.ts";
import { sumRecords } from "./ops/records.ts";
import { alias, commonRecords } from "./record.ts";
import { isPlainObject } from "./records.ts";
import type { Runtime } from "./runtime.ts";
import { holdsLate, tensorsIn } from "./scopes.ts";
import { sameShape, showShape } from "./shape.ts";
import { shown } from "./shown.ts";
import type { StreamedGradient, StreamedValueAndGrad, Streaming } from "./streamed.ts";
import { Tape, type TapeNode } from "./tape.ts";
import { insideOf, nodeOf, Tensor } from "./tensor.ts";
import { mapTensors } from "./trees.ts";

/**
 * A holder of a tensor that a function reads while it runs, such as a module's parameter. The function has to read `value`
 * anew each time it runs: a tensor taken out before counts as a constant. Name a slot once: of two places of one slot in a
 * list, the last alone gets the gradient.
 */
export interface Slot {
	/** The tensor; while the function runs, a traced handle of the same memory. Put back afterwards, also after an error. */
	value: Tensor;
}

/** The value of a function and its gradients. They belong to the enclosing scope; outside of every scope, to the caller. */
export interface ValueAndGrad<S extends readonly unknown[] = readonly unknown[]> {
	/** What the function returned. */
	readonly value: Tensor;
	/** One gradient for each slot or input, in order, of its shape, in f32; zeros where the value does not depend on it. */
	readonly grads: { readonly [I in keyof S]: Tensor };
}

/** What a function returns that has more to tell than the value to differentiate. */
export interface WithAux<X> {
	/** The tensor to differentiate. */
	readonly value: Tensor;
	/** Anything else, such as predictions or counts: tensors in arrays, maps and plain objects come out as constants. */
	readonly aux: X;
}

/**
 * Runs `fn` once and differentiates its scalar result L by the tensors in `slots` (f32, f16 or bf16): dL/dw for each w, as
 * jax's `value_and_grad` does. While it runs, each slot holds a traced handle of its tensor. Nothing is kept or computed for
 * tensors outside the slots, and what an operation keeps for its gradient is released as the gradient passes it. Calls may
 * be nested: the inner gradients are themselves differentiable. Inside `vmap`, L and the gradients are those of each record.
 * A function that returns `{ value, aux }` has its value differentiated and `aux` handed on beside it, as jax's `has_aux` does.
 * @throws ShapeError (`grad/scalar`) unless `fn` returns a scalar; ValueError for no slots, for slots of whole numbers, where
 * `fn` returns no tensor (because it is async), and where an operation between has no gradient to give (`grad/order`).
 */
export function valueAndGrad<const S extends readonly Slot[]>(fn: () => Tensor, slots: S): ValueAndGrad<S>;
export function valueAndGrad<const S extends readonly Slot[], X>(
	fn: () => WithAux<X>,
	slots: S,
): ValueAndGrad<S> & {
	/** What the function returned beside the value. */
	readonly aux: X;
};
export function valueAndGrad<const S extends readonly Slot[]>(fn: () => Tensor | WithAux<unknown>, slots: S): ValueAndGrad<S> {
	expects("valueAndGrad", { fn, slots }, { fn: "function", slots: "list" });
	return ofScalar("valueAndGrad", fn, slots);
}

/** `valueAndGrad` under the name that the user called. */
export function ofScalar<const S extends readonly Slot[]>(op: string, fn: () => Tensor | WithAux<unknown>, slots: S): ValueAndGrad<S> {
	return trace(op, fn, slots, (value) => seedOf(op, value)) as ValueAndGrad<S>;
}

/** The gradient of a scalar by itself. */
export function seedOf(op: string, value: Tensor): Tensor {
	if (value.rank !== 0) {
		throw new ShapeError("grad/scalar", `${op}: the function returned ${showShape(value.shape)}, expected a scalar`, {
			op,
			hint: "reduce it with sum() or mean(); for one gradient a record, run it inside vmap",
		});
	}
	return full(value.device, [], 1);
}

/**
 * The gradient of a scalar function by its first argument, as a function: jax's `grad`. The result has the shape of x; the
 * other arguments are passed on as they are. Differentiable again: `grad((x) => sum(grad(f)(x)))`.
 * @throws What `valueAndGrad` does, when the returned function is called.
 */
export function grad<A extends readonly unknown[]>(fn: (x: Tensor, ...rest: A) => Tensor): (x: Tensor, ...rest: A) => Tensor {
	expects("grad", { fn }, { fn: "function" });
	return gradOf("grad", fn);
}

/** `grad` under the name that the user called. */
export const gradOf =
	<A extends readonly unknown[]>(op: string, fn: (x: Tensor, ...rest: A) => Tensor): ((x: Tensor, ...rest: A) => Tensor) =>
	(x, ...rest) => {
		expects(op, { x }, { x: "tensor" });
		const slot: Slot = { value: x };
		return x.device.scope(() => ofScalar(op, () => fn(slot.value, ...rest), [slot]).grads[0]);
	};

/**
 * The value of `fn` at `inputs` and v^T J, J the Jacobian of the value by each input: one gradient an input, of its shape.
 * v has the shape of the value, which need not be a scalar. As torch.func's `vjp`, applied to v at once.
 * @throws ShapeError (`grad/cotangent`) when v has another shape; ValueError as of `valueAndGrad`.
 */
export function vjp<const S extends readonly Tensor[]>(
	fn: (...inputs: { [I in keyof S]: Tensor }) => Tensor,
	inputs: S,
	v: Tensor,
): ValueAndGrad<S> {
	return vjpOf("vjp", fn, inputs, v);
}

/** `vjp` under the name that the user called. */
export function vjpOf<const S extends readonly Tensor[]>(
	op: string,
	fn: (...inputs: { [I in keyof S]: Tensor }) => Tensor,
	inputs: S,
	v: Tensor,
): ValueAndGrad<S> {
	expects(op, { fn, inputs }, { fn: "function", inputs: "tensors" });
	checkType(op, v, FLOATS, "v");
	const slots: Slot[] = inputs.map((value) => ({ value }));
	return trace(
		op,
		() => fn(...(slots.map((s) => s.value) as { [I in keyof S]: Tensor })),
		slots,
		(value) => {
			if (!sameShape(value.shape, v.shape)) {
				throw new ShapeError("grad/cotangent", `${op}: v is ${showShape(v.shape)}, the value is ${showShape(value.shape)}`, { op });
			}
			return v;
		},
	) as ValueAndGrad<S>;
}

/**
 * Runs `fn` with traced slots and walks back from its value, starting with the gradient that `seed` returns. `stream` says how the gradients
 * of the slots are streamed; while an outer gradient is traced, none is.
 */
export function trace(
	op: string,
	fn: () => Tensor | WithAux<unknown>,
	slots: readonly Slot[],
	seed: (value: Tensor) => Tensor,
	stream?: (leaves: readonly TapeNode[]) => Streaming,
): StreamedValueAndGrad {
	if (slots.length === 0) throw new ValueError("grad/slots", `${op}: nothing to differentiate`, { op });
	slots.forEach((slot, i) => {
		if (slot?.value instanceof Tensor) return;
		throw new ValueError("grad/slot", `${op}: slot ${i} holds no tensor but ${shown(slot?.value)}`, {
			op,
			hint: "a slot is { value: tensor }",
		});
	});
	const runtime = runtimeOf(slots[0].value.device);
	const originals = slots.map((s) => s.value);
	for (const { dtype, shape } of originals) {
		if (!["f32", "f16", "bf16"].includes(dtype)) {
			throw new ValueError("grad/dtype", `${op}: a tensor ${showShape(shape)} of ${dtype} has no gradient`, { op, hint: "cast it to f32" });
		}
	}
	commonRecords(op, originals);
	const outer = runtime.tape?.recording ? runtime.tape : undefined;
	const tape = outer ?? new Tape();
	return runtime.scope(() => {
		const leaves = originals.map((t) => leaf(tape, t));
		const start = tape.length;
		const before = runtime.tape;
		runtime.tape = tape;
		const nodes = leaves.map((t) => nodeOf(t) as TapeNode);
		const gradients = new Gradients(runtime, nodes, outer === undefined ? stream?.(nodes) : undefined);
		try {
			slots.forEach((s, i) => {
				s.value = leaves[i];
			});
			const result = fn();
			const hasAux = isPlainObject(result) && "aux" in result;
			const value = hasAux ? result.value : result;
			if (holdsLate(result) || !(value instanceof Tensor)) {
				throw new ValueError("grad/value", `${op}: the function returned ${result === undefined ? "nothing" : "no tensor"}`, {
					op,
					hint: "return the tensor to differentiate, or { value, aux }; the function must not be async",
				});
			}
			const first = seed(value);
			const { debug } = runtime;
			if (debug.level >= 5) debug.log(`tape of ${op}\n${tape}`);
			const node = nodeOf(value);
			if (node?.tape === tape) {
				runtime.scope(() => gradients.add(node, first));
				tape.during(outer !== undefined, () => walk(tape, start, gradients));
			}
			const grads = leaves.map((t, i) => gradients.take(nodes[i]) ?? full(t.device, t.shape, 0));
			const handedOn = (t: Tensor): Tensor => alias(t, outer && nodeOf(t));
			const aux = hasAux ? { aux: mapTensors(result.aux, handedOn) } : {};
			return { value: handedOn(value), grads, ...aux };
		} finally {
			slots.forEach((s, i) => {
				s.value = originals[i];
			});
			runtime.tape = before;
			gradients.dispose();
			if (outer === undefined) tape.release();
		}
	});
}

/**
 * A handle to differentiate by. Inside a program for one record it stands for as many tensors as there are records, of
 * stride 0: the gradient by it is that of each record.
 */
function leaf(tape: Tape, t: Tensor): Tensor {
	const { path, records } = runtimeOf(t.device);
	const source = nodeOf(t);
	const node = tape.leaf(t.shape, records ?? insideOf(t).records, path, source?.tape === tape ? source : undefined);
	return alias(t, node, records);
}

/** Gradients that have arrived at nodes, and the nodes that they are wanted for. */
export class Gradients {
	readonly #runtime: Runtime;
	readonly #arrived = new Map<TapeNode, Tensor | StreamedGradient>();
	readonly #wanted: Set<TapeNode>;
	readonly #streaming: Streaming | undefined;

	constructor(runtime: Runtime, targets: readonly TapeNode[], streaming?: Streaming) {
		this.#runtime = runtime;
		this.#wanted = new Set(targets);
		this.#streaming = streaming;
	}

	/** Extends the wanted nodes by those that were computed from them. */
	follow(nodes: readonly TapeNode[]): void {
		for (const node of nodes) {
			if (node.inputs.some((n) => n !== undefined && this.#wanted.has(n))) this.#wanted.add(node);
		}
	}

	/** Moves the gradient of a node on to its inputs, as part of the program and the module that it ran in. */
	pass(node: TapeNode): void {
		const results = [node, ...node.others];
		if (node.first !== undefined || !results.some((n) => this.#arrived.has(n))) return;
		const isWanted = (i: number): boolean => {
			const input = node.inputs[i];
			return input !== undefined && this.#wanted.has(input);
		};
		const runtime = this.#runtime;
		runtime.within(node.path, () =>
			runtime.scope(() => {
				const [dy, ...others] = results.map((n) => (this.take(n) ?? this.#zeros(n)) as Tensor);
				const arrived = (i: number) => this.#handOver(node, node.inputs[i]);
				const grads = runtime.during(programOf(node), () => node.backward([dy, ...others], isWanted, this.#streaming, arrived));
				grads.forEach((g, i) => {
					if (g !== undefined && isWanted(i)) this.add(node.inputs[i] as TapeNode, g);
				});
			}),
		);
	}

	/** The gradient of a result that nobody used. */
	#zeros({ shape }: TapeNode): Tensor {
		return full(this.#runtime.device, shape, 0);
	}

	/** What has arrived at an input of a node, in the current scope; nothing where the node's gradient has still to be summed over records. */
	#handOver(node: TapeNode, input: TapeNode | undefined): Tensor | undefined {
		if (input === undefined || input.records !== node.records) return undefined;
		return this.#arrived.get(input) instanceof Tensor ? (this.take(input) as Tensor) : undefined;
	}

	/** Adds to what has arrived at a node; what differs between records is summed where the node is one for all. */
	add(node: TapeNode, g: Tensor | StreamedGradient): void {
		const runtime = this.#runtime;
		const own = g instanceof Tensor && node.records === undefined ? this.#overRecords(g) : g;
		const arrived = this.#arrived.get(node);
		if (own instanceof Tensor && (arrived === undefined || arrived instanceof Tensor)) {
			const total = arrived === undefined ? alias(own, nodeOf(own)) : runtime.during(node.records, () => add(arrived, own));
			this.#arrived.set(node, runtime.hold(total));
			arrived?.dispose();
			return;
		}
		const joined = this.#streaming?.join(node.shape, arrived, own);
		if (joined === undefined) return;
		for (const t of tensorsIn(joined.shares)) runtime.hold(t);
		if (arrived instanceof Tensor) arrived.dispose();
		this.#arrived.set(node, joined);
	}

	/** The sum over records, where there are any. */
	#overRecords(g: Tensor): Tensor {
		const { records } = insideOf(g);
		return records === undefined ? g : this.#runtime.during(records, () => sumRecords(g));
	}

	/** Hands a node's gradient to the current scope. */
	take(node: TapeNode): Tensor | StreamedGradient | undefined {
		const g = this.#arrived.get(node);
		this.#arrived.delete(node);
		if (g === undefined || g instanceof Tensor) return g && this.#runtime.track(g);
		for (const t of tensorsIn(g.shares)) this.#runtime.track(t);
		return g;
	}

	dispose(): void {
		for (const g of this.#arrived.values()) for (const t of tensorsIn(g)) t.dispose();
		this.#arrived.clear();
	}
}

/** The records whose program a node ran in: its own, or for the end of a program those of what it read. */
const programOf = (node: TapeNode) => node.records ?? node.inputs.find((n) => n?.records !== undefined)?.records;

/**
 * Passes gradients back through the nodes from the last down to number `start`. While the tape records, the nodes stay
 * and the pass is recorded behind them; otherwise each is released once its gradient has passed.
 */
export function walk(tape: Tape, start: number, gradients: Gradients): void {
	const nodes = tape.since(start);
	gradients.follow(nodes);
	for (const node of tape.recording ? nodes.toReversed() : tape.drain(start)) gradients.pass(node);
}
