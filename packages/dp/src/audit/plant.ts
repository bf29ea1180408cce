import { expects, named } from "@hushgrad/tensor/author";
import { insecureNoiseForTests } from "../secureRandom.ts";
import type { CanaryScores } from "./scores.ts";

/** What canaries are planted with. */
export interface PlantOptions {
	/** Seed of the coins and of the places; 0 when left out. It has to be another one than that of the run. */
	readonly seed?: number | undefined;
}

/** Records among which some of the canaries are. */
export interface Planted<T, C> {
	/** The records in their order, and the included canaries somewhere among them. */
	readonly records: readonly (T | C)[];
	/** The canaries that a fair coin has included. */
	readonly included: readonly C[];
	/** Those that it has left out. */
	readonly excluded: readonly C[];
}

/**
 * Includes each canary by a fair coin of its own, as audits of one run demand, at a random place. The size of the data set must be
 * declared beforehand, and not follow from `records.length`.
 * @throws ValueError unless both are lists and the seed an integer from 0 to 2⁵³−1.
 */
export const plantCanaries = named(
	"plantCanaries",
	<T, C>(records: readonly T[], canaries: readonly C[], options: PlantOptions = {}): Planted<T, C> => {
		expects("plantCanaries", { records, canaries, options }, { records: "list", canaries: "list", options: "options" });
		const source = insecureNoiseForTests(options.seed ?? 0);
		const included: C[] = [];
		const excluded: C[] = [];
		for (const canary of canaries) (source.uniform53() < 0.5 ? included : excluded).push(canary);
		const places = included.map((canary) => ({ canary, at: Math.floor(source.uniform53() * (records.length + 1)) }));
		places.sort((a, b) => a.at - b.at);
		const all: (T | C)[] = [];
		let next = 0;
		for (let i = 0; i <= records.length; i++) {
			for (; next < places.length && places[next].at === i; next++) all.push(places[next].canary);
			if (i < records.length) all.push(records[i]);
		}
		return { records: all, included, excluded };
	},
);

/**
 * Scores of planted canaries by what a trained model makes of them: the loss of each with its sign turned, asked for one after the other.
 * They tell of private training; publish what an audit makes of them, not them.
 * @throws ValueError where `planted` is not what `plantCanaries` gives.
 */
export async function scoreCanaries<C>(
	planted: Pick<Planted<unknown, C>, "included" | "excluded">,
	loss: (canary: C) => number | Promise<number>,
): Promise<CanaryScores> {
	expects("scoreCanaries", { planted, loss }, { planted: "options", loss: "function" });
	const { included, excluded } = planted;
	expects("scoreCanaries", { included, excluded }, { included: "list", excluded: "list" });
	const scores = async (canaries: readonly C[]): Promise<Float64Array> => {
		const values = new Float64Array(canaries.length);
		for (const [i, canary] of canaries.entries()) values[i] = -(await loss(canary));
		return values;
	};
	return { included: await scores(included), excluded: await scores(excluded) };
}
