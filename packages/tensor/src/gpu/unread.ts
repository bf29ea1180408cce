import type { Storage } from "../storage.ts";
import type { Binding, Copy, Dispatch } from "./commands.ts";

/** In place of a command that is not run: the memory that it would have used. */
export interface Skipped {
	readonly skipped: readonly Binding[];
}

/**
 * The commands, of which those are skipped whose results nobody can read any more: nobody owns them, and no later command that is run reads
 * them. So a value that is computed on the way to a gradient, and thrown away, costs nothing.
 */
export function withoutUnread(commands: readonly (Dispatch | Copy)[]): (Dispatch | Copy | Skipped)[] {
	const kept: (Dispatch | Copy | Skipped)[] = [...commands];
	const needed = new Set<Storage>();
	for (let at = commands.length - 1; at >= 0; at--) {
		const command = commands[at];
		if (!("pipeline" in command)) {
			needed.add(command.from);
			continue;
		}
		const { bindings, pipeline } = command;
		const isRead = bindings.some(({ storage }, i) => pipeline.layoutKey[i] === "w" && (storage.isOwned || needed.has(storage)));
		for (const { storage } of bindings) {
			if (isRead) needed.add(storage);
			else storage.uses--;
		}
		if (!isRead) kept[at] = { skipped: bindings };
	}
	return kept;
}
