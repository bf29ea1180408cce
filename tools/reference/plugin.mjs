/**
 * What typedoc is told about this repository: modules have the names that programs import and begin with their package's
 * README; element-wise operations, which are constants that can be called, are functions; the page of an operation says how
 * exact it is, from the registry; what a function throws stands in one list; and every parameter has a name.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Comment, CommentTag, Converter, MinimalSourceFile, ReflectionFlag, ReflectionKind, ReflectionType } from "typedoc";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** @typedef {import("typedoc").ProjectReflection} Project */
/** @typedef {import("typedoc").DeclarationReflection} Declaration */
/** @typedef {import("./bounds.ts").Precision} Precision */

/** @param {import("typedoc").Application} app */
export function load(app) {
	/** @type {readonly Precision[]} */
	const operations = JSON.parse(readFileSync(`${root}out/precision.json`, "utf8"));

	app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project, converter }) => {
		for (const module of /** @type {Declaration[]} */ (project.getReflectionsByKind(ReflectionKind.Module))) {
			const [, name, entry = ""] = /^(\w+)\/src(\/\w+)?$/.exec(module.name) ?? [];
			module.name = `@hushgrad/${name}${entry}`;
			for (const child of module.children ?? []) {
				becomeFunction(project, child);
				addPrecision(operations, project, child);
			}
			if (entry === "") addReadme(converter, project, module, `${root}packages/${name}/README.md`);
		}
		for (const reflection of Object.values(project.reflections)) {
			if (reflection.comment !== undefined) joinThrows(reflection.comment);
			if (reflection.isParameter() && reflection.name === "__namedParameters") reflection.name = nameOf(reflection.type);
		}
		for (const page of project.documents ?? []) page.name = titleOf(page.content) ?? page.name;
		withoutTitle(project.readme ?? []);
	});
}

/** A constant of the type Op<F>, an operation that carries its definition, is shown as the function F. */
function becomeFunction(/** @type {Project} */ project, /** @type {Declaration} */ constant) {
	const { type, comment } = constant;
	const [argument] = (type?.type === "reference" && type.name === "Op" && type.typeArguments) || [];
	if (!(argument instanceof ReflectionType)) return;
	const { signatures = [] } = argument.declaration;
	delete argument.declaration.signatures;
	project.removeReflection(argument.declaration);
	for (const signature of signatures) {
		signature.parent = constant;
		signature.name = constant.name;
		if (comment !== undefined) signature.comment = comment;
	}
	constant.kind = ReflectionKind.Function;
	constant.signatures = signatures;
	constant.setFlag(ReflectionFlag.Const, false);
	delete constant.type;
	delete constant.comment;
	delete constant.defaultValue;
}

/** What an operation computes and how exactly, below its description. */
function addPrecision(
	/** @type {readonly Precision[]} */ operations,
	/** @type {Project} */ project,
	/** @type {Declaration} */ reflection,
) {
	const path = project.getSymbolIdFromReflection(reflection)?.fileName?.replaceAll("\\", "/") ?? "";
	const here = operations.filter(({ file }) => path.endsWith(`packages/${file}`));
	const own = here.filter((op) => op.isWhole);
	const operation = here.find((op) => op.name === reflection.name) ?? (own.length === 1 ? own[0] : undefined);
	if (operation === undefined) return;
	const text = operation.name === reflection.name ? operation.text : `It runs \`${operation.name}\`: ${operation.text}`;
	for (const signature of reflection.signatures ?? []) {
		signature.comment ??= new Comment();
		signature.comment.blockTags.push(new CommentTag("@precision", [{ kind: "text", text }]));
	}
}

/** Several `@throws` become the items of one. */
function joinThrows(/** @type {Comment} */ comment) {
	const all = comment.blockTags.filter(({ tag }) => tag === "@throws");
	if (all.length < 2) return;
	all[0].content = all.flatMap(({ content }) => [{ kind: "text", text: "\n- " }, ...content]);
	comment.blockTags = comment.blockTags.filter((tag) => tag === all[0] || !all.includes(tag));
}

/** Begins the page of a module with a page of the repository, to which links then lead. */
function addReadme(
	/** @type {Converter} */ converter,
	/** @type {Project} */ project,
	/** @type {Declaration} */ module,
	/** @type {string} */ path,
) {
	const file = /** @type {import("typedoc").NormalizedPath} */ (path);
	module.readme = converter.parseRawComment(new MinimalSourceFile(readFileSync(path, "utf8"), file), project.files).content;
	withoutTitle(module.readme);
	project.files.registerReflectionPath(file, module);
}

/** @typedef {readonly import("typedoc").CommentDisplayPart[]} Text */

const titleOf = (/** @type {Text} */ text) => /^# (.*)\n/.exec(text[0]?.text ?? "")?.[1];

/** Takes the title off a text whose page has one of its own. */
function withoutTitle(/** @type {Text} */ text) {
	if (titleOf(text) !== undefined) text[0].text = text[0].text.replace(/^.*\n/, "");
}

/** A parameter that is taken apart where it is declared, named after its type. */
function nameOf(/** @type {import("typedoc").SomeType | undefined} */ type) {
	if (type?.type !== "reference" || type.name.endsWith("Options")) return "options";
	return type.name[0].toLowerCase() + type.name.slice(1);
}
