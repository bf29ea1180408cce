import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Kernel, type KernelFamily, type Primitive } from "@hushgrad/tensor/author";
import { describe, expect, it } from "vitest";
import { linearOps, primitives, registries } from "../support/registry.ts";

const packages = fileURLToPath(new URL("../../packages/", import.meta.url));

/** The sources of the packages by their paths below packages/, without comments. */
const sources = new Map(
	readdirSync(packages, { recursive: true, encoding: "utf8" })
		.filter((path) => /^\w+\/src\/.*\.ts$/.test(path))
		.map((path) => [path, readFileSync(packages + path, "utf8").replace(/\/\*[\s\S]*?\*\/|(?<=^\s*)\/\/.*$/gm, "")]),
);

type Kind = "primitive" | "sum" | "linear" | "kernel" | "row" | "derived";

/**
 * What defines, where it is itself defined, and what comes of a call: kernels, primitives and linear operations. A `sum` is a primitive
 * with a second one, which adds a tensor. Rows of the element-wise tables make a primitive and two kernels each; their gradients are primitives that `rule` derives, which
 * the registry lists apart (`derived`).
 */
const DEFINERS: Readonly<Record<string, { readonly home: string; readonly makes: readonly Kind[] }>> = {
	definePrimitive: { home: "tensor/src/primitive.ts", makes: ["primitive"] },
	defineSumming: { home: "tensor/src/ops/summing.ts", makes: ["primitive", "sum"] },
	defineLinear: { home: "tensor/src/linearOp.ts", makes: ["linear"] },
	defineKernel: { home: "tensor/src/gpu/defineKernel.ts", makes: ["kernel"] },
	defineLowRank: { home: "nn/src/lowRank.ts", makes: ["primitive"] },
	defineAdapted: { home: "nn/src/quant/nf4Adapted.ts", makes: ["primitive"] },
	defineTogether: { home: "nn/src/quant/nf4Together.ts", makes: ["primitive"] },
	defineTogetherGrad: { home: "nn/src/quant/nf4Together.ts", makes: ["primitive", "sum"] },
	defineLowRankGrad: { home: "nn/src/lowRank.ts", makes: ["primitive", "sum"] },
	generator: { home: "tensor/src/ops/create.ts", makes: ["kernel"] },
	defineRule: { home: "nn/src/optim/rule.ts", makes: ["primitive", "kernel"] },
	elementwise: { home: "tensor/src/ops/elementwise.ts", makes: ["primitive", "row"] },
	unary: { home: "tensor/src/ops/elementwise.ts", makes: ["primitive", "row"] },
	binary: { home: "tensor/src/ops/operands.ts", makes: ["primitive", "row"] },
	ofSeveral: { home: "tensor/src/ops/operands.ts", makes: ["primitive", "row"] },
	withScalar: { home: "tensor/src/ops/elementwise.ts", makes: ["primitive", "row"] },
	kernelsOf: { home: "tensor/src/ops/elementwise.kernel.ts", makes: ["row"] },
	rule: { home: "tensor/src/ops/elementwise.ts", makes: ["derived"] },
	jointly: { home: "tensor/src/ops/jointly.ts", makes: ["derived"] },
	defineFactors: { home: "dp/src/clip/clipFactors.ts", makes: ["primitive"] },
	jointOf: { home: "tensor/src/ops/elementwise.ts", makes: ["derived"] },
};

/** Whether a name means the definer in a file: it is defined there, or imported. */
const isKnown = (definer: string, path: string, text: string): boolean =>
	DEFINERS[definer].home === path || new RegExp(`import \\{[^}]*\\b${definer}\\b[^}]*\\} from`).test(text);

interface Call {
	readonly place: string;
	readonly definer: string;
	/** The name it is called with, where that is written out. */
	readonly name: string | undefined;
	/** The function that the call stands in. */
	readonly within: string;
}

/** Every call of a definer. */
const calls = [...sources].flatMap(([path, text]): Call[] =>
	[...text.matchAll(new RegExp(`(?<![.\\w])(${Object.keys(DEFINERS).join("|")})(?:<[^()]*?>)?\\(\\s*(?:\\{\\s*name: ?)?`, "g"))]
		.filter(({ 1: definer, index }) => !/(function|const) $/.test(text.slice(0, index)) && isKnown(definer, path, text))
		.map(({ 0: all, 1: definer, index }) => ({
			place: `${path}:${text.slice(0, index).split("\n").length}`,
			definer,
			name: /^"([^"]+)"/.exec(text.slice(index + all.length))?.[1],
			within: [...text.slice(0, index).matchAll(/^(?:export )?(?:function|const|class) (\w+)/gm)].at(-1)?.[1] ?? "",
		})),
);

