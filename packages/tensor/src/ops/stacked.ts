import type { Physical } from "../physical.ts";
import { sameShape } from "../shape.ts";
import { catInto } from "./cat.kernel.ts";
import { copyInto } from "./contiguous.ts";

/** Views of one shape at equal distances in one memory, as one with a new axis in front; undefined where they lie otherwise. */
export function stackedViews(views: readonly Physical[]): Physical | undefined {
	const [first, second] = views;
	const step = second === undefined ? 0 : second.offset - first.offset;
	const isAmong = (v: Physical, i: number): boolean =>
		v.storage === first.storage &&
		v.dtype === first.dtype &&
		v.offset === first.offset + i * step &&
		sameShape(v.shape, first.shape) &&
		sameShape(v.strides, first.strides);
	return step >= 0 && views.every(isAmong)
		? first.view({ shape: [views.length, ...first.shape], strides: [step, ...first.strides] })
		: undefined;
}

/** Views of one shape with a new axis in front: where they lie so already without copying, else in new memory without gaps. */
export function stacked(views: readonly Physical[]): Physical {
	const there = stackedViews(views);
	if (there !== undefined) return there;
	const [{ runtime, shape, dtype }] = views;
	const whole = runtime.empty([views.length, ...shape], dtype);
	const part = (v: Physical): Physical => v.view({ shape: [1, ...shape], strides: [0, ...v.strides] });
	catInto(views.map(part), whole, 0, (v, i) => copyInto(v, entry(whole, i).view({ shape: v.shape })));
	return whole;
}

/** Entry i of the first axis. */
export const entry = (x: Physical, i: number): Physical =>
	x.view({ shape: x.shape.slice(1), strides: x.strides.slice(1), offset: x.offset + i * x.strides[0] });
