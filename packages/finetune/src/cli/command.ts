/** What a command says and shows, kept apart from the process so that it can be tested and piped. */
export interface Terminal {
	/** Writes to stdout: results. */
	readonly out: (text: string) => void;
	/** Writes to stderr: progress, warnings, errors. */
	readonly err: (text: string) => void;
	/** Columns; 80 where it is no terminal. */
	readonly columns: number;
	/** Columns of stdout; none where it is a pipe or a file, which gets the text of an answer as it is. */
	readonly outColumns: number | undefined;
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

/** What a command does once it is allowed to. What it throws is a failure. */
export type Work = () => Promise<ExitCode>;

/** `hushgrad NAME …`. */
export interface Command {
	/** As it is typed. */
	readonly name: string;
	/** One line for `hushgrad --help`. */
	readonly summary: string;
	/** All that `hushgrad NAME --help` says, for so many columns. */
	readonly help: (columns: number) => string;
	/**
	 * Reads and checks everything that can be checked before anything begins: no GPU, nothing written. What it throws is a refusal, and the
	 * frame prints it; what it returns does the work.
	 * @throws HushgradError
	 */
	readonly prepare: (args: readonly string[], terminal: Terminal) => Promise<Work>;
}
