import { HushgradError } from "./errors.ts";

/** Calls a function; `told` hears of the error that it throws, or that its promise rejects with. */
function calling<R>(f: () => R, told: (error: HushgradError) => void): R {
	const fail = (error: unknown): never => {
		if (error instanceof HushgradError) told(error);
		throw error;
	};
	try {
		const result = f();
		return result instanceof Promise ? (result.catch(fail) as R) : result;
	} catch (error) {
		return fail(error);
	}
}

/** Errors of functions that the user handed over: they name what those called. */
const ofTheUser = new WeakSet<HushgradError>();

/**
 * A function made of other operations, whose errors name it: whichever of them refused, `op` and the text name what was called.
 * The outermost name stays. A promise is rejected with such errors, too. Costs a call more, and nothing else until something is thrown.
 * @typeParam F The type of the function, and of what is returned.
 */
export function named<F extends (...args: never[]) => unknown>(op: string, f: F): F {
	return ((...args: Parameters<F>) => blaming(op, () => f(...args))) as F;
}

/** Runs `f`, whose errors name `op`, as of `named`. */
export const blaming = <R>(op: string, f: () => R): R =>
	calling(f, (error) => {
		if (!ofTheUser.has(error)) error.blame(op);
	});

/** Runs a function that the user handed to a named one: its errors name what it called itself. */
export const unblamed = <R>(f: () => R): R => calling(f, (error) => ofTheUser.add(error));
