/** Facts an error carries beside its text. */
export interface ErrorDetails {
	/** The operation, kernel, layer or function that refused. */
	readonly op?: string | undefined;
	/** Path of the module, or of the file, where it happened. */
	readonly path?: string | undefined;
	/** What the user can do about it. */
	readonly hint?: string | undefined;
	/** The error underneath, for `Error.cause`. */
	readonly cause?: unknown | undefined;
}

/** An error is no place to refuse a value: one that has no text stands as its kind. */
const inText = (value: unknown): string => (typeof value === "object" && value !== null ? "an object" : String(value));

/**
 * Base of every error this project throws on purpose: a stable `code`, one line that says what was expected and
 * what came, and a `hint` with the fix. Programs tell errors apart by class and `code`, people by `message`, which holds the
 * line, the path and the hint. docs/errors.md lists the codes.
 */
export class HushgradError extends Error {
	static {
		HushgradError.prototype.name = "HushgradError"; // a minifier renames the class
	}

	/** What went wrong, as `area/case`, such as "shape/broadcast". It stays the same when the text is reworded. */
	readonly code: string;
	#op: string | undefined;
	readonly #hint: string | undefined;
	#path: string | undefined;

	/** `message` is one line; `details.path` and `details.hint` are appended to it on lines of their own. */
	constructor(code: string, message: string, details: ErrorDetails = {}) {
		const { op, path, hint, cause } = details ?? {};
		const lines = [path === undefined ? "" : `\n  in ${inText(path)}`, hint === undefined ? "" : `\n  Hint: ${inText(hint)}`];
		super(inText(message) + lines.join(""), cause === undefined ? undefined : { cause });
		this.code = code;
		this.#op = op;
		this.#path = path;
		this.#hint = hint;
	}

	/** The operation, kernel, layer or function that refused, such as "add"; undefined where none is named. */
	get op(): string | undefined {
		return this.#op;
	}

	/** Path of the module ("model.layers.0.mlp") or of the file where it happened; undefined outside of both. */
	get path(): string | undefined {
		return this.#path;
	}

	/** What the user can do about it; undefined where there is nothing to say. */
	get hint(): string | undefined {
		return this.#hint;
	}

	/** Names the function that the user called in place of the operation inside of it that refused, in `op` and in the message. */
	blame(op: string): void {
		const inner = `${inText(this.#op ?? op)}: `;
		const text = this.message.startsWith(inner) ? this.message.slice(inner.length) : this.message;
		this.message = `${inText(op)}: ${text}`;
		this.#op = op;
	}

	/** Adds the module path where it happened, to `path` and to the message, unless one is known already or `path` is "". */
	locate(path: string): void {
		if (this.#path !== undefined || path === "") return;
		this.#path = path;
		const [first, ...rest] = this.message.split("\n");
		this.message = [first, `  in ${inText(path)}`, ...rest].join("\n");
	}
}

/** Shapes or sizes that do not fit together, or one that is not what is asked for; the text names the op and the shapes. */
export class ShapeError extends HushgradError {
	static {
		ShapeError.prototype.name = "ShapeError";
	}
}

/** An element type that an operation, a kernel or a file format does not take; `cast` converts. */
export class DTypeError extends HushgradError {
	static {
		DTypeError.prototype.name = "DTypeError";
	}
}

/** Use of a tensor, or of a captured step, after it was released: by `dispose`, or by the end of its scope. */
export class DisposedError extends HushgradError {
	static {
		DisposedError.prototype.name = "DisposedError";
	}
}

/**
 * The GPU is absent, lost, destroyed, out of memory or of limits, lacks a feature, or reported an error; also a step that
 * cannot be captured. After `device/lost`, request a new device and go on from a checkpoint.
 */
export class DeviceError extends HushgradError {
	static {
		DeviceError.prototype.name = "DeviceError";
	}
}

/** Something that would break the privacy guarantee: in a private program, in its plan, or in what it takes for a record. */
export class PrivacyError extends HushgradError {
	static {
		PrivacyError.prototype.name = "PrivacyError";
	}
}

/** An argument outside its domain, or a function called where or how it cannot be; the text gives the value that came. */
export class ValueError extends HushgradError {
	static {
		ValueError.prototype.name = "ValueError";
	}
}

/** A file that is missing, truncated or not what it should be; `path` names it where it is known. */
export class FormatError extends HushgradError {
	static {
		FormatError.prototype.name = "FormatError";
	}
}

/** NaN or infinity where a number should be, found by a check on the GPU and thrown when its result is read. */
export class NumericError extends HushgradError {
	static {
		NumericError.prototype.name = "NumericError";
	}
}
