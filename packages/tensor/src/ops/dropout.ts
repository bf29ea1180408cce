import type { Device } from "../device.ts";
import { ValueError } from "../errors.ts";
import { definePrimitive, type Primitive } from "../primitive.ts";
import { type Key, THREEFRY_WGSL, threefry } from "../random.ts";
import { sampleOffset } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { contiguous } from "./copy.ts";
import { markSamples } from "./view.ts";

const threshold = (p: number): number => Math.floor(p * 2 ** 24);

type DropoutAttrs = { p: number; stream: number };

export const dropoutPrimitive: Primitive<DropoutAttrs> = definePrimitive<DropoutAttrs>({
	name: "dropout",
	signature: "x[...], keys[B?, 2] -> y[...]",
	dtypes: { keys: ["u32"] },
	attrs: { p: 0.5, stream: 0 },
	forward: ({ device, inputs, attrs }) => {
		const x = contiguous(inputs.x);
		const keys = contiguous(inputs.keys);
		const y = device.empty(x.shape);
		const share = keys.rank === 2 ? x.size / keys.shape[0] : x.size;
		const quads = Math.ceil(share / 4);
		const samples = keys.rank === 2 ? keys.shape[0] : 1;
		device.run(
			"dropout",
			() => ({
				params: { n: "u32", quads: "u32", share: "u32", stream: "u32", limit: "u32", scale: "f32" },
				buffers: {
					x: { dtype: "f32", access: "read" },
					keys: { dtype: "u32", access: "read" },
					y: { dtype: "f32", access: "write" },
				},
				workgroup: [64, 1, 1],
				helpers: THREEFRY_WGSL,
				body: `
if (index >= p.n) { return; }
let sample = index / p.quads;
let first = 4u * (index % p.quads);
let key = vec2u(keys_at(2u * sample), keys_at(2u * sample + 1u));
let words = vec4u(threefry(key, vec2u(first >> 1u, p.stream)), threefry(key, vec2u((first >> 1u) + 1u, p.stream)));
let factor = select(vec4f(0.0), vec4f(p.scale), (words >> vec4u(8u)) >= vec4u(p.limit));
let at = sample * p.share + first;
for (var i = 0u; i < min(4u, p.share - first); i++) { y_set(at + i, x_at(at + i) * factor[i]); }`,
			}),
			[x, keys, y],
			[samples * quads, quads, share, attrs.stream, threshold(attrs.p), 1 / (1 - attrs.p)],
			x.size === 0 ? 0 : samples * quads,
		);
		return [y];
	},
	grad: {
		x: { saves: ["keys"], rule: ({ dy, keys }, attrs) => dropoutPrimitive.apply([dy, keys], attrs)[0] },
		keys: "none",
	},
	reference: ({ x, keys }, { p, stream }) => {
		const n = x.data.length;
		const data = x.data.map((v, i) => {
			const at = sampleOffset(keys, 1, i, n);
			const local = keys.shape.length === 2 ? i % (n / keys.shape[0]) : i;
			const words = threefry(keys.data[at], keys.data[at + 1], local >> 1, stream);
			return words[local & 1] >>> 8 >= threshold(p) ? v / (1 - p) : v * 0;
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
 * Randomness of one forward pass: a key for each sample (or one for all), and a counter that gives every use of it a
 * stream of its own. Keyed by record and step, masks do not depend on how a batch is split.
 */
export class DropoutKeys {
	readonly keys: Tensor;
	#stream = 0;

	private constructor(keys: Tensor) {
		this.keys = keys;
	}

	/** One key for the whole batch. */
	static shared(device: Device, { k0, k1 }: Key): DropoutKeys {
		return new DropoutKeys(device.fromHost(Uint32Array.of(k0, k1), [2]));
	}

	/** One key a sample, marked per sample. */
	static perSample(device: Device, keys: readonly Key[]): DropoutKeys {
		const words = Uint32Array.from(keys.flatMap(({ k0, k1 }) => [k0, k1]));
		return new DropoutKeys(markSamples(device.fromHost(words, [keys.length, 2])));
	}

	/** Number of streams handed out. */
	get position(): number {
		return this.#stream;
	}

	/** Goes back (or on) to a position, to draw the same masks again. */
	rewind(position: number): void {
		this.#stream = position;
	}

	nextStream(): number {
		return this.#stream++;
	}
}

/**
 * Zeroes each element with probability p and scales the others by 1/(1-p). The mask is a function of the key, the
 * stream and the position within the sample; the gradient draws it again instead of storing it.
 * @throws ValueError unless 0 <= p < 1.
 */
export function dropout(x: Tensor, p: number, randomness: DropoutKeys): Tensor {
	if (!(p >= 0 && p < 1)) throw new ValueError("dropout/p", `dropout: p is ${p}, expected 0 <= p < 1`, { op: "dropout" });
	return dropoutPrimitive.apply([x, randomness.keys], { p, stream: randomness.nextStream() })[0];
}
