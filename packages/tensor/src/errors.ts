/** Facts an error carries beside its text. */
export interface ErrorDetails {
	/** The operation, layer or function that refused. */
	readonly op?: string | undefined;
	/** Module path or file path where it happened. */
	readonly path?: string | undefined;
	/** What the user can do about it. */
	readonly hint?: string | undefined;
	readonly cause?: unknown | undefined;
}

/**
 * Base of every error this project throws on purpose: a stable `code`, one line that says what was expected and
 * what came, and a `hint` with the fix.
 */
export class HushgradError extends Error {
	readonly code: string;
	readonly op: string | undefined;
	path: string | undefined;
	readonly hint: string | undefined;

	constructor(code: string, message: string, details: ErrorDetails = {}) {
		const where = details.path === undefined ? "" : `\n  in ${details.path}`;
		const hint = details.hint === undefined ? "" : `\n  Hint: ${details.hint}`;
		super(message + where + hint, details.cause === undefined ? undefined : { cause: details.cause });
		this.name = new.target.name;
		this.code = code;
		this.op = details.op;
		this.path = details.path;
		this.hint = details.hint;
	}

	/** Adds where it happened, unless that is known already. */
	locate(path: string): void {
		if (this.path !== undefined || path === "") return;
		this.path = path;
		const [first, ...rest] = this.message.split("\n");
		this.message = [first, `  in ${path}`, ...rest].join("\n");
	}
}

/** Shapes that do not fit together; the text names the op, the axis and every shape. */
export class ShapeError extends HushgradError {}
/** A dtype an op does not take. */
export class DTypeError extends HushgradError {}
/** Use of a tensor after it was released. */
export class DisposedError extends HushgradError {}
/** The GPU device is absent, lost, out of memory, or raised a validation error. */
export class DeviceError extends HushgradError {}
/** An operation that would break the privacy guarantee. */
export class PrivacyError extends HushgradError {}
/** An argument outside its domain. */
export class ValueError extends HushgradError {}
/** A file that is missing, truncated or not what it should be. */
export class FormatError extends HushgradError {}
/** NaN or infinity where a number should be. */
export class NumericError extends HushgradError {}
