import type { Command } from "./command.ts";

/** The commands, in the order of `hushgrad --help`. */
export const commands: readonly Command[] = [];
