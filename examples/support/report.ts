/** One line that is written over on a terminal; a line for every update in a log. */
export class ProgressLine {
	readonly #out: NodeJS.WriteStream;
	readonly #total: number;
	readonly #started = performance.now();

	constructor(total: number, out: NodeJS.WriteStream = process.stdout) {
		this.#total = total;
		this.#out = out;
	}

	update(step: number, text: string): void {
		const seconds = (performance.now() - this.#started) / 1000;
		const eta = (seconds / step) * (this.#total - step);
		const width = 16;
		const filled = Math.round((width * step) / this.#total);
		const count = `${step}/${this.#total}`.padStart(2 * `${this.#total}`.length + 1);
		const line = `  ${"█".repeat(filled)}${"░".repeat(width - filled)} ${count}  ${text}  ${clock(seconds)} < ${clock(eta)}`;
		if (!this.#out.isTTY) this.#out.write(`${line}\n`);
		else this.#out.write(`\r\x1b[2K${line}${step === this.#total ? "\n" : ""}`);
	}
}

function clock(seconds: number): string {
	const s = Math.round(seconds);
	return `${Math.floor(s / 60)}:${`${s % 60}`.padStart(2, "0")}`;
}

/** A section of the output. */
export function heading(text: string): void {
	console.log(`\n${text}`);
}

/** A named value, aligned. */
export function field(name: string, value: string): void {
	console.log(`  ${name.padEnd(14)}${value}`);
}

/** An empty batch has no loss. */
export function meanLoss(loss: number): string {
	return `loss ${Number.isNaN(loss) ? "  —   " : loss.toFixed(4)}`;
}

export function perplexity(loss: number): string {
	return `perplexity ${Math.exp(loss).toFixed(1)}`;
}
