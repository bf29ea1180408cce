import * as t from "@hushgrad/tensor";
import { attribute, type Call, dtype, flag, fromEnd, number, type Operators, product, range, single } from "./call.ts";

type Tensor = t.Tensor;

const integers = (device: t.Device, values: readonly number[]): Tensor => device.fromHost(Int32Array.from(values), [values.length]);

function reshape(call: Call): Tensor {
	const [x] = call.inputs;
	const shape = call.numbers(1) ?? [];
	return t.reshape(x, flag(call, "allowzero") ? shape : shape.map((d, i) => (d === 0 ? x.shape[i] : d)));
}

function squeeze(call: Call): Tensor {
	const [x] = call.inputs;
	const axes = call.numbers(1)?.map((a) => fromEnd(a, x.rank)) ?? range(0, x.rank).filter((i) => x.shape[i] === 1);
	return axes.toSorted((a, b) => b - a).reduce((y, axis) => t.squeeze(y, axis), x);
}

function unsqueeze(call: Call): Tensor {
	const [x] = call.inputs;
	const axes = call.numbers(1) ?? [];
	const rank = x.rank + axes.length;
	return axes
		.map((a) => fromEnd(a, rank))
		.toSorted((a, b) => a - b)
		.reduce((y, axis) => t.unsqueeze(y, axis), x);
}

/** The shape asked for is broadcast with that of x: an extent of 1 keeps the one of x. */
function expand(call: Call): Tensor {
	const [x] = call.inputs;
	const shape = call.numbers(1) ?? [];
	const rank = Math.max(shape.length, x.rank);
	const at = (s: readonly number[], i: number): number => s[s.length - rank + i] ?? 1;
	return t.expand(
		x,
		range(0, rank).map((i) => (at(shape, i) === 1 ? at(x.shape, i) : at(shape, i))),
	);
}

/** [a, b] repeated [n, m] times is [1, a, 1, b] expanded to [n, a, m, b]. */
function tile(call: Call): Tensor {
	const [x] = call.inputs;
	const repeats = call.numbers(1) ?? [];
	const apart = t.reshape(
		x,
		x.shape.flatMap((d) => [1, d]),
	);
	const repeated = t.expand(
		apart,
		x.shape.flatMap((d, i) => [repeats[i], d]),
	);
	return t.reshape(
		repeated,
		x.shape.map((d, i) => d * repeats[i]),
	);
}

function split(call: Call): Tensor[] {
	const [x] = call.inputs;
	const axis = fromEnd(number(call, "axis", 0), x.rank);
	const count = number(call, "num_outputs", call.outputs);
	return t.split(x, call.numbers(1) ?? Math.ceil(x.shape[axis] / count), axis);
}

/** One axis, with ONNX's rules for ends outside the axis; a negative step walks the reversed axis. */
function sliceAxis(x: Tensor, axis: number, from: number, to: number, step: number): Tensor {
	const n = x.shape[axis];
	const limit = (v: number, low: number, high: number): number => Math.min(Math.max(v < 0 ? v + n : v, low), high);
	if (step > 0) {
		const start = limit(from, 0, n);
		return t.slice(x, axis, start, Math.max(start, limit(to, 0, n)), step);
	}
	const [start, end] = [limit(from, 0, n - 1), limit(to, -1, n - 1)].map((v) => n - 1 - v);
	return t.slice(t.flip(x, [axis]), axis, start, Math.max(start, end), -step);
}

function slice(call: Call): Tensor {
	const [starts, ends, given, steps] = [1, 2, 3, 4].map(call.numbers) as number[][];
	const [x] = call.inputs;
	const axes = given ?? range(0, starts.length);
	return axes.reduce((y, axis, i) => sliceAxis(y, fromEnd(axis, x.rank), starts[i], ends[i], steps?.[i] ?? 1), x);
}

/** Where the values of a padded axis of n come from; the modes other than "constant". */
function sources(mode: string, n: number, before: number, after: number): number[] {
	return range(-before, n + after).map((i) => {
		if (mode === "edge") return Math.min(Math.max(i, 0), n - 1);
		if (mode === "wrap") return ((i % n) + n) % n;
		const period = 2 * (n - 1);
		const k = ((i % period) + period) % period;
		return k < n ? k : period - k;
	});
}

