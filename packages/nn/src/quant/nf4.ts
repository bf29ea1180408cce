import { ShapeError, ValueError } from "@hushgrad/tensor";
import { expects, oneOf, partsOf, showShape } from "@hushgrad/tensor/author";
import { FLOAT, type FloatDType, fromFloat32, toFloat32 } from "../safetensors/convert.ts";
import { NESTED_BLOCK, type QuantizedScales, quantizeScales, TINY } from "./doubleQuant.ts";

/**
 * The 16 values of 4-bit NormalFloat, ascending, f32 (Dettmers et al. 2023): the canonical constants of bitsandbytes, not to be
 * recomputed.
 */
export const NF4_CODE: Float32Array = Float32Array.of(
	-1.0,
	-0.6961928009986877,
	-0.5250730514526367,
	-0.39491748809814453,
	-0.28444138169288635,
	-0.18477343022823334,
	-0.09105003625154495,
	0.0,
	0.07958029955625534,
	0.16093020141124725,
	0.24611230194568634,
	0.33791524171829224,
	0.44070982933044434,
	0.5626170039176941,
	0.7229568362236023,
	1.0,
);

/** Halfway between neighbouring codes, rounded to f32. A value above a bound takes the upper code. */
const BOUNDS = Float32Array.from({ length: 15 }, (_, i) => (NF4_CODE[i] + NF4_CODE[i + 1]) / 2);

/** Weights that share one scale. */
export const NF4_BLOCK = 64;

/**
 * A weight in NF4 with double quantisation, laid out as bitsandbytes does: code · scale, scale = nestedMap[absmax] nestedAbsmax +
 * offset, rounded to `dtype`.
 */
export interface QuantState extends QuantizedScales {
	/** Two codes a byte, the first in the high nibble: `[⌈n/2⌉]`. */
	readonly packed: Uint8Array;
	/** Shape of the weight, row-major. */
	readonly shape: readonly number[];
	/** Consecutive weights that share a scale; 64 from `quantizeNF4`. */
	readonly blocksize: number;
	/** Type of the weights that were quantised: what they stand for is rounded to it. */
	readonly dtype: FloatDType;
}

/**
 * @throws ValueError unless each part is of its kind, ShapeError unless there are as many codes and scales as the shape asks for.
 */
export function checkState(op: string, state: QuantState): void {
	const { packed, absmax, nestedAbsmax, nestedMap, shape, blocksize } = partsOf(op, "state", state, {
		...{ packed: "bytes", absmax: "bytes", nestedAbsmax: "floats", nestedMap: "floats", offset: "number", shape: "shape" },
		...{ blocksize: oneOf(NF4_BLOCK), dtype: FLOAT },
	});
	const size = shape.reduce((n, d) => n * d, 1);
	const blocks = Math.ceil(size / blocksize);
	const parts = [
		["packed", packed, Math.ceil(size / 2)],
		["absmax", absmax, blocks],
		["nestedAbsmax", nestedAbsmax, Math.ceil(blocks / NESTED_BLOCK)],
		["nestedMap", nestedMap, 256],
	] as const;
	for (const [name, { length }, count] of parts) {
		if (length !== count)
			throw new ShapeError("nf4/state", `${op}: ${name} has ${length} elements, ${showShape(shape)} takes ${count}`, { op });
	}
}

/** Number of bounds below x. */
function codeOf(x: number): number {
	let code = x > BOUNDS[7] ? 8 : 0;
	if (x > BOUNDS[code + 3]) code += 4;
	if (x > BOUNDS[code + 1]) code += 2;
	return x > BOUNDS[code] ? code + 1 : code;
}

function largest(values: Float32Array, begin: number, end: number): number {
	let max = 0;
	for (let i = begin; i < end; i++) {
		max = Math.max(max, Math.abs(values[i]));
	}
	return max;
}

/**
 * NF4 codes and f32 block scales of a row-major weight. A full block multiplies by the f32 reciprocal of its scale, a
 * shorter last block divides, as bitsandbytes' default backend does; so the bytes are equal to its bytes.
 * @throws ValueError for a weight that is not finite.
 */
export function quantizeBlocks(weights: Float32Array): { readonly packed: Uint8Array; readonly absmax: Float32Array } {
	const n = weights.length;
	const packed = new Uint8Array(Math.ceil(n / 2));
	const absmax = new Float32Array(Math.ceil(n / NF4_BLOCK));
	for (let block = 0; block < absmax.length; block++) {
		const begin = block * NF4_BLOCK;
		const end = Math.min(begin + NF4_BLOCK, n);
		const max = largest(weights, begin, end);
		if (!Number.isFinite(max)) {
			throw new ValueError("nf4/not-finite", `NF4: weights ${begin} to ${end - 1} hold NaN or infinity`, {
				hint: "the checkpoint is damaged",
			});
		}
		const isFull = end - begin === NF4_BLOCK;
		const inverse = Math.fround(1 / Math.max(max, TINY));
		absmax[block] = isFull ? max : Math.max(max, TINY);
		for (let i = begin; i < end; i++) {
			const scaled = isFull ? Math.fround(weights[i] * inverse) : Math.fround(weights[i] / absmax[block]);
			packed[i >> 1] |= codeOf(scaled) << (i % 2 === 0 ? 4 : 0);
		}
	}
	if (n % 2 === 1) packed[packed.length - 1] |= codeOf(0);
	return { packed, absmax };
}

/**
 * Quantises a row-major weight to NF4 in blocks of 64, whose scales take 8 bits in blocks of 256 (double quantisation): 4.127
 * bits a weight. The packed bytes are those of bitsandbytes. `dtype` is the type that the weights had in their checkpoint.
 * Source: Dettmers et al. 2023.
 * @throws ShapeError when the number of weights is not that of the shape, ValueError for NaN or infinity.
 */
export function quantizeNF4(weights: Float32Array, shape: readonly number[], dtype: FloatDType = "F32"): QuantState {
	expects("quantizeNF4", { weights, shape, dtype }, { weights: "floats", shape: "shape", dtype: FLOAT });
	const size = shape.reduce((n, d) => n * d, 1);
	if (size !== weights.length) {
		throw new ShapeError("nf4/shape", `quantizeNF4: ${showShape(shape)} holds ${size} weights, got ${weights.length}`, {
			op: "quantizeNF4",
		});
	}
	const { packed, absmax } = quantizeBlocks(weights);
	return { packed, shape, blocksize: NF4_BLOCK, dtype, ...quantizeScales(absmax) };
}

/**
 * The weight in f32, row-major: code times block scale, where scale = fl(fl(map[q] nested) + offset); fl rounds to f32. Each
 * weight is then rounded once to the type that it had before it was quantised, as bitsandbytes does.
 */
export function dequantizeNF4(state: QuantState): Float32Array {
	checkState("dequantizeNF4", state);
	const { packed, absmax, nestedAbsmax, nestedMap, offset, shape, dtype } = state;
	const scales = Float32Array.from(absmax, (q, i) => Math.fround(nestedMap[q] * nestedAbsmax[Math.floor(i / NESTED_BLOCK)]) + offset);
	const size = shape.reduce((n, d) => n * d, 1);
	const weight = Float32Array.from({ length: size }, (_, i) => {
		const byte = packed[i >> 1];
		return NF4_CODE[i % 2 === 0 ? byte >> 4 : byte & 15] * scales[Math.floor(i / state.blocksize)];
	});
	return toFloat32(fromFloat32(weight, dtype), dtype);
}
