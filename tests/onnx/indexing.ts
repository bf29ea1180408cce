import * as t from "@hushgrad/tensor";
import { attribute, type Call, fromEnd, number, type Operators, product, range, single } from "./call.ts";

type Tensor = t.Tensor;

/** Negative indices count from the end of an axis of n. */
const fromStart = (ids: Tensor, n: Tensor | number): Tensor => {
	const extent = typeof n === "number" ? t.full(ids.device, [], n, "i32") : n;
	return t.where(t.lt(ids, t.zeros(ids.device, [], "i32")), t.add(ids, extent), ids);
};

function gather(call: Call): Tensor {
	const [x, indices] = call.inputs;
	const axis = fromEnd(number(call, "axis", 0), x.rank);
	const ids = t.reshape(fromStart(indices, x.shape[axis]), [indices.size]);
	return t.reshape(t.indexSelect(x, axis, ids), x.shape.toSpliced(axis, 1, ...indices.shape));
}

function gatherElements(call: Call): Tensor {
	const [x, indices] = call.inputs;
	const axis = fromEnd(number(call, "axis", 0), x.rank);
	return t.gather(x, axis, fromStart(indices, x.shape[axis]));
}

/** ONNX's names of reductions. */
const REDUCTIONS: Readonly<Record<string, t.ScatterReduction>> = { add: "sum", mul: "prod", max: "amax", min: "amin" };

/** x with src written, or reduced into what is there, at the positions. */
function scatter(x: Tensor, axis: number, index: Tensor, src: Tensor, reduction: string): Tensor {
	return reduction === "none" ? t.scatter(x, axis, index, src) : t.scatterReduce(x, axis, index, src, REDUCTIONS[reduction]);
}

function scatterElements(call: Call): Tensor {
	const [x, indices, updates] = call.inputs;
	const axis = fromEnd(number(call, "axis", 0), x.rank);
	return scatter(x, axis, fromStart(indices, x.shape[axis]), updates, attribute<string>(call, "reduction", "none"));
}

/** Index tuples along the last axis as positions in the axes of `extents` taken as one, in row-major order. */
function positions(indices: Tensor, extents: readonly number[]): Tensor {
	const strides = extents.map((_, i) => product(extents.slice(i + 1)));
	const row = (values: readonly number[]): Tensor => indices.device.fromHost(Int32Array.from(values), [values.length]);
	return t.sum(t.mul(fromStart(indices, row(extents)), row(strides)), [-1]);
}

function gatherNd(call: Call): Tensor {
	const [x, indices] = call.inputs;
	const batch = number(call, "batch_dims", 0);
	const depth = indices.shape[indices.rank - 1];
	const [lead, indexed, rest] = [x.shape.slice(0, batch), x.shape.slice(batch, batch + depth), x.shape.slice(batch + depth)];
	const own = t.reshape(positions(indices, indexed), [product(lead), -1]);
	const starts = t.unsqueeze(t.arange(x.device, 0, product(lead) * product(indexed), product(indexed), "i32"), 1);
	const flat = t.reshape(x, [product(lead) * product(indexed), product(rest)]);
	return t.reshape(t.indexSelect(flat, 0, t.flatten(t.add(own, starts))), [...indices.shape.slice(0, -1), ...rest]);
}

function scatterNd(call: Call): Tensor {
	const [x, indices, updates] = call.inputs;
	const depth = indices.shape[indices.rank - 1];
	const [indexed, rest] = [x.shape.slice(0, depth), x.shape.slice(depth)];
	const rows = t.reshape(positions(indices, indexed), [-1, 1]);
	const index = t.expand(rows, [rows.shape[0], product(rest)]);
	const flat = t.reshape(x, [product(indexed), product(rest)]);
	const src = t.reshape(updates, [rows.shape[0], product(rest)]);
	return t.reshape(scatter(flat, 0, index, src, attribute<string>(call, "reduction", "none")), x.shape);
}

function oneHot(call: Call): Tensor {
	const [indices, , values] = call.inputs;
	const depth = single(call, 1, 0);
	const axis = fromEnd(number(call, "axis", -1), indices.rank + 1);
	const ids = t.unsqueeze(fromStart(t.cast(indices, "i32"), depth), axis);
	const places = t.reshape(
		t.arange(call.device, 0, depth, 1, "i32"),
		range(0, ids.rank).map((i) => (i === axis ? depth : 1)),
	);
	const [off, on] = t.split(values, 1, 0).map((v) => t.reshape(v, []));
	return t.where(t.eq(ids, places), on, off);
}

/** Which entries stay is known on the host. */
function compress(call: Call): Tensor {
	const [x] = call.inputs;
	const axis = attribute<number | undefined>(call, "axis", undefined);
	const kept = (call.numbers(1) ?? []).flatMap((keep, i) => (keep === 0 ? [] : [i]));
	const ids = call.device.fromHost(Int32Array.from(kept), [kept.length]);
	return axis === undefined ? t.take(x, ids) : t.indexSelect(x, fromEnd(axis, x.rank), ids);
}

/** Of each batch entry the first steps in reverse, as many as its length. */
function reverseSequence(call: Call): Tensor {
	const [x, lengths] = call.inputs;
	const [batch, time] = [number(call, "batch_axis", 1), number(call, "time_axis", 0)];
	const along = (v: Tensor, axis: number): Tensor =>
		t.reshape(
			v,
			x.shape.map((_, i) => (i === axis ? v.size : 1)),
		);
	const steps = along(t.arange(x.device, 0, x.shape[time], 1, "i32"), time);
	const own = along(lengths, batch);
	return t.takeAlongAxis(x, t.where(t.lt(steps, own), t.sub(t.sub(own, 1), steps), steps), time);
}

/** Entries written into a cache from a place of each batch entry on. */
function tensorScatter(call: Call): Tensor {
	const [x, update, starts] = call.inputs;
	const axis = fromEnd(number(call, "axis", -2), x.rank);
	const steps = t.reshape(
		t.arange(x.device, 0, update.shape[axis], 1, "i32"),
		x.shape.map((_, i) => (i === axis ? update.shape[axis] : 1)),
	);
	const first = t.reshape(
		starts ?? t.zeros(x.device, [x.shape[0]], "i32"),
		x.shape.map((d, i) => (i === 0 ? d : 1)),
	);
	const places = t.add(first, steps);
	const circular = attribute<string>(call, "mode", "linear") === "circular";
	return t.scatter(x, axis, t.expand(circular ? t.remainder(places, x.shape[axis]) : places, update.shape), update);
}

export const indexing: Operators = {
	Compress: compress,
	Gather: gather,
	GatherElements: gatherElements,
	GatherND: gatherNd,
	OneHot: oneHot,
	ReverseSequence: reverseSequence,
	Scatter: scatterElements,
	ScatterElements: scatterElements,
	ScatterND: scatterNd,
	TensorScatter: tensorScatter,
};
