import { bytesPerElement } from "../dtype.ts";
import { DeviceError, ValueError } from "../errors.ts";
import type { Physical } from "../physical.ts";
import type { Binding, Dispatch, Grid, Placed } from "./commands.ts";
import type { Pipeline } from "./pipelines.ts";

/** Workgroups on one axis of a grid, at most. */
export const MAX_GRID = 65535;

/**
 * The buffer range that a view covers, of at most `limit` bytes.
 * @throws DeviceError (`device/binding-limit`).
 */
export function bindingOf(key: string, view: Physical, limit: number): Binding {
	const { storage } = view;
	if (storage.size <= limit) return { storage, offset: 0, size: storage.size, base: view.offset };
	const width = bytesPerElement[view.dtype];
	const last = view.shape.reduce((sum, d, i) => sum + (d - 1) * view.strides[i], view.offset);
	const offset = Math.floor((view.offset * width) / 256) * 256;
	const size = Math.ceil(((last + 1) * width - offset) / 16) * 16;
	if (size > limit) {
		throw new DeviceError("device/binding-limit", `${key}: a view of ${size} bytes exceeds one storage binding`, {
			hint: `maxStorageBufferBindingSize is ${limit}; use a smaller physical batch, or shorter records`,
		});
	}
	return { storage, offset, size: Math.min(size, storage.size - offset), base: view.offset - offset / width };
}

/**
 * Refuses a kernel that writes what it reads under another name; `layout` tells which buffers it writes.
 * @throws ValueError (`kernel/overlap`).
 */
export function checkApart(key: string, layout: string, names: readonly string[], bindings: readonly Binding[]): void {
	for (let i = 0; i < bindings.length; i++) {
		if (layout[i] !== "w") continue;
		const other = bindings.findIndex((b, j) => j !== i && b.storage === bindings[i].storage);
		if (other >= 0) {
			throw new ValueError(
				"kernel/overlap",
				`kernel ${key}: ${names[i]} and ${names[other]} lie in one buffer, and it writes ${names[i]}`,
				{ op: key, hint: "copy one of them first" },
			);
		}
	}
}

/** So many workgroups, as a grid. */
export function linearGrid(groups: number): Grid {
	const x = Math.min(groups, MAX_GRID);
	return [x, Math.ceil(groups / x), 1];
}

/** Workgroups of a pipeline for so many invocations. */
export const gridOf = (invocations: number, { lanes }: Pipeline): Grid => linearGrid(Math.ceil(invocations / lanes));

/** Writes the parameter block of a dispatch at byte `at`. */
export function writeParams(words: DataView, at: number, { pipeline, params, bindings }: Dispatch<Placed>): void {
	let next = at;
	for (let i = 0; i < params.length; i++, next += 4) {
		const type = pipeline.params[i][1];
		if (type === "f32") words.setFloat32(next, params[i], true);
		else if (type === "i32") words.setInt32(next, params[i], true);
		else words.setUint32(next, params[i], true);
	}
	for (const b of bindings) {
		words.setUint32(next, b.base, true);
		next += 4;
	}
}
