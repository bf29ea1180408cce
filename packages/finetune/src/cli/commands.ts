import { resumeCommand, trainCommand } from "../run/runCommands.ts";
import type { Command } from "./command.ts";

/** The commands, in the order of `hushgrad --help`. */
export const commands: readonly Command[] = [trainCommand, resumeCommand];
