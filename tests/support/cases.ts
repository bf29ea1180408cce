import { type Device, type DType, permute, slice, type Tensor } from "@hushgrad/tensor";
import { FLOATS, fromBfloat16, fromFloat16, type NdArray, type Primitive, threefry, toBfloat16, toFloat16 } from "@hushgrad/tensor/author";
import fc from "fast-check";

/**
 * How an operand lies in memory: in row-major order; with the order of its axes reversed; or with gaps, behind others.
 * The device sees a view in all but the first.
 */
export type Layout = "plain" | "reversed" | "strided";
export const layouts: fc.Arbitrary<Layout> = fc.constantFrom("plain", "plain", "reversed", "strided");

/** One random call of a primitive: operand values on the host, as f32 or integers. */
export interface Case {
	readonly attrs: Record<string, number | boolean>;
	readonly inputs: Readonly<Record<string, NdArray>>;
	readonly layout: Layout;
	readonly seed: number;
}

const size = (shape: readonly number[]) => shape.reduce((n, d) => n * d, 1);

/** Uniform numbers in [0, 1) from a seed and a stream. */
export function numbers(seed: number, stream: number): () => number {
	let i = 0;
	return () => threefry(seed, stream, i++, 0)[0] / 2 ** 32;
}

export interface Draw {
	readonly seed: number;
	readonly pick: number;
	readonly lead: readonly number[];
	readonly axes: Readonly<Record<string, number>>;
	readonly layout: Layout;
	readonly variant: number;
}

/** Mostly 1 to `max`, now and then 0. */
export const extents = (max: number): fc.Arbitrary<number> =>
	fc.oneof({ weight: 24, arbitrary: fc.integer({ min: 1, max }) }, { weight: 1, arbitrary: fc.constant(0) });

/** Shapes for a signature, with at most `leading` batch axes. */
export function arbitraryDraw(primitive: Primitive, { leading = 6 }: { readonly leading?: number } = {}): fc.Arbitrary<Draw> {
	const names = new Set(primitive.signature.inputs.flatMap((o) => o.axes));
	return fc.record({
		seed: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
		pick: fc.nat({ max: 11 }),
		lead: fc.array(extents(3), { minLength: 0, maxLength: Math.min(leading, 6 - Math.min(2, names.size)) }),
		axes: fc.record(Object.fromEntries([...names].map((n) => [n, extents(9)]))),
		layout: layouts,
		variant: fc.nat({ max: 20 }),
	});
}

/** The call that a draw stands for; `values` is the seed of the operands' values, which leaves shapes as they are. */
export function caseOf(primitive: Primitive, draw: Draw, { values = draw.seed }: { readonly values?: number } = {}): Case {
	const { spec, signature } = primitive;
	const { domains = {}, sizes = {}, variants = [] } = spec.test ?? {};
	const filled = new Set(Object.values(domains).map((d) => (d !== undefined && "belowAxis" in d ? d.belowAxis : "")));
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
		const chance = numbers(draw.seed, 1000 + o);
		const next = numbers(values, o);
		let lead = operand.leading ? [...draw.lead] : [];
		if (operand.broadcast && o > 0) {
			lead = lead.map((d) => (chance() < 0.3 ? 1 : d)).slice(chance() < 0.3 ? Math.min(1, lead.length) : 0);
		}
		const shape = [...lead, ...operand.axes.map(extent)];
		const domain = domains[operand.name] ?? { range: [-2, 2] as const };
		const data = Float64Array.from({ length: size(shape) }, () => {
			if ("bits" in domain) return Math.floor(next() * 2 ** 32);
			if ("belowAxis" in domain) {
				if (domain.orIgnore !== undefined && next() < 0.25) return domain.orIgnore;
				return Math.floor(next() * extent(domain.belowAxis));
			}
			if ("whole" in domain) return domain.whole[0] + Math.floor(next() * (domain.whole[1] - domain.whole[0] + 1));
			const [low, high] = domain.range;
			return Math.fround(low + (high - low) * next());
		});
		inputs[operand.name] = { data, shape };
	});
	return { attrs, inputs, layout: draw.layout, seed: values };
}

