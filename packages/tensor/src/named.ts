import { HushgradError } from "./errors.ts";

/**
 * A function made of other operations, whose errors name it: whichever of them refused, `op` and the text name what was called.
 * The outermost name stays. Costs a call more, and nothing else until something is thrown.
 * @typeParam F The type of the function, and of what is returned.
 */
export function named<F extends (...args: never[]) => unknown>(op: string, f: F): F {
	const call = (...args: Parameters<F>): unknown => {
		try {
			return f(...args);
		} catch (error) {
			if (error instanceof HushgradError) error.blame(op);
			throw error;
		}
	};
	return call as F;
}

/** Runs `f`, whose errors name `op`, as of `named`. */
export const blaming = <R>(op: string, f: () => R): R => named(op, f)();
