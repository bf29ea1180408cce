import { add, type Device, type DropoutKey, foldIn, type Key, mulScalar, type Tensor, ValueError } from "@hushgrad/tensor";
import { Dropout } from "./dropout.ts";
import { kaimingUniform, zerosInit } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import type { Parameter } from "./parameter.ts";
import { type LoraConfig, matchesTarget } from "./peft.ts";
import { NF4Parameter } from "./quant/nf4Parameter.ts";

/** What LoRA can adapt: a linear map between features, whatever holds its weight. */
export interface LinearLayer extends Module {
	readonly inFeatures: number;
	readonly outFeatures: number;
	weight: Parameter;
	forward(x: Tensor): Tensor;
}

const isLinear = (m: Module): m is LinearLayer => "inFeatures" in m && "outFeatures" in m && "weight" in m && "forward" in m;

/**
 * Low-rank adaptation of a frozen linear layer: y = base(x) + (alpha / r) B(A(dropout(x))).
 * lora_A.weight [r, in] starts Kaiming uniform, lora_B.weight [out, r] at zero, so that y starts equal to base(x).
 * Source: Hu et al. 2021; names and semantics as in peft.
 */
export class LoRALinear extends Module {
	readonly base_layer: LinearLayer;
	readonly lora_dropout: Dropout;
	readonly lora_A: Linear;
	readonly lora_B: Linear;
	readonly scaling: number;

	constructor(base: LinearLayer, { r, lora_alpha, lora_dropout, use_rslora }: LoraConfig) {
		super();
		if (!Number.isInteger(r) || r <= 0) throw new ValueError("lora/rank", `LoRA: r is ${r}, expected a whole number above 0`);
		this.base_layer = base;
		this.lora_dropout = new Dropout(lora_dropout);
		this.lora_A = new Linear(base.inFeatures, r);
		this.lora_B = new Linear(r, base.outFeatures);
		this.scaling = lora_alpha / (use_rslora ? Math.sqrt(r) : r);
	}

	init(device: Device, key: Key): void {
		kaimingUniform(device, this.lora_A.weight, key);
		zerosInit(device, this.lora_B.weight);
	}

	forward(x: Tensor, key?: DropoutKey): Tensor {
		const low = this.lora_A.forward(this.lora_dropout.forward(x, key));
		return add(this.base_layer.call(x), this.lora_B.forward(mulScalar(low, this.scaling)));
	}
}

/** Every linear layer below a model that LoRA could adapt, by path. */
export function* linearLayers(model: Module): Generator<[string, LinearLayer]> {
	for (const [path, module] of model.namedModules()) if (isLinear(module)) yield [path, module];
}

/** Lets every linear layer below a model hold its weight in four bits. For models that have no values yet. */
export function quantizeLinears(model: Module): void {
	for (const [, layer] of linearLayers(model)) layer.weight = new NF4Parameter(layer.weight.shape);
	model.namePaths();
}

/** Replaces linear layers by what `make` returns for them, anywhere below `model`. */
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
 * Freezes `model` and puts LoRA on the linear layers that `config.target_modules` names.
 * Without a device the adapters have shapes but no values.
 * @returns the adapted layers by path.
 * @throws ValueError when no layer matches.
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

/** Every LoRA layer below a model, by path. */
export function loraLayers(model: Module): Map<string, LoRALinear> {
	return new Map([...model.namedModules()].filter((e): e is [string, LoRALinear] => e[1] instanceof LoRALinear));
}

/** The parameters of the model below its adapters, by the names that they have without LoRA. */
export function baseParameters(model: Module): Map<string, Parameter> {
	const layers = [...loraLayers(model)];
	const added = new Set(
		layers.flatMap(([, { lora_A, lora_B }]) => [...lora_A.namedParameters(), ...lora_B.namedParameters()].map(([, p]) => p)),
	);
	const own = new Map(layers.flatMap(([path, { base_layer }]) => [...base_layer.namedParameters(path)].map(([name, p]) => [p, name])));
	const below = [...model.namedParameters()].filter(([, p]) => !added.has(p));
	return new Map(below.map(([path, p]) => [own.get(p) ?? path, p]));
}
