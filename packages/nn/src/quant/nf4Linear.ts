import {
	type Device,
	definePrimitive,
	gemm,
	type NdArray,
	type Primitive,
	reshape,
	type Tensor,
	transpose,
	ValueError,
} from "@hushgrad/tensor";
import { Module } from "../module.ts";
import { NESTED_BLOCK } from "./doubleQuant.ts";
import { NF4_BLOCK, NF4_CODE, type QuantState } from "./nf4.ts";

/** A 4-bit weight [out, in] on the device, as bitsandbytes lays it out. */
export interface NF4Weight {
	/** Two codes a byte, high nibble first, four bytes a word: u32 [out * in / 8]. */
	readonly codes: Tensor;
	/** 8-bit codes of the block scales, four a word: u32 [ceil(blocks / 4)]. */
	readonly scales: Tensor;
	/** Scales of 256 block scales each: f32. */
	readonly nested: Tensor;
	/** The 256 values of the 8-bit codes: f32. */
	readonly map: Tensor;
}

type NF4Attrs = { n: number; k: number; offset: number };

/** Block scales: fl(fl(map[q] * nested) + offset). Two passes, because a compiler may fuse multiply and add. */
function blockScales(device: Device, { scales, nested, map }: NF4Weight, blocks: number, offset: number): Tensor {
	const product = device.empty([blocks]);
	device.run(
		"nf4/scales",
		() => ({
			params: { n: "u32" },
			buffers: {
				q: { dtype: "u32", access: "read" },
				nested: { dtype: "f32", access: "read" },
				map: { dtype: "f32", access: "read" },
				y: { dtype: "f32", access: "write" },
			},
			workgroup: [64, 1, 1],
			body: `
if (index >= p.n) { return; }
let code = (q_at(index >> 2u) >> (8u * (index & 3u))) & 255u;
y_set(index, map_at(code) * nested_at(index / ${NESTED_BLOCK}u));`,
		}),
		[scales, nested, map, product],
		[blocks],
		blocks,
	);
	const absmax = device.empty([blocks]);
	device.run(
		"nf4/offset",
		() => ({
			params: { n: "u32", offset: "f32" },
			buffers: { x: { dtype: "f32", access: "read" }, y: { dtype: "f32", access: "write" } },
			workgroup: [64, 1, 1],
			body: "if (index < p.n) { y_set(index, x_at(index) + p.offset); }",
		}),
		[product, absmax],
		[blocks, offset],
		blocks,
	);
	return absmax;
}

/** The weight in f32 [n, k]: code value times block scale, one rounding; equal to the host's bit for bit. */
export function dequantize(weight: NF4Weight, { n, k, offset }: NF4Attrs): Tensor {
	const { device } = weight.codes;
	return device.scope(() => {
		const absmax = blockScales(device, weight, Math.ceil((n * k) / NF4_BLOCK), offset);
		const out = device.empty([n, k]);
		device.run(
			"nf4/dequantize",
			() => ({
				params: { words: "u32" },
				buffers: {
					q: { dtype: "u32", access: "read" },
					absmax: { dtype: "f32", access: "read" },
					y: { dtype: "f32", access: "write", lanes: 4 },
				},
				workgroup: [64, 1, 1],
				helpers: `const CODE = array<f32, 16>(${[...NF4_CODE].map((c) => (`${c}`.includes(".") ? `${c}` : `${c}.0`)).join(", ")});`,
				body: `
if (index >= p.words) { return; }
let word = q_at(index);
let scale = absmax_at(index / ${NF4_BLOCK / 8}u);
var code = CODE;
let lo = vec4u(word >> 4u, word, word >> 12u, word >> 8u) & vec4u(15u);
let hi = vec4u(word >> 20u, word >> 16u, word >> 28u, word >> 24u) & vec4u(15u);
y_set4(2u * index, vec4f(code[lo.x], code[lo.y], code[lo.z], code[lo.w]) * scale);
y_set4(2u * index + 1u, vec4f(code[hi.x], code[hi.y], code[hi.z], code[hi.w]) * scale);`,
			}),
			[weight.codes, absmax, out],
			[(n * k) / 8],
			(n * k) / 8,
		);
		return out;
	});
}

const rowsOf = (x: Tensor): Tensor => reshape(x, [-1, x.shape[x.rank - 1]]);

function referenceWeight(v: Readonly<Record<string, NdArray>>, { n, k, offset }: NF4Attrs): Float64Array {
	const out = new Float64Array(n * k);
	for (let i = 0; i < out.length; i++) {
		const byte = Math.floor(v.codes.data[i >> 3] / 2 ** (8 * ((i >> 1) & 3))) & 255;
		const block = Math.floor(i / NF4_BLOCK);
		const q = Math.floor(v.scales.data[block >> 2] / 2 ** (8 * (block & 3))) & 255;
		const absmax = v.map.data[q] * v.nested.data[Math.floor(block / NESTED_BLOCK)] + offset;
		out[i] = NF4_CODE[i % 2 === 0 ? byte >> 4 : byte & 15] * absmax;
	}
	return out;
}

