import { add, cast, type Device, type DropoutKey, foldIn, type Key, linear, matmul, mul, type Tensor, ValueError } from "@hushgrad/tensor";
import { expects, type Kind, named, partsOf } from "@hushgrad/tensor/author";
import { Dropout } from "./dropout.ts";
import { kaimingUniform, zerosInit } from "./init.ts";
import { Linear } from "./linear.ts";
import { type LowRankBranch, lowRank } from "./lowRank.ts";
import { MODULE, Module } from "./module.ts";
import { Parameter } from "./parameter.ts";
import { checkLoraConfig, type LoraConfig, matchesTarget } from "./peft.ts";
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

const LINEAR: Kind = [(v) => v instanceof Module && isLinear(v), "a linear layer"];

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
	 * @throws ValueError when r is no whole number above 0, lora_alpha no number above 0, or lora_dropout not in [0, 1).
	 */
	constructor(base: LinearLayer, config: LoraConfig) {
		super();
		expects("LoRALinear", { base }, { base: LINEAR });
		checkLoraConfig("LoRALinear", config);
		const { r, lora_alpha, lora_dropout, use_rslora } = config;
		this.base_layer = base;
		this.lora_dropout = new Dropout(lora_dropout);
		this.lora_A = new Linear(base.inFeatures, r, { bias: false });
		this.lora_B = new Linear(r, base.outFeatures, { bias: false });
		this.scaling = lora_alpha / (use_rslora ? Math.sqrt(r) : r);
	}

	/** Draws A from U(−1/√in, 1/√in) and sets B to 0. */
	init(device: Device, key: Key): void {
		expects("LoRALinear.init", { device, key }, { device: "device", key: "key" });
		kaimingUniform(device, this.lora_A.weight, key);
		zerosInit(device, this.lora_B.weight);
	}

	/**
	 * `x [..., in] → [..., out]`. `key` is the randomness of the dropout; without it nothing is dropped.
	 * @throws ValueError before base, A and B have values.
	 */
	forward(x: Tensor, key?: DropoutKey): Tensor {
		return adapted(this, x, key);
	}
}

/** Whether it is known what the layer computes: that of a subclass is not. */
export const isPlain = (layer: LinearLayer): layer is Linear => layer instanceof Linear && layer.forward === Linear.prototype.forward;

/** What a layer adds to the linear map of x, in f32. */
export function branchOf({ lora_dropout, lora_A, lora_B, scaling: scale }: LoRALinear, x: Tensor, key?: DropoutKey): LowRankBranch {
	const [a, b] = [lora_A, lora_B].map(({ weight }) => cast(weight.value, "f32"));
	const keys = lora_dropout.keyOf(x, key);
	return { a, b, scale, mask: keys && { words: keys.words, stream: keys.stream, p: lora_dropout.p } };
}

const adapted = named("LoRALinear", (layer: LoRALinear, x: Tensor, key?: DropoutKey) => {
	const { base_layer } = layer;
	const input = cast(x, "f32");
	const branch = branchOf(layer, x, key);
	if (!isPlain(base_layer)) return add(cast(base_layer.call(x), "f32"), linear(lowRank(input, branch), branch.b));
	const y = base_layer.weight.adapted(input, branch);
	return base_layer.bias === undefined ? y : add(y, base_layer.bias.value);
});

/**
 * Every linear layer (see `LinearLayer`) from `model` downwards, by path. Of a model with LoRA these are, beside the others, the
 * `base_layer`, `lora_A` and `lora_B` of each adapted one.
 */
export function* linearLayers(model: Module): Generator<[string, LinearLayer]> {
	expects("linearLayers", { model }, { model: MODULE });
	for (const [path, module] of model.namedModules()) if (isLinear(module)) yield [path, module];
}

/**
 * Lets every linear layer from `model` downwards, or those that `which` picks by their path, hold its weight in four bits: puts an
 * empty `NF4Parameter` in its place. It comes before loading, and before `applyLora`, whose A and B are linear, too. Biases stay.
 * @throws ValueError for a weight whose number of elements is no multiple of 8, for one that has values already, and for a model
 * with LoRA; the model is as it was.
 */
export function quantizeLinears(model: Module, which: (path: string) => boolean = () => true): void {
	expects("quantizeLinears", { model, which }, { model: MODULE, which: "function" });
	const refuse = (path: string, what: string, hint: string): never => {
		throw new ValueError("nf4/late", `quantizeLinears: ${path} ${what}`, { op: "quantizeLinears", path, hint });
	};
	const [adapted] = loraLayers(model).keys();
	if (adapted !== undefined) refuse(adapted, "has LoRA already", "call it before applyLora and loadAdapter");
	const layers = [...linearLayers(model)].filter(([path]) => which(path));
	const made = layers.map(([path, { weight }]) => {
		if (weight.hasValue && weight.format !== "nf4")
			refuse(`${path}.weight`, "has values already", "call it before loading; loading then quantises");
		return weight instanceof NF4Parameter ? weight : new NF4Parameter(weight.shape);
	});
	for (const [i, [, layer]] of layers.entries()) layer.weight = made[i];
	model.namePaths();
}

/**
 * Puts what `make` returns in the place of each linear layer below `model`; it may return the layer itself. The root, and what
 * lies inside a `LoRALinear`, stay as they are. Paths are named anew.
 */
