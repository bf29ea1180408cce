/** Where the value of a setting comes from. */
export interface Source {
	/** The command line, a settings file, the same for every run, the size of the model, or other settings. */
	readonly from: "flag" | "file" | "default" | "model" | "settings";
	/** The flag, the path and line of the file, or the other settings; "" where `from` says it all. */
	readonly where: string;
}

/** Where each setting comes from, by name. */
export type Sources = Readonly<Record<string, Source>>;

/** A source in words: "--lr", "run.yaml:3", "default", "by model size", "from records". */
export function sourceText(source: Source): string {
	if (source.from === "settings") return `from ${source.where}`;
	if (source.from === "model") return "by model size";
	return source.from === "default" ? "default" : source.where;
}
