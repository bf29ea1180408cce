import { calibrateNoise, epsilon } from "@hushgrad/dp";

for (const [te, td, q, T] of [
	[8, 1e-5, 8 / 900, 336],
	[2, 1e-5, 128 / 7700, 1830],
	[8, 1e-5, 0.01, 10000],
	[1, 1e-6, 0.001, 5000],
	[3, 1e-5, 0.05, 200],
] as const) {
	let n = 0;
	const t = performance.now();
	const s = calibrateNoise({ targetEpsilon: te, targetDelta: td }, (noiseMultiplier) => {
		n++;
		return [{ sampleRate: q, noiseMultiplier, steps: T }];
	});
	const w = performance.now() - t;
	const t2 = performance.now();
	epsilon([{ sampleRate: q, noiseMultiplier: s, steps: T }], { delta: td });
	console.log(
		te,
		td,
		q.toFixed(4),
		T,
		"sigma",
		s,
		"evals",
		n,
		"ms",
		w.toFixed(0),
		"one",
		(performance.now() - t2).toFixed(0),
		"rdp",
		(await import("@hushgrad/dp")).calibrateNoise({ targetEpsilon: te, targetDelta: td, accountant: "rdp" }, (noiseMultiplier) => [
			{ sampleRate: q, noiseMultiplier, steps: T },
		]),
	);
}
