import type { Source } from "./sources.ts";

/** One value as it was written, not checked yet, and where. */
export interface GivenValue {
	readonly value: unknown;
	readonly source: Source;
}

/** Values as they were written, by name, and what is wrong with the writing. */
export interface Given {
	readonly values: ReadonlyMap<string, GivenValue>;
	/** A line each. */
	readonly faults: readonly string[];
}
