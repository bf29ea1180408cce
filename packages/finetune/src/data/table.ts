/** A row of a data file: its values by column, and where it stands. */
export interface Row {
	/** From 1, as in `TextRecord`. */
	readonly place: number;
	/** By column; a fault in words where the row cannot be read. */
	readonly values: Readonly<Record<string, unknown>> | string;
}

/** A data file, read. */
export interface Table {
	/** In the order of the file. */
	readonly columns: readonly string[];
	/** In the order of the file. */
	readonly rows: readonly Row[];
	/** What a place is called: "row", "line" or "record". */
	readonly placeName: string;
}
