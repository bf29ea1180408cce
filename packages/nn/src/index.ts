export { GELU, ReLU, Sigmoid, SiLU, Softmax, Tanh } from "./activations.ts";
export { MultiheadAttention } from "./attention.ts";
export { type CachedAttentionOptions, cachedAttention } from "./cachedAttention.ts";
export { cacheUpdate, type Placement } from "./cacheUpdate.ts";
export { Conv1d, Conv2d, type ConvOptions } from "./conv.ts";
export { DataLoader, type DataLoaderOptions, type Dataset } from "./data.ts";
export { Dropout, Dropout2d } from "./dropout.ts";
export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export {
	constantInit,
	initialize,
	type KaimingOptions,
	kaimingNormal,
	kaimingUniform,
	normalInit,
	onesInit,
	type TruncNormalOptions,
	truncNormalInit,
	uniformInit,
	type XavierOptions,
	xavierNormal,
	xavierUniform,
	zerosInit,
} from "./init.ts";
export { Linear } from "./linear.ts";
export {
	applyLora,
	baseParameters,
	type LinearLayer,
	LoRALinear,
	linearLayers,
	loraLayers,
	mergeAdapter,
	quantizeLinears,
	replaceLinears,
} from "./lora.ts";
export { CrossEntropyLoss, MSELoss } from "./losses.ts";
export {
	countParameters,
	Module,
	ModuleList,
	type ParameterCount,
	printTrainableParameters,
	trainableParametersLine,
} from "./module.ts";
export { GroupNorm, type GroupNormLayerOptions, LayerNorm, type NormLayerOptions } from "./norm.ts";
export { Adam, AdamW, type AdamWOptions } from "./optim/adamw.ts";
export { type ClippedGradients, clipGradNorm } from "./optim/clip.ts";
export { Optimizer, type OptimizerOptions, type OptimizerState, type ParameterGroup, type Trained } from "./optim/optimizer.ts";
export {
	constant,
	cosineDecay,
	cosineRestarts,
	cosineWithWarmup,
	exponentialDecay,
	linearDecay,
	polynomialDecay,
	type Schedule,
	withWarmup,
} from "./optim/schedule.ts";
export { SGD, type SGDOptions } from "./optim/sgd.ts";
export { ParameterVector, type Range } from "./optim/vector.ts";
export { type Format, ModuleBuffer, Parameter, type ParameterOptions } from "./parameter.ts";
export { adapterKey, type LoraConfig, loraConfig, matchesTarget, parseLoraConfig, serializeLoraConfig } from "./peft.ts";
export { quantizedWeights, readQuantized, type TensorSource, writeQuantized } from "./quant/bitsandbytes.ts";
export { dequantizeNF4, NF4_CODE, type QuantState, quantizeNF4 } from "./quant/nf4.ts";
export { NF4Parameter, type NF4Weight } from "./quant/nf4Parameter.ts";
export { RMSNorm, type RMSNormOptions } from "./rmsNorm.ts";
export {
	type ByteSource,
	encodeSafetensors,
	type FloatDType,
	fromFloat32,
	type Header,
	type SafetensorsDType,
	SafetensorsReader,
	type TensorData,
	type TensorInfo,
	toFloat32,
} from "./safetensors/index.ts";
export { type Layer, Sequential, type TensorModule } from "./sequential.ts";
export { ModuleSnapshot } from "./snapshot.ts";
export { type LoadOptions, loadStateDict, stateDict, type Unloaded } from "./state.ts";
export { callOnto, callTogether, placeWeightsTogether } from "./together.ts";
