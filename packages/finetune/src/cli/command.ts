/** What a command says and shows, kept apart from the process so that it can be tested and piped. */
export interface Terminal {
	/** Writes to stdout: results. */
	readonly out: (text: string) => void;
	/** Writes to stderr: progress, warnings, errors. */
	readonly err: (text: string) => void;
	/** Columns; 80 where it is no terminal. */
	readonly columns: number;
	/** Whether a line may be written over. */
	readonly isInteractive: boolean;
	/** Whether colours are wanted: a terminal, and neither NO_COLOR nor TERM=dumb. */
	readonly hasColor: boolean;
	/** Aborted by the first Ctrl-C or SIGTERM: finish the step, save, say how to go on. The second ends the process. */
	readonly interrupted: AbortSignal;
}

/** How a command ended, as the shell sees it. */
export const ExitCode = {
	/** All was done. */
	done: 0,
	/** It began and could not be finished. */
	failed: 1,
	/** Nothing was begun: a flag, a setting, a file or the data is wrong. */
	refused: 2,
	/** It was interrupted, and `hushgrad resume` goes on. */
	interrupted: 3,
} as const;

/** One of `ExitCode`. */
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** `hushgrad NAME …`. */
export interface Command {
	/** As it is typed. */
	readonly name: string;
	/** One line for `hushgrad --help`. */
	readonly summary: string;
	/** All that `hushgrad NAME --help` says. */
	readonly help: () => string;
	/** Reads its arguments and does its work. @throws HushgradError for what is wrong; the frame prints it. */
	readonly run: (args: readonly string[], terminal: Terminal) => Promise<ExitCode>;
}
