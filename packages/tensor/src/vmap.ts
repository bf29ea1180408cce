import type { Device } from "./device.ts";
import { runtimeOf } from "./device.ts";
import { ShapeError, ValueError } from "./errors.ts";
import { expects } from "./expects.ts";
import { hide, reveal } from "./ops/records.ts";
import { Records } from "./records.ts";
import { normalizeAxis, showShape } from "./shape.ts";
import { insideOf } from "./tensor.ts";
import { mapTensors } from "./trees.ts";

/**
 * The axis that counts the records: of each argument in a list as long as the arguments, or one number for all of them. It
 * applies to every tensor in an argument; negative numbers count from the last axis. null: the same for all records.
 */
export type InAxes = number | null | readonly (number | null)[];

/** Options of `vmap`. */
export interface VmapOptions {
	/** The axis of each argument that counts the records; 0 of all when left out. */
	readonly inAxes?: InAxes | undefined;
}

/**
 * Runs a program that is written for one record on all records of a batch at once, as jax's vmap does.
 *
 * Arguments are tensors, and arrays, maps and plain objects of them; each tensor counts the records along `inAxes` (axis 0
 * when left out). Inside, that axis is hidden: `shape` does not show it and no axis number names it, so that nothing
 * `fn` does can mix records. What `fn` returns comes out with the records along axis 0. Values that are no tensors, and
 * tensors that `fn` reads from outside, are the same for all records.
 *
 * `vmap((x, y) => valueAndGrad(() => loss(x, y), parameters).grads)` gives one gradient a record.
 * A result that is the same for all records is repeated as a view, without memory. Tensors made inside and not returned, in
 * arrays, maps or plain objects, are released; one kept elsewhere is refused later (`vmap/kept`). 0 records are allowed.
 * @throws ValueError when called inside itself (`vmap/nested`), for a function that is async, where no argument has records,
 * where `inAxes` has another length than the arguments, and for an axis out of range; ShapeError when the arguments count
 * different numbers of records, or a scalar is to count them. All when the returned function is called.
 */
export function vmap<A extends readonly unknown[], R>(fn: (...args: A) => R, options: VmapOptions = {}): (...args: A) => R {
	expects("vmap", { fn, options }, { fn: "function", options: "options" });
	const { inAxes = 0 } = options;
	if (typeof inAxes !== "number" && inAxes !== null) expects("vmap", { inAxes }, { inAxes: "list" });
	return (...args) => {
		const axes = typeof inAxes === "number" || inAxes === null ? args.map(() => inAxes) : inAxes;
		if (axes.length !== args.length) {
			throw new ValueError("vmap/axes", `vmap: inAxes names ${axes.length} axes for ${args.length} arguments`, { op: "vmap" });
		}
		const { device, count } = batchOf(args, axes);
		const runtime = runtimeOf(device);
		const records = new Records(count);
		const program = (): R => {
			const inner = args.map((a, i) =>
				mapTensors(a, (t) => (axes[i] === null ? t : hide(t, records, normalizeAxis("vmap", axes[i], t.rank)))),
			);
			const result = fn(...(inner as unknown as A));
			if (typeof (result as { then?: unknown } | undefined)?.then === "function") {
				Promise.resolve(result).catch(() => {});
				throw new ValueError("vmap/async", "vmap: the function is async", {
					op: "vmap",
					hint: "a program for one record computes and returns; read results outside",
				});
			}
			return mapTensors(result, (t) => reveal(t, records));
		};
		return runtime.during(records, () => runtime.scope(program));
	};
}

/** The device and the number of records of a call. */
function batchOf(args: readonly unknown[], axes: readonly (number | null)[]): { readonly device: Device; readonly count: number } {
	let found: { readonly device: Device; readonly count: number; readonly shape: readonly number[] } | undefined;
	args.forEach((arg, i) => {
		const axis = axes[i];
		if (axis === null) return;
		mapTensors(arg, (t) => {
			if (runtimeOf(t.device).records !== undefined) {
				throw new ValueError("vmap/nested", "vmap: a program for one record runs already", {
					op: "vmap",
					hint: "records have one axis; write further axes out, operations broadcast over them",
				});
			}
			if (t.rank === 0)
				throw new ShapeError("vmap/scalar", "vmap: a scalar has no axis that counts records", { op: "vmap", hint: "use inAxes: null" });
			const count = t.shape[normalizeAxis("vmap", axis, t.rank)];
			if (insideOf(t, "vmap").records !== undefined)
				throw new ValueError("vmap/kept", `vmap: ${t} belongs to a program for one record`, { op: "vmap" });
			found ??= { device: t.device, count, shape: t.shape };
			if (found.device !== t.device) throw new ValueError("op/device", "vmap: the arguments live on different devices", { op: "vmap" });
			if (found.count !== count) {
				throw new ShapeError(
					"vmap/records",
					`vmap: ${showShape(found.shape)} has ${found.count} records, ${showShape(t.shape)} has ${count}`,
					{
						op: "vmap",
					},
				);
			}
			return t;
		});
	});
	if (found === undefined) throw new ValueError("vmap/batch", "vmap: no argument has records", { op: "vmap" });
	return found;
}
