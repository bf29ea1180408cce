import type { DropoutKey, Tensor } from "@hushgrad/tensor";
import { expects, type Kind } from "@hushgrad/tensor/author";
import { Module } from "./module.ts";

/** A module of one tensor. */
export interface TensorModule extends Module {
	/** What it makes of x, with the randomness of dropout where it uses any. */
	forward(x: Tensor, key?: DropoutKey): Tensor;
}

/** What a `Sequential` runs: a module of one tensor, or a function such as `relu`. */
export type Layer = TensorModule | ((x: Tensor) => Tensor);

const LAYERS: Kind = [
	(v) => Array.isArray(v) && v.every((layer) => layer instanceof Module || typeof layer === "function"),
	"modules and functions of a tensor",
];

/** Layers one after the other, torch's Sequential: a checkpoint names them by number, as in `0.weight`; functions count too. */
export class Sequential extends Module {
	/** The layers, in order. */
	readonly layers: readonly Layer[];

	/** In the order in which they run. */
	constructor(...layers: Layer[]) {
		super();
		expects("Sequential", { layers }, { layers: LAYERS });
		this.layers = layers;
	}

	protected override get holder(): object {
		return this.layers;
	}

	/** What the last layer makes of what the others made of x. `key` goes to every module, for dropout. */
	forward(x: Tensor, key?: DropoutKey): Tensor {
		expects("Sequential", { x }, { x: "tensor" });
		return this.layers.reduce((y, layer) => {
			if (!(layer instanceof Module)) return layer(y);
			return key === undefined ? layer.call(y) : layer.call(y, key);
		}, x);
	}
}
