import type { Device } from "../device.ts";
import { FLOATS } from "../dtype.ts";
import { ShapeError, ValueError } from "../errors.ts";
import { expects, instanceOf, optional, optionsOf } from "../expects.ts";
import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { blaming, named } from "../named.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { type Key, THREEFRY_WGSL, threefry } from "../random.ts";
import { type Shape, showShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { checkType } from "./arguments.ts";
import { mul } from "./binary.ts";
import { contiguous, packed } from "./contiguous.ts";
import { ones } from "./create.ts";
import { inF32 } from "./widen.ts";

const threshold = (p: number): number => Math.floor(p * 2 ** 24);

type DropoutAttrs = { p: number; stream: number };

export const dropoutKernel = defineKernel("dropout", {
	params: { n: "u32", quads: "u32", share: "u32", ks: "u32", stream: "u32", limit: "u32", scale: "f32" },
	buffers: { x: reads("f32"), keys: reads("u32"), y: writes("f32") },
	workgroup: 64,
	helpers: THREEFRY_WGSL,
	body: wgsl`
if (index >= p.n) { return; }
let record = index / p.quads;
let first = 4u * (index % p.quads);
let key = vec2u(keys_at(p.ks * record), keys_at(p.ks * record + 1u));
let words = vec4u(threefry(key, vec2u(first >> 1u, p.stream)), threefry(key, vec2u((first >> 1u) + 1u, p.stream)));
let factor = select(vec4f(0.0), vec4f(p.scale), (words >> vec4u(8u)) >= vec4u(p.limit));
let at = record * p.share + first;
for (var i = 0u; i < min(4u, p.share - first); i++) { y_set(at + i, x_at(at + i) * factor[i]); }`,
});

/** Dropout of x by the two words of a key and a stream, as `dropout` runs it. */
export const dropoutPrimitive: Primitive<DropoutAttrs> = definePrimitive<DropoutAttrs>({
	name: "dropout",
	signature: "x[...], keys[2] -> y[...]",
	dtypes: { keys: ["u32"] },
	attrs: { p: 0.5, stream: 0 },
	forward: ({ runtime, inputs, B, attrs: { p, stream } }) => {
		const x = contiguous(inputs.x);
		const keys = packed(inputs.keys);
		const y = runtime.empty(x.shape);
		const share = x.size / Math.max(1, B);
		const quads = Math.ceil(share / 4);
		const n = B * quads;
		dropoutKernel.run({ x, keys, y }, { n, quads, share, ks: keys.strides[0], stream, limit: threshold(p), scale: 1 / (1 - p) }, n);
		return [y];
	},
	grad: {
		x: { saves: ["keys"], rule: ({ dy, keys }, attrs) => dropoutPrimitive.apply([dy, keys], attrs)[0] },
		keys: "none",
	},
	reference: ({ x, keys }, { p, stream }) => {
		const data = x.data.map((v, i) => {
			const words = threefry(keys.data[0], keys.data[1], i >> 1, stream);
			return words[i & 1] >>> 8 >= threshold(p) ? v / (1 - p) : v * 0;
		});
		return [{ data, shape: x.shape }];
	},
	test: {
		bound: { ulp: 1, why: "one product with the rounded 1 / (1 - p)" },
		domains: { keys: { bits: true } },
		variants: [{ p: 0 }, { p: 0.1, stream: 7 }],
	},
});

/**
 * Randomness of one forward pass: a key, and a stream for every use of it. Streams come from names (the path of the module that
 * drops), so that masks depend neither on the order of calls nor on how a batch is split. Inside `vmap` the key may differ
 * between records.
 */
export class DropoutKey {
	/** The two words of the key, u32 `[2]`. */
	readonly words: Tensor;
	/** Number of the stream, a whole number below 2³²; 0 for a fresh key. */
	readonly stream: number;

	/** `words` is u32 `[2]`, checked when it is used; it stays the caller's to release. */
	constructor(words: Tensor, stream = 0) {
		this.words = words;
		this.stream = stream;
	}

	/** The randomness of a key on a device, stream 0. Uploads the key: not inside a captured step or a private program. */
	static of(device: Device, k: Key): DropoutKey {
		expects("DropoutKey.of", { device, k }, { device: "device", k: "key" });
		return new DropoutKey(blaming("DropoutKey.of", () => device.fromHost(Uint32Array.of(k.k0, k.k1), [2])));
	}

	/**
	 * The same key with a stream of its own for `name`: FNV-1a of the name, started at this stream. A number counts as its
	 * digits.
	 */
	fold(name: string | number): DropoutKey {
		if (typeof name !== "number") expects("DropoutKey.fold", { name }, { name: "text" });
		let hash = (0x811c9dc5 ^ this.stream) >>> 0;
		for (const c of String(name)) hash = Math.imul(hash ^ (c.codePointAt(0) as number), 0x01000193) >>> 0;
		return new DropoutKey(this.words, hash);
	}
}

const KEY = optional(instanceOf(DropoutKey, "a DropoutKey"));

/** Options of `dropout`. */
export interface DropoutOptions {
	/**
	 * Shape of the mask, broadcast to x; that of x when left out. `[C, 1, 1]` drops whole channels of x `[C, H, W]`: torch's dropout2d.
	 */
	readonly shape?: Shape | undefined;
}

/**
 * Each element is 0 with probability p, and x / (1 − p) otherwise; x itself without a key, as in evaluation. f32 or f16 → f32. The mask is
 * a function of the key, its stream and the position within the record; the gradient draws it again instead of storing it. p
 * counts in steps of 2⁻²⁴. A dropped infinity or NaN gives NaN.
 * @throws ValueError unless 0 ≤ p < 1.
 * @throws DTypeError unless x is f32 or f16 and the words of the key are u32.
 * @throws ShapeError unless the key has two words, and when `shape` does not broadcast to x.
 */
export const dropout = named("dropout", (x: Tensor, p: number, key?: DropoutKey, options: DropoutOptions = {}): Tensor => {
	checkType("dropout", x, FLOATS);
	expects("dropout", { p, key }, { p: "number", key: KEY });
	const { shape } = optionsOf("dropout", options, { shape: "shape?" });
	if (!(p >= 0 && p < 1)) throw new ValueError("dropout/p", `dropout: p is ${p}, expected 0 <= p < 1`, { op: "dropout" });
	if (key === undefined) return x;
	const { words, stream } = key;
	if (shape === undefined) return dropoutPrimitive.apply([inF32(x), words], { p, stream })[0];
	const lead = x.rank - shape.length;
	if (lead < 0 || shape.some((d, i) => d !== 1 && d !== x.shape[lead + i])) {
		throw new ShapeError("dropout/shape", `dropout: a mask of ${showShape(shape)} does not broadcast to x${showShape(x.shape)}`, {
			op: "dropout",
		});
	}
	return mul(inF32(x), dropoutPrimitive.apply([ones(x.device, shape), words], { p, stream })[0]);
});
