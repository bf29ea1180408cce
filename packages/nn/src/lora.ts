import { add, type Device, type DropoutKey, foldIn, type Key, mul, type Tensor, ValueError } from "@hushgrad/tensor";
import { Dropout } from "./dropout.ts";
import { kaimingUniform, zerosInit } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";
import { type LoraConfig, matchesTarget } from "./peft.ts";
import { NF4Parameter } from "./quant/nf4Parameter.ts";

/**
 * What LoRA can adapt: a linear map between features, whatever holds its weight. Any module with inFeatures, outFeatures, weight
 * and forward is one.
 */
export interface LinearLayer extends Module {
	/** Extent of the last axis of the input. */
	readonly inFeatures: number;
	/** Extent of the last axis of the output. */
	readonly outFeatures: number;
	/** The weight `[out, in]`, in any format. `quantizeLinears` replaces it. */
	weight: Parameter;
	/** `x [..., in] → [..., out]`. */
	forward(x: Tensor): Tensor;
}

const isLinear = (m: Module): m is LinearLayer => "inFeatures" in m && "outFeatures" in m && "weight" in m && "forward" in m;

/**
 * Low-rank adaptation of a frozen linear layer: y = base(x) + s B(A(dropout(x))), s = α/r. A starts Kaiming uniform and B at
 * zero, so that y starts equal to base(x). Fields have peft's names. Source: Hu et al. 2021; semantics as in peft.
 */
export class LoRALinear extends Module {
	/** The adapted layer, frozen by `applyLora`. */
	readonly base_layer: LinearLayer;
	/** Dropout on the input of the low-rank branch alone. */
	readonly lora_dropout: Dropout;
	/** A, weight `[r, in]`, f32. */
	readonly lora_A: Linear;
	/** B, weight `[out, r]`, f32. */
	readonly lora_B: Linear;
	/** s = α/r, or α/√r with `use_rslora` (Kalajdzievski 2023). */
	readonly scaling: number;

	/**
	 * Around `base`, which is not changed; A and B have no values yet.
	 * @throws ValueError when r is no whole number above 0.
	 */
	constructor(base: LinearLayer, { r, lora_alpha, lora_dropout, use_rslora }: LoraConfig) {
		super();
		if (!Number.isInteger(r) || r <= 0) throw new ValueError("lora/rank", `LoRA: r is ${r}, expected a whole number above 0`);
		this.base_layer = base;
		this.lora_dropout = new Dropout(lora_dropout);
		this.lora_A = new Linear(base.inFeatures, r);
		this.lora_B = new Linear(r, base.outFeatures);
		this.scaling = lora_alpha / (use_rslora ? Math.sqrt(r) : r);
	}

	/** Draws A from U(−1/√in, 1/√in) and sets B to 0. */
	init(device: Device, key: Key): void {
		kaimingUniform(device, this.lora_A.weight, key);
		zerosInit(device, this.lora_B.weight);
	}

	/**
	 * `x [..., in] → [..., out]`. `key` is the randomness of the dropout; without it nothing is dropped.
	 * @throws ValueError before base, A and B have values.
	 */
	forward(x: Tensor, key?: DropoutKey): Tensor {
		const low = this.lora_A.forward(this.lora_dropout.forward(x, key));
		return add(this.base_layer.call(x), this.lora_B.forward(mul(low, this.scaling)));
	}
}

/**
 * Every linear layer (see `LinearLayer`) from `model` downwards, by path. Of a model with LoRA these are, beside the others, the
 * `base_layer`, `lora_A` and `lora_B` of each adapted one.
 */
export function* linearLayers(model: Module): Generator<[string, LinearLayer]> {
	for (const [path, module] of model.namedModules()) if (isLinear(module)) yield [path, module];
}

/**
 * Lets every linear layer from `model` downwards hold its weight in four bits: puts an empty `NF4Parameter` in its place. Values
 * are neither converted nor released, so it comes before loading, and before `applyLora`, whose A and B are linear, too. Biases
 * stay.
 * @throws ValueError for a weight whose number of elements is no multiple of 8.
 */
export function quantizeLinears(model: Module): void {
	for (const [, layer] of linearLayers(model)) layer.weight = new NF4Parameter(layer.weight.shape);
	model.namePaths();
}

/**
 * Puts what `make` returns in the place of each linear layer below `model`; it may return the layer itself. The root, and what
 * lies inside a `LoRALinear`, stay as they are. Paths are named anew.
 */
export function replaceLinears(model: Module, make: (path: string, layer: LinearLayer) => Module): void {
	const visit = (module: Module, prefix: string): void => {
		for (const [name, child] of module.children()) {
			const path = prefix === "" ? name : `${prefix}.${name}`;
			if (isLinear(child)) module.replaceChild(name, make(path, child));
			else if (!(child instanceof LoRALinear)) visit(child, path);
		}
	};
	visit(model, "");
	model.namePaths();
}

/**
 * Freezes all of `model` and puts LoRA on the linear layers below it that `config.target_modules` names (see `matchesTarget`).
 * The adapters' A and B are what is trainable afterwards. With `init` the i-th adapted layer is initialised by
 * `foldIn(init.key, i)`; without it the adapters have shapes but no values. peft's get_peft_model.
 * @returns the adapted layers by path.
 * @throws ValueError when no layer matches, or r is no whole number above 0; the model is frozen by then.
 */
export function applyLora(
	model: Module,
	config: LoraConfig,
	init?: { readonly device: Device; readonly key: Key },
): Map<string, LoRALinear> {
	model.freeze();
	const adapted = new Map<string, LoRALinear>();
	replaceLinears(model, (path, layer) => {
		if (!matchesTarget(path, config.target_modules)) return layer;
		const lora = new LoRALinear(layer, config);
		if (init !== undefined) lora.init(init.device, foldIn(init.key, adapted.size));
		adapted.set(path, lora);
		return lora;
	});
	if (adapted.size === 0) {
		throw new ValueError("lora/targets", `LoRA: no linear layer matches target_modules ${JSON.stringify(config.target_modules)}`, {
			hint: "print(model) shows the module names",
		});
	}
	return adapted;
}

/** Every LoRA layer from `model` downwards, by path; empty for a model without LoRA. */
export function loraLayers(model: Module): Map<string, LoRALinear> {
	return new Map([...model.namedModules()].filter((e): e is [string, LoRALinear] => e[1] instanceof LoRALinear));
}

/**
 * The parameters of a model without those of its adapters, by the names that they have without LoRA: what `saveModel` of
 * `@hushgrad/models` writes. Of a model without LoRA all of them. Tied ones come once.
 */
export function baseParameters(model: Module): Map<string, Parameter> {
	const layers = [...loraLayers(model)];
	const added = new Set(
		layers.flatMap(([, { lora_A, lora_B }]) => [...lora_A.namedParameters(), ...lora_B.namedParameters()].map(([, p]) => p)),
	);
	const own = new Map(layers.flatMap(([path, { base_layer }]) => [...base_layer.namedParameters(path)].map(([name, p]) => [p, name])));
	const below = [...model.namedParameters()].filter(([, p]) => !added.has(p));
	return new Map(below.map(([path, p]) => [own.get(p) ?? path, p]));
}
