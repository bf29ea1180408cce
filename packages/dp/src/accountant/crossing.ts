/** How far inside the bracket its ends are tried at least, relative to its width. */
const MARGIN = 1e-3;
const MOST_EVALUATIONS = 60;

/** What is sought, and where. */
export interface Search {
	readonly target: number;
	/** Where to begin, and by how much to step away from there at first. */
	readonly start: number;
	readonly factor: number;
	readonly low: number;
	readonly high: number;
	/** Whether two points are near enough. */
	readonly near: (a: number, b: number) => boolean;
}

/**
 * An x in [low, high] at which `value`, increasing, is at most `target`, and `near` to where it is above; undefined where it is above
 * at `low` too. Bracketed from `start`, then the Illinois method for ln value against ln x, where it is almost a line.
 */
export function crossingOf(value: (x: number) => number, { target, start, factor, low, high, near }: Search): number | undefined {
	const excess = (x: number) => Math.max(-50, Math.min(50, Math.log(value(x) / target)));
	let a = { x: Math.log(start), f: excess(start) };
	let b = a;
	for (let by = factor; a.f > 0 || b.f <= 0; by *= by) {
		if (a.f > 0) {
			if (a.x <= Math.log(low)) return undefined;
			b = a;
			const x = Math.max(Math.log(low), a.x - Math.log(by));
			a = { x, f: excess(Math.exp(x)) };
		} else {
			if (b.x >= Math.log(high)) return high;
			a = b;
			const x = Math.min(Math.log(high), b.x + Math.log(by));
			b = { x, f: excess(Math.exp(x)) };
		}
	}
	let [fa, fb] = [a.f, b.f];
	let side = 0;
	for (let i = 0; i < MOST_EVALUATIONS && !near(Math.exp(a.x), Math.exp(b.x)); i++) {
		const margin = (b.x - a.x) * MARGIN;
		const x = Math.min(Math.max(a.x + ((b.x - a.x) * fa) / (fa - fb), a.x + margin), b.x - margin);
		const f = excess(Math.exp(x));
		if (f > 0) {
			b = { x, f };
			fb = f;
			if (side === 1) fa /= 2;
			side = 1;
		} else {
			a = { x, f };
			fa = f;
			if (side === -1) fb /= 2;
			side = -1;
		}
	}
	return Math.exp(a.x);
}
