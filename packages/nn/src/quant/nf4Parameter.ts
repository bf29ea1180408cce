import { cat, type Device, data, ShapeError, slice, type Tensor, ValueError } from "@hushgrad/tensor";
import { blaming, expects, sameShape, showShape } from "@hushgrad/tensor/author";
import { checkBranch, type LowRankBranch } from "../lowRank.ts";
import { checkSize, Parameter } from "../parameter.ts";
import type { FloatDType } from "../safetensors/convert.ts";
import { type NF4Attrs, ROUNDED_TO } from "./nf4.kernel.ts";
import { checkState, NF4_BLOCK, type QuantState, quantizeNF4 } from "./nf4.ts";
import { nf4AdaptedDropoutPlusPrimitive, nf4AdaptedDropoutPrimitive, nf4AdaptedPlusPrimitive, nf4AdaptedPrimitive } from "./nf4Adapted.ts";
import { nf4DequantizePrimitive, nf4LinearPrimitive } from "./nf4Linear.ts";
import { togetherOf } from "./nf4Together.ts";

/** A 4-bit weight `[out, in]` on the device, in the layout of bitsandbytes; a block is 64 weights. */
export interface NF4Weight {
	/** Two codes a byte, high nibble first, four bytes a word: u32 `[out · in / 8]`. */
	readonly codes: Tensor;
	/** 8-bit codes of the block scales, four a word: u32 `[⌈blocks / 4⌉]`. */
	readonly scales: Tensor;
	/** A scale for every 256 block scales: f32 `[⌈blocks / 256⌉]`. */
	readonly nested: Tensor;
	/** The values of the 8-bit codes: f32 `[256]`. */
	readonly map: Tensor;
}

/** What operations on a weight take beside its parts. */
let attrsOf: (parameter: NF4Parameter) => NF4Attrs;
/** Puts equal parts in the place of those that a weight has. */
let replaceParts: (parameter: NF4Parameter, weight: NF4Weight) => void;

/**
 * A frozen weight `[out, in]` in NF4 with double quantisation (4.13 bits a weight), computed with as dequantize(W) in f32. Each
 * dequantised weight is rounded to the type that it had before (`dtype`), as bitsandbytes does. The gradient flows through it, not
 * to it. Source: Dettmers et al. 2023; layout of bitsandbytes.
 */
export class NF4Parameter extends Parameter {
	#weight: NF4Weight | undefined;
	#offset = 0;
	#dtype: FloatDType = "F32";

	/**
	 * Without values; `load` and `loadQuantized` set them.
	 * @throws ValueError unless the shape is `[out, in]` and out · in a multiple of 8.
	 */
	constructor(shape: readonly number[]) {
		super(shape, { trainable: false });
		if (shape.length !== 2 || this.size % 8 !== 0) {
			throw new ValueError("nf4/size", `NF4Parameter: a weight ${showShape(shape)}, expected [out, in] of a multiple of 8`);
		}
	}

	/** Always "nf4", values or not. */
	override get format(): "nf4" {
		return "nf4";
	}

	/** Type of the weights before they were quantised, to which `dequantize` and `linear` round; "F32" before there are values. */
	get dtype(): FloatDType {
		return this.#dtype;
	}

	/** Always false. */
	override get trainable(): boolean {
		return false;
	}

	/**
	 * Quantised weights are frozen.
	 * @throws ValueError when asked to train.
	 */
	override set trainable(trainable: boolean) {
		if (trainable)
			throw new ValueError("nf4/frozen", `${this.label}: a weight in NF4 cannot be trained`, { hint: "put LoRA on its layer" });
	}

	/**
	 * It is no single tensor, and cannot be set either.
	 * @throws ValueError always: `weight` has the parts, `dequantize` makes one tensor.
	 */
	override get value(): Tensor {
		throw new ValueError("nf4/value", `${this.label}: a weight in NF4 is not one tensor`, { hint: "dequantize() makes one" });
	}

	override set value(_: Tensor) {
		throw new ValueError("nf4/value", `${this.label}: a weight in NF4 is not one tensor and has no gradient`, {
			hint: "load() and loadQuantized() give it its parts",
		});
	}

