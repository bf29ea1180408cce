import { FormatError } from "@hushgrad/tensor";
import { expects, isCount, isIterable, named, partsOf } from "@hushgrad/tensor/author";
import { type FloatDType, fromFloat32, toFloat32 } from "../safetensors/convert.ts";
import type { SafetensorsDType } from "../safetensors/dtype.ts";
import type { TensorInfo } from "../safetensors/header.ts";
import type { TensorData } from "../safetensors/writer.ts";
import { NESTED_BLOCK } from "./doubleQuant.ts";
import { checkState, NF4_BLOCK, NF4_CODE, type QuantState } from "./nf4.ts";

/** The tensors of a checkpoint by name, as a `SafetensorsReader` gives them. */
export interface TensorSource {
	/** The names of all tensors. */
	names(): readonly string[];
	/** Type, shape and place of one of them. */
	info(name: string): TensorInfo;
	/** Its bytes. */
	read(name: string): Promise<Uint8Array>;
}

const STATE = /^(.+)\.quant_state\.bitsandbytes__(\w+)$/;
const TORCH = { F32: "float32", BF16: "bfloat16", F16: "float16" } as const;
const HINT =
	'load the checkpoint that was quantised with quantization: "nf4", or let transformers write what this one stands for: model.dequantize(), save_pretrained()';

/**
 * The weights of a checkpoint that bitsandbytes wrote in four bits, each by its name with the type that it names: "nf4" or "fp4".
 */
export function quantizedWeights(names: Iterable<string>): Map<string, string> {
	expects("quantizedWeights", { names: isIterable(names) ? [...names] : names }, { names: "list" });
	const found = new Map<string, string>();
	for (const name of names) {
		const [, weight, type] = STATE.exec(String(name)) ?? [];
		if (weight !== undefined) found.set(weight, type);
	}
	return found;
}

/** Names, types and shapes of the tensors that hold a weight. */
function layoutOf(name: string, [n, k]: readonly number[]): Map<string, readonly [SafetensorsDType, readonly number[]]> {
	const blocks = Math.ceil((n * k) / NF4_BLOCK);
	return new Map([
		[name, ["U8", [(n * k) / 2, 1]]],
		[`${name}.absmax`, ["U8", [blocks]]],
		[`${name}.quant_map`, ["F32", [NF4_CODE.length]]],
		[`${name}.nested_absmax`, ["F32", [Math.ceil(blocks / NESTED_BLOCK)]]],
		[`${name}.nested_quant_map`, ["F32", [256]]],
	]);
}

/**
 * A weight `[out, in]` that bitsandbytes wrote in NF4 with double quantisation (safetensors keys `{name}`, `{name}.absmax`, …,
 * `{name}.quant_state.bitsandbytes__nf4`), as it stands: no bit is computed anew. `path` is for messages.
 * @throws FormatError for FP4, NF4 without double quantisation, other block sizes or values, and parts that are missing, of
 * another type or size, or not finite.
 */
