/** `npm run new-op NAME`: writes packages/tensor/src/ops/NAME.ts, a primitive that works, and its two export lines. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readLine } from "./flags.mjs";

const SOURCE = "packages/tensor/src";

/** A complete primitive, y = x^2, to be changed facet by facet. */
const template = (name: string): string => `import { defineKernel } from "../gpu/defineKernel.ts";
import { reads, writes } from "../gpu/kernel.ts";
import { wgsl } from "../gpu/wgsl.ts";
import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./binary.ts";
import { contiguous } from "./contiguous.ts";

// Replace the kernel: here one invocation an element; every store is guarded.
export const ${name}Kernel = defineKernel("${name}", {
	params: { n: "u32" },
	buffers: { x: reads("f32"), y: writes("f32") },
	workgroup: 64,
	body: wgsl\`
if (index >= p.n) { return; }
let v = x_at(index);
y_set(index, v * v);\`,
});

export const ${name}Primitive = definePrimitive({
	name: "${name}",
	// Replace the shapes, those of one record: named axes, \`...\` for leading axes, \`~\` to broadcast freely.
	signature: "x[..., D] -> y[..., D]",
	attrs: {},
	// Replace the call: a kernel sees the record axis in front of the others, here as further elements.
	forward: ({ runtime, inputs }) => {
		const x = contiguous(inputs.x);
		const y = runtime.empty(x.shape);
		${name}Kernel.run({ x, y }, { n: x.size }, x.size);
		return [y];
	},
	// Replace the gradient: what it reads and the rule, made of operations so that it has a gradient itself.
	grad: { x: { saves: ["x"], rule: ({ dy, x }) => mul(dy, mul(x, 2)) } },
	// Replace the reference: the same in float64, the oracle of the tests.
	reference: ({ x }) => [mapRows(x, (row) => row.map((v) => v * v))],
	// Replace the tests' domains and bound: where operands are drawn, and how far f32 may be off, with the reason.
	test: {
		domains: { x: { range: [-3, 3] } },
		bound: { why: "one product, correctly rounded" },
	},
});

/**
 * Replace this: square of every element, y = x^2.
 * x[..., D], y[..., D]. Computes in f32, one rounding an element. Source: its definition.
 * @throws ShapeError when x has no axis; DTypeError unless x is f32.
 */
export function ${name}(x: Tensor): Tensor {
	return ${name}Primitive.apply([x])[0];
}
`;

/** Words that cannot name a function of a module, and globals of the language that none may hide. */
const RESERVED =
	/^(?:arguments|await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|escape|eval|export|extends|false|finally|for|function|globalThis|if|implements|import|in|instanceof|interface|isFinite|isNaN|let|new|null|package|parseFloat|parseInt|private|protected|public|return|static|super|switch|this|throw|true|try|typeof|undefined|unescape|var|void|while|with|yield)$/;

/** Why a name cannot be taken; undefined when it can. */
function objection(source: string, name: string): string | undefined {
	if (!/^[a-z][A-Za-z0-9]*$/.test(name)) return `${JSON.stringify(name)} is not a name in camelCase`;
	if (RESERVED.test(name)) return `${name} is a word of the language`;
	const files = readdirSync(source, { recursive: true, encoding: "utf8" }).map((f) => f.replaceAll("\\", "/"));
	// Some file systems do not tell upper case from lower case.
	const same = files.find((f) => f.toLowerCase() === `ops/${name}.ts`.toLowerCase());
	if (same !== undefined) return `${same} exists`;
	const exported = new RegExp(`export (?:const|class|(?:async )?function\\*?) (?:${name}|${name}Primitive|${name}Kernel)\\b`);
	const taken = files.find((f) => f.endsWith(".ts") && exported.test(readFileSync(join(source, f), "utf8")));
	return taken === undefined ? undefined : `${name} is exported by ${taken} already`;
}

/** Order of names as the formatter wants it: numbers by value, upper case before lower case. */
const sortKey = (name: string): string => name.replace(/\d+/g, (digits) => digits.padStart(20, "0"));

/** Where a statement begins, and the operation's file that it exports; "" for others. */
function exportsOf(text: string, folder: string): { readonly at: number; readonly end: number; readonly key: string }[] {
	return [...text.matchAll(/^export\b[^;]*;/gm)].map(({ index, 0: statement }) => {
		const [, module = ""] = new RegExp(`from "${folder}(\\w+)\\.ts";$`).exec(statement) ?? [];
		return { at: index, end: index + statement.length, key: sortKey(module) };
	});
}

/** A list of exports with one line more, before the first operation that comes after it in the alphabet. */
function withExport(text: string, name: string, folder: "./" | "./ops/"): string {
	const line = `export ${folder === "./" ? "*" : `{ ${name} }`} from "${folder}${name}.ts";`;
	const operations = exportsOf(text, folder).filter(({ key }) => key !== "");
	const next = operations.find(({ key }) => key > sortKey(name));
	if (next !== undefined) return `${text.slice(0, next.at)}${line}\n${text.slice(next.at)}`;
	const { end } = operations[operations.length - 1];
	return `${text.slice(0, end)}\n${line}${text.slice(end)}`;
}

/**
 * Writes the operation, its line in the registry's list and its public name below `root`, the repository, and returns
 * the paths of the three files relative to it.
 * @throws Error with one line when the name cannot be taken; nothing is written then.
 */
export function scaffold(root: string, name: string): string[] {
	const problem = objection(join(root, SOURCE), name);
	if (problem !== undefined) throw new Error(problem);
	const [op, all, index] = [`${SOURCE}/ops/${name}.ts`, `${SOURCE}/ops/all.ts`, `${SOURCE}/index.ts`];
	const [inRegistry, exported] = [
		withExport(readFileSync(join(root, all), "utf8"), name, "./"),
		withExport(readFileSync(join(root, index), "utf8"), name, "./ops/"),
	];
	writeFileSync(join(root, op), template(name), { flag: "wx" });
	writeFileSync(join(root, all), inRegistry);
	writeFileSync(join(root, index), exported);
	return [op, all, index];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const help = "npm run new-op NAME   writes packages/tensor/src/ops/NAME.ts, a primitive that works, and its two export lines";
	const { positionals: names } = readLine(help, {});
	try {
		if (names.length !== 1) throw new Error("give one name: npm run new-op NAME");
		for (const file of scaffold(fileURLToPath(new URL("..", import.meta.url)), names[0])) console.log(file);
		console.log(`It is tested already: npx vitest run tests/tensor -t ${names[0]}`);
	} catch (error) {
		console.error((error as Error).message);
		process.exit(1);
	}
}