	/**
	 * The parts.
	 * @throws ValueError before there are values.
	 */
	get weight(): NF4Weight {
		if (this.#weight === undefined) throw this.emptyError();
		return this.#weight;
	}

	/** The four parts of `weight`; none before there are values. */
	override tensors(): readonly Tensor[] {
		return this.#weight === undefined ? [] : Object.values(this.#weight);
	}

	/**
	 * The weight in f32 `[out, in]`, a new tensor of the current scope; bit for bit `dequantizeNF4`.
	 * @throws ValueError before there are values.
	 */
	override dequantize(): Tensor {
		const { codes, scales, nested, map } = this.weight;
		return nf4DequantizePrimitive.apply([codes, scales, nested, map], this.#attrs)[0];
	}

	/**
	 * x dequantize(W)ᵀ in f32: `x [..., in] → [..., out]`, with a gradient by x alone.
	 * @throws ValueError before there are values, ShapeError when the last axis of x is not `in`.
	 */
	override linear(x: Tensor): Tensor {
		const { codes, scales, nested, map } = this.weight;
		return blaming("NF4Parameter.linear", () => nf4LinearPrimitive.apply([x, codes, scales, nested, map], this.#attrs)[0]);
	}

	/**
	 * x dequantize(W)ᵀ + s dropout(x) Aᵀ Bᵀ in f32: `x [..., in] → [..., out]`, with gradients by x, A and B.
	 * @throws ValueError before there are values, ShapeError when shapes do not fit.
	 */
	override adapted(x: Tensor, branch: LowRankBranch): Tensor {
		checkBranch("NF4Parameter.adapted", x, branch);
		const { a, b, scale, mask } = branch;
		const { codes, scales, nested, map } = this.weight;
		const operands = [x, codes, scales, nested, map, a, b];
		return blaming("NF4Parameter.adapted", () =>
			mask === undefined
				? nf4AdaptedPrimitive.apply(operands, { ...this.#attrs, scale })[0]
				: nf4AdaptedDropoutPrimitive.apply([...operands, mask.words], { ...this.#attrs, scale, p: mask.p, stream: mask.stream })[0],
		);
	}

	/** @throws ShapeError always: it takes its values from `load` and `loadQuantized`. */
	override assign(): never {
		throw new ShapeError("nf4/assign", `NF4Parameter.assign: ${this.label} is held in NF4 and takes its value from load()`, {
			op: "NF4Parameter.assign",
		});
	}

	/**
	 * Quantises the values of a checkpoint, row-major, on the host, and uploads them. `source` is the type that they had there; any
	 * other than BF16 and F16 is taken for F32.
	 * @throws ShapeError when they do not fill the shape, ValueError for NaN or infinity.
	 */
	override load(device: Device, values: Float32Array, source = "F32"): void {
		expects("NF4Parameter.load", { device, values, source }, { device: "device", values: "floats", source: "text" });
		checkSize("NF4Parameter.load", this, values);
		const dtype = source === "BF16" || source === "F16" ? source : "F32";
		this.loadQuantized(device, quantizeNF4(values, this.shape, dtype));
	}

	/**
	 * The weight as it is held, read back: `loadQuantized` of another parameter makes an equal one of it.
	 * @throws ValueError before there are values.
	 */
	async quantState(): Promise<QuantState> {
		const { shape } = this;
		const [codes, scales, nested, map] = await Promise.all(Object.values(this.weight).map((t) => data(t)));
		const bytes = ({ buffer, byteOffset }: { readonly buffer: ArrayBufferLike; readonly byteOffset: number }, length: number) =>
			new Uint8Array(buffer, byteOffset, length);
		return {
			packed: bytes(codes, this.size / 2),
			absmax: bytes(scales, Math.ceil(this.size / NF4_BLOCK)),
			nestedAbsmax: nested as Float32Array,
			nestedMap: map as Float32Array,
			...{ offset: this.#offset, shape, blocksize: NF4_BLOCK, dtype: this.#dtype },
		};
	}

	/**
	 * Uploads a weight that is quantised already, and releases the one before.
	 * @throws ValueError for parts of another kind, or not in blocks of 64; ShapeError for a weight of another shape, and for parts that
	 * do not fill it. Then the one before stays.
	 */
	loadQuantized(device: Device, state: QuantState): void {
		const op = "NF4Parameter.loadQuantized";
		expects(op, { device }, { device: "device" });
		checkState(op, state);
		if (!sameShape(state.shape, this.shape)) {
			throw new ShapeError("nf4/state", `${op}: a weight ${showShape(state.shape)}, expected ${showShape(this.shape)}`, { op });
		}
		const codes = words(state.packed);
		const scales = words(state.absmax);
		const weight = device.scope(() => ({
			codes: device.fromHost(codes, [codes.length]),
			scales: device.fromHost(scales, [scales.length]),
			nested: device.fromHost(state.nestedAbsmax, [state.nestedAbsmax.length]),
			map: device.fromHost(state.nestedMap, [state.nestedMap.length]),
		}));
		this.dispose();
		for (const part of Object.values(weight)) device.keep(part);
		this.#offset = state.offset;
		this.#dtype = state.dtype;
		this.#weight = weight;
	}

	/** Releases the parts; the parameter is as it was before it had values. */
	override dispose(): void {
		for (const part of this.tensors()) part.dispose();
		this.#weight = undefined;
	}

	static {
		attrsOf = (parameter) => parameter.#attrs;
		replaceParts = (parameter, weight) => {
			parameter.dispose();
			parameter.#weight = weight;
		};
	}

	get #attrs(): NF4Attrs {
		return { n: this.shape[0], k: this.shape[1], offset: this.#offset, rounded: ROUNDED_TO.indexOf(this.#dtype) };
	}
}

/**
 * x dequantize(W)ᵀ + s dropout(x) Aᵀ Bᵀ of each of two or three weights of one shape, as `NF4Parameter.adapted` of each: branches of one
 * rank, factor and probability, with masks of one key or none.
 */
export function adaptedTogether(weights: readonly NF4Parameter[], x: Tensor, branches: readonly LowRankBranch[]): Tensor[] {
	const [{ scale, mask }] = branches;
	const parts = weights.flatMap((weight, j) => [...Object.values(weight.weight), branches[j].a, branches[j].b]);
	const attrs = weights.map((weight, j) => Object.entries({ ...attrsOf(weight), stream: branches[j].mask?.stream ?? 0 }));
	const own = Object.fromEntries(attrs.flatMap((list, j) => list.map(([name, v]) => [j === 0 ? name : `${name}${j}`, v] as const)));
	const primitive = togetherOf(weights.length, mask !== undefined);
	const { n, k } = attrsOf(weights[0]);
	const given = { ...own, n, k, scale, p: mask?.p ?? 0 };
	const operands = [x, ...parts, ...(mask === undefined ? [] : [mask.words])];
	return primitive.apply(operands, given).slice(0, weights.length);
}

/** plus + x dequantize(W)ᵀ + s dropout(x) Aᵀ Bᵀ, for more than one row. */
export function adaptedOnto(weight: NF4Parameter, x: Tensor, { a, b, scale, mask }: LowRankBranch, plus: Tensor): Tensor {
	const { codes, scales, nested, map } = weight.weight;
	const operands = [x, codes, scales, nested, map, a, b];
	const attrs = { ...attrsOf(weight), scale };
	if (mask === undefined) return nf4AdaptedPlusPrimitive.apply([...operands, plus], attrs)[0];
	return nf4AdaptedDropoutPlusPrimitive.apply([...operands, mask.words, plus], { ...attrs, p: mask.p, stream: mask.stream })[0];
}

/** Moves the parts of weights of one shape next to each other in memory. */
export function placeTogether(weights: readonly NF4Parameter[]): void {
	const { device } = weights[0].weight.codes;
	const moved = device.scope(() => {
		const lists = (["codes", "scales", "nested", "map"] as const).map((name) => {
			const parts = weights.map((w) => w.weight[name]);
			const whole = cat(parts);
			const { size } = parts[0];
			return parts.map((_, j) => device.keep(slice(whole, 0, j * size, (j + 1) * size)));
		});
		return weights.map((_, j) => ({ codes: lists[0][j], scales: lists[1][j], nested: lists[2][j], map: lists[3][j] }));
	});
	for (const [j, weight] of weights.entries()) replaceParts(weight, moved[j]);
}

/** Bytes as little-endian words, padded with zeros. */
function words(bytes: Uint8Array): Uint32Array {
	const out = new Uint32Array(Math.ceil(bytes.length / 4));
	new Uint8Array(out.buffer).set(bytes);
	return out;
}
