/** One record of the data, as texts. */
export interface TextRecord {
	/** What the model is asked. */
	readonly prompt: string;
	/** What it should answer. */
	readonly response: string;
	/** Whom it belongs to, where a column names that. */
	readonly unit?: string | undefined;
	/** Where it stands in the file, from 1: the row of a spreadsheet, whose header is row 1; the line of JSONL; the entry of a JSON list. */
	readonly place: number;
}

/** A record that cannot be used. */
export interface BrokenRecord {
	/** As of a record. */
	readonly place: number;
	/** What is wrong, without a word of its text. */
	readonly fault: string;
}

/** The records of a file, split by a hash of each, so that taking one out moves no other. */
export interface Records {
	/** Those to train on: private. */
	readonly train: readonly TextRecord[];
	/** Those kept for evaluation. */
	readonly heldOut: readonly TextRecord[];
	/** Those left out, because `broken` is "drop". */
	readonly broken: readonly BrokenRecord[];
	/** What a place is called: "row", "line" or "record". */
	readonly placeName: string;
	/** SHA-256 of the file, in hexadecimal. */
	readonly fingerprint: string;
}
