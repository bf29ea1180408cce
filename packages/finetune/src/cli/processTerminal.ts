import type { Terminal } from "./command.ts";

/** Environment variables that say how to write. */
type Environment = Readonly<Record<string, string | undefined>>;

/** Whether colours are wanted: FORCE_COLOR goes before NO_COLOR, both before what the terminal is (no-color.org, force-color.org). */
export function wantsColor(isTerminal: boolean, { FORCE_COLOR, NO_COLOR, TERM }: Environment): boolean {
	if (FORCE_COLOR !== undefined && FORCE_COLOR !== "") return FORCE_COLOR !== "0" && FORCE_COLOR !== "false";
	if (NO_COLOR !== undefined && NO_COLOR !== "") return false;
	return isTerminal && TERM !== "dumb";
}

/** Nothing is made narrower than this. */
const LEAST_COLUMNS = 40;

/**
 * The terminal of this process, as wide as its window is at the time. A reader that goes away (`| head`) ends nothing: what is written to it is dropped, and the command goes on.
 * The first SIGINT or SIGTERM is the command's to answer, the second ends the process.
 */
export function processTerminal(): Terminal {
	const { stdout, stderr, env } = process;
	const controller = new AbortController();
	const interrupt = (signal: NodeJS.Signals): void => {
		if (controller.signal.aborted) process.exit(signal === "SIGINT" ? 130 : 143);
		controller.abort();
	};
	process.on("SIGINT", interrupt);
	process.on("SIGTERM", interrupt);
	return {
		out: writer(stdout),
		err: writer(stderr),
		get columns() {
			return Math.max(LEAST_COLUMNS, stderr.columns ?? stdout.columns ?? (Number(env.COLUMNS) || 80));
		},
		get outColumns() {
			return stdout.isTTY === true ? Math.max(LEAST_COLUMNS, stdout.columns) : undefined;
		},
		isInteractive: stderr.isTTY === true && env.TERM !== "dumb" && (env.CI ?? "") === "",
		hasColor: wantsColor(stdout.isTTY === true && stderr.isTTY === true, env),
		interrupted: controller.signal,
	};
}

function writer(stream: NodeJS.WriteStream): (text: string) => void {
	let isOpen = true;
	stream.on("error", (error: NodeJS.ErrnoException) => {
		if (error.code !== "EPIPE") throw error;
		isOpen = false;
	});
	return (text) => {
		if (isOpen) stream.write(text);
	};
}