const typesOf = (p: Primitive, operand: string): readonly DType[] => p.spec.dtypes?.[operand] ?? ["f32"];

export const dtypeOf = (p: Primitive, operand: string): DType => typesOf(p, operand)[0];

/** The type of an operand where the case is drawn in `dtype`: operands that are f32 by default take it if they can. */
export function typeIn(p: Primitive, operand: string, dtype: DType): DType {
	const types = typesOf(p, operand);
	return types[0] === "f32" && types.includes(dtype) ? dtype : types[0];
}

/** Types that some operand takes instead of f32. */
export const otherTypes = (p: Primitive): DType[] => [
	...new Set(p.signature.inputs.flatMap((o) => (dtypeOf(p, o.name) === "f32" ? typesOf(p, o.name).slice(1) : []))),
];

/** The same case with values that `dtype` holds; whole numbers other than 0, which nothing divides by. */
export function asDtype(p: Primitive, c: Case, dtype: DType): Case {
	const next = numbers(c.seed, 42);
	const value = (v: number): number => {
		if (dtype === "f32") return v;
		if (dtype === "f16") return fromFloat16(toFloat16(Float32Array.of(v)))[0];
		if (dtype === "bf16") return fromBfloat16(toBfloat16(Float32Array.of(v)))[0];
		if (dtype === "bool") return Number(v > 0);
		const size = 1 + Math.floor(6 * next());
		return dtype === "i32" && next() < 0.5 ? -size : size;
	};
	const inputs = Object.fromEntries(
		Object.entries(c.inputs).map(([name, x]) => [
			name,
			dtypeOf(p, name) === "f32" && typeIn(p, name, dtype) === dtype ? { ...x, data: x.data.map(value) } : x,
		]),
	);
	/** Numbers among the attributes of a row are of the type of its operands. */
	const attr = (v: number | boolean): number | boolean => {
		if (!FLOATS.includes(dtype) && typeof v === "number" && dtype === "bool") return v > 0;
		return !FLOATS.includes(dtype) && typeof v === "number" && !Number.isInteger(v) ? Math.ceil(Math.abs(v)) : v;
	};
	const isRow = p.signature.inputs.every((o) => o.broadcast && o.axes.length === 0);
	const attrs = isRow ? Object.fromEntries(Object.entries(c.attrs).map(([name, v]) => [name, attr(v)])) : c.attrs;
	return { ...c, inputs, attrs };
}

/** Arrays of one shape along a new first axis. */
export function stacked(parts: readonly NdArray[]): NdArray {
	const [{ data, shape }] = parts;
	const all = new Float64Array(parts.length * data.length);
	parts.forEach((part, i) => {
		all.set(part.data, i * data.length);
	});
	return { data: all, shape: [parts.length, ...shape] };
}

/** An operand on the device. */
export function upload(device: Device, x: NdArray, dtype: DType, layout: Layout = "plain"): Tensor {
	const { shape } = x;
	const values = [...x.data];
	if (layout === "strided" && shape.length > 0) {
		const width = shape[shape.length - 1];
		const rows = size(shape.slice(0, -1));
		const apart = new Array<number>(rows * (2 * width + 1)).fill(1);
		for (let r = 0; r < rows; r++) for (let k = 0; k < width; k++) apart[r * (2 * width + 1) + 2 * k + 1] = values[r * width + k];
		return slice(device.fromHost(apart, [...shape.slice(0, -1), 2 * width + 1], dtype), -1, 1, 2 * width + 1, 2);
	}
	if (layout !== "reversed" || shape.length < 2) return device.fromHost(values, shape, dtype);
	const order = shape.map((_, i) => shape.length - 1 - i);
	const inMemory = order.map((a) => shape[a]);
	const out = new Array<number>(values.length);
	const strides = shape.map((_, i) => size(shape.slice(i + 1)));
	for (let i = 0; i < out.length; i++) {
		let rest = i;
		let at = 0;
		for (let k = inMemory.length - 1; k >= 0; k--) {
			at += (rest % inMemory[k]) * strides[order[k]];
			rest = Math.floor(rest / inMemory[k]);
		}
		out[i] = values[at];
	}
	return permute(device.fromHost(out, inMemory, dtype), order);
}
