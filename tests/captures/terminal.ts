import { spawn } from "node:child_process";
import { Screen } from "./screen.ts";

/** What is done to a command while it runs. */
export interface Doings {
	/** Lines that are typed, each once the text before it is on the screen. */
	readonly typed?: readonly (readonly [after: RegExp, text: string])[];
	/** Shows what comes in between: called with a screen whose last line is being written over. */
	readonly onProgress?: (screen: Screen) => void;
}

/** What came of a command. */
export interface Shown {
	readonly screen: Screen;
	readonly code: number | null;
	/** The longest time in which nothing was written, in seconds. */
	readonly silence: number;
}

const quoted = (arg: string): string => `'${arg.replaceAll("'", "'\\''")}'`;

/** Runs a command at a terminal of so many columns: a real one, which util-linux's `script` opens. */
export function atTerminal(command: readonly string[], columns: number, { typed = [], onProgress }: Doings = {}): Promise<Shown> {
	const line = `stty cols ${columns} rows 50; exec ${command.map(quoted).join(" ")}`;
	const { CI: _, NO_COLOR: _no, ...env } = process.env;
	const child = spawn("script", ["-qefc", line, "/dev/null"], {
		stdio: ["pipe", "pipe", "inherit"],
		env: { ...env, TERM: "xterm-256color", SHELL: "/bin/sh" },
	});
	const screen = new Screen(columns);
	const left = [...typed];
	const decoder = new TextDecoder();
	let last = performance.now();
	let silence = 0;
	child.stdout.on("data", (bytes: Buffer) => {
		const now = performance.now();
		silence = Math.max(silence, (now - last) / 1000);
		last = now;
		const text = decoder.decode(bytes, { stream: true });
		screen.write(text);
		if (text.includes("\r\x1b[2K")) onProgress?.(screen);
		const next = left[0];
		if (next?.[0].test(screen.texts().join("\n"))) {
			left.shift();
			child.stdin.write(next[1]);
		}
	});
	return new Promise((resolve, reject) => {
		child.on("error", reject);
		child.on("close", (code) => resolve({ screen, code, silence }));
	});
}
