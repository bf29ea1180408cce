export { type FloatDType, fromFloat32, toFloat32 } from "./convert.ts";
export type { SafetensorsDType } from "./dtype.ts";
export type { Header, TensorInfo } from "./header.ts";
export { type ByteSource, SafetensorsReader } from "./reader.ts";
export { encodeSafetensors, type TensorData } from "./writer.ts";
