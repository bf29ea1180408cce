import { doctor } from "../doctor/command.ts";
import { plan } from "../plan/command.ts";
import type { Command } from "./command.ts";

/** The commands, in the order of `hushgrad --help`. */
export const commands: readonly Command[] = [plan, doctor];
