import { auditCommand } from "../audit/auditCommand.ts";
import { doctor } from "../doctor/command.ts";
import { evalCommand } from "../evaluation/evalCommand.ts";
import { adaptersCommand } from "../generate/adaptersCommand.ts";
import { chatCommand } from "../generate/chatCommand.ts";
import { generateCommand } from "../generate/generateCommand.ts";
import { mergeCommand } from "../generate/mergeCommand.ts";
import { plan } from "../plan/command.ts";
import { reportCommand } from "../report/reportCommand.ts";
import { resumeCommand, trainCommand } from "../run/runCommands.ts";
import type { Command } from "./command.ts";

/** The commands, in the order of `hushgrad --help`. */
export const commands: readonly Command[] = [
	plan,
	trainCommand,
	resumeCommand,
	evalCommand,
	reportCommand,
	auditCommand,
	chatCommand,
	generateCommand,
	adaptersCommand,
	mergeCommand,
	doctor,
];
