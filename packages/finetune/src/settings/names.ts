/** A name of the schema as it is typed on a command line and in a settings file: `maxGradNorm` is `max-grad-norm`. */
export const typed = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);

/** What transformers, peft and Opacus call what has another name here. */
const ELSEWHERE = new Map([
	["learning-rate", "lr"],
	["max-steps", "steps"],
	["num-train-epochs", "epochs"],
	["per-device-train-batch-size", "physical-batch-size"],
	["max-seq-length", "max-length"],
	["lr-scheduler-type", "schedule"],
	["save-steps", "save-every"],
	["output-dir", "output"],
	["dataset", "data"],
	["dataset-name", "data"],
	["base-model", "model"],
	["model-name-or-path", "model"],
	["r", "rank"],
	["lora-r", "rank"],
	["lora-alpha", "alpha"],
	["lora-dropout", "dropout"],
	["target-epsilon", "epsilon"],
	["target-delta", "delta"],
	["adam-beta1", "beta1"],
]);

/** The known word that another one was meant to be: what it is called elsewhere, or the nearest by letters put in, left out, exchanged; none that is far. */
export function nearest(word: string, known: readonly string[]): string | undefined {
	const plain = (text: string): string => text.toLowerCase().replaceAll(/[_\s]/g, "-");
	const own = ELSEWHERE.get(plain(typed(word)));
	if (own !== undefined && known.includes(own)) return own;
	const far = Math.min(word.length - 1, Math.max(2, Math.floor(word.length / 3)));
	const ranked = known.map((k) => ({ k, distance: distance(plain(typed(word)), plain(k)) })).filter((r) => r.distance <= far);
	return ranked.sort((a, b) => a.distance - b.distance)[0]?.k;
}

/** "; did you mean …?", or nothing. */
export function guess(word: string, known: readonly string[], prefix = ""): string {
	const near = nearest(word, known);
	return near === undefined ? "" : `; did you mean ${prefix}${near}?`;
}

/** Letters to put in, leave out or exchange to make one word of the other. Levenshtein 1966. */
function distance(a: string, b: string): number {
	let above = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			row.push(Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
		}
		above = row;
	}
	return above[b.length];
}
