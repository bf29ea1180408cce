import { readFileSync } from "node:fs";

/** A parameter, or a field of an options object. */
export interface Parameter {
	readonly name: string;
	readonly type: string;
	readonly optional: boolean;
	/** It takes all further arguments. */
	readonly rest: boolean;
}

/** Something of the public surface that can be called. */
export interface Target {
	/** The entry point, such as `@hushgrad/tensor`. */
	readonly entry: string;
	/** The class, of constructors and methods. */
	readonly owner: string | undefined;
	/** The name of the function or method; that of the class for its constructor. */
	readonly name: string;
	readonly kind: "function" | "constructor" | "static" | "method";
	readonly parameters: readonly Parameter[];
	/** It gives a promise, or values one after the other. */
	readonly isAsync: boolean;
}

/** What a page of names declares. */
export interface Surface {
	readonly targets: readonly Target[];
	/** The fields of every interface. */
	readonly fields: ReadonlyMap<string, readonly Parameter[]>;
	/** Every exported name. */
	readonly names: ReadonlySet<string>;
}

const ENTRIES = ["@hushgrad/tensor", "@hushgrad/nn", "@hushgrad/dp", "@hushgrad/models"];

/** The public surface of the packages, as docs/api.md has it. */
export function readSurface(root: URL): Surface {
	const targets: Target[] = [];
	const fields = new Map<string, Parameter[]>();
	const names = new Set<string>();
	let entry = "";
	let owner: { readonly name: string; readonly isClass: boolean } | undefined;
	for (const line of readFileSync(new URL("docs/api.md", root), "utf8").split("\n")) {
		if (line.startsWith("## ")) entry = line.slice(3);
		const found = /^( *)- `+ ?(.*?) ?`+( as \w+)?$/.exec(line);
		if (found === null || !ENTRIES.includes(entry)) continue;
		const [, indent, code] = found;
		if (indent === "") {
			const [, kind, name] = /^(?:abstract )?(function|const|class|interface|type) (\w+)/.exec(code) ?? [];
			if (name === undefined) continue;
			names.add(name);
			owner = kind === "class" || kind === "interface" ? { name, isClass: kind === "class" } : undefined;
			const list = callOf(code.replace(/^(function|const) /, ""));
			if ((kind === "function" || kind === "const") && list !== undefined)
				targets.push({ ...list, entry, owner: undefined, name, kind: "function" });
			if (kind === "interface") fields.set(name, []);
		} else if (owner !== undefined) {
			if (!owner.isClass) {
				const field = /^(?:readonly )?(\w+)(\??): (.*)$/.exec(code);
				if (field !== null) fields.get(owner.name)?.push({ name: field[1], type: field[3], optional: field[2] === "?", rest: false });
				continue;
			}
			const [, modifier = "", rest] = /^(static |get |set |protected |readonly |abstract )?(.*)$/.exec(code) ?? [];
			const list = callOf(rest);
			if (list === undefined || (modifier !== "" && modifier !== "static ")) continue;
			const kind = list.name === "constructor" ? "constructor" : modifier === "static " ? "static" : "method";
			targets.push({ ...list, entry, owner: owner.name, name: kind === "constructor" ? owner.name : list.name, kind });
		}
	}
	return { targets, fields, names };
}

/** The name and the parameters of `name<T>(a: A, b?: B): R` or `name: (a: A) => R`. */
function callOf(code: string): Pick<Target, "name" | "parameters" | "isAsync"> | undefined {
	const head = /^(\w+)(: \(?)?(<.*?>(?=\())?\(/.exec(code);
	if (head === null) return undefined;
	const inner = code.slice(head[0].length, closing(code, head[0].length - 1));
	const parameters = splitTop(inner, ",").flatMap((text): Parameter[] => {
		const [left, ...right] = splitTop(text, ":");
		if (right.length === 0) return [];
		const rest = left.trim().startsWith("...");
		const name = left.trim().replace("...", "").replace(/\?$/, "");
		if (name === "this") return [];
		return [{ name: /^\w+$/.test(name) ? name : "options", type: right.join(":").trim(), optional: left.trim().endsWith("?"), rest }];
	});
	return {
		name: head[1],
		parameters,
		isAsync: /^\)?(:| =>) (Promise|AsyncGenerator)</.test(code.slice(closing(code, head[0].length - 1))),
	};
}

/** Where the bracket that opens at `from` closes. */
function closing(code: string, from: number): number {
	let depth = 0;
	for (let i = from; i < code.length; i++) {
		if ("([{<".includes(code[i])) depth++;
		if (")]}".includes(code[i]) || (code[i] === ">" && code[i - 1] !== "=")) depth--;
		if (depth === 0) return i;
	}
	return code.length;
}

/** Splits at a character outside of all brackets. */
export function splitTop(text: string, at: string): string[] {
	const parts = [""];
	for (let i = 0, depth = 0; i < text.length; i++) {
		const c = text[i];
		if ("([{<".includes(c)) depth++;
		if (")]}".includes(c) || (c === ">" && text[i - 1] !== "=")) depth--;
		if (depth === 0 && c === at) parts.push("");
		else parts[parts.length - 1] += c;
	}
	return parts.filter((p) => p.trim() !== "");
}

/** The fields of an options type: of an interface by name, or written out. */
export function fieldsOf(type: string, { fields }: Surface): readonly Parameter[] | undefined {
	const bare = type.replace(/^readonly /, "").replace(/ \| undefined$/, "");
	if (fields.has(bare)) return fields.get(bare);
	if (!bare.startsWith("{")) return undefined;
	return splitTop(bare.slice(1, -1), ";").flatMap((text): Parameter[] => {
		const field = /^\s*(?:readonly )?(\w+)(\??): (.*?)\s*$/.exec(text);
		return field === null ? [] : [{ name: field[1], type: field[3], optional: field[2] === "?", rest: false }];
	});
}
