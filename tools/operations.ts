/** docs/operations.md: every operation that the packages register, with its signature, its gradient and its error bound. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { registry as dp } from "@hushgrad/dp/registry";
import { registry as nn } from "@hushgrad/nn/registry";
import type { Bound, Domain, LinearOp, Primitive } from "@hushgrad/tensor/author";
import { collect, registry as tensor } from "@hushgrad/tensor/registry";
import { readSources, type Source } from "./sources.ts";

export const PAGE = "docs/operations.md";

/** A row of the page. */
export interface Operation {
	readonly name: string;
	readonly family: string;
	/** Where it is defined, without "packages/". */
	readonly file: string;
	/** Linear operations have none: they take any shape. */
	readonly signature: string | undefined;
	readonly types: string;
	/** What values the tests draw. */
	readonly values: string;
	readonly gradient: string;
	/** What f32 may be away from float64; undefined where nothing is rounded. */
	readonly bound: Bound | undefined;
	readonly why: string;
}

/** The families of files. Element-wise operations are told apart by their signatures. */
const FAMILIES: Readonly<Record<string, readonly string[]>> = {
	"Element-wise, of one tensor": [],
	"Element-wise, of two and more": [],
	"Of truth": [],
	"Reductions and expansion": ["amax", "argmax", "cummax", "cumprod", "cumsum", "expand", "logsumexp", "prod"],
	Products: ["linear", "matmul"],
	Networks: ["attentionSoftmax", "conv", "pool", "dropout", "layerNorm", "linearCrossEntropy", "logSoftmax", "rmsNorm", "rope", "softmax"],
	Indices: ["embedding", "indexing", "scatter", "sort", "takeRows"],
	"Shapes and types": ["cast", "diagonal", "flip", "join", "roll", "slice", "tril", "view"],
	"Records of vmap": ["records"],
	"Weights in four bits": ["nf4Linear"],
	Optimisers: ["adamw", "sgd"],
	"Clipping per record": ["clip"],
	Others: [],
};

const FLOATS = [-2.5, 0.3, 1.7];

/** Whether the result is 0 or 1, whatever the operands are. */
function isOfTruth({ spec, signature }: Primitive): boolean {
	const inputs = Object.fromEntries(
		signature.inputs.map(({ name }, i) => [name, { data: Float64Array.from(FLOATS, (v) => v * (i + 1)), shape: [3] }]),
	);
	return spec.reference(inputs, spec.attrs)[0].data.every((v) => v === 0 || v === 1);
}

function familyOf(op: Primitive | LinearOp, file: string): string {
	if ("signature" in op && op.signature.inputs.every((o) => o.broadcast && o.axes.length === 0)) {
		const [one, more, truth] = Object.keys(FAMILIES);
		return isOfTruth(op) ? truth : op.signature.inputs.length === 1 ? one : more;
	}
	const base = /(\w+)\.ts$/.exec(file)?.[1] ?? "";
	return Object.entries(FAMILIES).find(([, files]) => files.includes(base))?.[0] ?? "Others";
}

/** One text for all operands where they agree, else one each. */
function byOperand({ signature }: Primitive, textOf: (operand: string) => string, join = "; "): string {
	const groups = new Map<string, string[]>();
	for (const { name } of signature.inputs) groups.set(textOf(name), [...(groups.get(textOf(name)) ?? []), name]);
	if (groups.size === 1) return [...groups.keys()][0];
	return [...groups].map(([text, names]) => `${names.join(" ")}: ${text}`).join(join);
}

function valuesOf(domain: Domain = { range: [-2, 2] }): string {
	if ("bits" in domain) return "any bits";
	if ("belowAxis" in domain) return `indices below ${domain.belowAxis}`;
	if ("whole" in domain) return `${domain.whole[0]} to ${domain.whole[1]}`;
	return `[${domain.range.join(", ")}]`;
}

/**
 * "yes" where it can be differentiated on and on, "once" where a gradient's own gradient is not built. What gives the gradients of an
 * operation together runs only where they are not differentiated themselves: otherwise its ordinary rules do.
 */
function gradientOf(p: Primitive, all: readonly Primitive[]): string {
	if (p.inPlace) return "none, in place";
	if (all.some((q) => q.spec.together !== undefined && p.spec.name.startsWith(`${q.spec.name}.`))) return "none, never traced";
	const isBuilt = (q: Primitive): boolean => q.spec.composite !== undefined || !Object.values(q.spec.grad).includes("missing");
	const isSmooth = p.spec.together !== undefined || all.filter((q) => q.spec.name.startsWith(`${p.spec.name}.`)).every(isBuilt);
	return byOperand(p, (name) => {
		const rule = p.spec.grad[name];
		if (rule === "none") return "zero";
		if (rule === "missing") return isBuilt(p) ? "yes" : "none";
		return isSmooth ? "yes" : "once";
	});
}

