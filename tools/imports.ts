import { SyntaxKind } from "typescript/unstable/ast";
import { createScanner, tokenIsIdentifierOrKeyword } from "typescript/unstable/ast/scanner";
import type { Source } from "./sources.ts";

export interface Import {
	readonly from: string;
	readonly line: number;
	readonly target: string;
	/** `import type` and `export type`: gone when the program runs. */
	readonly isTypeOnly: boolean;
}

interface Token {
	readonly kind: SyntaxKind;
	readonly value: string;
	readonly at: number;
}

/** After these a slash divides, as after names; after anything else it begins a regular expression. */
const ENDS_OPERAND: ReadonlySet<SyntaxKind> = new Set([
	SyntaxKind.NumericLiteral,
	SyntaxKind.BigIntLiteral,
	SyntaxKind.StringLiteral,
	SyntaxKind.RegularExpressionLiteral,
	SyntaxKind.NoSubstitutionTemplateLiteral,
	SyntaxKind.TemplateTail,
	SyntaxKind.CloseParenToken,
	SyntaxKind.CloseBracketToken,
	SyntaxKind.CloseBraceToken,
	SyntaxKind.PlusPlusToken,
	SyntaxKind.MinusMinusToken,
]);

/** Words that an operand follows. */
const WANTS_OPERAND: ReadonlySet<SyntaxKind> = new Set([
	SyntaxKind.ReturnKeyword,
	SyntaxKind.CaseKeyword,
	SyntaxKind.TypeOfKeyword,
	SyntaxKind.VoidKeyword,
	SyntaxKind.DeleteKeyword,
	SyntaxKind.InKeyword,
	SyntaxKind.OfKeyword,
	SyntaxKind.InstanceOfKeyword,
	SyntaxKind.ThrowKeyword,
	SyntaxKind.ElseKeyword,
	SyntaxKind.AwaitKeyword,
	SyntaxKind.YieldKeyword,
]);

/** `!` ends an operand where it asserts that one is not null. */
function endsOperand(tokens: readonly Token[], last = tokens.length - 1): boolean {
	const kind = tokens[last]?.kind;
	if (kind === undefined) return false;
	if (kind === SyntaxKind.ExclamationToken) return endsOperand(tokens, last - 1);
	return ENDS_OPERAND.has(kind) || (tokenIsIdentifierOrKeyword(kind) && !WANTS_OPERAND.has(kind));
}

/** A file's tokens without comments. TypeScript's scanner leaves slashes and templates to its parser, so both are settled here. */
function tokensOf(text: string): Token[] {
	const scanner = createScanner(true, undefined, text);
	const tokens: Token[] = [];
	const templates: number[] = [];
	let depth = 0;
	for (let kind = scanner.scan(); kind !== SyntaxKind.EndOfFile; kind = scanner.scan()) {
		const isSlash = kind === SyntaxKind.SlashToken || kind === SyntaxKind.SlashEqualsToken;
		if (isSlash && !endsOperand(tokens)) kind = scanner.reScanSlashToken();
		if (kind === SyntaxKind.CloseBraceToken && templates.at(-1) === depth) {
			kind = scanner.reScanTemplateToken(false);
			if (kind === SyntaxKind.TemplateTail) templates.pop();
		} else if (kind === SyntaxKind.TemplateHead) templates.push(depth);
		else if (kind === SyntaxKind.OpenBraceToken) depth++;
		else if (kind === SyntaxKind.CloseBraceToken) depth--;
		tokens.push({ kind, value: scanner.getTokenValue(), at: scanner.getTokenStart() });
	}
	return tokens;
}

/** Imports and re-exports of a file, and `import()` of a literal, with the line of the module's name. */
export function importsOf({ path, text }: Source): Import[] {
	const tokens = tokensOf(text);
	return tokens.flatMap(({ kind }, i) => {
		if (kind !== SyntaxKind.ImportKeyword && kind !== SyntaxKind.ExportKeyword) return [];
		const name = moduleName(tokens, i);
		if (name === undefined) return [];
		const isTypeOnly = tokens[i + 1].kind === SyntaxKind.TypeKeyword && tokens[i + 2].kind !== SyntaxKind.FromKeyword;
		return [{ from: path, line: text.slice(0, name.at).split("\n").length, target: name.value, isTypeOnly }];
	});
}

/** The literal that the import or export at `start` names, if it names one. */
function moduleName(tokens: readonly Token[], start: number): Token | undefined {
	const isImport = tokens[start].kind === SyntaxKind.ImportKeyword;
	let next = start + 1;
	if (isImport && tokens[next]?.kind === SyntaxKind.OpenParenToken) next++;
	else {
		while (next < tokens.length && isClause(tokens[next].kind)) next++;
		const hasFrom = tokens[next - 1].kind === SyntaxKind.FromKeyword;
		if (!hasFrom && !(isImport && next === start + 1)) return undefined;
	}
	return tokens[next]?.kind === SyntaxKind.StringLiteral ? tokens[next] : undefined;
}

/** Whether a token may stand between `import` or `export` and the module's name. */
function isClause(kind: SyntaxKind): boolean {
	return tokenIsIdentifierOrKeyword(kind) || PUNCTUATION.has(kind);
}

const PUNCTUATION: ReadonlySet<SyntaxKind> = new Set([
	SyntaxKind.OpenBraceToken,
	SyntaxKind.CloseBraceToken,
	SyntaxKind.CommaToken,
	SyntaxKind.AsteriskToken,
]);
