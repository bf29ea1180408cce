import { chernoffEdge, compose, cumulants, type Segment, type TiltedLaw, tightestTilt } from "./composition.ts";

/** A composed law of P's losses, and the mass under P that counts as told whatever ε. */
export interface LossLaw extends TiltedLaw {
	readonly lost: number;
}

/** What lies outside of the window, relative to δ. */
const NEGLIGIBLE = 1e-9;
/**
 * Nats by which Chernoff's bound of δ may miss its best. Half the tightest tilt, where it does not miss by more, keeps a rare large
 * loss, which the tightest makes likely, out of the window.
 */
const MOST_EXCESS = 10;
/** The composition of `segments` under P, tilted to where P's loss exceeds some ε with probability about δ. */
export function lawNearDelta(segments: readonly Segment[], delta: number): LossLaw {
	const slack = -Math.log(delta);
	const steepest = tightestTilt(segments, 1, slack, 1);
	const epsilon = chernoffEdge(segments, 1, slack, steepest);
	const excess = (tilt: number) => cumulants(segments, 1 + tilt).value - tilt * epsilon + slack;
	let tilt = steepest / 2;
	while (excess(tilt) > MOST_EXCESS) tilt = (tilt + steepest) / 2;
	return lawAt(segments, tilt, NEGLIGIBLE * Math.min(1, Math.exp(-excess(tilt))));
}

/** The composition of `segments` under P, tilted for a given tilt θ ≥ 0. */
export function lawAt(segments: readonly Segment[], tilt: number, outside: number): LossLaw {
	const law = compose(segments, 1 + tilt, outside);
	let lost = law.above * Math.exp(law.logScale - tilt * topOf(law));
	for (const { pair, times } of segments) lost += times * pair.atInfinity;
	return { ...law, lost };
}

const topOf = ({ first, mass, step }: TiltedLaw) => (first + mass.length - 1) * step;

/**
 * Walks down the losses t of a law: `visit` gets δ at t, and the mass under Q of larger losses times e^t, for each cell's upper end;
 * it returns whether to go on. δ(t − h) = δ(t) + (1 − e^(−h))·S with S = e^t·Q(loss ≥ t): every term is positive.
 */
export function walk(law: LossLaw, visit: (t: number, delta: number, sum: number) => boolean): void {
	const { step, first, mass, order, logScale, lost } = law;
	const shrink = Math.exp(-step);
	const grow = -Math.expm1(-step);
	let delta = lost;
	let above = 0;
	for (let i = mass.length - 1; i >= 0; i--) {
		const t = (first + i) * step;
		const sum = above + mass[i] * Math.exp(logScale - (order - 1) * t);
		if (!visit(t, delta, sum)) return;
		delta += grow * sum;
		above = shrink * sum;
	}
}

/** The smallest ε ≥ 0 at which the law's δ is at most `delta`; ∞ if none is. */
export function epsilonOf(law: LossLaw, delta: number): number {
	if (law.lost >= delta) return Number.POSITIVE_INFINITY;
	let epsilon = 0;
	walk(law, (t, deltaAtT, sum) => {
		if (t <= 0) return false;
		const inCell = (delta - deltaAtT) / sum;
		if (inCell >= -Math.expm1(-law.step)) return true;
		epsilon = Math.max(0, t + Math.log1p(-inCell));
		return false;
	});
	return epsilon;
}

/** δ of the law at `epsilon`. */
export function deltaOf(law: LossLaw, epsilon: number): number {
	let result = law.lost;
	walk(law, (t, deltaAtT, sum) => {
		if (t <= epsilon) return false;
		result = deltaAtT + sum * -Math.expm1(Math.max(epsilon - t, -law.step));
		return true;
	});
	return result;
}
