/** Quantile of samples between 0 and 1, between neighbours linear. NaN of none. */
export function quantile(samples: readonly number[], q: number): number {
	const sorted = [...samples].sort((a, b) => a - b);
	const at = q * (sorted.length - 1);
	const low = sorted[Math.floor(at)];
	return low === undefined ? Number.NaN : low + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - low);
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

export interface Summary {
	readonly median: number;
	readonly p10: number;
	readonly p90: number;
}

export const summary = (samples: readonly number[]): Summary => ({
	median: median(samples),
	p10: quantile(samples, 0.1),
	p90: quantile(samples, 0.9),
});

/** The exponent e of y = c xᵉ: the slope of the line through the logarithms, by least squares. */
export function exponent(points: readonly (readonly [x: number, y: number])[]): number {
	const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)]);
	const mean = (i: number): number => logs.reduce((s, p) => s + p[i], 0) / logs.length;
	const [mx, my] = [mean(0), mean(1)];
	const up = logs.reduce((s, [x, y]) => s + (x - mx) * (y - my), 0);
	return up / logs.reduce((s, [x]) => s + (x - mx) ** 2, 0);
}
