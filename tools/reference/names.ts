/** docs/api.md: every name that the packages export, with its members and types, as the compiler declares them. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { writeDeclarations } from "../declarations.ts";

export const PAGE = "docs/api.md";

/** What an entry point exports: a line of code for every name, and lines of code for its members. */
export interface Exported {
	readonly name: string;
	readonly lines: readonly string[];
	readonly members: readonly string[];
}

const printer = ts.createPrinter({ removeComments: true });

/** Code in one line, without where its types are imported from. */
function codeOf(node: ts.Node): string {
	const text = printer.printNode(ts.EmitHint.Unspecified, node, node.getSourceFile());
	return text
		.replaceAll(/\s+/g, " ")
		.replaceAll(/\bimport\("[^"]*"\)\./g, "")
		.replaceAll(/\b(export|declare|default) /g, "")
		.replaceAll(/\{ ([^{}]*?);? \}/g, "{ $1 }")
		.replace(/;$/, "");
}

const isInternal = (node: ts.Node): boolean => ts.getJSDocTags(node).some((tag) => tag.tagName.text === "internal");

/** Whether a member can be used from outside. */
function isPublic(member: ts.ClassElement | ts.TypeElement): boolean {
	const isPrivate = member.name !== undefined && ts.isPrivateIdentifier(member.name);
	const flags = ts.getCombinedModifierFlags(member as ts.Declaration);
	return !isPrivate && (flags & ts.ModifierFlags.Private) === 0 && !isInternal(member);
}

/** What members are sorted by: constructors come first, then names. Overloads keep their order. */
const sortKey = (code: string): string =>
	code.startsWith("constructor(") ? "" : code.replace(/^((static|readonly|get|set|protected|abstract) )+/, "");
const nameIn = (code: string): string => /^[\w$]*/.exec(sortKey(code))?.[0] ?? "";
const sorted = (lines: readonly string[]): string[] => [...new Set(lines)].sort((a, b) => compare(nameIn(a), nameIn(b)));
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const LONGEST = 80;
/** A constant of a long text is shown by its beginning. */
const short = (code: string): string =>
	code.replace(/(= ["`])(.*)["`]$/, (all, open, text) => (text.length > LONGEST ? `${open}${text.slice(0, LONGEST)}…"` : all));

/** The head of a class or an interface: what stands before its members. */
function headOf(node: ts.ClassDeclaration | ts.InterfaceDeclaration): string {
	const code = codeOf(node);
	return code.slice(0, code.indexOf("{", code.indexOf(node.name?.text ?? ""))).trim();
}

function describe(name: string, declarations: readonly ts.Declaration[]): Exported {
	const lines: string[] = [];
	const members: string[] = [];
	for (const node of declarations) {
		if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
			lines.push(headOf(node));
			members.push(...[...node.members].filter(isPublic).map(codeOf));
		} else if (ts.isVariableDeclaration(node)) lines.push(short(`const ${codeOf(node)}`));
		else lines.push(codeOf(node));
	}
	return { name, lines, members: sorted(members) };
}

/** What files of declarations export. */
export function exportsOf(files: readonly string[]): Exported[][] {
	const options = { noLib: true, types: [], allowImportingTsExtensions: true, module: ts.ModuleKind.NodeNext };
	const program = ts.createProgram({ rootNames: [...files], options });
	const checker = program.getTypeChecker();
	return files.map((file) => {
		const module = checker.getSymbolAtLocation(program.getSourceFile(file) as ts.SourceFile);
		const symbols = module === undefined ? [] : checker.getExportsOfModule(module);
		return symbols
			.map((symbol) => {
				const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
				return describe(
					symbol.name,
					(target.declarations ?? []).filter((d) => !isInternal(d)),
				);
			})
			.filter(({ lines }) => lines.length > 0)
			.sort((a, b) => compare(a.name, b.name));
	});
}

/** A code span, also of code with backticks. */
const span = (code: string): string => (code.includes("`") ? `\`\` ${code} \`\`` : `\`${code}\``);

/** The page: a list for every entry point. */
export function page(entries: Readonly<Record<string, readonly Exported[]>>): string {
	const count = Object.values(entries).reduce((n, list) => n + list.length, 0);
	const sections = Object.entries(entries).map(([entry, list]) => {
		const items = list.flatMap(({ name, lines, members }) => [
			...lines.map((line) => `- ${span(line)}${new RegExp(`\\b${name}\\b`).test(line) ? "" : ` as ${name}`}`),
			...members.map((member) => `  - ${span(member)}`),
		]);
		return `\n## ${entry}\n\n${items.join("\n")}\n`;
	});
	return `# Names

These are the ${count} names that the packages export, with their members and types. A change of this page is a change of what
programs can rely on. Written by \`npm run pages\`; \`npm run reference\` writes the reference, with explanations.
${sections.join("")}`;
}

/** What every entry point of the packages exports. */
export function readNames(root: string): Record<string, Exported[]> {
	const shelf = join(root, "node_modules/.cache");
	mkdirSync(shelf, { recursive: true });
	const folder = mkdtempSync(join(shelf, "hushgrad-names-"));
	try {
		const declared = Object.entries(writeDeclarations(root, folder)).sort(([a], [b]) => (a < b ? -1 : 1));
		const found = exportsOf(declared.map(([, file]) => file));
		return Object.fromEntries(declared.map(([name], i) => [name, found[i]]));
	} finally {
		rmSync(folder, { recursive: true });
	}
}