const defined = (kind: Kind): string[] =>
	calls.filter((c) => c.name !== undefined && DEFINERS[c.definer].makes.includes(kind)).map((c) => c.name as string);
const kernelName = (k: Kernel | KernelFamily): string => (k instanceof Kernel ? k.key : k.name);
const kernels = Object.values(registries).flatMap((r) => r.kernels.map(kernelName));
const sorted = (names: Iterable<string>): string[] => [...names].sort();

/** Files that match, by path. */
const files = (pattern: RegExp): string[] => [...sources].filter(([, text]) => pattern.test(text)).map(([path]) => path);

describe("the registries", () => {
	it("are read from all sources", () => {
		expect(calls.length).toBeGreaterThan(150);
		for (const definer of Object.keys(DEFINERS)) expect(calls.map((c) => c.definer)).toContain(definer);
	});

	it("miss no definition: a name that is not written out is handed on by a definer", () => {
		const handedOn = calls.filter((c) => c.name === undefined);
		// Fusion makes kernels of rows that are defined, while a program runs.
		expect(
			handedOn.filter((c) => !(c.within in DEFINERS) && c.within !== "Fusion").map((c) => `${c.place}: ${c.definer} in ${c.within}`),
		).toEqual([]);
	});

	it("hold every primitive, linear operation and kernel that is defined, and no other", () => {
		const sums = defined("sum").map((name) => `${name}.plus`);
		expect(sorted(primitives().map((p) => p.spec.name))).toEqual(sorted([...defined("primitive"), ...sums]));
		expect(sorted(linearOps().map((op) => op.spec.name))).toEqual(sorted(defined("linear")));
		const ofRows = defined("row").flatMap((name) => [`map/${name}`, `map4/${name}`]);
		expect(sorted(kernels)).toEqual(sorted([...defined("kernel"), ...ofRows]));
	});

	it("hold every name once", () => {
		for (const names of [[...primitives(), ...linearOps()].map((p) => p.spec.name), kernels]) {
			expect(names.filter((n, i) => names.indexOf(n) !== i)).toEqual([]);
		}
	});

	it("name the gradient of a primitive, and its form without one, after it: what is not built further belongs to a rule", () => {
		const all = primitives();
		const family = (p: Primitive): string => p.spec.name.split(".")[0];
		const unbuilt = all.filter((p) => p.spec.composite !== undefined || Object.values(p.spec.grad).includes("missing"));
		expect(unbuilt.length).toBeGreaterThan(5);
		for (const p of unbuilt) {
			const relatives = all.filter((q) => q !== p && family(q) === family(p));
			expect(
				relatives.flatMap((q) => Object.values(q.spec.grad)).some((g) => typeof g === "object"),
				p.spec.name,
			).toBe(true);
		}
	});
});

describe("the only way to a kernel and to the tape", () => {
	it.each<[string, RegExp, string[]]>([
		["is recorded", /\brecorder\.dispatch\(/, ["tensor/src/runtime.ts"]],
		["is put in between others", /\brecorder\.encode\(/, ["tensor/src/gpu/guard.ts"]],
		["is compiled", /\b(createShaderModule|createComputePipeline)\b/, ["tensor/src/gpu/pipelines.ts"]],
		["is encoded", /\b(beginComputePass|dispatchWorkgroups)\b/, ["tensor/src/gpu/recorder.ts", "tensor/src/gpu/replay.ts"]],
		["is run", /\.run\(this, /, ["tensor/src/gpu/defineKernel.ts"]],
		["is made", /\bnew (Kernel|KernelFamily)\b/, ["tensor/src/gpu/defineKernel.ts"]],
		["of a primitive is made", /\bnew Primitive\b/, ["tensor/src/primitive.ts"]],
		["of a linear operation is made", /\bnew LinearOp\b/, ["tensor/src/linearOp.ts"]],
	])("a kernel %s in one place", (_, pattern, expected) => {
		expect(sorted(files(pattern))).toEqual(expected);
	});

	it("nodes are put on the tape by operations, by checkpoints and by functions with a gradient of their own", () => {
		const wanted = ["tensor/src/checkpoint.ts", "tensor/src/customVjp.ts", "tensor/src/record.ts"];
		expect(sorted(files(/(?<!\bthis)\.record\(/))).toEqual(wanted);
		expect(sorted(files(/\bthis\.record\(/))).toEqual(["tensor/src/tape.ts"]);
		expect(sorted(files(/\btape\.leaf\(/))).toEqual(["tensor/src/autograd.ts"]);
	});

	it("operations are recorded by primitives and linear operations", () => {
		expect(sorted(files(/(?<![.\w])record\(\{/))).toEqual(["tensor/src/linearOp.ts", "tensor/src/primitive.ts"]);
	});
});