export const nf4LinearPrimitive: Primitive<NF4Attrs> = definePrimitive<NF4Attrs>({
	name: "nf4Linear",
	signature: "x[..., K], codes[C], scales[S], nested[M], map[256] -> y[..., N]",
	dtypes: { codes: ["u32"], scales: ["u32"] },
	attrs: { n: 8, k: 16, offset: 0.5 },
	forward: ({ inputs, attrs }) => {
		const { x, codes, scales, nested, map } = inputs;
		const w = dequantize({ codes, scales, nested, map }, attrs);
		const rows = rowsOf(x.alias({ perSample: false }));
		return [reshape(gemm(rows, transpose(w)), [...x.shape.slice(0, -1), attrs.n])];
	},
	grad: {
		x: {
			saves: ["codes", "scales", "nested", "map"],
			again: "none",
			rule: ({ dy, codes, scales, nested, map }, attrs, { shape, perSample }) => {
				const dx = dy.device.scope(() => {
					const w = dequantize({ codes, scales, nested, map }, attrs);
					return reshape(gemm(rowsOf(dy.alias({ perSample: false })), w), shape);
				});
				return dx.alias({ perSample });
			},
		},
		codes: "none",
		scales: "none",
		nested: "none",
		map: "none",
	},
	reference: (v, attrs) => {
		const { n, k } = attrs;
		const w = referenceWeight(v, attrs);
		const rows = v.x.data.length / k;
		const data = new Float64Array(rows * n);
		for (let i = 0; i < rows; i++) {
			for (let j = 0; j < n; j++) {
				for (let q = 0; q < k; q++) data[i * n + j] += v.x.data[i * k + q] * w[j * k + q];
			}
		}
		return [{ data, shape: [...v.x.shape.slice(0, -1), n] }];
	},
	test: {
		bound: { abs: 2e-5, why: "sums of 16 products of size 4" },
		sizes: { K: [16], C: [16], S: [1], M: [1] },
		domains: { codes: { bits: true }, scales: { bits: true }, nested: { range: [0.1, 2] }, map: { range: [-1, 1] } },
	},
});

/**
 * A frozen linear layer whose weight [out, in] is stored in NF4 with double quantisation (4.13 bits a weight):
 * y = x dequantize(W)^T in f32. The gradient flows to x only. Source: Dettmers et al. 2023; bitsandbytes' layout.
 */
export class NF4Linear extends Module {
	readonly inFeatures: number;
	readonly outFeatures: number;
	#weight: NF4Weight | undefined;
	#offset = 0;

	/** Without values; `load` sets them. */
	constructor(inFeatures: number, outFeatures: number) {
		super();
		if ((inFeatures * outFeatures) % 8 !== 0) {
			throw new ValueError("nf4/size", `NF4Linear: ${outFeatures} x ${inFeatures} weights do not fill whole words of 8 codes`);
		}
		this.inFeatures = inFeatures;
		this.outFeatures = outFeatures;
	}

	/** Uploads a quantised weight. */
	load(device: Device, state: QuantState): void {
		if (state.blocksize !== NF4_BLOCK || state.shape[0] !== this.outFeatures || state.shape[1] !== this.inFeatures) {
			throw new ValueError(
				"nf4/state",
				`NF4Linear: got weight [${state.shape.join(", ")}] in blocks of ${state.blocksize}, ` +
					`expected [${this.outFeatures}, ${this.inFeatures}] in blocks of ${NF4_BLOCK}`,
			);
		}
		this.dispose();
		this.#offset = state.offset;
		const upload = (t: Tensor): Tensor => device.keep(t);
		this.#weight = {
			codes: upload(device.fromHost(words(state.packed), [state.packed.length / 4])),
			scales: upload(device.fromHost(words(state.absmax), [Math.ceil(state.absmax.length / 4)])),
			nested: upload(device.fromHost(state.nestedAbsmax, [state.nestedAbsmax.length])),
			map: upload(device.fromHost(state.nestedMap, [256])),
		};
	}

	get weight(): NF4Weight {
		if (this.#weight === undefined) throw new ValueError("nf4/empty", "NF4Linear: the weight has not been loaded", { path: this.path });
		return this.#weight;
	}

	get #attrs(): NF4Attrs {
		return { n: this.outFeatures, k: this.inFeatures, offset: this.#offset };
	}

	/** The weight in f32 [out, in]. */
	dequantized(): Tensor {
		return dequantize(this.weight, this.#attrs);
	}

	forward(x: Tensor): Tensor {
		const { codes, scales, nested, map } = this.weight;
		return nf4LinearPrimitive.apply([x, codes, scales, nested, map], this.#attrs)[0];
	}

	override dispose(): void {
		if (this.#weight !== undefined) for (const part of Object.values(this.#weight)) part.dispose();
		this.#weight = undefined;
	}

	override packedElements(): number {
		return this.inFeatures * this.outFeatures;
	}

	override extraRepr(): string {
		return `in_features=${this.inFeatures}, out_features=${this.outFeatures}, bias=False, quant_type=nf4, double_quant=True`;
	}
}

/** Bytes as little-endian words, padded with zeros. */
function words(bytes: Uint8Array): Uint32Array {
	const out = new Uint32Array(Math.ceil(bytes.length / 4));
	new Uint8Array(out.buffer).set(bytes);
	return out;
}
