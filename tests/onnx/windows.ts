import * as t from "@hushgrad/tensor";
import { attribute, type Call, flag, number, type Operators, range, single } from "./call.ts";

type Tensor = t.Tensor;

/** How windows lie along one spatial axis. `extra` is what rounding the number of windows up adds behind the padding. */
interface Line {
	readonly axis: number;
	readonly size: number;
	readonly stride: number;
	readonly dilation: number;
	readonly before: number;
	readonly after: number;
	readonly extra: number;
}

function lineOf(call: Call, x: Tensor, kernel: readonly number[], i: number): Line {
	const spatial = kernel.length;
	const [stride, dilation] = ["strides", "dilations"].map((name) => attribute<readonly number[]>(call, name, [])[i] ?? 1);
	const pads = attribute<readonly number[]>(call, "pads", []);
	const [n, size] = [x.shape[i + 2], kernel[i]];
	const reach = dilation * (size - 1) + 1;
	const mode = attribute<string>(call, "auto_pad", "NOTSET");
	const missing = Math.max(0, (Math.ceil(n / stride) - 1) * stride + reach - n);
	const few = Math.floor(missing / 2);
	const own = mode === "SAME_UPPER" ? [few, missing - few] : mode === "SAME_LOWER" ? [missing - few, few] : undefined;
	const [before, after] = own ?? [pads[i] ?? 0, pads[i + spatial] ?? 0];
	const steps = (n + before + after - reach) / stride;
	const up = Math.ceil(steps) * stride < n + before ? Math.ceil(steps) : Math.floor(steps);
	const last = flag(call, "ceil_mode") ? up : Math.floor(steps);
	return { axis: i + 2, size, stride, dilation, before, after, extra: Math.max(0, last * stride + reach - n - before - after) };
}

const linesOf = (call: Call, x: Tensor): Line[] => {
	const kernel = attribute<readonly number[]>(call, "kernel_shape", []);
	return kernel.map((_, i) => lineOf(call, x, kernel, i));
};

const padded = (x: Tensor, axis: number, pair: readonly [number, number], value: number): Tensor =>
	t.pad(
		x,
		x.shape.map((_, i) => (i === axis ? pair : [0, 0])),
		{ value },
	);

/** The windows along one axis, each as a new last axis. */
function windows(x: Tensor, { axis, size, stride, dilation }: Line): Tensor {
	return t.slice(t.unfold(x, axis, dilation * (size - 1) + 1, stride), -1, 0, undefined, dilation);
}

/** Sums over windows, one axis after the other; padding counts as `border`. */
function sums(x: Tensor, lines: readonly Line[], border = 0): Tensor {
	const inner = lines.reduce((y, { axis, before, after }) => padded(y, axis, [before, after], border), x);
	return lines.reduce((y, line) => t.sum(windows(padded(y, line.axis, [0, line.extra], 0), line), -1), inner);
}

function averagePool(call: Call): Tensor {
	const [x] = call.inputs;
	const lines = linesOf(call, x);
	return t.div(sums(x, lines), sums(t.onesLike(x), lines, Number(flag(call, "count_include_pad"))));
}

function lpPool(call: Call): Tensor {
	const [x] = call.inputs;
	const p = number(call, "p", 2);
	return t.pow(sums(t.pow(t.abs(x), p), linesOf(call, x)), 1 / p);
}

/** The largest, one axis after the other, and where it stood, in the order of rows or, `storage_order` 1, of columns. */
function maxPool(call: Call): Tensor[] {
	const [x] = call.inputs;
	const spatial = x.shape.slice(2);
	const order = flag(call, "storage_order") ? range(0, spatial.length) : range(0, spatial.length).reverse();
	const numbers = t.arange(x.device, 0, x.size, 1, "i32");
	const places = flag(call, "storage_order")
		? t.transpose(t.reshape(numbers, [...x.shape.slice(0, 2), ...order.map((i) => spatial[i]).reverse()]), -1, -2)
		: t.reshape(numbers, x.shape);
	const lowest = x.dtype === "f32" ? Number.NEGATIVE_INFINITY : -1;
	const start = { values: x, places };
	const { values, places: at } = linesOf(call, x).reduceRight(({ values: v, places: p }, line) => {
		const pair = [line.before, line.after + line.extra] as const;
		const best = t.max(windows(padded(v, line.axis, pair, lowest), line), -1, { keepDim: true });
		const from = windows(padded(p, line.axis, pair, 0), line);
		return { values: t.squeeze(best.values, -1), places: t.squeeze(t.gather(from, from.rank - 1, best.indices), -1) };
	}, start);
	return call.outputs > 1 ? [values, at] : [values];
}

/** conv2d is of one record. */
function conv(call: Call): Tensor {
	const [x, w] = call.inputs;
	const lines = linesOf(call, x);
	const wide = lines.reduce((y, { axis, before, after }) => padded(y, axis, [before, after], 0), x);
	const stride = lines.map((l) => l.stride) as [number, number];
	return t.vmap((one: Tensor) => t.conv2d(one, w, { stride }))(wide);
}

/** a0 − a1 cos + a2 cos of twice the angle. */
const cosineWindow =
	(a0: number, a1: number, a2 = 0) =>
	(call: Call): Tensor => {
		const size = single(call, 0, 0);
		const angle = t.mul(t.arange(call.device, 0, size), (2 * Math.PI) / (flag(call, "periodic", 1) ? size : size - 1));
		return t.add(t.mul(t.cos(t.mul(angle, 2)), a2), t.sub(a0, t.mul(t.cos(angle), a1)));
	};

export const windowed: Operators = {
	AveragePool: averagePool,
	BlackmanWindow: cosineWindow(0.42, 0.5, 0.08),
	Conv: conv,
	HammingWindow: cosineWindow(25 / 46, 21 / 46),
	HannWindow: cosineWindow(0.5, 0.5),
	LpPool: lpPool,
	MaxPool: maxPool,
};
