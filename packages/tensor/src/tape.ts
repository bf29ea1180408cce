import type { Shape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";

/** Gradients of a node's inputs from the gradient of its output; undefined where none is needed. */
export type Backward = (dy: Tensor) => readonly (Tensor | undefined)[];

/** One traced operation, or a leaf (no inputs). */
export interface TapeNode {
	readonly tape: Tape;
	readonly shape: Shape;
	/** Axis 0 of the result, and so of its gradient, is the sample axis. */
	readonly perSample: boolean;
	readonly inputs: readonly (TapeNode | undefined)[];
	readonly backward: Backward;
	/** Tensors that `backward` reads; they belong to the node until its gradient has passed. */
	readonly saved: readonly Tensor[];
}

/** The operations of one `valueAndGrad` call, in the order they ran. */
export class Tape {
	readonly #nodes: TapeNode[] = [];

	leaf(shape: Shape, perSample: boolean): TapeNode {
		return { tape: this, shape, perSample, inputs: [], backward: () => [], saved: [] };
	}

	record(node: Omit<TapeNode, "tape">): TapeNode {
		const entry = { ...node, tape: this };
		this.#nodes.push(entry);
		return entry;
	}

	/** Nodes from the last to the first, each released after the visit. */
	*reversed(): Generator<TapeNode> {
		for (let node = this.#nodes.pop(); node !== undefined; node = this.#nodes.pop()) {
			yield node;
			for (const t of node.saved) t.dispose();
		}
	}

	/** Releases what is left after an error. */
	release(): void {
		for (const _ of this.reversed());
	}
}
