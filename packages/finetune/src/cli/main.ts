import { HushgradError } from "@hushgrad/tensor";
import { guess } from "../settings/names.ts";
import { type Command, ExitCode, type Terminal } from "./command.ts";
import { styleOf } from "./printer.ts";
import { systemFault } from "./systemFault.ts";
import { padTo, wrap } from "./width.ts";

/**
 * Runs a command line: finds the command, lets it check everything, then lets it work. Whatever goes wrong becomes one message on stderr and
 * an exit code; what is no HushgradError and no fault of the system is a bug, whose stack HUSHGRAD_DEBUG=1 shows.
 */
export async function main(commands: readonly Command[], args: readonly string[], terminal: Terminal, version: string): Promise<number> {
	const [first, ...rest] = args;
	if (first === undefined || first === "--help" || first === "-h" || first === "help") {
		const [named] = first === "help" ? rest : [];
		if (named === undefined) {
			(first === undefined ? terminal.err : terminal.out)(overview(commands, terminal.columns));
			return first === undefined ? ExitCode.refused : ExitCode.done;
		}
		return main(commands, [named, "--help"], terminal, version);
	}
	if (first === "--version" || first === "-v") {
		terminal.out(`${version}\n`);
		return ExitCode.done;
	}
	const command = commands.find(({ name }) => name === first);
	if (command === undefined) return unknown(commands, first, terminal);
	if (rest.includes("--help") || rest.includes("-h")) {
		terminal.out(command.help(terminal.columns));
		return ExitCode.done;
	}
	const work = await command.prepare(rest, terminal).catch((error: unknown) => {
		report(error, command.name, terminal);
		return undefined;
	});
	if (work === undefined) return ExitCode.refused;
	return work().catch((error: unknown) => {
		report(error, command.name, terminal);
		return ExitCode.failed;
	});
}

function unknown(commands: readonly Command[], word: string, terminal: Terminal): ExitCode {
	const names = commands.map(({ name }) => name);
	const what = word.startsWith("-")
		? `a command comes first, before ${word}`
		: `there is no command ${JSON.stringify(word)}${guess(word, names)}`;
	fail(what, `the commands are ${names.join(", ")}; hushgrad --help says what they do`, terminal);
	return ExitCode.refused;
}

function overview(commands: readonly Command[], columns: number): string {
	const rows = commands.flatMap(({ name, summary }) => {
		const [head = "", ...rest] = wrap(summary, Math.min(columns, 120) - 14);
		return [`  ${padTo(name, 12)}${head}`, ...rest.map((line) => `${" ".repeat(14)}${line}`)];
	});
	const about = wrap("Fine-tunes a language model on private records, with differential privacy, on any GPU.", Math.min(columns, 120));
	return [
		...about,
		"",
		"  hushgrad COMMAND [flags]",
		"",
		...rows,
		"",
		"  hushgrad COMMAND --help  explains its flags",
		"  hushgrad --version",
		"",
	].join("\n");
}

function report(error: unknown, command: string, terminal: Terminal): void {
	const fault = systemFault(error);
	if (error instanceof HushgradError) fail(withoutName(error), undefined, terminal, error.code);
	else if (fault !== undefined) fail(fault.message, fault.hint, terminal);
	else bug(error, command, terminal);
}

/** The message without the function that threw, which says nothing to whoever typed a command. */
function withoutName({ message, op }: HushgradError): string {
	return op !== undefined && message.startsWith(`${op}: `) ? message.slice(op.length + 2) : message.replace(/^[A-Za-z]+\.[A-Za-z]+: /, "");
}

function bug(error: unknown, command: string, terminal: Terminal): void {
	const message = error instanceof Error ? error.message : String(error);
	fail(
		`hushgrad ${command} met a fault of its own: ${message.split("\n")[0]}`,
		"this is a bug: please report it, with what HUSHGRAD_DEBUG=1 prints",
		terminal,
	);
	if (process.env.HUSHGRAD_DEBUG === "1" && error instanceof Error) terminal.err(`${error.stack}\n`);
}

function fail(message: string, hint: string | undefined, terminal: Terminal, code?: string): void {
	const { bad, dim } = styleOf(terminal);
	const [first = "", ...rest] = wrap([message, ...(hint === undefined ? [] : [`  Hint: ${hint}`])].join("\n"), terminal.columns - 7, 2);
	terminal.err(
		`${bad("error:")} ${first}\n${rest.map((line) => `${line}\n`).join("")}${code === undefined ? "" : `  ${dim(`[${code}]`)}\n`}`,
	);
}