export function replaceLinears(model: Module, make: (path: string, layer: LinearLayer) => Module): void {
	expects("replaceLinears", { model, make }, { model: MODULE, make: "function" });
	const visit = (module: Module, prefix: string): void => {
		for (const [name, child] of module.children()) {
			const path = prefix === "" ? name : `${prefix}.${name}`;
			if (isLinear(child)) {
				const layer = make(path, child);
				expects("replaceLinears", { "make()": layer }, { "make()": MODULE });
				module.replaceChild(name, layer);
			} else if (!(child instanceof LoRALinear)) visit(child, path);
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
 * @throws ValueError when no layer matches, when `model` itself is the linear layer, which cannot be replaced in itself, and for a
 * configuration that `LoRALinear` or `matchesTarget` refuses; the model is as it was.
 */
export const applyLora = named(
	"applyLora",
	(model: Module, config: LoraConfig, init?: { readonly device: Device; readonly key: Key }): Map<string, LoRALinear> => {
		expects("applyLora", { model }, { model: MODULE });
		checkLoraConfig("applyLora", config);
		if (init !== undefined) partsOf("applyLora", "init", init, { device: "device", key: "key" });
		const adapters = new Map<string, LoRALinear>();
		replaceLinears(model, (path, layer) => {
			if (matchesTarget(path, config.target_modules)) adapters.set(path, new LoRALinear(layer, config));
			return layer;
		});
		if (adapters.size === 0) {
			const what = isLinear(model) ? "the model itself is the linear layer" : "no linear layer matches";
			throw new ValueError("lora/targets", `applyLora: ${what}, target_modules ${JSON.stringify(config.target_modules)}`, {
				op: "applyLora",
				hint: isLinear(model) ? "hold it in a field of a Module, and put LoRA on that" : "String(model) shows the module names",
			});
		}
		model.freeze();
		replaceLinears(model, (path, layer) => adapters.get(path) ?? layer);
		[...adapters.values()].forEach((lora, i) => {
			if (init !== undefined) lora.init(init.device, foldIn(init.key, i));
		});
		return adapters;
	},
);

/**
 * Puts what LoRA has learned into the weights, W + s B A, and the layers back in the place of their adapters: peft's
 * merge_and_unload. A merged weight is held in f32, frozen, also where it was in four bits: what it stands for is added to, so the
 * model computes as before, to rounding. A, B and the weight before are released; a weight that stands elsewhere too stays there
 * as it was.
 * @throws ValueError for a model without LoRA, for weights without values, for adapters of another layer than `Linear`, and while
 * an optimiser holds an A or a B; the model is as it was.
 */
export const mergeAdapter = named("mergeAdapter", (model: Module): void => {
	expects("mergeAdapter", { model }, { model: MODULE });
	const layers = loraLayers(model);
	if (layers.size === 0) throw new ValueError("lora/none", "mergeAdapter: the model has no LoRA", { op: "mergeAdapter" });
	const merged: { readonly base: Linear; readonly weight: Parameter; readonly parts: readonly Linear[] }[] = [];
	try {
		for (const [path, { base_layer, lora_A, lora_B, scaling }] of layers) {
			if (!(base_layer instanceof Linear)) {
				throw new ValueError("lora/merge", `mergeAdapter: ${path} is a ${base_layer.constructor.name}, expected Linear`, {
					path,
					hint: "only of x Wᵀ is it known how its weight acts; keep the adapter beside such a layer",
				});
			}
			for (const { weight } of [lora_A, lora_B]) weight.checkFree("mergeAdapter");
			const { device } = lora_A.weight.value;
			const weight = new Parameter(base_layer.weight.shape, { trainable: false });
			merged.push({ base: base_layer, weight, parts: [lora_A, lora_B] });
			device.scope(() => {
				const update = mul(matmul(cast(lora_B.weight.value, "f32"), cast(lora_A.weight.value, "f32")), scaling);
				weight.assign(add(cast(base_layer.weight.dequantize(), "f32"), update));
			});
		}
	} catch (error) {
		for (const { weight } of merged) weight.dispose();
		throw error;
	}
	const before = new Set<Parameter>();
	for (const { base, weight, parts } of merged) {
		before.add(base.weight);
		base.weight = weight;
		for (const part of parts) part.dispose();
	}
	const restore = (module: Module): void => {
		for (const [name, child] of module.children()) {
			if (child instanceof LoRALinear) module.replaceChild(name, child.base_layer);
			else restore(child);
		}
	};
	restore(model);
	for (const [, parameter] of model.namedParameters()) before.delete(parameter);
	for (const parameter of before) parameter.dispose();
	model.namePaths();
});

/** Every LoRA layer from `model` downwards, by path; empty for a model without LoRA. */
export function loraLayers(model: Module): Map<string, LoRALinear> {
	expects("loraLayers", { model }, { model: MODULE });
	return new Map([...model.namedModules()].filter((e): e is [string, LoRALinear] => e[1] instanceof LoRALinear));
}

/**
 * The parameters of a model without those of its adapters, by the names that they have without LoRA: what `saveModel` of
 * `@hushgrad/models` writes. Of a model without LoRA all of them. Tied ones come once.
 */
export function baseParameters(model: Module): Map<string, Parameter> {
	expects("baseParameters", { model }, { model: MODULE });
	const layers = [...loraLayers(model)];
	const added = new Set(
		layers.flatMap(([, { lora_A, lora_B }]) => [...lora_A.namedParameters(), ...lora_B.namedParameters()].map(([, p]) => p)),
	);
	const own = new Map(layers.flatMap(([path, { base_layer }]) => [...base_layer.namedParameters(path)].map(([name, p]) => [p, name])));
	const below = [...model.namedParameters()].filter(([, p]) => !added.has(p));
	return new Map(below.map(([path, p]) => [own.get(p) ?? path, p]));
}
