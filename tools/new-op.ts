/** `npm run new-op NAME`: writes packages/tensor/src/ops/NAME.ts, a primitive that works, and its one export line. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** A complete primitive, y = x^2, to be changed facet by facet. */
const template = (name: string): string => `import { definePrimitive } from "../primitive.ts";
import { mapRows } from "../reference.ts";
import type { Tensor } from "../tensor.ts";
import { mul } from "./binary.ts";
import { contiguous } from "./copy.ts";
import { mulScalar } from "./unary.ts";

export const ${name}Primitive = definePrimitive({
	name: "${name}",
	// Shapes: names for axes, \`...\` for leading batch axes, \`B?\` for an optional sample axis, \`~\` for free broadcasting.
	signature: "x[..., D] -> y[..., D]",
	attrs: {},
	// Kernel: one invocation an element; every store is guarded.
	forward: ({ device, inputs }) => {
		const x = contiguous(inputs.x);
		const y = device.empty(x.shape);
		device.run(
			"${name}",
			() => ({
				params: { n: "u32" },
				buffers: { x: { dtype: "f32", access: "read" }, y: { dtype: "f32", access: "write" } },
				workgroup: [64, 1, 1],
				body: "if (index < p.n) { y_set(index, x_at(index) * x_at(index)); }",
			}),
			[x, y],
			[x.size],
			x.size,
		);
		return [y];
	},
	// Gradient: what it reads, and the rule; made of operations, so that it can be differentiated again.
	grad: { x: { saves: ["x"], rule: ({ dy, x }) => mul(dy, mulScalar(x, 2)) } },
	// Reference in float64: the oracle of the tests.
	reference: ({ x }) => [mapRows(x, (row) => row.map((v) => v * v))],
	// Tests: where operands are drawn, and how far f32 may be off, with the reason.
	test: { domains: { x: { range: [-3, 3] } }, bound: { why: "one product, correctly rounded" } },
});

/**
 * TODO: what it computes: y = x^2, element by element. x [..., D], y [..., D], f32. Source: TODO.
 */
export function ${name}(x: Tensor): Tensor {
	return ${name}Primitive.apply([x])[0];
}
`;

const RESERVED =
	/^(?:await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|export|extends|false|finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|private|protected|public|return|static|super|switch|this|throw|true|try|typeof|var|void|while|with|yield)$/;

/** Why a name cannot be taken; undefined when it can. \`source\` is the folder packages/tensor/src. */
function objection(source: string, name: string): string | undefined {
	if (!/^[a-z][A-Za-z0-9]*$/.test(name)) return `"${name}" is not a name in camelCase`;
	if (RESERVED.test(name)) return `${name} is a word of the language`;
	if (existsSync(join(source, "ops", `${name}.ts`))) return `ops/${name}.ts exists`;
	const exported = new RegExp(`export (?:const|function|class) (?:${name}|${name}Primitive)\\b`);
	const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts"));
	const taken = files.find((f) => exported.test(readFileSync(join(source, f), "utf8")));
	return taken === undefined ? undefined : `${name} is exported by ${taken} already`;
}

/** The index with one export line more, before the first operation that comes after it in the alphabet. */
function withExport(index: string, name: string): string {
	const line = `export * from "./ops/${name}.ts";`;
	const lines = index.split("\n");
	const moduleOf = (l: string): string | undefined => /from "\.\/ops\/(\w+)\.ts"/.exec(l)?.[1];
	const after = lines.findIndex((l) => (moduleOf(l) ?? "") > name);
	const last = lines.findLastIndex((l) => moduleOf(l) !== undefined);
	return lines.toSpliced(after >= 0 ? after : last + 1, 0, line).join("\n");
}

/** Writes the two files below \`source\`, packages/tensor/src. @throws Error with one line when the name cannot be taken. */
export function scaffold(source: string, name: string): string[] {
	const problem = objection(source, name);
	if (problem !== undefined) throw new Error(problem);
	const [op, index] = [join(source, "ops", `${name}.ts`), join(source, "index.ts")];
	writeFileSync(op, template(name));
	writeFileSync(index, withExport(readFileSync(index, "utf8"), name));
	return [op, index];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	const names = process.argv.slice(2);
	try {
		if (names.length !== 1) throw new Error("give one name: npm run new-op NAME");
		const files = scaffold(fileURLToPath(new URL("../packages/tensor/src", import.meta.url)), names[0]);
		for (const file of files) console.log(file);
		console.log(`It is tested already: npx vitest run tests/tensor/primitives.test.ts -t ${names[0]}`);
	} catch (error) {
		console.error((error as Error).message);
		process.exit(1);
	}
}
