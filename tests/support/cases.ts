import { type Device, type DType, markSamples, type NdArray, type Primitive, permute, type Tensor, threefry } from "@hushgrad/tensor";
import fc from "fast-check";

/** One random call of a primitive: operand values on the host, as f32 or integers. */
export interface Case {
	readonly attrs: Record<string, number | boolean>;
	readonly inputs: Readonly<Record<string, NdArray>>;
	/** Operands to lay out with reversed axes, so that the device sees a non-contiguous view. */
	readonly reversed: boolean;
	readonly seed: number;
}

const size = (shape: readonly number[]) => shape.reduce((n, d) => n * d, 1);

/** Uniform numbers in [0, 1) from a seed and a stream. */
export function numbers(seed: number, stream: number): () => number {
	let i = 0;
	return () => threefry(seed, stream, i++, 0)[0] / 2 ** 32;
}

interface Draw {
	readonly seed: number;
	readonly pick: number;
	readonly lead: readonly number[];
	readonly axes: Readonly<Record<string, number>>;
	readonly reversed: boolean;
	readonly variant: number;
}

/** Mostly 1 to `max`, now and then 0. */
const extents = (max: number): fc.Arbitrary<number> =>
	fc.oneof({ weight: 24, arbitrary: fc.integer({ min: 1, max }) }, { weight: 1, arbitrary: fc.constant(0) });

/** Shapes for a signature: `samples` makes the first leading axis that long and gives `B?` operands no sample axis. */
export function arbitraryDraw(primitive: Primitive, { samples }: { samples?: number } = {}): fc.Arbitrary<Draw> {
	const names = new Set(primitive.signature.inputs.flatMap((o) => o.axes));
	return fc.record({
		seed: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
		pick: fc.nat({ max: 11 }),
		lead: fc
			.array(extents(3), { minLength: 0, maxLength: 6 - Math.min(2, names.size) })
			.map((l) => (samples === undefined ? l : [samples, ...l.slice(0, 2)])),
		axes: fc.record(Object.fromEntries([...names].map((n) => [n, extents(9)]))),
		reversed: fc.boolean(),
		variant: fc.nat({ max: 20 }),
	});
}

export function caseOf(primitive: Primitive, draw: Draw, { broadcast = true, samples = 0 } = {}): Case {
	const { spec, signature } = primitive;
	const { domains = {}, sizes = {}, variants = [] } = spec.test ?? {};
	const filled = new Set(Object.values(domains).map((d) => ("belowAxis" in d ? d.belowAxis : "")));
	const extent = (axis: string): number => {
		if (/^\d+$/.test(axis)) return Number(axis);
		const list = sizes[axis];
		if (list !== undefined) return list[draw.pick % list.length];
		return Math.max(draw.axes[axis], filled.has(axis) || spec.test?.nonEmpty?.includes(axis) ? 1 : 0);
	};
	const choices = [{}, ...variants];
	const attrs = { ...spec.attrs, ...choices[draw.variant % choices.length] } as Record<string, number | boolean>;
	const inputs: Record<string, NdArray> = {};
	signature.inputs.forEach((operand, o) => {
		const next = numbers(draw.seed, o);
		let lead = operand.leading ? [...draw.lead] : [];
		if (operand.shared && broadcast && o > 0) {
			lead = lead.map((d) => (next() < 0.3 ? 1 : d)).slice(next() < 0.3 ? Math.min(1, lead.length) : 0);
		}
		if (samples > 0 && isBatchData(primitive, operand)) lead = operand.leading ? lead : [samples];
		const shape = [...lead, ...operand.axes.map(extent)];
		const domain = domains[operand.name] ?? { range: [-2, 2] as const };
		const draws = Float64Array.from({ length: size(shape) }, () => {
			if ("bits" in domain) return Math.floor(next() * 2 ** 32);
			if ("belowAxis" in domain) {
				if (domain.orIgnore !== undefined && next() < 0.25) return domain.orIgnore;
				return Math.floor(next() * extent(domain.belowAxis));
			}
			if ("whole" in domain) return domain.whole[0] + Math.floor(next() * (domain.whole[1] - domain.whole[0] + 1));
			const [low, high] = domain.range;
			return Math.fround(low + (high - low) * next());
		});
		inputs[operand.name] = { data: draws, shape };
	});
	return { attrs, inputs, reversed: draw.reversed, seed: draw.seed };
}

export function dtypeOf(primitive: Primitive, operand: string): DType {
	return primitive.spec.dtypes?.[operand]?.[0] ?? "f32";
}

/** An operand on the device; with reversed strides when asked. */
export function upload(device: Device, x: NdArray, dtype: DType, reversed = false): Tensor {
	const values = [...x.data];
	if (!reversed || x.shape.length < 2) return device.fromHost(values, x.shape, dtype);
	const order = x.shape.map((_, i) => x.shape.length - 1 - i);
	const shape = order.map((a) => x.shape[a]);
	const out = new Array<number>(values.length);
	const strides = x.shape.map((_, i) => size(x.shape.slice(i + 1)));
	for (let i = 0; i < out.length; i++) {
		let rest = i;
		let at = 0;
		for (let k = shape.length - 1; k >= 0; k--) {
			at += (rest % shape[k]) * strides[order[k]];
			rest = Math.floor(rest / shape[k]);
		}
		out[i] = values[at];
	}
	return permute(device.fromHost(out, shape, dtype), order);
}

/** Entry b of the first axis, kept as an axis of 1. */
export function sampleOf(x: NdArray, b: number): NdArray {
	const width = size(x.shape.slice(1));
	return { data: x.data.slice(b * width, (b + 1) * width), shape: [1, ...x.shape.slice(1)] };
}

export const marked = (x: Tensor): Tensor => markSamples(x);

/** Operands that carry a record's own data: those with batch axes, and per-sample ones that are no parameters. */
export function isBatchData({ spec }: Primitive, operand: Primitive["signature"]["inputs"][number]): boolean {
	return operand.leading || (operand.sample && spec.grad[operand.name] === "none");
}
