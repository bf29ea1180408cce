import type { Terminal } from "../cli/command.ts";
import { shorten } from "../cli/width.ts";

/** A line that says what is being done, how far it is and how long it will take. */
export interface PartLine {
	/** Shows a part; where lines cannot be written over, each part says once that it begins. */
	readonly show: (what: string, done: number, total: number) => void;
	/** Takes the line away. */
	readonly end: () => void;
}

/** The line of a terminal. */
export function partLine(terminal: Terminal): PartLine {
	let current = "";
	let began = 0;
	return {
		show: (what, done, total) => {
			if (what !== current) {
				current = what;
				began = performance.now();
				if (!terminal.isInteractive) terminal.err(`${what}\n`);
			}
			if (!terminal.isInteractive) return;
			const left = ((performance.now() - began) / 1000 / done) * (total - done);
			const eta = Number.isFinite(left) && left >= 1 ? `  ${Math.ceil(left)} s left` : "";
			terminal.err(`\r\x1b[2K${shorten(`  ${what}  ${done}/${total}${eta}`, terminal.columns - 1)}`);
		},
		end: () => terminal.isInteractive && terminal.err("\r\x1b[2K"),
	};
}
