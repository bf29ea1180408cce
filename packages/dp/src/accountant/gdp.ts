import { ValueError } from "@hushgrad/tensor";
import { expects, named } from "@hushgrad/tensor/author";
import { checkEvent, type PrivacyHistory } from "./events.ts";

/**
 * μ of the Gaussian mechanism that a history with every record in every step (q = 1) equals: √Σ T/σ². 0 without steps, ∞ without
 * noise.
 * @throws ValueError for steps with q < 1: there Gaussian differential privacy is a limit, not a bound; see `approximateMu`.
 */
export function exactMu(history: PrivacyHistory): number {
	let square = 0;
	for (const event of history) {
		checkEvent(event);
		if (event.steps === 0 || event.sampleRate === 0) continue;
		if (event.sampleRate < 1) {
			throw new ValueError("dp/gdp", `the gdp accountant covers sampleRate 1 alone, got ${event.sampleRate}`, {
				hint: 'use accountant "pld"; approximateMu gives the central limit, which may lie below the truth',
			});
		}
		square += event.steps / event.noiseMultiplier ** 2;
	}
	return Math.sqrt(square);
}

/**
 * The central limit of a history of Poisson-sampled steps: μ = √Σ T·q²·(e^(1/σ²) − 1), as Opacus' GaussianAccountant takes it. NOT a
 * bound: for q = 8/900, σ = 0.5, 224 steps and δ = 1e-5 it gives ε 4.25, where the truth is 7.42. `gaussianEpsilon(mu, delta)` turns
 * it into ε. Source: Bu, Dong, Long, Su 2020.
 * @throws ValueError for a history that holds an impossible event.
 */
export const approximateMu = named("approximateMu", (history: PrivacyHistory): number => {
	expects("approximateMu", { history }, { history: "list" });
	let square = 0;
	for (const event of history) {
		checkEvent(event);
		if (event.steps > 0 && event.sampleRate > 0) square += event.steps * event.sampleRate ** 2 * Math.expm1(event.noiseMultiplier ** -2);
	}
	return Math.sqrt(square);
});