export const readQuantized = named("readQuantized", async (source: TensorSource, name: string, path: string): Promise<QuantState> => {
	const fail = (what: string, hint = HINT): never => {
		throw new FormatError("checkpoint/quantized", `${name}, quantised by bitsandbytes, ${what}`, { path, hint });
	};
	expects("readQuantized", { name, path }, { name: "text", path: "text" });
	partsOf("readQuantized", "source", source, { names: "function", info: "function", read: "function" });
	const read = async (part: string): Promise<Uint8Array> => {
		const bytes = await source.read(part);
		expects("readQuantized", { "source.read()": bytes }, { "source.read()": "bytes" });
		return bytes;
	};
	const found = source.names();
	expects("readQuantized", { "source.names()": found }, { "source.names()": "list" });
	const names = new Set(found);
	const type = quantizedWeights(names).get(name);
	if (type !== "nf4") return fail(`is in ${type === "fp4" ? "FP4" : type}: only NF4 with double quantisation is built`);
	if (!names.has(`${name}.nested_absmax`)) return fail("is in NF4 without double quantisation, which is not built");
	const text = new TextDecoder().decode(await read(`${name}.quant_state.bitsandbytes__nf4`));
	const damaged = "the file is damaged: download or save it again";
	let json: Record<string, unknown>;
	try {
		json = Object(JSON.parse(text));
	} catch {
		return fail("has a quant_state that is no JSON", damaged);
	}
	const only = (field: string, expected: unknown): void => {
		if (json[field] !== expected) fail(`has ${field} ${JSON.stringify(json[field])}, expected ${JSON.stringify(expected)}`);
	};
	only("quant_type", "nf4");
	only("blocksize", NF4_BLOCK);
	only("nested_blocksize", NESTED_BLOCK);
	only("nested_dtype", "float32");
	const dtype = (Object.keys(TORCH) as FloatDType[]).find((d) => TORCH[d] === json.dtype);
	if (dtype === undefined) return fail(`has dtype ${JSON.stringify(json.dtype)}, expected one of ${Object.values(TORCH).join(", ")}`);
	const { shape, nested_offset: offset } = json;
	if (!Array.isArray(shape) || shape.length !== 2 || !shape.every((d) => isCount(d) && d > 0) || (shape[0] * shape[1]) % 8 !== 0) {
		return fail(`has shape ${JSON.stringify(shape)}, expected [out, in] of a multiple of 8 weights`);
	}
	if (typeof offset !== "number" || !Number.isFinite(offset)) return fail(`has nested_offset ${JSON.stringify(offset)}`, damaged);
	const parts: Uint8Array[] = [];
	for (const [part, [type, extents]] of layoutOf(name, shape)) {
		const info = names.has(part) ? source.info(part) : undefined;
		const [is, expected] = [info && `${info.dtype} [${info.shape.join(", ")}]`, `${type} [${extents.join(", ")}]`];
		if (is !== expected) return fail(`holds ${part} as ${is ?? "nothing"}, expected ${expected}`, damaged);
		parts.push(await read(part));
	}
	const [map, nestedAbsmax, nestedMap] = parts.slice(2).map((bytes) => toFloat32(bytes, "F32"));
	if (!map.every((v, i) => v === NF4_CODE[i])) return fail("has another quant_map than NF4's 16 values");
	if (![...nestedAbsmax, ...nestedMap].every(Number.isFinite)) return fail("has scales that hold NaN or infinity", damaged);
	const [packed, absmax] = parts;
	return { packed, absmax, nestedAbsmax, nestedMap, offset: Math.fround(offset), shape, blocksize: NF4_BLOCK, dtype };
});

/** The tensors in which bitsandbytes keeps a quantised weight: what `readQuantized` reads. */
export function writeQuantized(name: string, state: QuantState): Map<string, TensorData> {
	expects("writeQuantized", { name }, { name: "text" });
	checkState("writeQuantized", state);
	const { packed, absmax, nestedAbsmax, nestedMap, offset, shape, blocksize, dtype } = state;
	// Python's spacing, so that the bytes are those of bitsandbytes.
	const fields = {
		...{ quant_type: "nf4", blocksize, dtype: TORCH[dtype], shape },
		...{ nested_blocksize: NESTED_BLOCK, nested_dtype: "float32", nested_offset: offset },
	};
	const json = Object.entries(fields).map(([key, v]) => `"${key}": ${JSON.stringify(v).replaceAll(",", ", ")}`);
	const text = new TextEncoder().encode(`{${json.join(", ")}}`);
	const data = [packed, absmax, ...[NF4_CODE, nestedAbsmax, nestedMap].map((values) => fromFloat32(values, "F32"))];
	const parts = [...layoutOf(name, shape)].map(
		([part, [type, extents]], i) => [part, { dtype: type, shape: extents, data: data[i] }] as const,
	);
	return new Map<string, TensorData>([
		...parts,
		[`${name}.quant_state.bitsandbytes__nf4`, { dtype: "U8", shape: [text.length], data: text }],
	]);
}