function pad(call: Call): Tensor {
	const [x] = call.inputs;
	const pads = call.numbers(1) ?? [];
	const axes = (call.numbers(3) ?? range(0, x.rank)).map((a) => fromEnd(a, x.rank));
	const pairs = x.shape.map((_, axis): [number, number] => {
		const i = axes.indexOf(axis);
		return i < 0 ? [0, 0] : [pads[i], pads[i + axes.length]];
	});
	const mode = attribute<string>(call, "mode", "constant");
	if (mode === "constant") return t.pad(x, pairs, { value: single(call, 2, 0) });
	return pairs.reduce((y, [before, after], axis) => {
		if (before + after === 0) return y;
		return t.indexSelect(y, axis, integers(x.device, sources(mode, y.shape[axis], before, after)));
	}, x);
}

function eyeLike(call: Call): Tensor {
	const [x] = call.inputs;
	const type = dtype(call, "dtype", x.dtype);
	const k = number(call, "k", 0);
	if (k === 0) return t.eye(x.device, x.shape[0], x.shape[1], type);
	return t.tril(t.triu(t.ones(x.device, x.shape, type), k), k);
}

function constantOfShape(call: Call): Tensor {
	const value = attribute<Tensor | undefined>(call, "value", undefined) ?? t.zeros(call.device, [1]);
	return t.expand(t.reshape(value, []), call.numbers(0) ?? []);
}

function shapeOf(call: Call): Tensor {
	const [x] = call.inputs;
	const end = attribute<number | undefined>(call, "end", undefined);
	return integers(call.device, x.shape.slice(number(call, "start", 0), end));
}

function depthToSpace(call: Call): Tensor {
	const [x] = call.inputs;
	const [n, c, h, w] = x.shape;
	const b = number(call, "blocksize", 1);
	const inner = c / (b * b);
	const byColumn = attribute<string>(call, "mode", "DCR") === "CRD";
	const blocks = t.reshape(x, byColumn ? [n, inner, b, b, h, w] : [n, b, b, inner, h, w]);
	return t.reshape(t.permute(blocks, byColumn ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2]), [n, inner, h * b, w * b]);
}

function spaceToDepth(call: Call): Tensor {
	const [x] = call.inputs;
	const [n, c, h, w] = x.shape;
	const b = number(call, "blocksize", 1);
	const byColumn = attribute<string>(call, "mode", "DCR") === "CRD";
	const blocks = t.reshape(x, [n, c, h / b, b, w / b, b]);
	return t.reshape(t.permute(blocks, byColumn ? [0, 1, 3, 5, 2, 4] : [0, 3, 5, 1, 2, 4]), [n, c * b * b, h / b, w / b]);
}

/** The middle of x, in the shape asked for; what is missing on both sides is 0. */
function centerCropPad(call: Call): Tensor {
	const [x] = call.inputs;
	const shape = call.numbers(1) ?? [];
	const axes = attribute<readonly number[]>(call, "axes", range(0, x.rank)).map((a) => fromEnd(a, x.rank));
	return axes.reduce((y, axis, i) => {
		const [n, m] = [y.shape[axis], shape[i]];
		const start = Math.floor(Math.abs(n - m) / 2);
		if (m <= n) return t.slice(y, axis, start, start + m);
		return t.pad(
			y,
			y.shape.map((_, k): [number, number] => (k === axis ? [start, m - n - start] : [0, 0])),
		);
	}, x);
}

export const shapes: Operators = {
	CenterCropPad: centerCropPad,
	Concat: (call) => t.cat(call.inputs, number(call, "axis", 0)),
	Constant: (call) => attribute<Tensor>(call, "value", t.zeros(call.device, [])),
	ConstantOfShape: constantOfShape,
	DepthToSpace: depthToSpace,
	Expand: expand,
	EyeLike: eyeLike,
	Flatten: (call) => {
		const [{ shape, rank }] = call.inputs;
		const rows = product(shape.slice(0, fromEnd(number(call, "axis", 1), rank)));
		return t.reshape(call.inputs[0], [rows, product(shape) / rows]);
	},
	Pad: pad,
	Range: (call) => t.arange(call.device, single(call, 0, 0), single(call, 1, 0), single(call, 2, 1), call.inputs[0].dtype),
	Reshape: reshape,
	Shape: shapeOf,
	Size: (call) => call.device.fromHost(Int32Array.of(call.inputs[0].size), []),
	Slice: slice,
	SpaceToDepth: spaceToDepth,
	Split: split,
	Squeeze: squeeze,
	Tile: tile,
	Transpose: (call) => t.permute(call.inputs[0], attribute<readonly number[]>(call, "perm", range(0, call.inputs[0].rank).reverse())),
	Trilu: (call) => (flag(call, "upper", 1) ? t.triu : t.tril)(call.inputs[0], single(call, 1, 0)),
	Unsqueeze: unsqueeze,
};
