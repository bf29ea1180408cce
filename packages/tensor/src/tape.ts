import type { Records } from "./records.ts";
import { type Shape, showShape } from "./shape.ts";
import type { StreamedGradient, Streaming } from "./streamed.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Gradients of a node's inputs from those of its results, one a traced result; undefined where there is none, or none is wanted. Those of leaves may be
 * streamed. `arrived` hands over what other nodes have given an input so far, where this one can add to it: its gradient is then the sum.
 */
export type Backward = (
	dys: readonly [dy: Tensor, ...others: Tensor[]],
	isWanted: (input: number) => boolean,
	streaming: Streaming | undefined,
	arrived: (input: number) => Tensor | undefined,
) => readonly (Tensor | StreamedGradient | undefined)[];

/** One traced operation, or a leaf (no inputs, or the tensor of an enclosing trace that it stands for). */
export interface TapeNode {
	readonly tape: Tape;
	/** The operation and the module it ran in, for error texts. */
	readonly op: string;
	readonly path: string;
	readonly shape: Shape;
	/** The records of the result, and so of its gradient. */
	readonly records: Records | undefined;
	readonly inputs: readonly (TapeNode | undefined)[];
	readonly backward: Backward;
	/** Tensors that `backward` reads; they belong to the node until its gradient has passed. */
	readonly saved: readonly Tensor[];
	/** Nodes of the further traced results of the operation: their gradients pass with that of the first, by this node. */
	readonly others: readonly TapeNode[];
	/** The node of the first result, where this is one of the others. */
	readonly first: TapeNode | undefined;
}

/**
 * The operations of one gradient computation, in the order they ran. Gradients of gradients share the tape of the
 * outermost one: the inner backward pass is recorded behind the operations it differentiates.
 */
export class Tape {
	readonly #nodes: TapeNode[] = [];
	#recording = true;

	get length(): number {
		return this.#nodes.length;
	}

	/** Whether operations on traced tensors are recorded now. */
	get recording(): boolean {
		return this.#recording;
	}

	/** Runs `fn` with recording on or off. */
	during<T>(recording: boolean, fn: () => T): T {
		const before = this.#recording;
		this.#recording = recording;
		try {
			return fn();
		} finally {
			this.#recording = before;
		}
	}

	/** A tensor to differentiate by; `source` is its node in an enclosing trace. */
	leaf(shape: Shape, records: Records | undefined, path: string, source?: TapeNode): TapeNode {
		const node = { op: "leaf", path, shape, records, saved: [] };
		if (source === undefined) return this.record({ ...node, inputs: [], backward: () => [] });
		return this.record({ ...node, inputs: [source], backward: ([dy]) => [dy] });
	}

	/** `shapes` are those of the traced results beyond the first. */
	record(node: Omit<TapeNode, "tape" | "others" | "first">, shapes: readonly Shape[] = []): TapeNode {
		const others: TapeNode[] = [];
		const first = { ...node, tape: this, others, first: undefined };
		this.#nodes.push(first);
		for (const shape of shapes) others.push({ ...first, shape, inputs: [first], saved: [], others: [], first });
		this.#nodes.push(...others);
		return first;
	}

	/** The nodes recorded since the tape was `start` long. */
	since(start: number): readonly TapeNode[] {
		return this.#nodes.slice(start);
	}

	/** Older nodes that the nodes recorded since the tape was `start` long read. */
	sourcesSince(start: number): TapeNode[] {
		const nodes = this.since(start);
		const own = new Set(nodes);
		const read = nodes.flatMap((n) => n.inputs).filter((n): n is TapeNode => n !== undefined && !own.has(n));
		return [...new Set(read)];
	}

	/** The nodes as text: number, operation, module, shape, and the numbers of what it reads. */
	toString(): string {
		const number = new Map(this.#nodes.map((n, i) => [n, String(i)]));
		const line = ({ op, path, shape, inputs }: TapeNode, i: number): string => {
			const read = inputs.filter((n) => n !== undefined).map((n) => number.get(n) ?? n.op);
			return `  ${String(i).padStart(3)} ${op}${path === "" ? "" : ` in ${path}`} ${showShape(shape)}${read.length === 0 ? "" : ` <- ${read.join(", ")}`}`;
		};
		return this.#nodes.map(line).join("\n");
	}

	/** Nodes from the last down to number `start`, each taken off the tape and released after the visit. */
	*drain(start: number): Generator<TapeNode> {
		while (this.#nodes.length > start) {
			const node = this.#nodes.pop() as TapeNode;
			try {
				yield node;
			} finally {
				for (const t of node.saved) t.dispose();
			}
		}
	}

	/** Takes the nodes from number `start` on off the tape and releases what they hold. */
	release(start = 0): void {
		for (const _ of this.drain(start));
	}
}
