import { type PlainReport, type PrivacyPlan, StepReport } from "@hushgrad/dp";

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

/** What was planned, or that nothing was. */
export function planLine(plan: PrivacyPlan | undefined): string {
	if (plan === undefined) return "none (--no-dp)";
	const { epsilon, targetDelta: delta, steps, sampleRate, noiseMultiplier } = plan;
	return `ε = ${epsilon.toFixed(4)} at δ = ${delta.toExponential()} after ${steps} steps, with q = ${sampleRate.toFixed(4)}, σ = ${noiseMultiplier.toFixed(4)}`;
}

/** What a step has cost so far; its loss only where that is public, or asked for. */
export function stepLine(report: StepReport | PlainReport, plan: PrivacyPlan | undefined, privateLosses: boolean): string {
	if (!(report instanceof StepReport)) return `loss ${report.loss.toFixed(4)}`;
	const spent = `ε ${report.epsilon.toFixed(3)} of ${plan?.targetEpsilon}`;
	const { loss, records } = report.private.reveal();
	return privateLosses ? `${spent}  private loss ${records === 0 ? "none" : loss.toFixed(4)}` : spent;
}

/** Mean loss a token of texts, from the mean loss of each and its number of tokens. */
export function perLoss(each: Float32Array, tokens: readonly number[]): { readonly loss: number; readonly text: string } {
	const loss = tokens.reduce((sum, n, i) => sum + n * each[i]!, 0) / tokens.reduce((a, b) => a + b, 0);
	return { loss, text: `${loss.toFixed(4)} nats per response token (perplexity ${Math.exp(loss).toFixed(1)})` };
}
