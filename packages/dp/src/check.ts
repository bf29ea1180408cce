import { ValueError } from "@hushgrad/tensor";
import { shown } from "@hushgrad/tensor/author";

/** Refuses an argument: `name` must be `expected`, and is `got`. */
export function refuse(name: string, expected: string, got: unknown, hint?: string): never {
	throw new ValueError(`dp/${name}`, `${name} must be ${expected}, got ${shown(got)}`, { hint });
}

export function checkPositive(name: string, value: number): void {
	if (!(Number.isFinite(value) && value > 0)) refuse(name, "a finite number above 0", value);
}

const SMALLEST_NORM = 2 ** -104;
const LARGEST_NORM = 2 ** 126;

/** A clipping norm that sums on a grid in f32 can hold. */
export function checkClipNorm(name: string, value: number): void {
	checkPositive(name, value);
	if (value < SMALLEST_NORM || value > LARGEST_NORM) refuse(name, "between 2⁻¹⁰⁴ and 2¹²⁶", value);
}

export function checkNonNegative(name: string, value: number): void {
	if (!(Number.isFinite(value) && value >= 0)) refuse(name, "a finite number, 0 or more", value);
}

export function checkInteger(name: string, value: number, { min = 1, max = Number.MAX_SAFE_INTEGER } = {}): void {
	if (!(Number.isInteger(value) && value >= min && value <= max)) refuse(name, `an integer in ${min}..${max}`, value);
}

export function checkSampleRate(value: number): void {
	if (!(typeof value === "number" && value >= 0 && value <= 1)) refuse("sampleRate", "a probability in [0, 1]", value);
}

export function checkDelta(value: number): void {
	if (!(typeof value === "number" && value > 0 && value < 1)) refuse("delta", "a probability strictly between 0 and 1", value);
}

export function checkSignificance(value: number): void {
	if (!(typeof value === "number" && value > 0 && value < 1)) refuse("significance", "a probability strictly between 0 and 1", value);
}
