import { ValueError } from "../errors.ts";
import type { Binding, Grid } from "./recorder.ts";

/** Workgroups on one axis of a grid, at most. */
export const MAX_GRID = 65535;

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
