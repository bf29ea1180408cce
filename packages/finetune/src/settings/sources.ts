/** Where the value of a setting comes from. */
export type Source =
	/** The command line; `where` is the flag. */
	| { readonly from: "flag"; readonly where: string }
	/** A settings file; `where` is its path and the line. */
	| { readonly from: "file"; readonly where: string }
	/** The same for every run. */
	| { readonly from: "default" }
	/** The size of the model. */
	| { readonly from: "model" }
	/** Other settings; `where` names them. */
	| { readonly from: "settings"; readonly where: string };

/** Where each setting comes from, by name. */
export type Sources = Readonly<Record<string, Source>>;

/** A source in words: "--lr", "run.yaml:3", "default", "by the size of the model", "from records". */
export function sourceText(source: Source): string {
	if (source.from === "flag" || source.from === "file") return source.where;
	if (source.from === "settings") return `from ${source.where}`;
	return source.from === "model" ? "by the size of the model" : "default";
}
