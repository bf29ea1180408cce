import type { Terminal } from "./command.ts";
import { displayWidth, padTo, wrap } from "./width.ts";

type Paint = (text: string) => string;

/** Ways to set off a text. Colours are of the middle of the range, so that each is read on white and on black; none carries meaning alone. */
export interface Style {
	/** For headings. */
	readonly bold: Paint;
	/** For what is beside the point. */
	readonly dim: Paint;
	/** For what went well. */
	readonly good: Paint;
	/** For warnings. */
	readonly warn: Paint;
	/** For errors. */
	readonly bad: Paint;
	/** For learned tokens; without colours they stand in brackets. */
	readonly learned: Paint;
}

/** The style of a terminal: without colours texts stay as they are. */
export function styleOf({ hasColor }: Pick<Terminal, "hasColor">): Style {
	const paint =
		(on: number, off: number): Paint =>
		(text) =>
			hasColor && text !== "" ? `\x1b[${on}m${text}\x1b[${off}m` : text;
	return {
		bold: paint(1, 22),
		dim: paint(2, 22),
		good: paint(32, 39),
		warn: paint(35, 39),
		bad: paint(31, 39),
		learned: hasColor ? (text) => `\x1b[4;32m${text}\x1b[24;39m` : (text) => `[${text}]`,
	};
}

/** Columns of the name of a field. */
const NAME = 16;

/** Writes results: headings, fields and lines, wrapped to the width of the terminal. */
export interface Printer extends Style {
	/** Begins a section. */
	readonly heading: (text: string) => void;
	/** A named value; further lines of it stand below its first. `columns` are those of the name, 16 when left out; a longer name stands above. */
	readonly field: (name: string, value: string, columns?: number) => void;
	/** A line, indented. */
	readonly line: (text: string) => void;
	/** What is legal and unwise. */
	readonly warning: (text: string) => void;
}

/** The printer of a terminal. */
export function printerOf(terminal: Terminal): Printer {
	const style = styleOf(terminal);
	const { columns } = terminal;
	const hanging = (head: string, text: string, indent: number): void => {
		const [first = "", ...rest] = wrap(text, columns - indent);
		terminal.out([head + first, ...rest.map((line) => " ".repeat(indent) + line)].map((line) => `${line.trimEnd()}\n`).join(""));
	};
	return {
		...style,
		heading: (text) =>
			terminal.out(
				`\n${wrap(text, columns)
					.map((line) => `${style.bold(line)}\n`)
					.join("")}`,
			),
		field: (name, value, columns = NAME) => {
			const isLong = displayWidth(name) >= columns;
			if (isLong) terminal.out(`  ${name}\n`);
			hanging(`  ${padTo(isLong ? "" : name, columns)}`, value, columns + 2);
		},
		line: (text) => hanging("  ", text, 2),
		warning: (text) => hanging(`  ${style.warn("!")} `, text, 4),
	};
}
