/** One record of the data, as texts. */
export interface TextRecord {
	/** What the model is asked. */
	readonly prompt: string;
	/** What it should answer. */
	readonly response: string;
	/** Whom it belongs to, where a column names that. */
	readonly unit?: string | undefined;
	/** Where it stands in the file: line, row or index, from 1. */
	readonly place: number;
}

/** The records of a file, split by a hash of each, so that taking one out moves no other. */
export interface Records {
	/** Those to train on: private. */
	readonly train: readonly TextRecord[];
	/** Those kept for evaluation. */
	readonly heldOut: readonly TextRecord[];
	/** SHA-256 of the file. */
	readonly fingerprint: string;
}