function ofPrimitive(p: Primitive, file: string, all: readonly Primitive[]): Operation {
	const { name, dtypes = {}, signature, test } = p.spec;
	const family = familyOf(p, file);
	const bound = test?.bound ?? { why: family === "Of truth" ? "a truth value" : "correctly rounded" };
	const types = byOperand(p, (operand) => (dtypes[operand] ?? ["f32"]).join(" "));
	const values = byOperand(p, (operand) => valuesOf(test?.domains?.[operand]));
	return { name, family, file, signature, types, values, gradient: gradientOf(p, all), bound, why: bound.why };
}

/** Linear operations take any shape, and numbers of any type. */
function ofLinear(op: LinearOp, file: string): Operation {
	const { name, test, constant } = op.spec;
	const isCalledByVmap = test.draw([2, 2], () => 0.5) === undefined;
	const why = isCalledByVmap ? "called by vmap alone" : test.abs === undefined ? "moves or converts values" : "the order of a sum";
	return {
		...{ name, family: familyOf(op, file), file, signature: undefined, why },
		types: test.abs === undefined && !isCalledByVmap ? "f32 i32 u32 bool" : "f32 i32 u32",
		values: isCalledByVmap ? "" : "whole and eighths",
		gradient: constant === undefined ? "yes" : "yes; zero to and from whole numbers",
		bound: test.abs === undefined ? undefined : { abs: test.abs, why },
	};
}

/** Every operation of the registries, with the file that defines it. */
export async function readOperations(root: string): Promise<Operation[]> {
	const files = new Map<string, string>();
	for (const { path } of readSources(root).filter(mayDefine)) {
		const { primitives, linear } = collect(await import(pathToFileURL(join(root, path)).href));
		for (const { spec } of [...primitives, ...linear]) if (!files.has(spec.name)) files.set(spec.name, path.replace(/^packages\//, ""));
	}
	const registries = [tensor, nn, dp];
	const primitives = registries.flatMap((r) => r.primitives);
	const fileOf = (name: string): string => files.get(name) ?? "";
	return [
		...primitives.map((p) => ofPrimitive(p, fileOf(p.spec.name), primitives)),
		...registries.flatMap((r) => r.linear).map((op) => ofLinear(op, fileOf(op.spec.name))),
	].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Files that may define operations; one that gathers what others export defines none. */
const mayDefine = ({ path, text }: Source): boolean =>
	/^packages\/(tensor\/src\/ops|nn\/src|dp\/src)\//.test(path) && !/^export \* from/m.test(text);

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A number as people write it: 2⁻¹¹, 2e-5. */
export function shown(n: number): string {
	const exponent = Math.log2(n);
	if (Number.isInteger(exponent) && exponent < -3) return `2⁻${[...String(-exponent)].map((d) => SUPERSCRIPTS[Number(d)]).join("")}`;
	return n !== 0 && n < 0.01 ? n.toExponential() : String(n);
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

function row({ name, signature, types, values, gradient, bound, why }: Operation): string {
	const [abs, ulp] = bound === undefined ? ["", ""] : [shown(bound.abs ?? 0), shown(bound.ulp ?? 0)];
	return `| \`${name}\` | ${signature === undefined ? "" : `\`${signature}\``} | ${types} | ${values} | ${gradient} | ${abs} | ${ulp} | ${cell(why)} |`;
}

/** The page: a table for every family. */
export function page(operations: readonly Operation[]): string {
	const tables = Object.keys(FAMILIES).map((family) => {
		const rows = operations.filter((op) => op.family === family).map(row);
		return rows.length === 0 ? "" : `\n## ${family}\n\n${HEAD}\n${rows.join("\n")}\n`;
	});
	return `# Operations

These are the ${operations.length} operations that the packages define; functions such as \`mean\` or \`einsum\` are made of them.

- **Signature**: operands and results with their axes. \`...\` are any batch axes; operands with \`~\` broadcast; one with \`!\` is
  the same for all records. Operations without a signature are linear and take any shape; what \`NAME.dx\` computes is a gradient.
- **Gradient**: *yes* by operands that it can be differentiated by, as often as you like; *once* where the gradient itself has
  none; *zero* by what counts as constant: whole numbers, keys, tables; *none* where asking for it throws.
- **Bound**: a result y in f32 is within abs + (ulp + 2) · 2⁻²³ · |y| of the float64 reference, for operands drawn from *values*
  (*a to b* are whole numbers) and axes of mostly up to 9; *why* is where the figures come from, and so how they grow. In f16 it
  is abs + 2⁻²⁴ and ulp + 2¹². Whole numbers are exact, and so is what has no figures.
- **Tested** like that, by [tests/support/bounds.ts](../tests/support/bounds.ts), is every operation on random shapes and views,
  on three drivers: the machine's device, SwiftShader and headless Chromium. Written by \`npm run pages\`.
${tables.join("")}`;
}

const HEAD = `| operation | signature | types | values | gradient | abs | ulp | why |
| --- | --- | --- | --- | --- | --- | --- | --- |`;
