/* For authors of operations, optimisers and engines: what programs on tensors have no use for. */

export { runtimeOf } from "./device.ts";
export { bytesPerElement, FLOATS, INTEGERS, wgslScalar } from "./dtype.ts";
export { type ArgumentKind, expects, instanceOf, isCount, isIterable, type Kind, oneOf, optional, optionsOf, partsOf } from "./expects.ts";
export { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "./float16.ts";
export { defineKernel, Kernel, KernelFamily, type Variant } from "./gpu/defineKernel.ts";
export { type BufferSpec, type KernelSpec, type Lanes, type ParamType, reads, writes } from "./gpu/kernel.ts";
export { isSoftware } from "./gpu/plan.ts";
export { bitsOf, chosen, wgsl } from "./gpu/wgsl.ts";
export { defineLinear, LinearOp, type LinearSpec, type LinearTest } from "./linearOp.ts";
export { blaming, named, unblamed } from "./named.ts";
export { contiguous, copyInto, packed, reshaped } from "./ops/contiguous.ts";
export { blank, filled, zeroed } from "./ops/create.ts";
export { dropoutPrimitive } from "./ops/dropout.ts";
export { elementwise, type Row, sumToOperand, unary, withScalar } from "./ops/elementwise.ts";
export { type GemmTarget, type GemmUpdate, gemm, sharesLoads } from "./ops/gemm.ts";
export { linearGrad, linearPrimitive, linearProduct } from "./ops/linear.ts";
export { rowProduct } from "./ops/matmul.ts";
export { type BinaryOp, binary } from "./ops/operands.ts";
export { entry, stacked, stackedViews } from "./ops/stacked.ts";
export { defineSumming, type Summing, type SummingSpec, summed } from "./ops/summing.ts";
export { type InRuns, inRuns, RUN, RUN_PARAMS, runsOf } from "./ops/turns.ts";
export { type Some, withDefaults } from "./options.ts";
export { Physical, type Place } from "./physical.ts";
export { physicalOf } from "./physicalOf.ts";
export {
	type Attrs,
	type Bound,
	type Domain,
	definePrimitive,
	type ForwardContext,
	type GradRule,
	type Named,
	Primitive,
	type PrimitiveSpec,
} from "./primitive.ts";
export { checkNotInside, privateProgram } from "./privateProgram.ts";
export { THREEFRY_WGSL, threefry } from "./random.ts";
export { type Arrived, alias, record, tapeOf } from "./record.ts";
export { isPlainObject, type OperandShape, type Records } from "./records.ts";
export { mapRows, moved, type NdArray, reduceRows } from "./reference.ts";
export type { Runtime } from "./runtime.ts";
export { type NotPromise, tensorsIn } from "./scopes.ts";
export { checkShape, sameShape, showShape, sizeOf } from "./shape.ts";
export { shown } from "./shown.ts";
export type { Spare } from "./spare.ts";
export {
	type Rows,
	rowsOf,
	type Share,
	type StreamedGradient,
	type StreamedValueAndGrad,
	type Streaming,
	streamedValueAndGrad,
} from "./streamed.ts";
export { insideOf } from "./tensor.ts";
export { RANGES } from "./upload.ts";
