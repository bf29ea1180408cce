import { displayWidth } from "../../packages/finetune/src/cli/width.ts";

/** How a character stands on a screen. */
export interface Style {
	readonly bold?: boolean;
	readonly dim?: boolean;
	readonly underlined?: boolean;
	/** SGR number of a foreground colour, 30 to 37. */
	readonly color?: number | undefined;
}

/** A character of a screen. */
export interface Cell {
	readonly text: string;
	readonly style: Style;
}

const ESCAPE = "\x1b";
// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
const SEQUENCE = /\x1b\[([?\d;]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b[=>]/y;
const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** What a terminal of so many columns shows of what is written to it: as much of ECMA-48 as a command line needs, without scrolling away. */
export class Screen {
	readonly columns: number;
	readonly lines: Cell[][] = [[]];
	/** How often a line was longer than the screen, which then broke it in the middle of a word. */
	broken = 0;
	/** Sequences that are not known here. */
	readonly unknown: string[] = [];
	#row = 0;
	#column = 0;
	#style: Style = {};

	constructor(columns: number) {
		this.columns = columns;
	}

	/** Shows a text. */
	write(text: string): void {
		for (let at = 0; at < text.length; ) {
			if (text[at] === ESCAPE) {
				SEQUENCE.lastIndex = at;
				const found = SEQUENCE.exec(text);
				if (found === null) this.unknown.push(JSON.stringify(text.slice(at, at + 8)));
				else this.#obey(found[1] ?? "", found[2] ?? "", found[0]);
				at += found === null ? 1 : found[0].length;
				continue;
			}
			const end = text.indexOf(ESCAPE, at);
			for (const { segment } of segments.segment(text.slice(at, end < 0 ? undefined : end))) this.#put(segment);
			at = end < 0 ? text.length : end;
		}
	}

	/** The lines as texts, without blanks at their ends. */
	texts(): string[] {
		return this.lines.map((line) =>
			Array.from(line, (cell) => cell?.text ?? " ")
				.join("")
				.trimEnd(),
		);
	}

	#put(character: string): void {
		if (character === "\r\n" || character === "\n") this.#move(this.#row + 1, character === "\n" ? this.#column : 0);
		else if (character === "\r") this.#column = 0;
		else if (character === "\b") this.#column = Math.max(0, this.#column - 1);
		else if (character === "\t") this.#column = Math.min(this.columns - 1, 8 * (Math.floor(this.#column / 8) + 1));
		else if (character >= " ") this.#print(character);
	}

	#print(character: string): void {
		const width = displayWidth(character);
		if (this.#column + width > this.columns) {
			this.broken++;
			this.#move(this.#row + 1, 0);
		}
		const line = this.#line();
		for (let column = line.length; column < this.#column; column++) line[column] = { text: " ", style: {} };
		line[this.#column] = { text: character, style: this.#style };
		for (let more = 1; more < width; more++) line[this.#column + more] = { text: "", style: this.#style };
		this.#column += width;
	}

	#line(): Cell[] {
		while (this.lines.length <= this.#row) this.lines.push([]);
		return this.lines[this.#row] ?? [];
	}

	#move(row: number, column: number): void {
		this.#row = Math.max(0, row);
		this.#column = Math.max(0, column);
		this.#line();
	}

	#obey(parameters: string, command: string, whole: string): void {
		const [n = 0] = parameters.split(";").map(Number);
		if (command === "m") for (const code of parameters.split(";")) this.#restyle(Number(code));
		else if (command === "K") this.#erase(n);
		else if (command === "A") this.#move(this.#row - Math.max(1, n), this.#column);
		else if (command === "G") this.#move(this.#row, Math.max(1, n) - 1);
		else if (command === "C") this.#column = Math.min(this.columns, this.#column + Math.max(1, n));
		else if (command === "J") this.lines.splice(this.#row + 1);
		else if (command !== "" && command !== "h" && command !== "l") this.unknown.push(JSON.stringify(whole));
	}

	#erase(mode: number): void {
		const line = this.#line();
		if (mode === 0) line.splice(this.#column);
		else line.splice(0, line.length, ...(mode === 1 ? line.map((cell, i) => (i > this.#column ? cell : { text: " ", style: {} })) : []));
	}

	#restyle(code: number): void {
		const style = this.#style;
		if (code === 0) this.#style = {};
		else if (code === 1) this.#style = { ...style, bold: true };
		else if (code === 2) this.#style = { ...style, dim: true };
		else if (code === 4) this.#style = { ...style, underlined: true };
		else if (code === 22) this.#style = { ...style, bold: false, dim: false };
		else if (code === 24) this.#style = { ...style, underlined: false };
		else if (code >= 30 && code <= 37) this.#style = { ...style, color: code };
		else if (code === 39) this.#style = { ...style, color: undefined };
		else this.unknown.push(`SGR ${code}`);
	}
}
