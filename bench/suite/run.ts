import type { Contender } from "./contender.ts";
import type { Cost, Ready } from "./protocol.ts";
import type { Row } from "./row.ts";
import { type Summary, summary } from "./statistics.ts";

/** How long a run takes. */
export interface Settings {
	/** Rounds in which every contender takes one sample. */
	readonly rounds: number;
	/** Milliseconds that a sample should last: as many runs as that takes. */
	readonly sampleMs: number;
	/** Milliseconds after which a row ends, with 3 rounds or more. */
	readonly rowMs: number;
}

/** What one contender did in one row. */
export type Outcome =
	| { readonly status: "cannot"; readonly reason: string }
	| { readonly status: "failed"; readonly reason: string }
	| Measured;

export interface Measured {
	readonly status: "ran";
	/** The first run, which compiles. */
	readonly cold: Cost;
	readonly samples: readonly Cost[];
	/** Milliseconds of one run. */
	readonly wall: Summary;
	readonly gpu: Summary;
	readonly host: Summary;
	/** Calls into WebGPU of one run. */
	readonly counts?: Readonly<Record<string, number>> | undefined;
	/** Largest difference from the first contender's outputs, in parts of the largest of them. */
	readonly difference?: number;
}

export interface RowResult {
	readonly row: Row;
	/** By contender. */
	readonly outcomes: Readonly<Record<string, Outcome>>;
}

const FEWEST = 3;

/** Runs the rows, in each of which the contenders take turns; what fails in one does not stop another. */
export async function runRows(
	rows: readonly Row[],
	contenders: readonly Contender[],
	settings: Settings,
	told: (result: RowResult) => void,
): Promise<RowResult[]> {
	const results: RowResult[] = [];
	for (const row of rows) {
		const result = await runRow(row, contenders, settings);
		results.push(result);
		told(result);
	}
	return results;
}

/** A contender that takes part in a row. */
interface Entrant {
	readonly contender: Contender;
	readonly ready: Ready;
	readonly samples: Cost[];
	difference?: number;
}

async function runRow(row: Row, contenders: readonly Contender[], settings: Settings): Promise<RowResult> {
	const outcomes: Record<string, Outcome> = {};
	const entrants = new Map<string, Entrant>();
	/** Whatever goes wrong ends the row for this contender, and its process, whose device may be lost. */
	const attempt = async (contender: Contender, act: () => Promise<void>): Promise<void> => {
		try {
			await act();
		} catch (error) {
			entrants.delete(contender.name);
			outcomes[contender.name] = { status: "failed", reason: (error as Error).message };
			contender.stop();
		}
	};
	for (const contender of contenders) {
		await attempt(contender, async () => {
			const reply = await contender.ask({ ask: "prepare", row, sampleMs: settings.sampleMs });
			if ("cannot" in reply) outcomes[contender.name] = { status: "cannot", reason: reply.cannot };
			else entrants.set(contender.name, { contender, ready: reply, samples: [] });
		});
	}
	await compare(row, [...entrants.values()], attempt);
	const rounds = Math.min(settings.rounds, row.rounds ?? settings.rounds);
	const start = performance.now();
	for (let round = 0; round < rounds; round++) {
		if (round >= FEWEST && performance.now() - start > settings.rowMs) break;
		const order = [...entrants.values()];
		if (round % 2 === 1) order.reverse();
		for (const { contender, samples } of order) {
			await attempt(contender, async () => {
				samples.push(await contender.ask({ ask: "sample" }));
			});
		}
	}
	for (const [name, { contender, ready, samples, difference }] of entrants) {
		const of = (pick: (c: Cost) => number): Summary => summary(samples.map(pick));
		outcomes[name] = {
			status: "ran",
			cold: ready.cold,
			samples,
			...{ wall: of((c) => c.wall), gpu: of((c) => c.gpu), host: of((c) => c.host) },
			...(ready.counts === undefined ? {} : { counts: ready.counts }),
			...(difference === undefined ? {} : { difference }),
		};
		await contender.ask({ ask: "release" }).catch(() => contender.stop());
	}
	return { row, outcomes: Object.fromEntries(contenders.flatMap(({ name }) => (name in outcomes ? [[name, outcomes[name]]] : []))) };
}

/** A difference larger than what is tolerated ends the row for a contender: what computes something else is not compared. */
async function compare(
	{ tolerance }: Row,
	[first, ...others]: readonly Entrant[],
	attempt: (contender: Contender, act: () => Promise<void>) => Promise<void>,
): Promise<void> {
	if (tolerance === undefined || first === undefined || others.length === 0) return;
	let expected: readonly Float32Array[] = [];
	await attempt(first.contender, async () => {
		expected = await first.contender.ask({ ask: "outputs" });
	});
	for (const entrant of others) {
		await attempt(entrant.contender, async () => {
			const found = differenceOf(expected, await entrant.contender.ask({ ask: "outputs" }));
			if (!(found <= tolerance)) throw new Error(`its outputs differ by ${found.toPrecision(2)} of the largest, tolerated ${tolerance}`);
			entrant.difference = found;
		});
	}
}

/** The largest difference, in parts of the largest number expected. @throws Error where they are not as many. */
export function differenceOf(expected: readonly Float32Array[], actual: readonly Float32Array[]): number {
	if (expected.map((t) => t.length).join() !== actual.map((t) => t.length).join()) {
		throw new Error(`its outputs have ${actual.map((t) => t.length).join()} elements, expected ${expected.map((t) => t.length).join()}`);
	}
	let worst = 0;
	expected.forEach((e, t) => {
		const a = actual[t];
		let [largest, off] = [Number.MIN_VALUE, 0];
		for (let i = 0; i < e.length; i++) {
			largest = Math.max(largest, Math.abs(e[i]));
			const d = Math.abs(e[i] - a[i]);
			off = worse(off, d);
		}
		worst = worse(worst, off / largest);
	});
	return worst;
}

/** The larger one; NaN is worse than any. */
const worse = (a: number, b: number): number => (Number.isNaN(a) || b <= a ? a : b);

export const ran = (outcome: Outcome | undefined): Measured | undefined => (outcome?.status === "ran" ? outcome : undefined);
