import { add, cast, type DropoutKey, type Tensor } from "@hushgrad/tensor";
import { expects, insideOf, named, sameShape, sizeOf } from "@hushgrad/tensor/author";
import { branchOf, isPlain, LoRALinear } from "./lora.ts";
import { MODULE, Module } from "./module.ts";
import { adaptedOnto, adaptedTogether, NF4Parameter, placeTogether } from "./quant/nf4Parameter.ts";

/** A layer that maps x, with randomness for its dropout. */
type Layer = Module & { forward(x: Tensor, key?: DropoutKey): Tensor };

/** Most layers that are computed at once. */
const MOST = 3;

/** A layer with LoRA on a frozen weight in four bits, of which it is known what it computes. */
type Adapted = LoRALinear & { readonly base_layer: { readonly weight: NF4Parameter } };

function isAdapted(layer: Module): layer is Adapted {
	if (!(layer instanceof LoRALinear) || layer.forward !== LoRALinear.prototype.forward) return false;
	const { base_layer: base } = layer;
	return isPlain(base) && base.bias === undefined && base.weight instanceof NF4Parameter && base.weight.hasValue;
}

/** Whether two layers differ by their numbers alone, and their weights lie in one memory. */
const isLike = (a: Adapted, b: Adapted): boolean =>
	a.scaling === b.scaling &&
	a.lora_dropout.p === b.lora_dropout.p &&
	[a, b].every(({ lora_dropout }) => lora_dropout.constructor === a.lora_dropout.constructor) &&
	sameShape(a.base_layer.weight.shape, b.base_layer.weight.shape) &&
	memoryOf(a) === memoryOf(b) &&
	sameShape(a.lora_A.weight.shape, b.lora_A.weight.shape);

const memoryOf = ({ base_layer: { weight } }: Adapted): unknown => insideOf(weight.weight.codes).storage;

/** The layers in order, in runs of those that can be computed together, and the others by themselves. */
function runsOf(layers: readonly Layer[]): Layer[][] {
	const runs: Layer[][] = [];
	for (const layer of layers) {
		const last = runs.at(-1);
		const before = last?.[0];
		const fits = before !== undefined && isAdapted(before) && isAdapted(layer) && isLike(before, layer);
		if (fits && last !== undefined && last.length < MOST) last.push(layer);
		else runs.push([layer]);
	}
	return runs;
}

/**
 * What each of the layers gives for one x, in order: as `layer.call(x, key)` of each. Neighbours with LoRA of one rank on frozen weights of
 * one shape in four bits that `placeWeightsTogether` has moved are computed together, of fewer kernels, up to three at once.
 * @throws What the layers throw.
 */
export const callTogether = named("callTogether", (layers: readonly Layer[], x: Tensor, key?: DropoutKey): Tensor[] => {
	expects("callTogether", { layers, x }, { layers: "list", x: "tensor" });
	for (const layer of layers) expects("callTogether", { layer }, { layer: MODULE });
	return runsOf(layers).flatMap((run) => {
		const adapted = run.filter(isAdapted);
		if (adapted.length < 2) return run.map((layer) => layer.call(x, key));
		const input = cast(x, "f32");
		return adaptedTogether(
			adapted.map(({ base_layer }) => base_layer.weight),
			input,
			adapted.map((layer) => branchOf(layer, input, key)),
		);
	});
});

/**
 * plus + layer(x), as of a residual connection: `add(plus, layer.call(x, key))`. With LoRA on a frozen weight in four bits the sum is made
 * where the product is stored.
 * @throws What the layer throws, and `add`.
 */
export const callOnto = named("callOnto", (plus: Tensor, layer: Layer, x: Tensor, key?: DropoutKey): Tensor => {
	expects("callOnto", { plus, layer, x }, { plus: "tensor", layer: MODULE, x: "tensor" });
	const isFused = isAdapted(layer) && x.rank > 1 && sizeOf(x.shape.slice(0, -1)) > 1 && plus.dtype === "f32";
	if (!isFused || !sameShape(plus.shape, x.shape.with(-1, layer.base_layer.outFeatures))) return add(plus, layer.call(x, key));
	const input = cast(x, "f32");
	return adaptedOnto(layer.base_layer.weight, input, branchOf(layer, input, key), plus);
});

/**
 * Moves weights in four bits of neighbouring layers of one shape next to each other in memory, where `callTogether` reads them at once.
 * They keep their values; layers whose weights are none such, or have no values yet, stay as they are.
 */
export const placeWeightsTogether = named("placeWeightsTogether", (layers: readonly Module[]): void => {
	expects("placeWeightsTogether", { layers }, { layers: "list" });
	const runs: NF4Parameter[][] = [];
	for (const layer of layers) {
		const base: unknown = layer instanceof LoRALinear ? layer.base_layer : layer;
		const weight = base instanceof Module && "weight" in base ? base.weight : undefined;
		if (!(weight instanceof NF4Parameter) || !weight.hasValue) {
			runs.push([]);
			continue;
		}
		const last = runs.at(-1);
		if (last?.[0] !== undefined && sameShape(last[0].shape, weight.shape) && last.length < MOST) last.push(weight);
		else runs.push([weight]);
	}
	for (const run of runs) if (run.length > 1) placeTogether(run);
});
