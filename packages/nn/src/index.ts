export { Dropout } from "./dropout.ts";
export { Embedding, type EmbeddingOptions } from "./embedding.ts";
export { kaimingUniform, normalInit, zerosInit } from "./init.ts";
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
export {
	countParameters,
	Module,
	ModuleList,
	type ParameterCount,
	printTrainableParameters,
	trainableParametersLine,
} from "./module.ts";
export { Adam, AdamW, type AdamWOptions } from "./optim/adamw.ts";
export { Optimizer, type OptimizerOptions, type ParameterGroup, type Trained } from "./optim/optimizer.ts";
export { constant, cosineWithWarmup, type Schedule } from "./optim/schedule.ts";
export { SGD, type SGDOptions } from "./optim/sgd.ts";
export { ParameterVector, type Range } from "./optim/vector.ts";
export { type Format, ModuleBuffer, Parameter, type ParameterOptions } from "./parameter.ts";
export { adapterKey, type LoraConfig, loraConfig, matchesTarget, parseLoraConfig, serializeLoraConfig } from "./peft.ts";
export { quantizedWeights, readQuantized, type TensorSource, writeQuantized } from "./quant/bitsandbytes.ts";
export { dequantizeNF4, NF4_CODE, type QuantState, quantizeNF4 } from "./quant/nf4.ts";
export { NF4Parameter, type NF4Weight } from "./quant/nf4Parameter.ts";
export { RMSNorm } from "./rmsNorm.ts";
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
